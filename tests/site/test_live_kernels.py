r"""The mathematics of the site's live figures, in Node, against the package's.

The modules in docs/site/static/live/kernels know no page, so Node runs them as they are.
Every number must agree to 1e-4 of the size of what is compared; float64 formulas agree
to 1e-9.
"""

import json
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import DataOracle, MixtureOracle, Schedule, data, load_pretrained, sample
from ddpm_lite.evaluation import metrics
from ddpm_lite.process import q_sample
from ddpm_lite.sampling import inpaint
from ddpm_lite.sampling.sampler import ancestral_step, ddim_step
from ddpm_lite.sampling.spacing import largest_t, timestep_pairs
from ddpm_lite.seeds import SampleNoise

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "docs" / "site" / "static" / "live" / "kernels"
PRETRAINED = ROOT / "ddpm_lite" / "pretrained"
EXACT, CLOSE = 1e-9, 1e-4
LINEAR = {"kind": "linear", "args": [1000]}
COSINE = {"kind": "cosine", "args": [100]}


@cache
def node():
    r"""A Node that is here: the system's, or the one that comes with playwright."""
    found = shutil.which("node")
    if found:
        return found
    try:
        from playwright._impl._driver import compute_driver_executable
    except ImportError:
        return None
    where = compute_driver_executable()
    return str(where[0] if isinstance(where, tuple) else where)


def ask(*questions, kernels=KERNELS):
    if node() is None:
        pytest.skip("there is no Node here, neither the system's nor playwright's")
    ran = subprocess.run(
        [node(), str(ROOT / "tests" / "site" / "kernels.mjs"), str(kernels)],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def near(found, wanted, bound):
    found, wanted = (np.asarray(v, dtype=np.float64).ravel() for v in (found, wanted))
    assert found.shape == wanted.shape
    size = max(1e-300, np.abs(wanted).max())
    apart = np.abs(found - wanted).max()
    assert apart <= bound * size, f"apart by {apart:.2g}, of numbers up to {size:.2g}"


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("linear", [1000]),
        ("linear", [100]),
        ("linear", [1]),
        ("sigmoid", [100, 1e-5, 0.5e-2]),
        ("cosine", [1000]),
        ("cosine", [20]),
    ],
)
def test_tables_of_a_schedule(kind, args):
    asked = {"kind": kind, "args": args}
    tables, *gaps = ask(
        {"ask": "tables", "schedule": asked},
        *({"ask": "gap", "schedule": asked, "moment": m} for m in (1, 9)),
    )
    wanted = getattr(Schedule, kind)(*args)
    names = {
        "beta": "beta",
        "alphaBar": "alpha_bar",
        "oneMinus": "one_minus_alpha_bar",
        "logAlphaBar": "log_alpha_bar",
        "posteriorVariance": "posterior_variance",
    }
    for name, own in names.items():
        near(tables[name], getattr(wanted, own), EXACT)
    own = [wanted.prior_gap(m, warn=False).kl for m in (1, 9)]
    np.testing.assert_allclose(gaps, own, rtol=EXACT, atol=1e-15)  # of log(1 - 1e-9)


def test_a_schedule_from_alpha_bar():
    values = [0.9, 0.5, 0.2, 0.01]
    asked = {"kind": "fromAlphaBar", "args": [values]}
    (tables,) = ask({"ask": "tables", "schedule": asked})
    near(tables["beta"], Schedule.from_alpha_bar(values).beta, EXACT)


def test_steps_of_a_chain_and_where_it_starts():
    counts = [(1000, 7), (1000, 20), (100, 100), (999, 250)]
    found = ask(*({"ask": "pairs", "T": T, "steps": n} for T, n in counts))
    assert found == [[list(p) for p in timestep_pairs(T, n)] for T, n in counts]
    kinds = [("cosine", [1000]), ("cosine", [100]), ("linear", [1000])]
    found = ask(*({"ask": "start", "schedule": {"kind": k, "args": a}} for k, a in kinds))
    assert found == [largest_t(getattr(Schedule, k)(*a)) for k, a in kinds]


def test_steps_even_in_lambda():
    counts, schedule = (1, 2, 10, 38), Schedule.linear()
    found = ask(*({"ask": "evenPairs", "schedule": LINEAR, "steps": n} for n in counts))
    wanted = [timestep_pairs(1000, n, "log_snr", schedule=schedule) for n in counts]
    assert found == [[list(p) for p in pairs] for pairs in wanted]


@pytest.mark.parametrize("seed", [0, 3, 20, 4_294_967_295])
@pytest.mark.parametrize(("B", "shape"), [(3, (2,)), (5, (1, 8, 8)), (2, (1,))])
def test_noise_is_the_packages_own(seed, B, shape):
    size = int(np.prod(shape))
    question = {"ask": "noise", "seed": seed, "B": B, "size": size, "count": 70}
    own = SampleNoise(seed, (B, *shape), device="cpu", dtype=torch.float32)
    wanted = torch.stack([own.next() for _ in range(70)])
    near(ask(question)[0], wanted, 1e-6)


def curve():
    scale = torch.tensor(data.s_curve_scale(), dtype=torch.float64)
    return data.s_curve_middle(100) / scale, (0.1 / scale) ** 2


def test_the_exact_denoiser():
    schedule, (points, variance) = Schedule.cosine(100), curve()
    exact = DataOracle(schedule, points, variance)
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(1)).double()
    about = {"x0": points.flatten().tolist(), "spread": variance.tolist()}
    about |= {"ask": "moments", "schedule": COSINE, "x": x.flatten().tolist()}
    times = (1, 10, 50, 90, 100)
    for t, found in zip(times, ask(*(about | {"t": t} for t in times)), strict=True):
        every = torch.full((40,), t)
        near(found["mean"], exact.x_0_moments(x, every)[0], EXACT)
        weights = exact.responsibilities(x, every)[0]
        near(found["weights"], weights, EXACT)
        near(found["effective"], torch.special.entr(weights).sum().exp(), EXACT)


def test_a_mixture_on_a_line_and_its_quantiles():
    schedule, means, weights = Schedule.linear(), [-1.2, 0.8], [0.3, 0.7]
    law = MixtureOracle(schedule, [[m] for m in means], 0.04, weights)
    x = torch.linspace(-9, 9, 61, dtype=torch.float64)
    asked = {"law": {"means": means, "weights": weights, "width": 0.2}, "x": x.tolist()}
    asked |= {"ask": "mixture", "schedule": LINEAR}
    shares = [0.005, 0.3, 0.35, 0.995]
    for t, sigma in ((1, 0.0), (300, 0.5), (1000, 157.0)):
        (found,) = ask(asked | {"t": t, "sigma": sigma, "shares": shares})
        exact, _ = law.x_0_moments(x[:, None], torch.full((61,), t))
        near(found["mean"], exact, EXACT)
        near(found["below"], torch.special.ndtr(x), EXACT)
        ends = torch.tensor(found["ends"], dtype=torch.float64)
        place = [torch.special.ndtr((ends - m) / (0.04 + sigma**2) ** 0.5) for m in means]
        near(weights[0] * place[0] + weights[1] * place[1], shares, EXACT)


def modes(schedule, apart, upper, width):
    return MixtureOracle(
        schedule, [[-apart / 2], [apart / 2]], width**2, [1 - upper, upper]
    )


@pytest.mark.parametrize("even", ["tau", "angle"])
@pytest.mark.parametrize("law", [(3, 0.5, 0.3), (2.4, 0.2, 0.1), (0, 0.5, 1.0)])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_flow_in_two_coordinates(law, even, steps):
    r"""Euler in one, DDIM in the other, against DDIM on a schedule of just these times."""
    apart, upper, width = law
    noise = torch.linspace(-3, 3, 25, dtype=torch.float64)
    shares = [0.02, 0.35, 0.5, 0.9]
    peaks = {"means": [-apart / 2, apart / 2], "weights": [1 - upper, upper]}
    asked = {"ask": "flow", "law": peaks | {"width": width}, "steps": steps, "even": even}
    (found,) = ask(asked | {"noise": noise.tolist(), "shares": shares, "tau": 0.4})
    taus = torch.tensor(found["taus"], dtype=torch.float64)
    ratio = torch.arange(steps, -1, -1, dtype=torch.float64) / steps
    if even == "angle":
        ratio = (ratio * torch.pi / 2).sin() / (
            (ratio * torch.pi / 2).sin() + (ratio * torch.pi / 2).cos()
        )
    near(taus, ratio, EXACT)
    own = taus.flip(0)[1:]
    schedule = Schedule.from_alpha_bar((1 - own) ** 2 / ((1 - own) ** 2 + own**2))
    exact = modes(schedule, *law)
    options = {"sampler": "ddim", "dtype": torch.float64, "progress": False}
    options["prediction"] = "x_0"  # the noise says nothing of x_0 where no signal is left

    def guess(x_t, t):
        return exact.x_0_moments(x_t, t)[0]

    x = sample(guess, schedule, (25, 1), x_T=noise[:, None], **options)
    near(found["ddim"][-1], x, EXACT)
    near(found["euler"][-1], x, EXACT)
    wide = torch.special.ndtri((torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000)
    ends = sample(guess, schedule, (40_000, 1), x_T=wide[:, None], **options)
    spread = ends.std(correction=0)
    assert abs(found["deviation"] - spread) < 1e-4 * max(1, spread)
    z = torch.tensor([one["z"] for one in found["exact"]], dtype=torch.float64)
    deviation = ((0.6 * width) ** 2 + 0.4**2) ** 0.5
    means = torch.tensor(peaks["means"], dtype=torch.float64)
    each = torch.special.ndtr((z[:, None] - 0.6 * means) / deviation)
    near((each * torch.tensor(peaks["weights"])).sum(1), shares, 1e-7)
    near([one["x"] for one in found["exact"]], z / (0.6**2 + 0.4**2) ** 0.5, EXACT)


@pytest.mark.parametrize("resample", [1, 3])
def test_a_hole_is_filled_as_the_package_fills_it(resample):
    x_0 = data.digits("held_out")[0][3:4]
    known = torch.ones(8, 8, dtype=torch.bool)
    known[:, :4] = False
    asked = {"ask": "networkChain", "sampler": "ancestral", "variance": "small"}
    asked |= {"file": str(PRETRAINED / "digits.safetensors"), "clip": [-1, 1]}
    asked |= {"B": 1, "size": 64, "seed": 5, "steps": 8, "y": 8}
    held = {"known": known.flatten().tolist(), "x0": x_0.flatten().tolist()}
    (found,) = ask(asked | {"held": held | {"resample": resample}})
    own = load_pretrained("digits")
    options = {"resample": resample, "seed": 5, "steps": 8, "progress": False}
    options["y"] = torch.tensor([8])
    near(found["x"], inpaint(own.model, own.schedule, x_0, known, **options), 1e-3)
    assert torch.equal(torch.tensor(found["x"])[known.flatten()], x_0[..., known].flatten())


def test_the_thickness_of_an_s():
    points, scale = data.s_curve(300, seed=4), data.s_curve_scale()
    asked = {"ask": "thickness", "points": points.flatten().tolist(), "scale": scale}
    near(ask(asked), [metrics.s_curve_thickness(points, scale)], EXACT)


def test_the_jump():
    x_0, noise = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(2)).double()
    asked = {"x0": x_0.flatten().tolist(), "noise": noise.flatten().tolist()}
    (found,) = ask({"ask": "forward", "schedule": LINEAR, "t": 300} | asked)
    wanted = q_sample(Schedule.linear(), x_0, torch.full((5,), 300), noise)
    near(found, wanted, EXACT)


@pytest.mark.parametrize(
    ("sampler", "steps", "more"),
    [
        ("ancestral", 100, {"variance": "small"}),
        ("ancestral", 100, {"variance": "large"}),
        ("ancestral", 7, {"variance": "small"}),
        ("ddim", 20, {}),
        ("heun", 9, {}),
        ("dpmpp_2m", 12, {}),
    ],
)
def test_the_same_seed_gives_the_same_film(sampler, steps, more):
    schedule, (points, variance) = Schedule.cosine(100), curve()
    exact = DataOracle(schedule, points, variance)
    start = largest_t(schedule) if sampler in ("heun", "dpmpp_2m") else 100
    about = {"x0": points.flatten().tolist(), "spread": variance.tolist()}
    about |= {"ask": "exactChain", "schedule": COSINE, "sampler": sampler, "steps": steps}
    (found,) = ask(about | {"B": 6, "seed": 2, "start": start} | more)
    draw = SampleNoise(2, (6, 2), device="cpu", dtype=torch.float32)
    x_T = draw.next().double()  # the package's noise; its arithmetic, here in float64

    def step(*args):
        return ancestral_step(*args[:-1], draw.next().double(), **more)

    taken = step if sampler == "ancestral" else sampler
    options = {"sampler": taken, "steps": steps, "x_T": x_T, "dtype": torch.float64}
    near(found["x"], sample(exact, schedule, (6, 2), progress=False, **options), CLOSE)
    assert found["calls"] == (2 * steps - 1 if sampler == "heun" else steps)


def guided_by_a_chain(schedule, gamma, m, s, sampler):
    r"""Mean and deviation of many samples, by the package's own steps."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
    step = ancestral_step if sampler == "ancestral" else ddim_step
    for now in range(schedule.T, 0, -1):
        t = torch.full((20_000,), now)
        a, rest = schedule.alpha_bar[now].sqrt(), schedule.one_minus_alpha_bar[now]
        with_c = m + a * s**2 / (a**2 * s**2 + rest) * (x - a * m)
        x_0 = gamma * with_c + (1 - gamma) * a * x  # a x_t: the guess for N(0, 1)
        noise = torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
        x = step(schedule, x, x_0, t, t - 1, noise)
    return float(x.mean()), float(x.std())


def test_guidance_between_gaussians():
    r"""The numbers of chapter 12's table, and a chain of 20,000 samples."""
    asked = {"ask": "guided", "schedule": LINEAR, "m": 0.8, "s": 0.3}
    table = {  # gamma: tilted, ancestral with the small variance, DDIM
        1: ((0.8, 0.3), (0.8, 0.296), (0.798, 0.299)),
        2: ((0.838, 0.217), (0.872, 0.177), (0.940, 0.089)),
        5: ((0.862, 0.139), (0.879, 0.100), (0.912, 0.002)),
    }
    names = ("tilted", "ancestral", "ddim")
    found = ask(*(asked | {"gamma": g, "sampler": n} for g in table for n in names))
    pairs = [(one["mean"], one["deviation"]) for one in found]
    wanted = [pair for row in table.values() for pair in row]
    np.testing.assert_allclose(pairs, wanted, rtol=0, atol=5.1e-4)
    schedule = Schedule.linear(200, 5e-4, 0.1)
    asked["schedule"] = {"kind": "linear", "args": [200, 5e-4, 0.1]}
    found = ask(*(asked | {"gamma": 3, "sampler": n} for n in names[1:]))
    for name, one in zip(names[1:], found, strict=True):
        mean, deviation = guided_by_a_chain(schedule, 3, 0.8, 0.3, name)
        of_mean = one["deviation"] / 20_000**0.5
        assert abs(one["mean"] - mean) < 5 * of_mean
        assert abs(one["deviation"] - deviation) < 5 * of_mean / 2**0.5


def test_the_networks():
    points, digits = load_pretrained("s_curve"), load_pretrained("digits")
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(3))
    asked = {"ask": "mlp", "file": str(PRETRAINED / "s_curve.safetensors")}
    times = (1, 37, 100)
    found = ask(*(asked | {"x": x.flatten().tolist(), "t": t} for t in times))
    for t, one in zip(times, found, strict=True):
        near(one, points.model(x, torch.full((8,), t)).detach(), CLOSE)
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    asked = {"ask": "unet", "file": str(PRETRAINED / "digits.safetensors")}
    cases = [(1, 3), (500, 10), (1000, 7)]
    questions = (asked | {"x": x.flatten().tolist(), "t": t, "y": y} for t, y in cases)
    for (t, y), one in zip(cases, ask(*questions), strict=True):
        wanted = digits.model(x, torch.tensor([t]), torch.tensor([y])).detach()
        near(one["noise"], wanted, CLOSE)


def test_the_networks_draw_what_the_package_draws():
    asked = {"ask": "networkChain", "sampler": "ancestral", "variance": "small"}
    points = asked | {"file": str(PRETRAINED / "s_curve.safetensors")}
    digits = asked | {"file": str(PRETRAINED / "digits.safetensors"), "clip": [-1, 1]}
    cloud, digit = ask(
        points | {"B": 20, "size": 2, "seed": 2, "steps": 100},
        digits | {"B": 1, "size": 64, "seed": 3, "first": 8, "steps": 20, "y": 8},
    )
    own = load_pretrained("s_curve")
    options = {"variance": "small", "progress": False}
    near(cloud["x"], sample(own.model, own.schedule, (20, 2), seed=2, **options), CLOSE)
    own = load_pretrained("digits")
    options |= {"steps": 20, "y": torch.tensor([8]), "seed": [(3, 8)]}
    near(digit["x"], sample(own.model, own.schedule, (1, 1, 8, 8), **options), 1e-3)


SLIPS = [
    (
        "chain",
        "Math.sqrt(schedule.alphaBar[s]) * beta",
        "Math.sqrt(schedule.alphaBar[t]) * beta",
    ),
    ("schedule", "oneMinus[t - 1] / oneMinus[t]", "oneMinus[t] / oneMinus[t - 1]"),
    ("random", "const SAMPLE = 2", "const SAMPLE = 3"),
    ("flow", "(value - x0[i]) / tau", "(value - x0[i]) / taus[k + 1]"),
    ("chain", "known[i] ? own[i] : value", "known[i] ? value : own[i]"),
    ("unet", '=== "right" ? 0 : 1', '=== "right" ? 1 : 0'),
]


@pytest.mark.parametrize(("module", "right", "wrong"), SLIPS)
def test_a_slip_in_a_kernel_is_seen(module, right, wrong, tmp_path, monkeypatch):
    kernels = shutil.copytree(KERNELS, tmp_path / "kernels")
    shutil.copy(KERNELS.parent / "package.json", tmp_path)
    text = (kernels / f"{module}.js").read_text("utf-8")
    assert text.count(right) == 1
    (kernels / f"{module}.js").write_text(text.replace(right, wrong), "utf-8")
    monkeypatch.setattr("test_live_kernels.ask", partial(ask, kernels=kernels))
    with pytest.raises(AssertionError, match="apart by"):
        if module == "schedule":
            test_tables_of_a_schedule("linear", [100])
        elif module == "flow":
            test_a_flow_in_two_coordinates((3, 0.5, 0.3), "tau", 2)
        elif "known" in right:
            test_a_hole_is_filled_as_the_package_fills_it(1)
        elif module == "unet":
            test_the_networks()
        elif module == "random":
            test_noise_is_the_packages_own(3, 3, (2,))
        else:
            test_the_same_seed_gives_the_same_film("ancestral", 7, {"variance": "small"})
