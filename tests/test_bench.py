r"""The benchmark: that it measures what it says. No time of this machine is asserted."""

import copy
import json
import shutil
import subprocess
import sys
import types
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from helpers import close
from torch import nn

from ddpm_lite import bench, bench_page, bench_peers, device
from ddpm_lite.cli import main
from ddpm_lite.cost import cost
from ddpm_lite.unet import PRESETS, UNetConfig

TINY = UNetConfig(
    size=8,
    channels=1,
    width=8,
    multipliers=(1, 2),
    blocks=1,
    attention=(4,),
    dropout=0.0,
    groups=4,
)
CPU = torch.device("cpu")
OURS = ["ours", "ours, by default", "ours, bare loop"]
THEIRS = ["diffusers", "diffusers, channels_last"]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setattr(bench, "interleave", once)


def once(tasks, rounds, device, least=0.2):
    r"""In the place of the clock: call everything once, and make times up."""
    answers = [task() for task in tasks.values()]
    assert all(answer is None or answer is not False for answer in answers)
    return {name: [0.5 + i / 8] * rounds for i, name in enumerate(tasks)}


def test_the_networks_are_the_same():
    pytest.importorskip("diffusers")
    task = bench_peers.make_task(TINY, 2)
    everybody = bench_peers.contestants(task, bench_peers.peers())
    same = [c for c in everybody if c.name in OURS + THEIRS]
    assert [c.name for c in same] == OURS + THEIRS
    assert {c.parameters for c in same} == {cost(TINY).parameters}
    x_t, t = torch.randn(3, *TINY.event), torch.tensor([1, 400, 1000])
    with torch.no_grad():
        expected = task.model.eval()(x_t, t)
        assert expected.abs().mean() > 0.05
        for c in same:
            # float32 through some thirty layers: each adds 6e-8 of numbers up to 10, and
            # normalisations make small errors a few times larger
            close(c.network(x_t, t), expected, rtol=0, atol=1e-4)


def test_every_contestant_trains_and_draws():
    pytest.importorskip("diffusers")
    task = bench_peers.make_task(TINY, 2)
    for c in bench_peers.contestants(task, bench_peers.peers()):
        before = c.forward()
        for _ in range(2):
            c.step()
        assert c.forward().shape == before.shape == (2, *TINY.event)
        assert not torch.equal(c.forward(), before), f"{c.name} does not learn"
        assert len(c.sample(2)) == bench_peers.PICTURES


def test_all_rows_are_there(tiny, monkeypatch, tmp_path, capsys):
    pytest.importorskip("diffusers")
    gb = {"peak_gb": 0.2, "above_start_gb": 0.1, "found": "made up"}
    monkeypatch.setattr(bench, "memory", lambda task, library: gb)
    arguments = ["--presets", "tiny", "--batches", "1", "2", "--rounds", "1"]
    assert main(["bench", *arguments, "--steps", "2", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    libraries = {"training": OURS + THEIRS, "forward": OURS + THEIRS}
    found = [(row["batch"], row["work"], row["library"]) for row in results["rows"]]
    found = [row for row in found if row[2] != "denoising_diffusion_pytorch"]
    expected = [
        (batch, work, name)
        for batch in (1, 2)
        for work, names in libraries.items()
        for name in names
    ]
    drawn = (*OURS[:2], *THEIRS)
    chains = [(bench_peers.PICTURES, "sampling", name) for name in drawn]
    half = len(expected) // 2
    assert found == [*expected[:half], *chains, *expected[half:]]
    for row in results["rows"]:  # the made-up times: 0.5 and 1/8 more for each
        names = OURS + THEIRS if row["work"] != "sampling" else [*OURS[:2], *THEIRS]
        if row["library"] in OURS:
            mine, theirs = names.index(row["library"]), names.index("diffusers")
            expected = (0.5 + theirs / 8) / (0.5 + mine / 8)
            assert row["over_diffusers"]["median"] == pytest.approx(expected, rel=1e-3)
        else:
            assert "over_diffusers" not in row
    assert shown.count("ours, by default float32") == 5
    assert [row["rung"] for row in results["ladders"]] == list(bench.LADDER)
    assert [row["batch"] for row in results["overheads"]] == [1, 2]
    assert {(r["batch"], r["library"]) for r in results["memory"]} == {
        (batch, name) for batch in (1, 2) for name in ("ours", "diffusers")
    }
    assert list(results["start_up"]) == ["ours", "diffusers"]
    assert set(results["growth"]["tiny"]) == {"batch", "size", "steps"}
    told = results["measured_on"]
    threads = torch.get_num_threads()
    assert told["torch"] == torch.__version__ and told["threads"] == threads
    assert f"cpu ({threads} threads)" in told["device"] and told["device"] in shown
    for name in (*OURS, *THEIRS, *bench.LADDER, "fit, with", "growth", "share of our"):
        assert name in shown, name
    assert "start-up" in shown


def test_quick_and_json(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(bench, "bench", lambda *a, **k: given.append((a, k)) or {"a": 1})
    assert main(["bench", "--quick", "--json", "--compile", "--precision", "auto"]) == 0
    (presets, batches), options = given[0]
    assert presets == ("digits", "small-32") and batches == (8, 32)
    assert (options["rounds"], options["limit"]) == (3, 30.0)
    assert options["compile"] and options["precision"] == "auto"
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--presets", "digit"], "presets must be"),
        (["--presets", "digits", "digits"], "presets must be one or more different"),
        (["--presets", "iddpm-cifar10"], "learned variance cannot be compared"),
        (["--batches", "0"], "batches must be"),
        (["--rounds", "0"], "rounds must be"),
        (["--steps", "1001"], "steps must be"),
        (["--limit", "0"], "limit must"),
        (["--device", "none"], "device 'none' cannot be used"),
        (["--precision", "half"], "precision must be"),
    ],
)
def test_bad_options_are_refused(options, words, capsys):
    assert main(["bench", *options]) == 1
    assert words in capsys.readouterr().err


def test_rates_and_ratios_of_made_up_times():
    assert bench.rate([2.0, 4.0, 1.0], 8) == {"median": 4.0, "low": 2.0, "high": 8.0}
    # within rounds: 3 / 1, 6 / 4, 10 / 2, and not the ratio of the medians, 6 / 2
    found = bench.ratio([1.0, 4.0, 2.0], [3.0, 6.0, 10.0])
    assert found == {"median": 3.0, "low": 1.5, "high": 5.0}
    with pytest.raises(ValueError, match="zip"):
        bench.ratio([1.0], [1.0, 2.0])


def test_turns_are_taken_and_the_first_round_does_not_count():
    order = []

    def contestant(name, times):
        times = iter(times)

        def task():
            order.append(name)
            return next(times)

        return task

    tasks = {"a": contestant("a", [9.0, 1.0, 2.0]), "b": contestant("b", [8.0, 3.0, 4.0])}
    assert bench.interleave(tasks, 2, CPU) == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert order == ["a", "b", "a", "b", "b", "a"]
    short = {"a": contestant("a", [0.5, 0.1, *[0.1, 0.3] * 5])}
    assert bench.interleave(short, 1, CPU, least=1.0)["a"] == pytest.approx([0.2])


def test_shares_of_the_ceiling(monkeypatch):
    task = bench_peers.make_task(TINY, 2)
    monkeypatch.setattr(bench, "interleave", lambda tasks, *_: {k: [2.0] for k in tasks})
    absent = dict.fromkeys(("diffusers", "denoising_diffusion_pytorch"), "not measured")
    rows, ceiling = bench.compare(task, absent, 1, 2, 60.0)
    assert [row["library"] for row in rows] == [*OURS, *OURS, *OURS[:2]]
    flops = cost(TINY).flops * 2
    conv = bench.convolutions(task)[2]
    assert 0.5 * flops < conv < flops
    for row, times, name in ((rows[0], 3, "conv_training"), (rows[3], 1, "conv")):
        assert row["gflops"]["median"] == pytest.approx(times * flops / 2e9, rel=1e-3)
        assert row[f"share_of_{name}"]["median"] == pytest.approx(flops / conv, rel=1e-3)
        share = times * flops / (2 * 2048**3)
        assert row["share_of_matrix"]["median"] == pytest.approx(share, rel=1e-3)
    assert ceiling["matrix"]["median"] == pytest.approx(2048**3 / 1e9, rel=1e-3)
    assert rows[0]["ema_share"]["median"] == 1  # all take the same time here
    assert not any("ema_share" in row for row in rows[1:])


def test_the_default_precision_has_rows_and_ceilings_of_its_own(monkeypatch):
    monkeypatch.setattr(device, "WIDE", 8)
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    task, seen = bench_peers.make_task(TINY, 2), []

    def clock(tasks, *_):
        seen.append(tasks)
        return {k: [1.0 if "bfloat16" in k else 2.0] for k in tasks}

    monkeypatch.setattr(bench, "interleave", clock)
    absent = dict.fromkeys(("diffusers", "denoising_diffusion_pytorch"), "not measured")
    rows, ceiling = bench.compare(task, absent, 1, 2, 60.0)
    kinds = ["matrix", "conv", "conv training"]
    assert list(ceiling) == [*kinds, *(f"{kind}, bfloat16" for kind in kinds)]
    assert {row["library"]: row["precision"] for row in rows} == dict(
        zip(OURS, ("float32", "bfloat16", "float32"), strict=True)
    )
    for row in rows[:2]:  # its ceiling is twice as high, and its time is the same
        row["share"] = row["share_of_conv_training"]["median"]
    assert rows[0]["share"] == pytest.approx(2 * rows[1]["share"], rel=1e-3)
    with torch.no_grad():
        assert seen[1]["ours"]().dtype == torch.float32
        assert seen[1]["ours, by default"]().dtype == torch.bfloat16
    types = []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, given, answer: types.append(answer.dtype)
    )
    seen[0]["conv training", "bfloat16"]()
    seen[0]["conv", "bfloat16"]()
    hook.remove()
    assert set(types) == {torch.bfloat16}


def test_the_compiled_ones_train_only(monkeypatch):
    pytest.importorskip("diffusers")
    seen = []
    monkeypatch.setattr(torch, "compile", lambda module: seen.append(module) or module)
    task = bench_peers.make_task(TINY, 2)
    more = bench_peers.compiled(task, bench_peers.peers())
    assert [c.name for c in more] == ["ours, compiled", "diffusers, compiled"]
    assert [type(m).__name__ for m in seen] == ["UNet", "UNet2DModel"]
    for c, module in zip(more, seen, strict=True):
        before = copy.deepcopy(module.state_dict())
        c.step()
        assert any(not torch.equal(before[n], v) for n, v in module.state_dict().items())
    monkeypatch.setattr(bench, "interleave", once)
    rows, _ = bench.compare(task, bench_peers.peers(), 1, 2, 60.0, more)
    found = [row["work"] for row in rows if "compiled" in row["library"]]
    assert found == ["training", "training"]


def test_the_page_says_when_compiling_is_earned_back():
    rung = dict(preset="tiny", batch=8, said="", ratio=bench.rate([1.0], 1))
    rows = [
        rung | {"rung": "+ bf16", "pictures_per_second": bench.rate([2.0], 8)},
        rung | {"rung": "slow", "pictures_per_second": bench.rate([9.0], 8), "said": "no"},
        rung | {"rung": "+ compile", "pictures_per_second": bench.rate([1.5], 8)},
        rung | {"rung": "again, compile", "pictures_per_second": bench.rate([1.6], 8)},
    ]
    rows = [row | {"first_call_seconds": 100} for row in rows]
    page = list(bench_page._ladders({"ladders": rows}))
    assert page[3].endswith("earned back after 200 steps")
    assert page[4].endswith("never earned back")
    assert not any("earned" in line for line in page[:3])


def test_the_convolutions_are_those_of_the_network():
    task = bench_peers.make_task(TINY, 3)
    counted = [0]

    def count(module, given, answer):
        per_output = 2 * given[0].shape[1] * module.weight[0, 0].numel()
        counted[0] += answer.numel() * per_output

    for module in task.model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(count)
    bench_peers.forward_of(task, task.model)()
    assert bench.convolutions(bench_peers.make_task(TINY, 3))[2] == counted[0]


def test_a_slow_rung_is_stopped_and_left_out_above(monkeypatch):
    task = bench_peers.make_task(TINY, 2)
    seen = []

    def climb(task, rounds, limit, wish):
        seen.append(dict(wish))
        if "precision" in wish:
            raise TimeoutError("too slow, stopped")
        return 0.1, lambda: 1.0

    monkeypatch.setattr(bench, "_climb", climb)
    monkeypatch.setattr(bench, "interleave", once)
    rows = bench.ladder(task, 1, 60.0)
    said = [row["said"][:8] for row in rows]
    assert said == ["", "", "too slow", "left out", "", "", ""]
    assert list(seen[-1]) == ["channels_last", "fused", "foreach", "kept"]
    assert "ratio" not in rows[2] and rows[0]["ratio"]["median"] == 1
    seen.clear()
    fresh = []
    monkeypatch.setattr(
        bench, "_uncached", lambda: fresh.append(len(seen)) or nullcontext()
    )
    bench.ladder(task, 1, 60.0, compile=True)
    assert fresh == [3]  # for the rung of torch.compile alone
    assert seen[-1]["compiled"] and "precision" not in seen[-1]


def test_a_rung_that_is_slower_is_left_out_above(monkeypatch):
    def climb(task, rounds, limit, wish):
        assert "precision" not in wish or set(wish) == {"channels_last", "precision"}
        return 0.1, lambda: 2.0 if "precision" in wish else 1.0

    monkeypatch.setattr(bench, "_climb", climb)
    rows = bench.ladder(bench_peers.make_task(TINY, 2), 1, 60.0)
    assert rows[2]["said"].startswith("slower") and rows[2]["ratio"]["median"] == 0.5
    assert [row["ratio"]["median"] for row in rows if row["said"] == ""] == [1] * 5


def test_a_step_in_kept_memory_asks_for_no_more():
    pytest.importorskip("resource")
    if not device.keep_memory(False):
        pytest.skip("a setting of glibc")
    program = """
import resource, torch
from ddpm_lite import bench_peers, device
faults = []
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MB: 16384 pages
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
device.keep_memory()
for _ in range(5):
    step()
assert faults[0] > 5_000 and faults[-1] < 1_000, faults
assert bench_peers.in_kept_memory(step, torch.device("cpu")) > 0
step()
assert len(faults) == 9 and faults[6] < 1_000, faults
assert min(faults[7:]) > 10_000, faults  # one after it, and this one
"""
    # in a process of its own: in one that has lived long, the heap may be unable to grow
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_glibc_the_rung_says_so(monkeypatch):
    monkeypatch.setattr(device.platform, "libc_ver", lambda: ("", ""))
    assert not device.keep_memory()
    rows = bench.ladder(bench_peers.make_task(TINY, 2), 1, 60.0)
    assert "setting of glibc" in rows[-1]["said"]


def test_memory_that_cannot_be_measured_says_so(monkeypatch):
    false = shutil.which("false") or pytest.skip("this system has no command false")
    monkeypatch.setattr(bench_peers.sys, "executable", false)
    told = bench_peers.memory(bench_peers.make_task(TINY, 2), "ours")
    assert told["said"].startswith("not measured: a process of the benchmark failed")


def test_what_is_beyond_the_limit_says_so():
    task = bench_peers.make_task(TINY, 2)
    with pytest.raises(TimeoutError, match="too slow, stopped: about"):
        bench._climb(task, 2, 1e-9, {})
    assert "longer than the limit" in bench.overhead(task, 0.5, 2, 1.0)["said"]


def test_a_peer_that_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.setitem(sys.modules, "denoising_diffusion_pytorch", None)
    found = bench_peers.peers()
    for name, told in found.items():
        assert told.startswith("not measured: it cannot be imported")
        assert f"pip install {name.replace('_', '-')}" in told
    task = bench_peers.make_task(TINY, 1)
    assert [c.name for c in bench_peers.contestants(task, found)] == OURS


def test_the_other_library_is_called_as_its_readme_does(monkeypatch):
    class Unet(nn.Module):
        def __init__(self, dim, dim_mults, channels):
            super().__init__()
            assert (dim, dim_mults, channels) == (8, (1, 2), 1)
            self.conv = nn.Conv2d(channels, channels, 1)

        def forward(self, x, t):
            assert 0 <= int(t.min()) and int(t.max()) < TINY.T
            return self.conv(x)

    class GaussianDiffusion(nn.Module):
        def __init__(self, model, image_size, timesteps, sampling_timesteps):
            super().__init__()
            self.model, self.size = model, image_size
            self.sampling_timesteps = sampling_timesteps

        def forward(self, pictures):
            assert 0 <= pictures.min() and pictures.max() <= 1
            return self.model(pictures, torch.zeros(len(pictures))).square().mean()

        def sample(self, batch_size):
            assert self.sampling_timesteps == 2
            return torch.zeros(batch_size, 1, self.size, self.size)

    library = types.ModuleType("denoising_diffusion_pytorch")
    library.Unet, library.GaussianDiffusion = Unet, GaussianDiffusion
    monkeypatch.setitem(sys.modules, "denoising_diffusion_pytorch", library)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    found = bench_peers.peers()
    assert found["denoising_diffusion_pytorch"] == "installed"
    other = bench_peers.contestants(bench_peers.make_task(TINY, 2), found)[-1]
    before = other.forward()
    other.step()
    assert other.parameters == 2 and not torch.equal(other.forward(), before)
    assert other.sample(2).shape == (16, 1, 8, 8)


def test_attention_grows_with_the_fourth_power_of_the_side():
    one = bench.attention_flops(TINY)
    # 4 N^2 C of the 1 + 2 layers at 4 x 4, and of the one in the middle
    assert one == 4 * 4 * 16**2 * 16
    assert bench.attention_flops(replace(TINY, size=16, attention=(8,))) == 16 * one


def test_the_memory_of_a_process_of_its_own():
    task = bench_peers.make_task(TINY, 512)
    told = bench_peers.memory(task, "ours")
    assert "VmHWM" in told["found"] or "ru_maxrss" in told["found"]
    stored = cost(TINY, 512).stored / 1e9  # bytes that the forward keeps
    assert 0.7 * stored < told["above_start_gb"] < min(4 * stored, told["peak_gb"])


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"process of the benchmark failed: .*ZeroDiv"):
        bench_peers.child("1 / 0")


def test_a_page_can_be_drawn_where_a_rung_and_a_share_are_missing(tiny):
    absent = dict.fromkeys(("diffusers", "denoising_diffusion_pytorch"), "not measured")
    task = bench_peers.make_task(TINY, 1)
    rows, _ = bench.compare(task, absent, 2, 50, 1.0)
    assert rows[-1]["steps"] < 50 and "of 50 steps: limit" in rows[-1]["said"]
    which = {"preset": "tiny", "batch": 1}
    results = {
        "rows": [which | row for row in rows],
        "ladders": [which | row for row in bench.ladder(task, 2, 60.0)],
        "growth": {"tiny": bench.growth(task, 2, 60.0)},
        "measured_on": bench.machine(CPU, "float32"),
    }
    assert len(bench_page.draw(results).axes) == 6
