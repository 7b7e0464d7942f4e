r"""The book on the web, built from the committed notebooks and opened in a real browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browsing import SERIOUS, load_build, needs_browser, opened, without

pytest.importorskip("sphinx", reason="the extra `site` is not installed")
BUILD = load_build()
SCHEMES = ("light", "dark")
SIZES = ((1440, "light"), (900, "dark"), (390, "light"), (390, "dark"))
# Colours and their style are the same on all pages: a few pages show them all.
COLOURS = ("index", "training", "options", "00_start_here", "sampling")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


# --- without a browser


class Links(HTMLParser):
    r"""What a page links to or shows, and the ids that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}
        self.links += [found[name] for name in ("href", "src") if found.get(name)]


def dead_links(site, paths):
    seen = {path: Links(path) for path in paths}
    for path, page in seen.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link.startswith("//"):
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                yield f"{path.relative_to(site)}: {link}"
            elif parts.fragment and there.suffix == ".html" and there in seen:
                if unquote(parts.fragment) not in seen[there].ids:
                    yield f"{path.relative_to(site)}: no {link}"


def test_every_link_leads_somewhere(site, pages, tmp_path):
    assert list(dead_links(site, pages)) == []
    page = tmp_path / "a.html"  # and a dead one is seen
    page.write_text('<a href="no.html" id="x"></a><a href="#x"></a><a href="#y"></a>')
    assert list(dead_links(tmp_path, [page])) == ["a.html: no.html", "a.html: no #y"]


def test_every_chapter_and_page_is_there_with_its_neighbours(site):
    for path in BUILD.sources():
        assert (site / path).with_suffix(".html").is_file(), path
    names = sorted(p.stem for p in (site / "notebooks").glob("0*.html"))
    for before, name, after in zip(names, names[1:], names[2:], strict=False):
        text = (site / "notebooks" / f"{name}.html").read_text("utf-8")
        for neighbour in (before, after):
            assert re.search(
                rf'class="{"prev" if neighbour == before else "next"}-page" '
                rf'href="{neighbour}.html"',
                text,
            )
        assert f"/blob/main/notebooks/{name}.ipynb" in text and "Open in Colab" in text


def test_a_page_is_small(site):
    for path in (site / "notebooks").glob("*.html"):
        text = path.read_text("utf-8")
        assert "base64" not in text, f"{path.name} carries a picture"
        shown = re.findall(r'<img[^>]* src="\.\./_media/(\w+\.\w+)"', text)
        films = len(re.findall('class="film"', text))
        pictures = sum((site / "_media" / name).stat().st_size for name in shown)
        common = sum(
            (site / "_static" / name).stat().st_size
            for name in ("katex/katex.min.js", "katex/katex.min.css", "styles/furo.css")
        )
        assert len(text) + pictures + common <= 1_500_000, (path.name, films)


def test_the_reference_has_every_public_name(site):
    import ddpm_lite

    text = "\n".join(p.read_text("utf-8") for p in (site / "reference").glob("*.html"))
    for name in ddpm_lite.__all__:
        if any(name in names for names in ddpm_lite.CONTENTS.values()):
            assert f'id="ddpm_lite.{name}"' in text, name


def test_a_link_to_nothing_stops_the_build():
    path = Path("docs/training.md")
    with pytest.raises(FileNotFoundError, match=r"there is no nowhere\.md"):
        BUILD.linked("[a](nowhere.md)", path, set())
    code = "```\n[a](nowhere.md)\n```"
    assert BUILD.linked(code, path, set()) == code
    out = BUILD.linked("[a](../LICENSE)", path, set())
    assert out == f"[a]({BUILD.repository()}/blob/main/LICENSE)"


# --- in the browser


STATE = """() => ({
  raw: document.querySelectorAll(".maths:not(:has(.katex))").length,
  errors: document.querySelectorAll(".katex-error").length,
  maths: document.querySelectorAll(".maths").length,
  tags: (() => {
    const article = document.querySelector("article").cloneNode(true);
    article.querySelectorAll("code, pre, .katex").forEach(e => e.remove());
    return article.textContent.includes("\\\\tag");
  })(),
  unnamed: [...document.images].filter(i => !i.hasAttribute("alt")).length,
  lang: document.documentElement.lang,
  titles: document.querySelectorAll("article h1").length,
})"""
TOO_WIDE = (
    "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
)


def serious(axe, page, colours):
    r"""What an accessibility checker finds on a page; its colours only if that is said."""
    context = {"exclude": [[".katex"], *([] if colours else [[".highlight pre"]])]}
    options = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
    options["rules"] = {"color-contrast": {"enabled": colours}}
    for one in axe.run(page, context, options).response["violations"]:
        if one["impact"] in SERIOUS:
            yield one["id"], one["nodes"][0]["html"][:120]


@needs_browser
@pytest.mark.parametrize("half", (0, 1))  # for two processes
def test_every_page_fits_in_both_themes_and_nothing_bars_the_way(
    browser, address, site, pages, half
):
    r"""A page is loaded once, for all widths, both themes and the accessibility checker."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, wrong = opened(browser, address)
    maths, barred = 0, {}
    for path in pages[half::2]:
        name = str(path.relative_to(site))
        page.goto(f"{address}/{name}", wait_until="load")
        state = page.evaluate(STATE)
        assert state["raw"] == state["errors"] == state["unnamed"] == 0, (name, state)
        assert not state["tags"] and state["lang"] == "en", (name, state)
        assert state["titles"] == 1, (name, state)
        maths += state["maths"]
        colours = path.stem in COLOURS
        for width, scheme in SIZES if colours else SIZES[:3]:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(TOO_WIDE) <= 0, f"{name} at {width} px, {scheme}"
        page.set_viewport_size({"width": 1440, "height": 900})
        without(page, ".katex", *([] if colours else [".highlight pre"]))
        for scheme in SCHEMES if colours else SCHEMES[:1]:
            page.emulate_media(color_scheme=scheme)
            for rule, what in serious(axe, page, colours):
                barred.setdefault(rule, []).append((name, scheme, what))
    assert barred == {}, json.dumps(barred, indent=1)[:3000]
    assert wrong == [] and maths > 250


@needs_browser
def test_the_search_finds(browser, address):
    page, wrong = opened(browser, address)
    page.goto(f"{address}/docs/training.html?highlight=light", wait_until="load")
    for word, wanted in (("posterior", "03_reverse"), ("diffusers", "exchange")):
        page.goto(f"{address}/search.html?q={word}")
        page.wait_for_selector("#search-results li a")
        links = page.eval_on_selector_all("#search-results li a", "a => a.map(x => x.href)")
        assert any(wanted in link for link in links), (word, links)
    assert wrong == []


@needs_browser
def test_a_film_moves_stops_and_can_be_moved_through_by_keys(browser, address):
    page, wrong = opened(browser, address, viewport={"width": 1200, "height": 900})
    page.goto(f"{address}/index.html", wait_until="load")
    film = page.locator(".film").first
    button, slider = film.locator("button"), film.locator("input")
    first = film.locator("img").get_attribute("src")
    page.wait_for_function(
        "src => document.querySelector('.film img').getAttribute('src') !== src", arg=first
    )
    assert button.inner_text() == "Pause"
    button.press("Enter")
    assert button.inner_text() == "Play"
    slider.press("Home")
    slider.press("ArrowRight")
    assert slider.input_value() == "1" and button.inner_text() == "Play"
    frames = json.loads(film.get_attribute("data-film"))["frames"]
    page.wait_for_function(
        "end => document.querySelector('.film img').src.endsWith(end)", arg=frames[1]
    )
    assert wrong == []


@needs_browser
def test_who_wants_no_motion_gets_none(browser, address):
    page, _ = opened(browser, address, reduced_motion="reduce")
    page.goto(f"{address}/index.html", wait_until="load")
    before = page.locator(".film img").first.get_attribute("src")
    page.wait_for_timeout(600)
    assert page.locator(".film img").first.get_attribute("src") == before
    assert page.locator(".film button").first.inner_text() == "Play"


@needs_browser
def test_closed_cells_say_what_is_in_them_and_open_by_keys(browser, address):
    page, _ = opened(browser, address)
    page.goto(f"{address}/notebooks/02_forward_process.html", wait_until="load")
    cell = page.locator("details.hide").first
    assert "Install the package" in cell.locator("summary").inner_text()
    code = cell.locator("pre").first
    assert not code.is_visible()
    cell.locator("summary").press("Enter")
    assert code.is_visible()


@needs_browser
def test_without_scripts_the_words_and_pictures_are_there(browser, address):
    page, _ = opened(browser, address, java_script_enabled=False)
    page.goto(f"{address}/notebooks/02_forward_process.html", wait_until="load")
    assert "pocket calculator" in page.locator("article").inner_text()
    assert page.locator("article img.figure").first.get_attribute("alt")
