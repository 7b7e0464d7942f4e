r"""The live figures on the built pages: each is moved, and its number is the package's."""

import math
import sys

import pytest
import torch
from browsing import ROOT, SERIOUS, needs_browser, opened, without

pytest.importorskip("sphinx", reason="the extra `site` is not installed")
sys.path.insert(0, str(ROOT / "docs" / "site"))
import live

from ddpm_lite import (
    DataOracle,
    MixtureOracle,
    Schedule,
    data,
    load_pretrained,
    sample,
    sample_path,
)
from ddpm_lite.evaluation import metrics
from ddpm_lite.sampling import inpaint
from ddpm_lite.sampling.sampler import ancestral_step
from ddpm_lite.seeds import SampleNoise

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SIZES = [(w, scheme) for w in (390, 900, 1440) for scheme in ("light", "dark")]
TOO_WIDE = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def there(site):
    r"""The figures whose pages are built."""
    return [f for f in live.FIGURES if (site / "notebooks" / f"{f.page}.html").is_file()]


def figure_of(name):
    return next(f for f in live.FIGURES if f.name == name)


class Touched:
    r"""One live figure of a page, awake."""

    def __init__(self, browser, address, name, **options):
        options = {"viewport": {"width": 1000, "height": 900}} | options
        self.page, self.wrong = opened(browser, address, **options)
        self.page.goto(f"{address}/notebooks/{figure_of(name).page}.html")
        self.box = self.page.locator(f"#live-{name}")
        self.box.scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#live-{name}[data-awake]", timeout=60_000)

    def number(self, name):
        r"""A number as it stands in the page; what is read agrees with what is meant."""
        place = self.box.locator(f'[data-name="{name}"]')
        value = float(place.get_attribute("data-value"))
        text = place.inner_text()
        if "10" not in text or "·" not in text:
            assert abs(float(text) - value) <= 5.1e-4 * max(abs(value), 1e-9), text
        return value

    def slider(self, words):
        return self.box.get_by_label(words, exact=True)

    def move(self, words, value):
        self.slider(words).evaluate(
            "(input, v) => { input.value = v; input.dispatchEvent(new Event('input')); }",
            value,
        )

    def choose(self, words):
        self.box.get_by_label(words, exact=True).check(force=True)

    def ready(self):
        self.page.wait_for_function(
            "box => box.querySelector('[data-ready]')",
            arg=self.box.element_handle(),
            timeout=120_000,
        )

    def at(self, canvas, x, y):
        r"""A place on a canvas, in shares of its width and height, on the screen."""
        place = self.box.locator("canvas").nth(canvas)
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]


def close(found, wanted, bound=1e-4):
    wanted = float(wanted)
    assert abs(found - wanted) <= bound * max(abs(wanted), 1e-9), (found, wanted)


@needs_browser
def test_the_schedule(browser, address):
    figure = Touched(browser, address, "schedule")
    paper = Schedule.linear(1000)

    def agrees(schedule, t):
        snr = float(schedule.alpha_bar[t] / schedule.one_minus_alpha_bar[t])
        close(figure.number("signal"), schedule.alpha_bar[t].sqrt())
        close(figure.number("snr"), snr)
        close(figure.number("mean"), snr * live.two_pictures()["garment"]["mean"])
        close(figure.number("gap"), schedule.prior_gap(warn=False).kl)

    agrees(paper, 300)
    figure.slider("step t").press("ArrowRight")
    agrees(paper, 301)
    for _ in range(3):
        figure.slider("number of steps T").press("ArrowLeft")
    agrees(Schedule.linear(100), 30)
    assert round(figure.number("gap"), 2) == 0.23  # as chapter 02 warns
    width = figure.box.locator("canvas").first.bounding_box()["width"]
    high = (250 - 30 - math.sqrt(Schedule.linear(100).alpha_bar[-1]) * 206) / 250
    mouse = figure.page.mouse
    mouse.move(*figure.at(0, 1 - 16 / width, high))
    mouse.down()
    mouse.move(*figure.at(0, 1 - 16 / width, 0.87), steps=4)
    mouse.up()
    end = float(figure.box.locator("output").nth(2).inner_text())
    assert end > 0.02
    agrees(Schedule.linear(100, 1e-4, end), 30)
    figure.choose("cosine")
    agrees(Schedule.cosine(1000), 300)
    figure.choose("the lecture's")
    agrees(Schedule.sigmoid(100, 1e-5, 0.5e-2), 30)
    figure.choose("yours")
    figure.move("ᾱ at t/T = 1.0", 0.001)
    close(figure.number("left"), 0.001)
    assert figure.wrong == []


@needs_browser
def test_points_of_ones_own(browser, address):
    figure = Touched(browser, address, "points", has_touch=True)
    middle, spread = live.s_curve(100)
    schedule = Schedule.cosine(100)
    law = DataOracle(schedule, middle, spread.square())
    path = [s.x_t for s in sample_path(law, schedule, (8, 2), variance="small", seed=2)]
    for frame in (60, 90):
        figure.move("step t", frame)
        t = torch.tensor([100 - frame])
        weights = law.responsibilities(path[frame][7:], t)
        close(figure.number("effective"), torch.special.entr(weights).sum().exp(), 1e-3)
    mean, _ = law.x_0_moments(torch.tensor([[0.5, -1.0]]).double(), torch.tensor([10]))
    figure.move("or look at x_t, across", 0.5)
    figure.move("and up", -1)
    shown = figure.box.locator('[data-name="guess"]').inner_text().split(", ")
    for found, wanted in zip(shown, mean[0].tolist(), strict=True):
        close(float(found), wanted, 5e-3)  # three digits
    figure.page.touchscreen.tap(*figure.at(0, 0.4, 0.4))
    assert figure.number("effective") == pytest.approx(1)
    figure.page.touchscreen.tap(*figure.at(0, 0.7, 0.6))
    figure.move("step t", 0)
    assert 1.5 < figure.number("effective") <= 2  # at t = T both take part
    assert figure.wrong == []


@needs_browser
def test_a_denoiser_that_looks_up(browser, address):
    figure = Touched(browser, address, "lookup")
    schedule, train = Schedule.linear(1000), data.digits("train")[0]
    law = DataOracle(schedule, train)
    options = {"steps": 100, "variance": "small", "seed": 3}
    path = list(sample_path(law, schedule, (1, 1, 8, 8), **options))
    for frame in (50, 70, 80):
        figure.move("step t", frame)
        assert figure.number("t") == path[frame].t
        t = torch.tensor([path[frame].t])
        weights = law.responsibilities(path[frame].x_t.double(), t)
        wanted = torch.special.entr(weights).sum().exp()
        close(figure.number("effective"), wanted, 1e-2)  # float32 of the path, times SNR
        close(figure.number("share"), 100 * weights.max(), 1e-2)
    figure.move("step t", 100)
    assert figure.number("distance") < 0.05  # as in chapter 03
    assert figure.wrong == []


@needs_browser
def test_the_trained_network_beside_the_exact_denoiser(browser, address):
    figure = Touched(browser, address, "trained")
    figure.ready()
    shipped = load_pretrained("s_curve")
    scale = torch.tensor(data.s_curve_scale(), dtype=torch.float64)
    law = DataOracle(shipped.schedule, data.s_curve_middle(120) / scale, (0.1 / scale) ** 2)
    options = {"variance": "small", "seed": 2, "progress": False}
    ends = {}
    for name, model in (("network", shipped.model), ("exact", law)):
        ends[name] = sample(model, shipped.schedule, (500, 2), **options)
        thick = metrics.s_curve_thickness(ends[name], tuple(scale.tolist()))
        assert abs(figure.number(name) / 100 + 1 - thick / 0.1) < 1e-4 * thick / 0.1
    figure.move("step t", 100)
    apart = (ends["network"] - ends["exact"]).norm(dim=1).mean()
    close(figure.number("apart"), apart, 1e-3)
    assert figure.wrong == []


@needs_browser
def test_a_digit_and_other_noise_from_here_on(browser, address):
    figure = Touched(browser, address, "digits")
    figure.ready()
    own, shape = load_pretrained("digits"), (1, 1, 8, 8)
    noises = {}
    for seed in (3, 4):
        draw = SampleNoise(seed, shape, device="cpu", dtype=torch.float32)
        noises[seed] = [draw.next() for _ in range(21)]

    def drawn(fork):
        made = 0

        def step(schedule, x_t, x_0_pred, t, s, noise):
            nonlocal made
            made += 1
            fresh = noises[4 if made > fork else 3][made]
            return ancestral_step(schedule, x_t, x_0_pred, t, s, fresh)

        options = {"sampler": step, "seed": 3, "steps": 20, "y": torch.tensor([10])}
        return list(sample_path(own.model, own.schedule, shape, **options))

    def agrees(path, frames):
        for k in frames:
            figure.move("calls of the network", k)
            close(figure.number("state"), path[k].x_t.std(), 1e-3)
            assert figure.number("t") == path[k].t

    agrees(drawn(20), (0, 5, 12, 20))
    figure.move("calls of the network", 5)
    figure.box.get_by_role("button", name="Other noise from here on").press("Enter")
    figure.ready()
    agrees(drawn(5), (5, 12, 20))
    assert figure.wrong == []


@needs_browser
def test_samplers_from_one_noise(browser, address):
    figure = Touched(browser, address, "samplers")
    schedule = Schedule.linear(1000)
    law = MixtureOracle(schedule, [[-1.2], [0.8]], 0.04, [0.3, 0.7])
    a = float(schedule.alpha_bar[-1].sqrt())
    sigma = float((schedule.one_minus_alpha_bar[-1] / schedule.alpha_bar[-1]).sqrt())

    def quantile(p, sigma):
        low, high = -2000.0, 2000.0
        for _ in range(100):
            middle, deviation = (low + high) / 2, math.hypot(0.2, sigma)
            each = [math.erfc((m - middle) / deviation / 2**0.5) / 2 for m in (-1.2, 0.8)]
            below = 0.3 * each[0] + 0.7 * each[1] < p
            low, high = (middle, high) if below else (low, middle)
        return middle

    start = torch.tensor([[a * quantile(0.35, sigma)]], dtype=torch.float64)
    end = quantile(0.35, 0)
    close(figure.number("exact"), end)
    for calls, spacing in ((20, "log_snr"), (38, "log_snr"), (60, "trailing")):
        if spacing == "trailing":
            figure.choose("t")
        figure.move("calls of the denoiser", calls)
        for sampler in ("ddim", "heun", "dpmpp_2m"):
            steps = (calls + 1) // 2 if sampler == "heun" else calls
            x = sample(
                law,
                schedule,
                (1, 1),
                sampler=sampler,
                steps=steps,
                spacing=spacing,
                x_T=start,
                dtype=torch.float64,
                progress=False,
            )
            assert abs(figure.number(sampler) - abs(float(x) - end)) < 1e-4 * abs(end)
    assert figure.wrong == []


@needs_browser
def test_guidance(browser, address, there):
    if figure_of("guidance") not in there:
        pytest.skip("chapter 12 is not there yet")
    figure = Touched(browser, address, "guidance")
    for gamma, wanted in ((2, 0.089), (5, 0.002)):  # DDIM's deviations in chapter 12
        figure.move("guidance γ = 1 + w", gamma)
        assert abs(figure.number("DDIMDeviation") - wanted) < 5.1e-4
        precision = gamma / 0.09 + 1 - gamma
        close(figure.number("tiltedDeviation"), precision**-0.5)
        close(figure.number("tiltedMean"), gamma * 0.8 / 0.09 / precision)
    assert figure.wrong == []


@needs_browser
def test_a_flow_and_its_chain(browser, address):
    figure = Touched(browser, address, "flow")
    schedule = Schedule.flow(1000)

    def end(law, steps):
        options = {"sampler": "ddim", "steps": steps, "prediction": "x_0"}
        x_T = torch.special.ndtri(torch.tensor([[0.35]], dtype=torch.float64))
        options |= {"x_T": x_T, "dtype": torch.float64, "progress": False}
        return sample(lambda x, t: law.x_0_moments(x, t)[0], schedule, (1, 1), **options)

    modes = MixtureOracle(schedule, [[-1.5], [1.5]], 0.09)
    deviations = {1: 0.0, 2: 1.061, 4: 1.349, 8: 1.435}  # as in chapter 14
    for steps, wanted in deviations.items():
        figure.move("steps", steps)
        assert abs(figure.number("deviation") - wanted) < 5.1e-4
        assert abs(figure.number("euler") - float(end(modes, steps))) < 1e-6
        assert figure.number("apart") < 1e-12
    figure.move("distance of the peaks", 0)
    figure.move("width of a peak", 1)
    figure.move("steps", 10)
    assert abs(figure.number("deviation") - 0.879) < 5.1e-4
    figure.choose("the angle")
    close(figure.number("deviation"), math.cos(math.pi / 20) ** 10)
    assert figure.wrong == []


@needs_browser
def test_a_hole_in_a_digit(browser, address):
    figure = Touched(browser, address, "hole")
    own, known = load_pretrained("digits"), torch.ones(8, 8, dtype=torch.bool)
    known[:, :4] = False
    given = torch.tensor(live.ten_digits(), dtype=torch.float32).reshape(10, 1, 1, 8, 8)
    given = given / 8 - 1

    def mean(digit, y, **options):
        options |= {"steps": 20, "y": torch.tensor([y]), "progress": False}
        filled = inpaint(own.model, own.schedule, given[digit], known, **options)
        return filled[..., ~known].mean()

    def fill():
        figure.box.get_by_role("button", name="Fill the hole").press("Enter")
        figure.ready()
        assert figure.number("apart") == 0
        return figure.number("hole")

    assert figure.number("missing") == 32
    assert abs(fill() - float(mean(3, 10))) < 1e-3
    figure.move("drawn as a", 8)
    figure.move("each step is made", 2)
    assert abs(fill() - float(mean(3, 8, resample=2))) < 1e-3
    figure.move("digit", 5)
    figure.move("each step is made", 1)
    mouse = figure.page.mouse
    place = figure.box.locator("canvas").first.bounding_box()
    cell = min(260, place["width"]) / 8
    left = place["width"] / 2 - 4 * cell
    mouse.move(
        *figure.at(
            0, (left + 6.5 * cell) / place["width"], (24 + cell / 2) / place["height"]
        )
    )
    mouse.down()
    mouse.up()
    known[0, 6] = False
    assert figure.number("missing") == 33
    assert abs(fill() - float(mean(5, 8))) < 1e-3
    figure.move("pixel, row", 8)
    figure.move("pixel, column", 8)
    figure.box.get_by_role("button", name="Cut or restore it").press("Enter")
    assert figure.number("missing") == 34
    assert figure.wrong == []


@needs_browser
@pytest.mark.parametrize("name", [figure.name for figure in live.FIGURES])
def test_every_figure_at_every_width_in_both_themes(browser, address, there, name):
    r"""Awake it fits, is named, and an accessibility checker finds nothing serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    if figure_of(name) not in there:
        pytest.skip("its chapter is not there yet")
    figure = Touched(browser, address, name)
    for width, scheme in SIZES:
        figure.page.set_viewport_size({"width": width, "height": 900})
        figure.page.emulate_media(color_scheme=scheme)
        assert figure.page.evaluate(TOO_WIDE) <= 0, (width, scheme)
    small = figure.box.evaluate(
        "box => [...box.querySelectorAll('button, input')].filter(e => "
        "e.offsetParent && e.getBoundingClientRect().height < 43).length"
    )
    assert small == 0, "targets too small for a finger"
    figure.page.set_viewport_size({"width": 390, "height": 900})
    without(figure.page, ".katex", ".highlight pre", outside=".live")
    for scheme in ("light", "dark"):
        figure.page.emulate_media(color_scheme=scheme)
        rules = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
        found = axe.run(figure.page, {"include": [[".live"]]}, rules)
        bad = [v for v in found.response["violations"] if v["impact"] in SERIOUS]
        assert bad == [], (scheme, [v["nodes"][0]["html"] for v in bad])
    assert figure.wrong == []


@needs_browser
def test_nothing_moves_by_itself_and_play_stops(browser, address):
    figure = Touched(browser, address, "points", reduced_motion="reduce")
    before = figure.slider("step t").input_value()
    figure.page.wait_for_timeout(400)
    assert figure.slider("step t").input_value() == before
    play = figure.box.get_by_role("button", name="Play")
    play.press("Enter")
    figure.page.wait_for_function(
        "([input, before]) => input.value !== before",
        arg=[figure.slider("step t").element_handle(), before],
    )
    figure.box.get_by_role("button", name="Pause").press("Enter")
    stopped = figure.slider("step t").input_value()
    figure.page.wait_for_timeout(300)
    assert figure.slider("step t").input_value() == stopped


@needs_browser
def test_without_scripts_a_still_is_there(browser, address, site, there):
    page, _ = opened(browser, address, java_script_enabled=False)
    for one in there:
        page.goto(f"{address}/notebooks/{one.page}.html")
        still = page.locator(f"#live-{one.name} img")
        assert still.get_attribute("alt") == one.alt and still.is_visible()
        assert (site / "notebooks" / still.get_attribute("src")).is_file()


def test_what_a_figure_loads_is_small(site):
    modules = sum(p.stat().st_size for p in (site / "_static" / "live").rglob("*.js"))
    files = [p.stat().st_size for p in (site / "_media").glob("*.safetensors")]
    assert modules < 150_000 and max(files) < 1_000_000


def test_a_figure_stands_below_its_heading_or_the_build_stops():
    text = "# 02 x\n\n## 1 One step\n\nwords\n\n## 2 Two steps\n\nmore"
    code = {"cell_type": "code", "source": "## 1 One step"}
    cells = [{"cell_type": "markdown", "metadata": {}, "source": text}, code]
    placed = live.with_figure(cells, "## 1 One step", "<p>", "02")
    assert [cell["source"] for cell in placed] == [
        "# 02 x\n\n## 1 One step\n\nwords\n",
        "<p>",
        "## 2 Two steps\n\nmore",
        code["source"],
    ]
    with pytest.raises(LookupError, match="is there 0 times"):
        live.with_figure(cells, "## 1 Another", "<p>", "02")
    with pytest.raises(LookupError, match="at the very end"):
        live.with_figure(cells, "## 2 Two steps", "<p>", "02")
    with pytest.raises(LookupError, match="is there 2 times"):
        live.with_figure(cells + cells, "## 1 One step", "<p>", "02")
