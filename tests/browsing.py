r"""What the tests of the site share: its builder, and pages in a real browser."""

import importlib.util
import shutil
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
SERIOUS = {"serious", "critical"}
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")


def load_build():
    r"""docs/site/build.py as a module."""
    path = ROOT / "docs" / "site" / "build.py"
    spec = importlib.util.spec_from_file_location("site_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without(page, *selectors, outside=":not(*)"):
    r"""Leave only the words of what an accessibility checker is not to look into.

    It reads the whole page before it leaves anything out, and a page has ten thousand
    elements of formulas and coloured code. outside: what stays as it is.
    """
    page.evaluate(
        """([selectors, outside]) => document.querySelectorAll(selectors).forEach(e => {
            if (!e.closest(outside)) e.textContent = e.textContent;
        })""",
        [", ".join(selectors), outside],
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def opened(browser, address, **options):
    r"""A page of a new window, and what went wrong in it, which fills while it is used."""
    page, wrong = browser.new_context(**options).new_page(), []
    page.on(
        "console",
        lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def asked(request):
        if not request.url.startswith((address, "data:")):
            wrong.append(f"a request to {request.url}")

    page.on("request", asked)

    def failed(request):  # one that a reader leaves behind by going on is no fault
        if "ERR_ABORTED" not in (request.failure or ""):
            wrong.append(f"{request.url} failed: {request.failure}")

    page.on("requestfailed", failed)
    page.on(
        "response",
        lambda r: wrong.append(f"{r.url}: {r.status}") if r.status > 399 else None,
    )
    return page, wrong
