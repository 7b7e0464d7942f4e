r"""Two processes train as one does: the same losses, and no number drawn twice.

This file is also a program: python test_distributed.py FOLDER trains in one process and,
after a fork, in two that speak through gloo; the tests read what it has left.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import shaker
import torch
from helpers import close
from safetensors.torch import load_file, save_file
from torch import distributed

from ddpm_lite import Schedule, TrainConfig, Trainer
from ddpm_lite.formats.checkpoint import checkpoint_of, load_run
from ddpm_lite.models.unet import UNet, UNetConfig
from ddpm_lite.training.experiment import draw
from ddpm_lite.training.fit import fit
from ddpm_lite.training.instruments import read_log
from ddpm_lite.training.presets import RunConfig
from ddpm_lite.training.together import join
from ddpm_lite.training.trainer import NotFinite, processes

TINY = dict(size=4, channels=1, width=4, multipliers=(1,), blocks=1, groups=2)
TINY |= dict(attention=(), classes=3, T=10, zero_init=False)
SCHEDULE = Schedule.cosine(10)
TESTS = Path(__file__).parents[1]  # where helpers is


LR, STEPS = 1e-2, 8


def make(dropout=0.0, double=False, **settings):
    r"""A trainer whose batch of 8 is that of one process or of two.

    double: data, noise and network in float64, where no rounding can pass for a fault.
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.randint(256, (11, 1, 4, 4), generator=generator).to(torch.uint8)
    more = dict(batch_size=8, warmup_steps=3, flip=True, drop_label=0.2)
    more |= dict(steps=STEPS, lr=LR)
    more |= dict(log_every=2, save_every=3, sample_every=0, antithetic=True)
    config = TrainConfig(**more | settings)
    y, model = torch.arange(11) % 3, UNet(**TINY, dropout=dropout)
    if double:
        x_0, model = x_0.double() / 127.5 - 1, model.double()
    return Trainer(model, SCHEDULE, x_0, config, y=y)


def train(folder, **settings):
    r"""Train with dropout: in float32, with pictures set aside, and in float64 beside."""
    settings["dropout"] = 0.3
    held_out = (
        torch.linspace(-1, 1, 5 * 16).reshape(5, 1, 4, 4),
        torch.tensor([0, 1, 2, 1, 0]),
    )
    fit(make(**settings), folder, resume=True, held_out=held_out, progress=False)
    twin = folder.with_name(f"{folder.name}_double")
    fit(make(double=True, **settings), twin, resume=True, progress=False)


def watch(trainer, steps=3):
    r"""What each process sees: t, x_t and labels, losses, masks, gradients exchanged."""
    seen, exchanges = {"x_t": [], "y": [], "mask": []}, []
    trainer.model.register_forward_pre_hook(
        lambda module, inputs: (
            [
                seen[name].append(value)
                for name, value in zip(("x_t", "y"), inputs[::2], strict=True)
            ]
            and None
        )
    )
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(
                lambda module, inputs, output: seen["mask"].append((output == 0).flatten())
            )
    if trainer.world > 1:

        def exchange(state, bucket):
            exchanges.append(bucket.buffer().numel())
            summed = distributed.all_reduce(bucket.buffer(), async_op=True).get_future()
            return summed.then(lambda future: future.value()[0] / trainer.world)

        trainer.network.module.register_comm_hook(None, exchange)
    records = list(trainer.run(steps))
    found = {name: torch.cat(values) for name, values in seen.items()}
    found["t"] = torch.cat([record.t for record in records])
    found["losses"] = torch.cat([record.losses for record in records])
    found["grad_norm"] = torch.stack([record.grad_norm for record in records])
    found["exchanges"] = torch.tensor(exchanges)
    return {name: value.contiguous() for name, value in found.items()}


def pictures(run, num):
    r"""Seven pictures of a run, drawn by all processes together."""
    config = RunConfig(unet=UNetConfig(**TINY), sample_steps=5)
    model = load_run(run).model
    options = dict(seed=3, y=torch.arange(num) % 3, sampler="ddim", steps=5, progress=False)
    return draw(model, SCHEDULE, config, num, batch=4, **options)


def as_one(folder):
    r"""What one process does."""
    train(folder / "one")
    train(folder / "one_then_two", steps=4)
    save_file(watch(make(dropout=0.5)), folder / "seen_one")
    save_file({str(n): pictures(folder / "one", n) for n in (1, 7)}, folder / "drawn_one")


def as_two(folder, rank, port):
    r"""What each of two processes does."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)} | where
    assert join() == "cpu" and processes() == (rank, 2)
    train(folder / "two")
    train(folder / "two_in_parts", accumulate=2)
    train(folder / "one_then_two")
    train(folder / "two_then_one", steps=4)
    save_file(watch(make(dropout=0.5)), folder / f"seen_{rank}")
    save_file(watch(make(accumulate=4)), folder / f"parts_{rank}")
    drawn = {str(n): pictures(folder / "one", n) for n in (1, 7)}
    save_file(drawn, folder / f"drawn_{rank}")
    report = {}
    trainer = make()
    update = trainer.update

    def spoil():
        with torch.no_grad():
            if rank == 1 and trainer.step == 4:
                trainer.model.conv_out.bias.fill_(float("nan"))
        return update()

    trainer.update = spoil
    try:
        fit(trainer, folder / "bad", progress=False)
    except NotFinite as error:
        report["bad"] = str(error)
    trainer, stopped = make(), []

    def slow():  # one process is asked to stop, both do
        stopped.append(trainer.step)
        return Trainer.update(trainer)

    trainer.update = slow
    minutes = 1e-9 if rank == 1 else None
    report["stopped"] = fit(
        trainer, folder / "stopped", max_minutes=minutes, progress=False
    )
    try:
        make(batch_size=9)
    except ValueError as error:
        report["batch"] = str(error)
    try:
        fit(make(), folder / "two", progress=False)
    except FileExistsError as error:
        report["exists"] = str(error)
    (folder / f"report_{rank}").write_text(json.dumps(report), "utf-8")
    distributed.destroy_process_group()


def main(folder):
    r"""Train in one process, in two, and in one again."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)  # OpenMP's threads do not come through a fork
    shaker.from_environment()
    as_one(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in (0, 1):
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                as_two(folder, rank, port)
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    shutil.copytree(folder / "two_then_one", folder / "two_then_one_at_4")
    train(folder / "two_then_one")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    r"""The folder that the program has filled."""
    if not (hasattr(os, "fork") and distributed.is_available()):
        pytest.skip("this system has no fork or no gloo")
    if sys.platform == "darwin":
        pytest.skip("macOS may end a process that forks after loading its libraries")
    folder = tmp_path_factory.mktemp("distributed")
    done = subprocess.run(
        [sys.executable, __file__, folder],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def numbers(line):
    r"""All numbers of a line in a row; -1 for a band that is empty."""
    row = []
    for value in line.values():
        row += [
            -1 if v is None else v for v in (value if isinstance(value, list) else [value])
        ]
    return row


RUNS = ["two", "two_in_parts", "one_then_two", "two_then_one"]


def row(tensors, names):
    r"""Weights of {name: tensor} in one row of float64."""
    return torch.cat([tensors[name].detach().flatten().double() for name in sorted(names)])


def weights_of(run, file):
    r"""All weights in a file of a run's newest checkpoint, in one row of float64."""
    tensors = load_file(checkpoint_of(run) / file)
    return row(tensors, [k for k in tensors if not k.startswith(("adam.step", "beta"))])


@pytest.mark.parametrize("name", RUNS)
def test_losses_and_weights_are_those_of_one_process(folder, name):
    one, other = folder / "one_double", folder / f"{name}_double"
    expected, found = (read_log(run / "metrics.jsonl") for run in (one, other))
    for line, theirs in zip(expected, found, strict=True):
        assert line.keys() == theirs.keys()
        # what is logged was summed in float32: about ten terms, each right to 6e-8
        assert numbers(theirs) == pytest.approx(numbers(line), rel=1e-6, abs=1e-7)
    # A gradient sums about a hundred terms of at most 1e-2, as the loss is a mean over 128
    # numbers: right to 1e-17. Adam divides by no less than its eps, 1e-8: a weight whose
    # gradient is 0 but for that moves by lr * 1e-17 / 1e-8 = 1e-11 in each of 8 steps.
    # The average has gone through a file in float32 where a run was resumed.
    for file in ("state.safetensors", "model.safetensors"):
        atol = 1e-7 if file == "model.safetensors" and "then" in name else 1e-9
        close(weights_of(other, file), weights_of(one, file), rtol=1e-9, atol=atol)


@pytest.mark.parametrize("name", RUNS)
def test_in_float32_they_differ_by_rounding(folder, name):
    expected, found = (read_log(folder / run / "metrics.jsonl") for run in ("one", name))
    assert [line["step"] for line in found] == [2, 3, 4, 6, 6, 8]
    # Gradients that are 0 round at 1e-9, not far below Adam's eps of 1e-8: their weights,
    # which do nothing or little, go their own ways, as far as lr in each step. With all
    # others they are asked for less than a tenth of the way that training went, and
    # losses for three digits.
    for line, other in zip(expected, found, strict=True):
        assert line.keys() == other.keys()
        assert numbers(other) == pytest.approx(numbers(line), rel=1e-3, abs=1e-5)
    weights = dict(make().model.named_parameters())
    begun = row(weights, weights)
    a, b = (weights_of(folder / run, "model.safetensors") for run in ("one", name))
    assert (a - b).abs().max() <= 2 * LR * STEPS
    assert (a - b).norm() < 0.1 * (a - begun).norm()
    one, other = (checkpoint_of(folder / run) for run in ("one", name))
    assert one.name == other.name == f"step_{STEPS:09}"
    counters = [json.loads((run / "state.json").read_text("utf-8")) for run in (one, other)]
    assert [c.pop("metrics_bytes") > 0 for c in counters] == [True, True]
    losses = [c["best"].pop("held_out_loss") for c in counters]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert counters[0] == counters[1]


def test_a_resumed_run_went_on_and_did_not_begin_again(folder):
    lines = read_log(folder / "two_then_one_at_4" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 3, 4]
    now = (folder / "two_then_one" / "metrics.jsonl").read_bytes()
    assert now.startswith((folder / "two_then_one_at_4" / "metrics.jsonl").read_bytes())
    timing = read_log(folder / "one_then_two" / "timing.jsonl")
    assert [line["step"] for line in timing] == [2, 4, 6, 8]


def test_each_process_takes_its_part_of_one_batch(folder):
    one, *both = (load_file(folder / f"seen_{who}") for who in ("one", 0, 1))
    for name in ("x_t", "y", "t"):
        steps = zip(*(part[name].split(4) for part in both), strict=True)
        together = torch.cat([torch.cat(pair) for pair in steps])
        # t and y are whole numbers; x_t, below 8, is a sum of two products, rounded by at
        # most 2.4e-7 three times
        close(together, one[name], rtol=0, atol=1e-6 if name == "x_t" else 0)
    for a, b in zip(both[0]["x_t"], both[1]["x_t"], strict=True):
        assert (a != b).all()
    close(both[0]["grad_norm"], both[1]["grad_norm"], rtol=1e-5)  # sums of 1e3 squares


def test_each_process_drops_units_of_its_own(folder):
    masks = [load_file(folder / f"seen_{rank}")["mask"] for rank in (0, 1)]
    assert masks[0].shape == masks[1].shape and masks[0].dtype == torch.bool
    share = (masks[0] != masks[1]).double().mean()
    assert 0.4 < share < 0.6  # half of the units, for masks that have nothing in common


def test_parts_of_a_batch_exchange_gradients_once(folder):
    parts, whole = (load_file(folder / f"{name}_0") for name in ("parts", "seen"))
    assert torch.equal(parts["t"], whole["t"])
    assert len(parts["exchanges"]) == len(whole["exchanges"]) == 3  # steps, of 4 parts each


def test_sampling_is_shared(folder):
    one, *both = (load_file(folder / f"drawn_{who}") for who in ("one", 0, 1))
    for num in ("1", "7"):
        assert one[num].shape == (int(num), 1, 4, 4) and (one[num] != 0).all()
        for other in both:
            close(other[num], one[num], rtol=0, atol=1e-4)


def test_one_bad_loss_stops_both_at_the_same_step(folder):
    reports = [
        json.loads((folder / f"report_{rank}").read_text("utf-8"))["bad"] for rank in (0, 1)
    ]
    assert reports[0] == reports[1] and "not finite at step 5" in reports[0]
    assert "up to step_000000003" in reports[0]
    assert load_file(folder / "bad" / "bad_batch_step_000000005.safetensors")[
        "t"
    ].shape == (8,)
    assert checkpoint_of(folder / "bad").name == "step_000000003"


def test_one_process_that_is_asked_stops_both(folder):
    reports = [
        json.loads((folder / f"report_{rank}").read_text("utf-8")) for rank in (0, 1)
    ]
    assert [t["stopped"]["step"] for t in reports] == [1, 1]
    assert checkpoint_of(folder / "stopped").name == "step_000000001"
    for t in reports:
        assert "batch_size 9 must be a multiple of 2 processes x accumulate 1" in t["batch"]
        assert "already holds a run, up to step_000000008" in t["exists"]


def test_one_of_several_processes_leaves_out_the_interpreters_end():
    # where gloo's threads, which DistributedDataParallel keeps, abort now and then
    code = """
import atexit
from torch.nn import Linear
from torch.nn.parallel import DistributedDataParallel
from ddpm_lite.training.together import join, leave

atexit.register(print, "the interpreter's end")
leave(1)  # one process only: nothing happens
assert join() == "cpu"
DistributedDataParallel(Linear(1, 1))
print("said")
leave(3)
"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = dict(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | group | {"GLOO_SOCKET_IFNAME": "lo"},
    )
    assert (done.stdout, done.returncode) == ("said\n", 3), done.stderr


@pytest.mark.slow
def test_torchrun_and_the_command_line(tmp_path):
    options = "--batch-size 8 --log-every 2 --save-every 3 --sample-every 0 "
    options += "--sample-steps 2 --width 8 --groups 4 --lr-schedule constant"
    module = ["-m", "ddpm_lite"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    train = [*module, "train", "digits", *options.split()]
    run(*train, "--steps", "6", "--out", tmp_path / "one")
    output = run(*torchrun, *train, "--steps", "4", "--out", tmp_path / "two")
    assert (
        "2 processes" in output and output.count("step 4 after") == 1
    )  # one of them speaks
    run(*torchrun, *module, "resume", tmp_path / "two", "--steps", "6")
    one, two = (read_log(tmp_path / run / "metrics.jsonl") for run in ("one", "two"))
    assert [line["step"] for line in two] == [2, 3, 4, 6, 6]
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert numbers(b) == pytest.approx(numbers(a), rel=1e-3, abs=1e-5)  # as above
    assert (tmp_path / "two" / "samples" / "nearest.png").stat().st_size > 1000


if __name__ == "__main__":
    main(Path(sys.argv[1]))
