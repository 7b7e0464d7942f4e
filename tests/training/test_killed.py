r"""A run that is killed at any moment, in the middle of a save too, goes on exactly.

This file is also a program: python test_killed.py FOLDER. It imports torch once and
forks, so that twenty runs, their ends and their second halves take seconds.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import shaker
import torch

from ddpm_lite import Schedule, TrainConfig, Trainer, load_model
from ddpm_lite.formats import checkpoint
from ddpm_lite.formats.checkpoint import checkpoint_of, checkpoints, load_run
from ddpm_lite.models.unet import UNet
from ddpm_lite.training.fit import fit
from ddpm_lite.training.instruments import Log

TESTS = Path(__file__).parents[1]
MOMENTS = 20
TINY = dict(size=4, channels=1, width=4, multipliers=(1,), blocks=1, groups=2)
TINY |= dict(attention=(), dropout=0.3, classes=3, T=10)


def train(folder):
    r"""Begin a small run, or go on with it: a checkpoint after every step."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.randint(256, (9, 1, 4, 4), generator=generator).to(torch.uint8)
    config = TrainConfig(
        steps=12,
        batch_size=4,
        lr=1e-2,
        warmup_steps=3,
        drop_label=0.2,
        flip=True,
        log_every=2,
        save_every=1,
        keep=2,
    )
    y = torch.arange(9) % 3
    trainer = Trainer(UNet(**TINY), Schedule.cosine(10), x_0[:6], config, y=y[:6])
    fit(trainer, folder, resume=True, held_out=(x_0[6:], y[6:]), progress=False)


# What a save is made of; a process is killed before or after one of these.
OPERATIONS = [
    (os, "replace"),
    (os, "fsync"),
    (shutil, "rmtree"),
    (checkpoint, "save_file"),
    (Log, "write"),
]


def count_down(left):
    r"""Kill this process, with SIGKILL, before operation number `left` or after it.

    Whole numbers mean before, halves after. Returns a list whose length is the number of
    operations so far.
    """
    done = []

    def watched(operation):
        def instead(*arguments, **options):
            if len(done) == left:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = operation(*arguments, **options)
            if len(done) + 0.5 == left:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(operation)
            return answer

        return instead

    for owner, name in OPERATIONS:
        setattr(owner, name, watched(getattr(owner, name)))
    return done


def forked(folder, left=None, seconds=None):
    r"""Train in a child that dies at an operation, or after some time, or not at all.

    Returns whether it was killed, the seconds that it took and its operations.
    """
    begin, (reading, writing) = time.perf_counter(), os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            done = count_down(left)
            train(folder)
            os.write(writing, str(len(done)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - begin
    with os.fdopen(reading) as pipe:
        operations = int(pipe.read() or 0)
    assert status in (0, signal.SIGKILL), f"the run in {folder} failed"
    return status == signal.SIGKILL, seconds, operations


def state_of(run):
    r"""All that has to be the same after all, as bytes."""
    names = [folder.name for folder in checkpoints(run)]
    files = {p.name: p.read_bytes() for p in checkpoint_of(run).iterdir()}
    files |= {n: (run / n).read_bytes() for n in ("metrics.jsonl", "config.json", "newest")}
    return files | {"checkpoints": names}


def whole(run):
    r"""Whether what a killed run has left can be sampled from, or is no run yet."""
    if not checkpoints(run):
        return True
    every = [load_model(folder / "model.safetensors") for folder in checkpoints(run)]
    return load_run(run).config["step"] >= 0 and len(every) <= 3


def main(folder):
    r"""Kill runs and compare. Prints how many are as if nothing had happened."""
    torch.set_num_threads(1)  # OpenMP's threads do not come through a fork
    shaker.from_environment()
    train(folder / "first")  # imports half of torch, which the forks then share
    chance = random.Random(0)
    _, seconds, operations = forked(folder / "straight")
    expected = state_of(folder / "straight")
    good = 0
    for moment in range(MOMENTS):
        run, aimed = folder / f"run{moment}", moment % 2
        killed, where = False, None
        while not killed:  # a run may end before its time comes
            shutil.rmtree(run, ignore_errors=True)
            if aimed:
                where = chance.randrange(2 * operations) / 2
                killed, _, _ = forked(run, left=where)
            else:
                where = chance.random() * seconds
                killed, seconds_of_this, _ = forked(run, seconds=where)
                seconds = seconds if killed else min(seconds, seconds_of_this)
        left = [f.name for f in checkpoints(run)]
        readable = whole(run)
        if moment % 4 == 3:  # once more, while it goes on
            forked(run, left=chance.randrange(operations // 2) / 2)
            readable = readable and whole(run)
        forked(run)
        same = state_of(run) == expected
        good += same and readable
        kind = f"operation {where}" if aimed else f"{where:.3f} s"
        print(f"{kind:16} {left[-1:]} readable: {readable}, the same: {same}")
    print(f"{good} of {MOMENTS}; a run has {operations} operations, {seconds:.2f} s")
    return good


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not fork safely")
def test_killed_at_twenty_moments(tmp_path, capsys):
    done = subprocess.run(
        [sys.executable, __file__, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)},
    )
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert f"{MOMENTS} of {MOMENTS};" in done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
