r"""The site, built once for all its tests, behind an address, and a browser."""

import os
import threading
from functools import partial
from http.server import ThreadingHTTPServer

import pytest
from browsing import CHROMIUM, Quiet, load_build
from filelock import FileLock


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    r"""The folder of the site, which nobody changes: all processes of xdist share it."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    folder, built = place / "site", place / "site-is-built"
    with FileLock(place / "site.lock"):
        if not built.exists():
            assert load_build().build(folder) == 0  # a warning would be an error
            built.touch()
    return folder / "html"


@pytest.fixture(scope="session")
def pages(site):
    left_out = {"search.html", "genindex.html", "py-modindex.html"}
    return [p for p in sorted(site.rglob("*.html")) if p.name not in left_out]


@pytest.fixture(scope="session")
def address(site):
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def one_browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def browser(one_browser):
    r"""The browser of all tests; what a test opened is closed, its live figures too."""
    yield one_browser
    for context in one_browser.contexts:
        context.close()
