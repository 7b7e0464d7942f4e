r"""The figures that one can touch: where they stand, what they are given, their stills.

Each is an ES module in static/live with `render({model, el})`, computed in the page. Its
numbers are those of the chapter; tests/site/test_live_kernels.py holds the mathematics
against the package, tests/site/test_live.py what a page shows.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import torch
from PIL import Image

from ddpm_lite import (
    DataOracle,
    MixtureOracle,
    Schedule,
    data,
    figure,
    load_pretrained,
    q_sample,
    sample_path,
)
from ddpm_lite.figure import COLOURS
from ddpm_lite.sampling import inpaint

ROOT = Path(__file__).resolve().parents[2]
PRETRAINED = ROOT / "ddpm_lite" / "pretrained"


@dataclass(frozen=True)
class Live:
    r"""One figure, at the end of the section below a heading of a chapter.

    page: the chapter's file name without its ending. heading: the line in its text. title,
    words: HTML, the second says what to try. same: HTML, a link to what computes the same.
    alt: of the still. model: a function of a `Media` and the way up, the values that the
    module asks for. still: a function that draws what is shown without scripts.
    """

    name: str
    page: str
    heading: str
    title: str
    words: str
    same: str
    alt: str
    model: Callable
    still: Callable

    def html(self, media, up):
        r"""The figure as it stands in a page: a still, and what wakes it."""
        name, (width, height) = _picture(self.still(), media)
        about = json.dumps(self.model(media, up), separators=(",", ":"))
        return "\n".join(
            [
                f'<figure class="live" id="live-{self.name}" '
                f'data-module="./{self.name}_figure.js" data-model="{escape(about)}">',
                f'<p class="live-title">{self.title}</p>',
                f'<p class="live-try">{self.words}</p>',
                '<div class="live-stage">'
                f'<img alt="{escape(self.alt)}" width="{width}" height="{height}" '
                f'loading="lazy" src="{up}_media/{name}">'
                "</div>",
                f"<figcaption>{self.same}</figcaption>",
                "</figure>",
            ]
        )


def _picture(drawn, media):
    r"""Keep a figure as a small WebP. Returns its name and its size on the page."""
    with Image.open(io.BytesIO(figure.png(drawn, dpi=150))) as picture:
        file, size = io.BytesIO(), tuple(round(side / 1.5) for side in picture.size)
        picture.convert("RGB").save(file, "WEBP", quality=80, method=6)
    return media.keep(file.getvalue(), "webp"), size


def maths(formula):
    return f'<span class="maths">{escape(formula)}</span>'


# --- 02: the schedule


@cache
def two_pictures():
    r"""A garment and a digit: side, grey values 0..255, factor of the SNR of their mean.

    The mean of d pixels has 1 / d of their noise, so its signal-to-noise ratio is
    d Var(mean) / Var(pixel) times a pixel's, both variances over the training pictures.
    """
    out = {}
    for name, pictures, index in (
        ("garment", data.clothes("train")[0], 9),
        ("digit", data.digits("train")[0], 3),
    ):
        flat = pictures.double().flatten(1)
        d = flat.shape[1]
        ratio = d * float(flat.mean(1).var() / flat.var(0).mean())
        grey = ((pictures[index].flatten() + 1) * 127.5).round().int().tolist()
        out[name] = {"side": int(d**0.5), "grey": grey, "mean": ratio}
    return out


def still_schedule():
    schedule = Schedule.linear(1000)
    shown = two_pictures()["garment"]
    picture = torch.tensor(shown["grey"]).reshape(1, 1, 28, 28) / 127.5 - 1
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    sheet, axes = figure.canvas(1, 3, width=7.0, height=2.4, width_ratios=(2, 1, 1))
    curves = (("alpha_bar", "x_0", "signal"), ("one_minus_alpha_bar", "noise", "noise"))
    for table, colour, words in curves:
        height = getattr(schedule, table).sqrt()
        axes[0].plot(height, color=COLOURS[colour])
        axes[0].text(120, float(height[200]) - 0.1, words, color=COLOURS[colour])
    axes[0].set(xlabel="$t$", ylim=(0, 1.03))
    for axis, t in zip(axes[1:], (100, 300), strict=True):
        x_t = q_sample(schedule, picture, torch.tensor([t]), noise)[0]
        figure.draw(axis, x_t.clamp(-1, 1), COLOURS["x_t"], None)
        axis.set_title(f"$x_{{{t}}}$")
    return sheet


# --- 03 and 05: points


@cache
def s_curve(points):
    r"""So many points along the S, standardised, and the deviation around them."""
    scale = torch.tensor(data.s_curve_scale(), dtype=torch.float64)
    return data.s_curve_middle(points) / scale, 0.1 / scale


def points_model(media, up):
    middle, spread = s_curve(100)
    return {"curve": middle.flatten().tolist(), "spread": spread.tolist()}


def trained_model(media, up):
    content = (PRETRAINED / "s_curve.safetensors").read_bytes()
    return {
        "file": f"{up}_media/{media.keep(content, 'safetensors')}",
        "curve": s_curve(120)[0].flatten().tolist(),
        "scale": list(data.s_curve_scale()),
    }


@cache
def exact_path():
    r"""300 points of the reverse chain with the exact denoiser, at every step."""
    schedule, (middle, spread) = Schedule.cosine(100), s_curve(100)
    law = DataOracle(schedule, middle, spread.square())
    return [s.x_t for s in sample_path(law, schedule, (300, 2), variance="small", seed=2)]


def still_points():
    path, middle = exact_path(), s_curve(100)[0]
    titles = ["the data", "$x_{60}$", "$x_{30}$", "$x_0$"]
    colours = ["x_0", "x_t", "x_t", "prediction"]
    return figure.strip([middle, path[40], path[70], path[100]], titles, colours, limit=3.3)


def still_trained():
    shipped = load_pretrained("s_curve")
    options = {"variance": "small", "seed": 2}
    *_, last = sample_path(shipped.model, shipped.schedule, (300, 2), **options)
    titles = ["the trained network", "the exact denoiser"]
    ends = [last.x_t, exact_path()[100]]
    return figure.strip(ends, titles, ["prediction", "x_0"], limit=2.6, size=2.6)


# --- 03: the training set's denoiser


def lookup_model(media, up):
    grey = ((data.digits("train")[0].flatten() + 1) * 127.5).round().byte()
    return {"digits": f"{up}_media/{media.keep(grey.numpy().tobytes(), 'bin')}"}


def still_lookup():
    schedule, train = Schedule.linear(1000), data.digits("train")[0]
    law = DataOracle(schedule, train)
    options = {"steps": 100, "variance": "small", "seed": 3}
    path = list(sample_path(law, schedule, (1, 1, 8, 8), **options))
    end = path[-1].x_t
    nearest = train[torch.cdist(end.flatten(1), train.flatten(1).to(end)).argmin()]
    shown = [path[60].x_t[0], path[61].x_0_pred[0], end[0], nearest]
    titles = [f"$x_{{{path[60].t}}}$", "best guess", "$x_0$", "nearest"]
    return figure.strip(shown, titles)


# --- 08: digits


def digits_model(media, up):
    content = (PRETRAINED / "digits.safetensors").read_bytes()
    return {"file": f"{up}_media/{media.keep(content, 'safetensors')}"}


def still_digits():
    own = load_pretrained("digits")
    options = {"steps": 20, "seed": 3, "variance": "small", "y": torch.tensor([10])}
    path = list(sample_path(own.model, own.schedule, (1, 1, 8, 8), **options))
    chosen = (5, 10, 15, 20)
    shown = [path[k].x_t[0] for k in chosen] + [path[k].x_0_pred[0] for k in chosen]
    titles = [f"after {k} calls" for k in chosen] + ["its guess"] * 4
    return figure.strip(shown, titles, columns=4, size=1.3, labels=["state", "guess"])


# --- 09: samplers on a line; 12: guidance

TWO_PEAKS = {"means": [-1.2, 0.8], "weights": [0.3, 0.7], "width": 0.2}


def still_samplers():
    schedule = Schedule.linear(1000)
    peaks = [[m] for m in TWO_PEAKS["means"]]
    law = MixtureOracle(schedule, peaks, TWO_PEAKS["width"] ** 2, TWO_PEAKS["weights"])
    sheet, axis = figure.canvas(height=2.6)
    for sampler, steps, colour in (("ancestral", 20, "extra"), ("ddim", 20, "x_t")):
        start = torch.linspace(-1.6, 1.6, 5)[:, None]
        path = list(
            sample_path(law, schedule, (5, 1), sampler=sampler, steps=steps, x_T=start)
        )
        t = [state.t for state in path]
        lines = torch.cat([state.x_t for state in path], 1).T
        axis.plot(t, lines, color=COLOURS[colour], linewidth=1)
    axis.set(xlabel="$t$", ylabel="$x_t$", xlim=(1000, 0))
    return sheet


def still_guidance():
    sheet, axis = figure.canvas(height=2.4)
    x = torch.linspace(-1.2, 2, 400)
    for gamma, colour in ((1, "x_t"), (2, "x_0"), (5, "prediction")):
        precision = gamma / 0.09 + 1 - gamma
        mean = gamma * 0.8 / 0.09 / precision
        height = (precision**0.5) * (-precision / 2 * (x - mean) ** 2).exp()
        axis.plot(x, height, color=COLOURS[colour])
        axis.text(
            mean + 0.05, float(height.max()), f"$\\gamma={gamma}$", color=COLOURS[colour]
        )
    axis.set(xlabel="$x$", yticks=[])
    return sheet


# --- 14: two coordinates of one process; 15: a hole

TWO_MODES = {"apart": 3, "upper": 0.5, "width": 0.3}  # those of chapter 14


def still_flow():
    schedule = Schedule.flow(1000)
    law = MixtureOracle(schedule, [[-1.5], [1.5]], TWO_MODES["width"] ** 2)
    start = torch.special.ndtri(torch.linspace(0.05, 0.95, 10))[:, None]
    options = {"sampler": "ddim", "prediction": "x_0", "x_T": start}
    sheet, axes = figure.canvas(1, 2, height=2.6)

    def guess(x_t, t):
        return law.x_0_moments(x_t, t)[0]

    for steps, colour in ((500, "x_0"), (4, "prediction")):
        path = list(sample_path(guess, schedule, (10, 1), steps=steps, **options))
        tau = torch.tensor([state.t for state in path]) / 1000
        x = torch.cat([state.x_t for state in path], 1).T
        length = torch.hypot(1 - tau, tau)[:, None]
        for axis, lines in zip(axes, (length * x, x), strict=True):
            axis.plot(tau, lines, color=COLOURS[colour], linewidth=1)
    for axis, name in zip(axes, ("flow, $z$", "chain, $x=z/c$"), strict=True):
        axis.set(xlabel=r"$\tau$", title=name, xlim=(1, 0))
    return sheet


def ten_digits():
    r"""One digit of each class that no network was trained on, grey levels 0 to 16."""
    x_0, y = data.digits("held_out")
    chosen = [x_0[y == k][0].flatten() for k in range(10)]
    return [((one + 1) * 8).round().int().tolist() for one in chosen]


def hole_model(media, up):
    return digits_model(media, up) | {"digits": ten_digits()}


def still_hole():
    own = load_pretrained("digits")
    x_0 = torch.tensor(ten_digits()[3]).reshape(1, 1, 8, 8) / 8 - 1
    known = torch.ones(8, 8, dtype=torch.bool)
    known[:, :4] = False
    options = {"steps": 20, "progress": False}
    ends = [
        inpaint(own.model, own.schedule, x_0, known, y=torch.tensor([y]), **options)[0]
        for y in (10, 3, 8)
    ]
    hidden = torch.where(known, x_0, torch.tensor(0.0))[0]
    titles = ["with a hole", "no class", "as a 3", "as an 8"]
    return figure.strip([hidden, *ends], titles)


FIGURES = (
    Live(
        name="schedule",
        page="02_forward_process",
        heading="### How much is left at $T$",
        title="Touch it: a schedule of your own",
        words="Try this: keep β and shorten T from 1,000 to 100. How much of the garment "
        "is left at the end? Then drag the ring at the end of the blue curve down until "
        f"{maths('L_T')} falls below 0.001. Drag anywhere else to move "
        f"{maths('t')}.",
        same="The numbers are those of "
        '<a href="#how-fast-should-the-noise-come">section 5</a>. The mean brightness of '
        "a garment averages away the noise of 784 pixels, so it can be read long after its "
        "pixels cannot; the digits' brightness differs too little for that.",
        alt="Signal and noise of the paper's schedule against t, and a garment with the "
        "noise of steps 100 and 300.",
        model=lambda media, up: {"pictures": two_pictures()},
        still=still_schedule,
    ),
    Live(
        name="points",
        page="03_reverse_process",
        heading="## 5 Algorithm 2, without a network",
        title="Touch it: points of your own, and the way back to them",
        words="Try this: press Play, and watch one sample and the best guess that steers "
        "it. Then tap into the left square to put down points of your own. Drag in the "
        "right square: the larger a blue dot, the more it counts in the guess there.",
        same='Computed as in <a href="#the-best-prediction-there-is">section 4</a> and '
        "in Algorithm 2 above, with the same noise: seed 2 gives the first 300 points of "
        "the film. How many points take part in a guess, section 7 defines.",
        alt="The S-curve, and samples of the reverse chain at steps 60, 30 and 0: a round "
        "cloud becomes an S.",
        model=points_model,
        still=still_points,
    ),
    Live(
        name="lookup",
        page="03_reverse_process",
        heading="## 7 The law's denoiser, and the training set's",
        title="Touch it: a denoiser that only looks up",
        words="Try this: move t down from 500. At which step does a single training "
        "picture take over? Then try other seeds. Does anything new ever come out?",
        same="The 1,438 training digits, the paper's schedule and every tenth step, as in "
        "the cells above. Its loss is the training set's floor of "
        '<a href="07_training_on_images.html#between-ceiling-and-floor">chapter 07</a>.',
        alt="A noisy digit, the best guess of it, the digit that comes out, and the "
        "nearest training digit, which is the same.",
        model=lookup_model,
        still=still_lookup,
    ),
    Live(
        name="trained",
        page="05_first_model",
        heading="### Right by cancellation",
        title="Touch it: the trained network beside the exact denoiser",
        words="Both start from the same noise and get the same noise at every step. Try "
        "this: move to t = 0 and compare how thick the two are; then take the large "
        "variance. At t = 100, look at the guesses of the network.",
        same="The network is the one shipped with the package, seed 0 of the table above; "
        "it runs here with its 47,042 weights.",
        alt="Two S-curves from the same noise: the trained network's, and the exact "
        "denoiser's, which is thinner.",
        model=trained_model,
        still=still_trained,
    ),
    Live(
        name="digits",
        page="08_sampling",
        heading="## 8 One seed, one picture",
        title="Touch it: a network draws a digit",
        words="The network runs in this page: 396,697 weights, 20 calls a digit. Try this: "
        "go back to call 5, and give it other noise from there; then do the same at call "
        "15. Up to where can the noise still make it another digit?",
        same="Twenty steps with the small variance, as in "
        '<a href="#one-seed-one-picture">this section</a>: a seed '
        "gives the same digit here and in Python, up to rounding.",
        alt="A digit on its way, after 5, 10, 15 and 20 calls of the network; below, the "
        "guesses, in which the digit shows earlier.",
        model=digits_model,
        still=still_digits,
    ),
    Live(
        name="samplers",
        page="09_fewer_steps",
        heading="## 6 The order, measured",
        title="Touch it: four samplers from one noise",
        words="Try this: double the number of calls and watch the errors. Then drag the "
        "orange dot, the noise, towards the place where the paths part: there, few steps "
        "may end in the wrong peak. Change the seed: only ancestral sampling moves.",
        same="The two peaks, their exact denoiser and the exact end are those of "
        '<a href="#with-eta-0-a-sample-is-a-function-of-its-noise">section 3</a>. '
        "With steps even in λ, the errors fall as this section measures, down to t = 0.",
        alt="Paths from five noises to two peaks: five smooth ones of DDIM, and five "
        "jagged ones of ancestral sampling.",
        model=lambda media, up: {"law": TWO_PEAKS},
        still=still_samplers,
    ),
    Live(
        name="guidance",
        page="12_guidance",
        heading="## 5 What it is not: sampling the tilted law",
        title="Touch it: guidance between two Gaussians",
        words="Try this: move γ from 1 to 2. The law that the formula promises gets a "
        "little narrower. Watch how narrow DDIM becomes, and where its mean goes.",
        same="The class is N(0.8, 0.3²) within N(0, 1), and the chain has the paper's "
        "thousand steps: the numbers are those of this section.",
        alt="Three bells: the tilted law at γ = 1, 2 and 5, each narrower than the last.",
        model=lambda media, up: {"law": {"mean": 0.8, "deviation": 0.3}},
        still=still_guidance,
    ),
    Live(
        name="flow",
        page="14_flow_matching",
        heading="## 5 How straight is a flow?",
        title="Touch it: one process, two coordinates",
        words="Try this: go down to one step, and look where all samples end. Then put the "
        "peaks at distance 0 with width 1: the data are N(0, 1), the chain's paths stand "
        "still, and the flow's bend inward and back. In which coordinate is a step right?",
        same="Left, Euler's steps on the flow; right, DDIM's on the chain, from one noise "
        "and at the same times. The deviations at 1, 2, 4, 8 and 16 steps are those of "
        "this section.",
        alt="Paths from ten noises to two peaks, in the flow's coordinates and in the "
        "chain's, each once exactly and once in four steps.",
        model=lambda media, up: {"law": TWO_MODES},
        still=still_flow,
    ),
    Live(
        name="hole",
        page="15_editing",
        heading="## 5 What to put back: inpainting by replacement",
        title="Touch it: a hole in a digit",
        words="Try this: paint a hole into the digit, or take one of the three, and fill "
        "it. Take the next seed: what changes, and what never does? Then let a 3 be drawn "
        "as an 8.",
        same="The network of chapter 08's figure, and the replacement of this section, 20 "
        "steps; the same seed fills the hole in the same way in Python, up to rounding.",
        alt="A 3 whose left half is missing, and three ways in which the network fills it: "
        "without a class, as a 3, and as an 8.",
        model=hole_model,
        still=still_hole,
    ),
)


def inserted(cells, page, media, up):
    r"""The cells of a chapter with its figures. Raises LookupError for a missing heading.

    A figure stands at the end of the section that its heading opens, before the next
    heading of any level. A heading must be there once.
    """
    for live in FIGURES:
        if live.page == page:
            cells = with_figure(cells, live.heading, live.html(media, up), live.name)
    if any(live.page == page for live in FIGURES):
        wake = f'<script type="module" src="{up}_static/live/live.js"></script>'
        cells = [*cells, _cell("live-wake", wake)]
    return cells


def _cell(name, text):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text}


def with_figure(cells, heading, html, name):
    r"""The cells with a figure's HTML at the end of the section below one heading."""
    out, found, waiting = [], 0, False
    for cell in cells:
        if cell["cell_type"] != "markdown":
            out.append(cell)
            continue
        lines, here, fenced = "".join(cell["source"]).split("\n"), [], False
        rest = cell
        for line in lines:
            fenced ^= line.startswith("```")
            if line.startswith("#") and not fenced:
                if waiting:
                    out += [cell | {"source": "\n".join(here)}] if here else []
                    out.append(_cell(f"live-{name}", html))
                    rest = cell | {"id": f"live-{name}-after"} if here else cell
                    here, waiting = [], False
                if line == heading:
                    found, waiting = found + 1, True
            here.append(line)
        out.append(rest | {"source": "\n".join(here)})
    if found != 1 or waiting:
        raise LookupError(
            f"the heading {heading!r}, below which the live figure {name!r} stands, is "
            f"there {found} times" + (", at the very end" if waiting else "")
        )
    return out
