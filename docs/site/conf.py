r"""Settings of the book on the web; `make site` builds it, from `stage.py`'s folder."""

import re
import sys
import tomllib
from html import escape
from pathlib import Path

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent))
from formulas import as_rst

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

ITEM = re.compile(
    r'"?[a-zA-Z_][\w.]*"?(, "?\w+"?)*: '
)  # of a docstring: an argument, a field
STARTS = ("Returns", "Raises", "Warns", "Source", "Ho et al.", "Song et al.")

project = "ddpm-lite"
author = "the authors of ddpm-lite"
copyright = "the authors of ddpm-lite. Text: CC BY 4.0, code: MIT"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = []
root_doc = "index"

nb_execution_mode = "off"  # the committed outputs are what is shown
nb_code_prompt_show = "Show: {type}"
nb_code_prompt_hide = "Hide: {type}"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
suppress_warnings = ["misc.highlighting_failure"]
copybutton_exclude = ".linenos, .gp"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
default_role = "literal"

html_theme = "furo"
html_title = "ddpm-lite"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["katex/katex.min.css", "site.css", "live/live.css"]
html_js_files = [
    ("katex/katex.min.js", {"defer": "defer"}),
    ("site.js", {"defer": "defer"}),
]
html_theme_options = {
    "source_repository": REPOSITORY,
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#005a8f",
        "color-brand-content": "#005a8f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#6bb8e8",
        "color-brand-content": "#6bb8e8",
    },
    "footer_icons": [],
}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def maths(self, node):
    r"""A formula as it was written: site.js has KaTeX set it."""
    self.body.append(f'<span class="maths">{escape(node.astext().strip())}</span>')
    raise nodes.SkipNode


def display(self, node):
    r"""A displayed formula; it scrolls by itself where it is wider than the page."""
    text = escape(node.astext().strip())
    self.body.append(f'<div class="maths display" tabindex="0">{text}</div>\n')
    raise nodes.SkipNode


def escaped(text):
    r"""A text in which * | and \\ mean nothing to Sphinx."""
    return re.sub(r"([*|\\])", r"\\\1", text)


def laid_out(app, what, name, thing, options, lines):
    r"""A docstring as a list: in this house `name: what it is`, indented from line two."""
    pieces = []
    for line in lines:
        item = ITEM.match(line)
        names = line[: item.end() - 2] if item else ""
        text = as_rst(line[len(names) :].strip(), escaped)
        if not text:
            pieces.append("")
        elif item:
            pieces += ["", f"- **{escaped(names)}**{text}"]
        elif line.startswith(STARTS):
            pieces += ["", text]
        else:
            inside = pieces and pieces[-1].startswith(("- ", "  "))
            pieces.append(f"  {text}" if inside else text)
    lines[:] = pieces


def setup(app):
    app.add_html_math_renderer("katex", (maths, None), (display, None))
    app.connect("autodoc-process-docstring", laid_out)


html_math_renderer = "katex"
