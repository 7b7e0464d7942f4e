r"""Build the book on the web: `python docs/site/build.py build/site`, or `make site`.

FOLDER/html is the site. Nothing is executed: the committed notebooks are shown, with their
outputs. A picture becomes a file, so that a page is small and loads what is looked at; a
film becomes frames that a reader can stop and move through. What can be moved because the
page itself computes it is in live.py and static/live. Links to files that are no
pages lead to the repository. Any warning is an error, which is the exit status.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import sys
import tomllib
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote

from myst_parser.slugs import github_slugify
from PIL import Image
from sphinx.cmd.build import main as sphinx

import ddpm_lite

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
from live import inserted  # noqa: E402

PAGES = ["exercises/README.md", "ddpm_lite/README.md", "CONTRIBUTING.md"]
DATA = re.compile(r"data:image/(png|webp);base64,([A-Za-z0-9+/=]+)")
IMG = re.compile(
    r'<img alt="(.*?)" width="(\d+)" style="[^"]*" src="data:image/\w+;base64,'
)
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:|data:)([^)#\s]+)(#[^)\s]*)?(?=\))")
TITLE = re.compile(r"# @title (.*)\n")
FIRST = (
    "A film in two halves. Left: fifteen pictures of clothes dissolve into noise, column "
    "after column. Right: noise turns into fifteen new pictures of clothes."
)
# What the theme leaves out: the level of the headings over the contents, and that keys
# can scroll a wide table.
CAPTION = (
    'class="caption" role="heading"',
    'class="caption" role="heading" aria-level="2"',
)
TABLE = ('<div class="table-wrapper ', '<div tabindex="0" class="table-wrapper ')
QUALITY = 88  # of a frame; a film of the notebook is lossless, frame after frame


def repository():
    r"""The address of the repository, from the one place that has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["urls"]["Repository"]


def sources():
    r"""The files that become pages, relative to the repository."""
    chapters = sorted(ROOT.glob("notebooks/*.ipynb"))
    pages = sorted(ROOT.glob("docs/*.md"))
    return [path.relative_to(ROOT) for path in (*chapters, *pages)] + list(map(Path, PAGES))


# --- pictures and films


class Media:
    r"""The folder of pictures: each once, named after what is in it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, content, kind):
        r"""Write a picture's bytes. Returns its name."""
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        (self.folder / name).write_bytes(content)
        return name

    def frames(self, film):
        r"""Write each frame of a film. Returns (names, milliseconds of each, size)."""
        names, durations = [], []
        for number in range(film.n_frames):
            film.seek(number)
            file = io.BytesIO()
            film.convert("RGB").save(file, "WEBP", quality=QUALITY, method=4)
            names.append(self.keep(file.getvalue(), "webp"))
            durations.append(film.info.get("duration", 100))
        return names, durations, film.size


def player(media, film, alt, width, up):
    r"""HTML of a film: a picture, a button and a slider; site.js brings them to life.

    film: an open picture of several frames. width: on the page. up: the way to the site's
    root. Without scripts the last frame is there, and the alt text.
    """
    names, durations, (w, h) = media.frames(film)
    height = round(width * h / w)
    about = json.dumps({"frames": names, "ms": durations})
    return (
        f'<div class="film" data-folder="{up}_media/" data-film="{escape(about)}">'
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" '
        f'loading="lazy" src="{up}_media/{names[-1]}">'
        f'<div class="film-controls" hidden><button type="button">Play</button>'
        f'<input type="range" min="0" max="{len(names) - 1}" value="{len(names) - 1}" '
        f'aria-label="Frame of the film"></div></div>'
    )


def shown(media, html, up):
    r"""A picture of `figure.show` as HTML that reads files, or None for other HTML."""
    found = IMG.match(html)
    if not found:
        return None
    alt, width = unescape(found[1]), int(found[2])
    kind, content = DATA.search(html).groups()
    content = base64.b64decode(content)
    with Image.open(io.BytesIO(content)) as picture:
        if getattr(picture, "is_animated", False):
            return player(media, picture, alt, width, up)
        height = round(width * picture.height / picture.width)
    name = media.keep(content, kind)
    return (
        f'<img class="figure" alt="{escape(alt)}" width="{width}" height="{height}" '
        f'loading="lazy" src="{up}_media/{name}">'
    )


def in_text(media, text, up):
    r"""Markdown whose embedded pictures are files."""

    def file(match):
        return f"{up}_media/{media.keep(base64.b64decode(match[2]), match[1])}"

    def html(match):
        path = DATA.sub(file, match[2])
        return f'<img class="figure" alt="{escape(match[1])}" loading="lazy" src="{path}">'

    return re.sub(r"!\[(.*?)\]\((data:image/[^)]*)\)", html, text)


# --- links


def headings(path):
    r"""{what JupyterLab calls a heading of a notebook: what the site calls it}.

    path: relative to the repository. JupyterLab keeps a heading's words and writes - for a
    space; the site makes small letters of them, and drops what is no letter.
    """
    cells = json.loads((ROOT / path).read_text("utf-8"))["cells"]
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    titles = re.findall(r"^#{1,4} (.*)$", "\n".join(texts), re.M)
    return {title.replace(" ", "-"): github_slugify(title) for title in titles}


def anchored(there, anchor):
    r"""The part of a link behind a notebook's name, as the site has it.

    anchor: None, or as JupyterLab follows it. Raises LookupError where no heading is so.
    """
    if not anchor:
        return ""
    found = headings(there).get(unquote(anchor[1:]))
    if found is None:
        raise LookupError(f"{there} has no heading {anchor}")
    return f"#{found}"


def linked(text, path, pages):
    r"""Markdown whose links lead to pages of the site, to its pictures, or the repository.

    path: of the text, relative to the repository. pages: the set of all of them. Raises
    FileNotFoundError for a link to a file that is not there, LookupError for one to a
    heading of a notebook that is not there.
    """

    def target(match):
        wanted = (ROOT / path.parent / match[1]).resolve()
        if not wanted.exists():
            raise FileNotFoundError(f"{path}: there is no {match[1]} to link to")
        there = wanted.relative_to(ROOT)
        if there == Path("README.md"):
            return "/index.md"
        executed = there.with_suffix(".ipynb")
        if there.suffix == ".md" and executed in pages:
            return f"/{executed}{anchored(executed, match[2])}"
        if there in pages and there.suffix == ".ipynb":
            return f"/{there}{anchored(there, match[2])}"
        if there in pages or there.suffix in (".png", ".gif"):
            return f"/{there}{match[2] or ''}"
        kind = "tree" if wanted.is_dir() else "blob"
        return f"{repository()}/{kind}/main/{there}"

    code = re.split(r"(```.*?```)", text, flags=re.S)
    return "".join(part if i % 2 else LINK.sub(target, part) for i, part in enumerate(code))


def chapter(path, media, pages):
    r"""A notebook as the site shows it: its outputs with files for pictures."""
    notebook = json.loads((ROOT / path).read_text("utf-8"))
    up = "../" * (len(path.parts) - 1)
    title = True
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = in_text(media, linked(source, path, pages), up)
            if title and "[Open in Colab]" in source:  # the line below the title
                here = f"{repository()}/blob/main/{path}"
                colab = r"(\[Open in Colab\]\([^)]*\))"
                source = re.sub(colab, rf"\1 · [Notebook]({here})", source)
                title = False
            cell["source"] = source
        elif found := TITLE.match(source):  # a closed cell says what is in it
            cell["source"] = TITLE.sub("", source)
            prompts = {"code_prompt_show": found[1], "code_prompt_hide": found[1]}
            cell["metadata"]["mystnb"] = prompts
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            html = "".join(data.get("text/html", ""))
            if html and (better := shown(media, html, up)):
                output["data"] = {"text/html": better}
                output["metadata"] = {}
    notebook["cells"] = inserted(notebook["cells"], path.stem, media, up)
    return json.dumps(notebook, ensure_ascii=False)


# --- the reference


def reference(folder):
    r"""One page for each room: what it is for, and every public name that it gives."""
    folder.mkdir(parents=True)
    rooms = {room: names for room, names in ddpm_lite.CONTENTS.items() if names}
    ground = [room for room in rooms if (ROOT / "ddpm_lite" / f"{room}.py").is_file()]
    lines = ["# Reference", "", "What `from ddpm_lite import ...` gives, room by room."]
    lines += ["", "```{toctree}", ":maxdepth: 2", "", *rooms, "```", ""]
    (folder / "index.md").write_text("\n".join(lines), "utf-8")
    for room, names in rooms.items():
        where = f"`ddpm_lite/{room}.py`" if room in ground else f"`ddpm_lite/{room}/`"
        lines = [f"# {room}", "", f"From {where}.", "", "```{eval-rst}"]
        lines += [f".. automodule:: ddpm_lite.{room}", "   :no-members:", ""]
        for name in names:
            thing = getattr(ddpm_lite, name)
            kind = "class" if isinstance(thing, type) else "function"
            lines += [f".. auto{kind}:: ddpm_lite.{name}"]
            lines += ["   :members:", ""] if kind == "class" else [""]
        (folder / f"{room}.md").write_text("\n".join([*lines, "```", ""]), "utf-8")


def lay_out(folder):
    r"""Write what Sphinx reads into folder/source, and what it copies into folder/extra."""
    source, media = folder / "source", Media(folder / "extra" / "_media")
    pages = set(sources())
    for path in sorted(pages):
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            target.write_text(chapter(path, media, pages), "utf-8")
        else:
            text = (ROOT / path).read_text("utf-8")
            target.write_text(linked(text, path, pages), "utf-8")
    (source / "figures").mkdir()
    for picture in ROOT.glob("figures/*.png"):
        shutil.copy(picture, source / "figures")
    with Image.open(ROOT / "figures" / "first.gif") as film:
        hero = player(media, film, FIRST, 838, "")
    front = (HERE / "index.md").read_text("utf-8")
    front = front.replace("<!-- film -->", hero).replace("REPOSITORY", repository())
    (source / "index.md").write_text(front, "utf-8")
    reference(source / "reference")


def build(folder):
    r"""Build the site in a folder, whose old site goes. Returns Sphinx's exit status."""
    for old in ("source", "extra", "html", "doctrees"):
        shutil.rmtree(folder / old, ignore_errors=True)
    lay_out(folder)
    extra = f"html_extra_path={(folder / 'extra').resolve()}"
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE), "-D", extra]
    paths = ["-d", str(folder / "doctrees"), str(folder / "source"), str(folder / "html")]
    status = sphinx([*options, *paths])
    for page in (folder / "html").rglob("*.html"):
        text = page.read_text("utf-8")
        page.write_text(text.replace(*CAPTION).replace(*TABLE), "utf-8")
    return status


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    status = build(folder)
    if not status:
        print(f"open {folder / 'html' / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
