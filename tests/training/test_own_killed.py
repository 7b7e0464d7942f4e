r"""A run of a network of one's own that is killed at any moment goes on exactly.

The network has BatchNorm, torch's own Dropout, labels and two layers with one weight. This
file is also a program: python test_own_killed.py FOLDER, as test_killed.py is.
"""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_killed
import torch
from own_networks import Own, pictures

from ddpm_lite import Schedule, TrainConfig, Trainer, load_run
from ddpm_lite.formats.checkpoint import checkpoints
from ddpm_lite.training.fit import fit

TESTS = Path(__file__).parents[1]
MOMENTS = 10


def train(folder):
    r"""Begin a small run, or go on with it: a checkpoint after every second step."""
    torch.manual_seed(0)
    config = TrainConfig(
        steps=8,
        batch_size=4,
        lr=1e-2,
        warmup_steps=3,
        drop_label=0.2,
        log_every=2,
        save_every=2,
        keep=2,
    )
    x_0, y = pictures(), torch.arange(9) % 3
    trainer = Trainer(Own(classes=3), Schedule.cosine(10), x_0[:6], config, y=y[:6])
    fit(trainer, folder, resume=True, held_out=(x_0[6:], y[6:]), progress=False)


def main(folder):
    r"""Kill runs, let them go on, and compare. Prints how many are the same."""
    torch.set_num_threads(1)  # OpenMP's threads do not come through a fork
    test_killed.train = train
    train(folder / "first")  # imports half of torch, which the forks then share
    chance, good = random.Random(0), 0
    _, seconds, operations = test_killed.forked(folder / "straight")
    expected = test_killed.state_of(folder / "straight")
    for moment in range(MOMENTS):
        run, killed = folder / f"run{moment}", False
        while not killed:  # a run may end before its time comes
            shutil.rmtree(run, ignore_errors=True)
            if moment % 2:
                left = chance.randrange(2 * operations) / 2
                killed, _, _ = test_killed.forked(run, left=left)
            else:
                seconds *= 0.9  # in the end it is early enough
                killed, _, _ = test_killed.forked(run, seconds=chance.random() * seconds)
        found = checkpoints(run)
        readable = not found or load_run(run, network=Own).config["step"] >= 0
        test_killed.forked(run)
        same = test_killed.state_of(run) == expected
        good += same and readable
        print(f"{[f.name for f in found][-1:]} readable: {readable}, the same: {same}")
    print(f"{good} of {MOMENTS}; a run has {operations} operations")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not fork safely")
def test_killed_at_ten_moments(tmp_path, capsys):
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
