r"""The benchmark: that it measures what it says. No time of this machine is asserted."""

import copy
import io
import json
import shutil
import subprocess
import sys
import types
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers import close
from torch import nn

from ddpm_lite.bench import clock, contestants, measuring, processes, settings
from ddpm_lite.bench import page as bench_page
from ddpm_lite.commands.main import main
from ddpm_lite.data import arrays
from ddpm_lite.models.unet_config import PRESETS, UNetConfig
from ddpm_lite.training import device
from ddpm_lite.training.cost import cost

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
ABSENT = dict.fromkeys(("diffusers", "denoising_diffusion_pytorch"), "not measured")
OURS = ["ours", "ours, by default", "ours, bare loop"]
THEIRS = ["diffusers", contestants.BEST, "diffusers, channels_last"]
EVERYBODY = [*OURS[:2], *THEIRS[:2], OURS[2], THEIRS[2]]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    for module in (measuring, settings):
        monkeypatch.setattr(module, "interleave", once)


def once(tasks, rounds, device, least=0.2, **_):
    r"""In the place of the clock: call everything once, and make times up."""
    answers = [task() for task in tasks.values()]
    assert all(answer is None or answer is not False for answer in answers)
    return {name: [0.5 + i / 8] * rounds for i, name in enumerate(tasks)}


def test_the_networks_are_the_same():
    pytest.importorskip("diffusers")
    task = contestants.make_task(TINY, 2)
    everybody = contestants.contestants(task, contestants.peers())
    same = [c for c in everybody if c.name in OURS + THEIRS]
    assert [c.name for c in same] == EVERYBODY
    assert {c.parameters for c in same} == {cost(TINY).parameters}
    x_t, t = torch.randn(3, *TINY.sample_shape), torch.tensor([1, 400, 1000])
    with torch.no_grad():
        expected = task.model.eval()(x_t, t)
        assert expected.abs().mean() > 0.05
        for c in same:
            # float32 through some thirty layers: each adds 6e-8 of numbers up to 10, and
            # normalisations make small errors a few times larger
            close(c.network(x_t, t), expected, rtol=0, atol=1e-4)


def test_every_contestant_trains_and_draws():
    pytest.importorskip("diffusers")
    task = contestants.make_task(TINY, 2)
    for c in contestants.contestants(task, contestants.peers()):
        before = c.forward()
        for _ in range(2):
            c.step()
        assert c.forward().shape == before.shape == (2, *TINY.sample_shape)
        assert not torch.equal(c.forward(), before), f"{c.name} does not learn"
        assert len(c.sample(2)) == contestants.PICTURES


def test_all_rows_are_there(tiny, monkeypatch, tmp_path, capsys):
    pytest.importorskip("diffusers")
    gb = {"peak_gb": 0.2, "above_start_gb": 0.1, "found": "made up"}
    monkeypatch.setattr(measuring, "memory", lambda task, library: gb)
    arguments = ["--presets", "tiny", "--batches", "1", "2", "--rounds", "1"]
    assert main(["bench", *arguments, "--steps", "2", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    libraries = {"training": EVERYBODY, "forward": EVERYBODY}
    found = [(row["batch"], row["work"], row["library"]) for row in results["rows"]]
    found = [row for row in found if row[2] != "denoising_diffusion_pytorch"]
    expected = [
        (batch, work, name)
        for batch in (1, 2)
        for work, names in libraries.items()
        for name in names
    ]
    drawn = [name for name in EVERYBODY if "bare" not in name]
    chains = [(contestants.PICTURES, "sampling", name) for name in drawn]
    half = len(expected) // 2
    assert found == [*expected[:half], *chains, *expected[half:]]
    for row in results["rows"]:  # the made-up times: 0.5 and 1/8 more for each
        names = EVERYBODY if row["work"] != "sampling" else drawn
        mine = 0.5 + names.index(row["library"]) / 8
        for key, other in (("over_diffusers", THEIRS[0]), ("over_best", THEIRS[1])):
            if row["library"] in OURS:
                expected = (0.5 + names.index(other) / 8) / mine
                assert row[key]["median"] == pytest.approx(expected, rel=1e-3)
            else:
                assert key not in row
    assert shown.count("ours, by default float32") == 5
    assert [row["rung"] for row in results["ladders"]] == list(settings.LADDER)
    assert [row["batch"] for row in results["overheads"]] == [1, 2]
    assert {(r["batch"], r["library"]) for r in results["memory"]} == {
        (batch, name) for batch in (1, 2) for name in ("ours", "diffusers")
    }
    assert list(results["start_up"]) == ["ours", "diffusers"]
    assert set(results["growth"]["tiny"]) == {"batch", "size", "steps"}
    told = results["measured_on"]
    threads = torch.get_num_threads()
    assert told["torch"] == torch.__version__ and told["threads"] == threads
    assert f"cpu ({threads} thread" in told["device"] and told["device"] in shown
    for name in (*OURS, *THEIRS, *settings.LADDER, "fit, with", "growth", "share of our"):
        assert name in shown, name
    assert "start-up" in shown


def test_quick_and_json(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(
        measuring, "bench", lambda *a, **k: given.append((a, k)) or {"a": 1}
    )
    assert main(["bench", "--quick", "--json", "--precision", "auto"]) == 0
    (presets, batches), options = given.pop()
    assert presets == ("digits", "small-32") and batches == (32,)
    assert (options["rounds"], options["budget"]) == (3, measuring.QUICK)
    assert measuring.QUICK < 180 and options["precision"] == "auto"
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    assert (
        main(["bench", "--quick", "--presets", "ddpm-256", "--rounds", "4", "--json"]) == 0
    )
    (presets, batches), options = given.pop()
    assert presets == ("ddpm-256",) and batches == (32,) and options["rounds"] == 4
    assert main(["bench", "--json"]) == 0
    assert given.pop()[1]["budget"] == float("inf")


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
        (["--quick", "--compile"], "leave out --compile"),
        (["--device", "none"], "device 'none' cannot be used"),
        (["--precision", "half"], "precision must be"),
    ],
)
def test_bad_options_are_refused(options, words, capsys):
    assert main(["bench", *options]) == 1
    assert words in capsys.readouterr().err


def test_rates_and_ratios_of_made_up_times():
    assert measuring.rate([2.0, 4.0, 1.0], 8) == {"median": 4.0, "low": 2.0, "high": 8.0}
    # within rounds: 3 / 1, 6 / 4, 10 / 2, and not the ratio of the medians, 6 / 2
    found = measuring.ratio([1.0, 4.0, 2.0], [3.0, 6.0, 10.0])
    assert found == {"median": 3.0, "low": 1.5, "high": 5.0}
    with pytest.raises(ValueError, match="zip"):
        measuring.ratio([1.0], [1.0, 2.0])


def test_turns_are_taken_and_the_first_round_does_not_count():
    order = []

    def contestant(name, times):
        times = iter(times)

        def task():
            order.append(name)
            return next(times)

        return task

    tasks = {"a": contestant("a", [9.0, 1.0, 2.0]), "b": contestant("b", [8.0, 3.0, 4.0])}
    assert measuring.interleave(tasks, 2, CPU) == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert order == ["a", "b", "a", "b", "b", "a"]
    short = {"a": contestant("a", [0.5, 0.1, *[0.1, 0.3] * 5])}
    assert measuring.interleave(short, 1, CPU, least=1.0)["a"] == pytest.approx([0.2])


def test_where_time_is_short_the_last_are_left_out_and_then_rounds(monkeypatch):
    now, seen = [0.0], []
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def contestant(seconds):
        def task():
            now[0] += seconds
            return float(seconds)

        return task

    tasks = {name: contestant(2.0) for name in "abc"}

    def rounds(most):
        seen.clear()
        note = lambda *told: seen.append(told)  # noqa: E731
        return clock.interleave(tasks, 3, CPU, most=most, note=note)

    assert {k: len(v) for k, v in rounds(float("inf")).items()} == {"a": 3, "b": 3, "c": 3}
    assert seen[0] == ("a", 2.0, pytest.approx(1 / 12)) and seen[-1][2] == 1
    assert [told[0] for told in seen if told[1]] == ["a", "b", "c"]
    for most in (24.0, 18.0, 12.0, 8.0, 4.0):  # as many seconds as it has, and no more
        start = now[0]
        found = rounds(most)
        assert now[0] - start == most, most
        assert len({len(v) for v in found.values()}) == 1
    assert found == {"a": [2.0]}
    assert rounds(0.1) == {"a": [2.0]}  # the first one is always there


def test_a_plan_shares_what_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    file = io.StringIO()
    plan = clock.Plan({"a, x": 10.0, "a, y": 20.0, "b": 30.0}, 120.0, file)
    assert plan.share("a, ") == 60.0
    with plan.part("a, x") as most:
        assert most == 20.0
        now[0] += 80.0  # four times what it may take
    assert plan.share("a, ") == 16.0
    with plan.part("a, y") as most:
        assert most == 16.0
        plan.tell("a result")
        now[0] += 50.0
    with plan.part("b") as most:
        assert most == 0.0
    plan.close()
    # 80 s for what was thought to take 10 s of 60 s, then 130 s for 30 s
    told = ["a, x", "a, y; about 400 s left", "a result", "b; about 130 s left"]
    assert file.getvalue().splitlines() == told
    assert clock.Plan({"a": 1.0}).share("a") == float("inf")


def test_on_a_terminal_there_is_a_bar_with_the_time_left(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    plan = clock.Plan({"a": 1.0, "b": 3.0}, file=file)
    with plan.part("a"):
        plan.note(0.5)
        plan.tell("a result")
    plan.bar.refresh()
    plan.close()
    assert "a:  25%|" in file.getvalue() and " left" in file.getvalue()
    assert "a result\n" in file.getvalue()


def test_a_budget_is_kept_on_a_machine_that_is_too_slow(tiny, monkeypatch):
    given = []

    def neighbour(name, most):
        given.append((name, most))
        return {"said": "not measured: no time"}

    monkeypatch.setattr(measuring, "pace_of", lambda task: 1e-4 / cost(TINY).flops)
    monkeypatch.setattr(measuring, "neighbour", neighbour)
    monkeypatch.setattr(measuring, "NEIGHBOURS", ("tiny",))
    file = io.StringIO()
    some = dict(rounds=2, steps=2, file=file)
    results = measuring.bench(("tiny",), (64,), budget=100.0, **some)
    assert {row["batch"] for row in results["rows"]} == {64, contestants.PICTURES}
    assert given[0][0] == "tiny" and given[0][1] < 100
    assert not any(results[k] for k in ("ladders", "overheads", "growth", "memory"))
    monkeypatch.setattr(measuring, "pace_of", lambda task: 0.1 / cost(TINY).flops)
    results = measuring.bench(("tiny",), (64,), budget=100.0, **some)
    # 18 steps of 3.3 passes in 60 % of the 55 s that the neighbour leaves: of 0.1 s for a
    # picture, 5 pictures would fit
    assert results["ceilings"][0]["batch"] == 4
    assert all("batch 64 would" in row["said"] for row in results["rows"])
    page = bench_page.page(results)
    assert "no time" in page and "settings of the training loop" not in page
    assert len(bench_page.draw(results).axes) == 3  # speeds alone
    shown = file.getvalue()
    assert shown.index("tiny, batch 64, forward: ours") < shown.index("batch 64, training")


def test_the_peer_at_its_best_is_set_as_it_says(monkeypatch):
    pytest.importorskip("diffusers")
    monkeypatch.setattr(device, "WIDE", 8)
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    task, seen = contestants.make_task(TINY, 2), []

    def note(module, given, answer):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            last = given[0].is_contiguous(memory_format=torch.channels_last)
            seen.append((answer.dtype, module.weight.dtype, answer.is_inference(), last))

    best = contestants.diffusers_at_its_best(task)
    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        best.step()
        assert set(seen) == {(torch.bfloat16, torch.float32, False, True)}
        for call in (best.forward, partial(best.sample, 2)):
            seen.clear()
            call()
            inside = {told for told in seen if told[3]}  # a picture of one channel is both
            assert inside == {(torch.bfloat16, torch.float32, True, True)}
    finally:
        hook.remove()
    assert best.precision == "bfloat16" and best.name == contestants.BEST
    alike = contestants.diffusers_twin(task)
    assert alike.precision == "float32" and not alike.forward().is_inference()


def test_what_a_neighbour_costs_is_over_both_quiet_runs(monkeypatch):
    told = iter([[1.0, 2.0, 3.0], [6.0, 7.0, 8.0], [4.0, 4.0, 4.0]])
    beside, given = [], []

    def steps(preset, data, run, seconds):
        given.append((preset, data, seconds))
        return 64, next(told)

    @contextmanager
    def busy():
        beside.append(len(given))
        yield

    monkeypatch.setattr(processes, "_steps", steps)
    monkeypatch.setattr(processes, "_busy", busy)
    row = processes.neighbour("digits", 5.0)
    assert beside == [1]  # the second of three runs
    assert given == [("digits", "digits", processes.WARM + 5.0)] * 3
    assert row["slow_down"] == {"median": 2.0, "low": 1.75, "high": 3.5}
    assert row["quiet"]["median"] == 3.5 and row["loaded"]["median"] == 7.0
    assert "digits" in bench_page.slow_down({"preset": "digits"} | row)
    assert processes.neighbour("digits", most=3.0)["said"].endswith("no time")
    told = iter([[1.0], [], [1.0]])
    assert "no step after" in processes.neighbour("digits")["said"]


def test_a_run_for_the_neighbour_is_that_of_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "WARM", 0.0)  # how long a step takes, none can say
    batch, steps = processes._steps("digits", "digits", tmp_path / "run", 1.0)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert batch == config["train"]["batch_size"] == 64
    assert config["train"]["precision"] == "auto" and steps
    lines = (tmp_path / "run" / "timing.jsonl").read_text().splitlines()
    assert steps == [64 / json.loads(line)["examples_per_second"] for line in lines]
    with pytest.raises(RuntimeError, match=r"failed: .*no preset 'digit'"):
        processes._steps("digit", "digits", tmp_path / "other", 1.0)


def test_the_first_seconds_beside_a_neighbour_do_not_count():
    steps = [0.5, 0.25, 0.25, 2.0]  # they end at 0.5, 0.75, 1 and 3 s
    assert processes._after(0.0, steps) == steps
    assert processes._after(0.75, steps) == [0.25, 2.0]
    assert processes._after(3.0, steps) == []


def test_pictures_for_the_neighbour_have_the_size_of_the_preset(tmp_path):
    path = processes._random_pictures("small-32", tmp_path)
    assert arrays.from_array(path, None, None).x_0.shape == (256, 3, 32, 32)


def test_the_busy_program_is_there_and_is_gone():
    with processes._busy() as other:
        assert other.poll() is None
    assert other.poll() is not None


def test_the_summary_has_both_ratios_and_the_neighbour():
    def row(library, **more):
        which = {"preset": "tiny", "batch": 8, "work": "forward", "library": library}
        return which | {"precision": "bfloat16"} | more

    one, two, best = ({"median": value} for value in (1.25, 2.5, 1.75))
    mine, theirs = ({"share_of_conv": {"median": value}} for value in (0.7, 0.4))
    rows = [row("ours", over_diffusers=one)]
    rows += [row("ours, by default", over_diffusers=two, over_best=best, **mine)]
    rows += [row(contestants.BEST, **theirs)]
    beside = [{"preset": "digits", "said": "", "slow_down": {"median": 1.5}}]
    where = {"instructions": "AVX", "cores": 2}
    results = {"rows": rows, "measured_on": where, "neighbours": beside}
    lines = list(bench_page.summary(results))
    assert lines[2] == "| `tiny`, forward, batch 8 | 1.25 | 2.50, bfloat16 | 1.75 |"
    assert lines[3] == lines[5] == "" and "1.50 (`digits`) times" in lines[6]
    assert "70 %" in lines[4] and "40 %" in lines[4] and "say 2.50." in lines[4]
    beside[0]["said"] = "not measured"
    del rows[1]["over_best"]
    lines = list(bench_page.summary(results))
    assert lines[2].endswith("| not measured |") and len(lines) == 3


def test_shares_of_the_ceiling(monkeypatch):
    task = contestants.make_task(TINY, 2)
    monkeypatch.setattr(
        measuring, "interleave", lambda tasks, *_, **__: {k: [2.0] for k in tasks}
    )
    rows, ceiling = measuring.compare(task, ABSENT, 1, 2, 60.0)
    assert [row["library"] for row in rows] == [*OURS, *OURS, *OURS[:2]]
    flops = cost(TINY).flops * 2
    conv = measuring.convolutions(task)[2]
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
    task, seen = contestants.make_task(TINY, 2), []

    def clock(tasks, *_, **__):
        seen.append(tasks)
        return {k: [1.0 if "bfloat16" in k else 2.0] for k in tasks}

    monkeypatch.setattr(measuring, "interleave", clock)
    rows, ceiling = measuring.compare(task, ABSENT, 1, 2, 60.0)
    kinds = ["matrix", "conv", "conv training"]
    assert list(ceiling) == [*kinds, *(f"{kind}, bfloat16" for kind in kinds)]
    assert {row["library"]: row["precision"] for row in rows} == dict(
        zip(OURS, ("float32", "bfloat16", "float32"), strict=True)
    )
    for row in rows[:2]:  # its ceiling is twice as high, and its time is the same
        row["share"] = row["share_of_conv_training"]["median"]
    assert rows[0]["share"] == pytest.approx(2 * rows[1]["share"], rel=1e-3)
    with torch.no_grad():
        assert seen[0]["ours"]().dtype == torch.float32
        assert seen[0]["ours, by default"]().dtype == torch.bfloat16
    types = []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, given, answer: types.append(answer.dtype)
    )
    seen[1]["conv training", "bfloat16"]()
    seen[1]["conv", "bfloat16"]()
    hook.remove()
    assert set(types) == {torch.bfloat16}


def test_the_compiled_ones_train_only(monkeypatch):
    pytest.importorskip("diffusers")
    seen = []
    monkeypatch.setattr(torch, "compile", lambda module: seen.append(module) or module)
    task = contestants.make_task(TINY, 2)
    more = contestants.compiled(task, contestants.peers())
    assert [c.name for c in more] == ["ours, compiled", "diffusers, compiled"]
    assert [type(m).__name__ for m in seen] == ["UNet", "UNet2DModel"]
    for c, module in zip(more, seen, strict=True):
        before = copy.deepcopy(module.state_dict())
        c.step()
        assert any(not torch.equal(before[n], v) for n, v in module.state_dict().items())
    monkeypatch.setattr(measuring, "interleave", once)
    rows, _ = measuring.compare(task, contestants.peers(), 1, 2, 60.0, more)
    found = [row["work"] for row in rows if "compiled" in row["library"]]
    assert found == ["training", "training"]


def test_the_page_says_when_compiling_is_earned_back():
    rung = dict(preset="tiny", batch=8, said="", ratio=measuring.rate([1.0], 1))
    rows = [
        rung | {"rung": "+ bf16", "pictures_per_second": measuring.rate([2.0], 8)},
        rung
        | {"rung": "slow", "pictures_per_second": measuring.rate([9.0], 8), "said": "no"},
        rung | {"rung": "+ compile", "pictures_per_second": measuring.rate([1.5], 8)},
        rung | {"rung": "again, compile", "pictures_per_second": measuring.rate([1.6], 8)},
    ]
    rows = [row | {"first_call_seconds": 100} for row in rows]
    page = list(bench_page._ladders({"ladders": rows}))
    assert page[3].endswith("earned back after 200 steps")
    assert page[4].endswith("never earned back")
    assert not any("earned" in line for line in page[:3])


def test_the_convolutions_are_those_of_the_network():
    task = contestants.make_task(TINY, 3)
    counted = [0]

    def count(module, given, answer):
        per_output = 2 * given[0].shape[1] * module.weight[0, 0].numel()
        counted[0] += answer.numel() * per_output

    for module in task.model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(count)
    contestants.forward_of(task, task.model)()
    assert measuring.convolutions(contestants.make_task(TINY, 3))[2] == counted[0]


def test_a_slow_rung_is_stopped_and_left_out_above(monkeypatch):
    task = contestants.make_task(TINY, 2)
    seen = []

    def climb(task, rounds, limit, wish):
        seen.append(dict(wish))
        if "precision" in wish:
            raise TimeoutError("too slow, stopped")
        return 0.1, lambda: 1.0

    monkeypatch.setattr(settings, "_climb", climb)
    monkeypatch.setattr(measuring, "interleave", once)
    rows = settings.ladder(task, 1, 60.0)
    said = [row["said"][:8] for row in rows]
    assert said == ["", "", "too slow", "left out", "", "", ""]
    assert list(seen[-1]) == ["channels_last", "fused", "foreach", "kept"]
    assert "ratio" not in rows[2] and rows[0]["ratio"]["median"] == 1
    seen.clear()
    fresh = []
    monkeypatch.setattr(
        settings, "_uncached", lambda: fresh.append(len(seen)) or nullcontext()
    )
    settings.ladder(task, 1, 60.0, compile=True)
    assert fresh == [3]  # for the rung of torch.compile alone
    assert seen[-1]["compiled"] and "precision" not in seen[-1]


def test_a_rung_that_is_slower_is_left_out_above(monkeypatch):
    def climb(task, rounds, limit, wish):
        assert "precision" not in wish or set(wish) == {"channels_last", "precision"}
        return 0.1, lambda: 2.0 if "precision" in wish else 1.0

    monkeypatch.setattr(settings, "_climb", climb)
    rows = settings.ladder(contestants.make_task(TINY, 2), 1, 60.0)
    assert rows[2]["said"].startswith("slower") and rows[2]["ratio"]["median"] == 0.5
    assert [row["ratio"]["median"] for row in rows if row["said"] == ""] == [1] * 5


def test_a_step_in_kept_memory_asks_for_no_more():
    pytest.importorskip("resource")
    if not device.keep_memory(False):
        pytest.skip("a setting of glibc")
    program = """
import resource, torch
from ddpm_lite.bench import contestants
from ddpm_lite.training import device
faults = []
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MB: 16384 pages
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
device.keep_memory()
for _ in range(5):
    step()
assert faults[0] > 5_000 and faults[-1] < 1_000, faults
assert contestants.in_kept_memory(step, torch.device("cpu")) > 0
step()
assert len(faults) == 9 and faults[6] < 1_000, faults
assert min(faults[7:]) > 10_000, faults  # one after it, and this one
"""
    # In a process of its own: in one that has lived long, the heap may be unable to grow.
    # Where the system lays it is chance, and now and then a small piece of memory lies in
    # its way: one of five processes must show it, and none does where memory is not kept.
    for _ in range(5):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr)


def test_without_glibc_the_rung_says_so(monkeypatch):
    monkeypatch.setattr(device.platform, "libc_ver", lambda: ("", ""))
    assert not device.keep_memory()
    rows = settings.ladder(contestants.make_task(TINY, 2), 1, 60.0)
    assert "setting of glibc" in rows[-1]["said"]


def test_memory_that_cannot_be_measured_says_so(monkeypatch):
    false = shutil.which("false") or pytest.skip("this system has no command false")
    monkeypatch.setattr(processes.sys, "executable", false)
    told = processes.memory(contestants.make_task(TINY, 2), "ours")
    assert told["said"].startswith("not measured: a process of the benchmark failed")


def test_what_is_beyond_the_limit_says_so():
    task = contestants.make_task(TINY, 2)
    with pytest.raises(TimeoutError, match="too slow, stopped: about"):
        settings._climb(task, 2, 1e-9, {})
    assert "longer than the limit" in settings.overhead(task, 0.5, 2, 1.0)["said"]


def test_a_peer_that_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    monkeypatch.setitem(sys.modules, "denoising_diffusion_pytorch", None)
    found = contestants.peers()
    for name, told in found.items():
        assert told.startswith("not measured: it cannot be imported")
        assert f"pip install {name.replace('_', '-')}" in told
    task = contestants.make_task(TINY, 1)
    assert [c.name for c in contestants.contestants(task, found)] == OURS


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
    found = contestants.peers()
    assert found["denoising_diffusion_pytorch"] == "installed"
    other = contestants.contestants(contestants.make_task(TINY, 2), found)[-1]
    before = other.forward()
    other.step()
    assert other.parameters == 2 and not torch.equal(other.forward(), before)
    assert other.sample(2).shape == (contestants.PICTURES, 1, 8, 8)


def test_attention_grows_with_the_fourth_power_of_the_side():
    one = settings.attention_flops(TINY)
    # 4 N^2 C of the 1 + 2 layers at 4 x 4, and of the one in the middle
    assert one == 4 * 4 * 16**2 * 16
    assert settings.attention_flops(replace(TINY, size=16, attention=(8,))) == 16 * one


def test_the_memory_of_a_process_of_its_own():
    task = contestants.make_task(TINY, 512)
    told = processes.memory(task, "ours")
    assert "VmHWM" in told["found"] or "ru_maxrss" in told["found"]
    stored = cost(TINY, 512).stored / 1e9  # bytes that the forward keeps
    assert 0.7 * stored < told["above_start_gb"] < min(4 * stored, told["peak_gb"])


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match=r"process of the benchmark failed: .*ZeroDiv"):
        processes.child("1 / 0")


def test_a_page_can_be_drawn_where_a_rung_and_a_share_are_missing(tiny):
    task = contestants.make_task(TINY, 1)
    rows, _ = measuring.compare(task, ABSENT, 2, 50, 1.0)
    assert rows[-1]["steps"] < 50 and "of 50 steps: limit" in rows[-1]["said"]
    which = {"preset": "tiny", "batch": 1}
    results = {
        "rows": [which | row for row in rows],
        "ladders": [which | row for row in settings.ladder(task, 2, 60.0)],
        "growth": {"tiny": settings.growth(task, 2, 60.0)},
        "measured_on": measuring.machine(CPU, "float32"),
    }
    assert len(bench_page.draw(results).axes) == 6
