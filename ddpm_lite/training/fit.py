r"""A training run with everything around the loop: a folder, checkpoints, instruments.

The numbers of a run do not depend on where it was stopped. Ctrl-C ends it after the
update in hand, with a checkpoint; a process that is killed loses what came after its
last checkpoint, and `resume=True` goes on from there.
"""

import json
import signal
import sys
import time
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed
from tqdm import tqdm

from ..data.examples import Unreadable
from ..formats.checkpoint import (
    checkpoint_of,
    checkpoints,
    locked,
    or_older,
    read_checkpoint,
    read_json,
    step_of,
    write_checkpoint,
    write_text,
)
from ..formats.networks import check_answers, check_network
from ..formats.weights import check_stored_chain
from .best import Best
from .boards import boards_of, check_boards
from .facts import commit, facts, versions
from .held_out import as_held_out, held_out_loss
from .instruments import Instruments, Log
from .trainer import NotFinite

# What state.json holds in any case, and of which kind it is.
_NUMBERS = {"step": int, "ema_updates": int, "ema_initial_share": int | float}
_NUMBERS |= {"scaler": dict, "data": str, "metrics_bytes": int}


def fit(
    trainer,
    run,
    *,
    about=None,
    held_out=None,
    pictures=None,
    resume=False,
    max_minutes=None,
    tensorboard=False,
    wandb="",
    progress=True,
    ready=None,
):
    r"""Run a trainer to its last step, or until it is stopped, and keep a run folder.

    trainer: a Trainer at step 0. run: the folder; new, or with `resume` one that holds
    checkpoints of this training. about: more JSON values for config.json, which says
    of which data, network and settings the run is in any case. held_out: (x_0, y) that
    the trainer does not see, y None without labels, or a dataset with labels of its own or
    none. They are changed by the trainer's transform, in the same way every time; their
    loss is measured with every checkpoint that falls on `save_every`, and the one where it
    is lowest stays. pictures: a function (model, step) called with the EMA every
    `sample_every` steps, on all processes; if it returns the path of a picture, boards
    show that. max_minutes: stop after so long, above 0. tensorboard: write what
    TensorBoard reads into the folder too. wandb: a project of Weights & Biases to show the
    run in, "" for none. progress: show a bar. ready: a function () called before the first
    update, once nothing more is refused.
    Returns {"step", "updates", "finished", "stopped_by", "seconds", "examples_per_second"};
    updates are those of this call, stopped_by is the name of a signal, or None.
    Raises FileExistsError where the folder holds a run and `resume` is not set, ValueError
    where it is of other data, another network or schedule, or past the trainer's last
    step, and where drawn_with in config.json is no chain for its model, RuntimeError where
    another process writes it, OSError where it cannot be written, NotFinite where the loss
    is not finite: the last checkpoint stays, and the batch is saved beside it.
    """
    run, first = Path(run), trainer.rank == 0
    if max_minutes is not None and not max_minutes > 0:
        raise ValueError(f"max_minutes must be above 0, got {max_minutes!r}")
    if not (pictures is None or callable(pictures)):
        raise TypeError(f"pictures must be a function (model, step), got {pictures!r:.60}")
    held_out = as_held_out(trainer, held_out)
    check_network(trainer.model)
    check_answers(trainer.model, trainer.batches.shape, trainer.schedule.T)
    check_boards(tensorboard, wandb)
    with locked(run) if first else nullcontext(), Stop() as stop:
        _barrier(trainer)
        found = checkpoints(run)
        if found and not resume:
            raise FileExistsError(
                f"{run} already holds a run, up to {found[-1].name}: go on with it "
                "(ddpm-lite resume), or name another folder"
            )
        instruments = Instruments(
            trainer.schedule.T, trainer.device, trainer.config.grad_clip
        )
        changed_by = trainer.batches.described().get("transform", "")
        best = Best(held_out, trainer.config.keep_best, changed_by)
        length = _restore(trainer, instruments, best, run) if found else 0
        if ready is not None:
            ready()
        known = facts(trainer, held_out)
        if found:
            known |= read_json(run / "config.json")  # what a command may have written there
        known |= {"precision": trainer.precision, "versions": versions()}
        known |= {"commit": commit(), **(about or {}), "train": trainer.config.as_dict()}
        about = known
        check_stored_chain(about, trainer.model, trainer.schedule, run / "config.json")
        if first:
            write_text(run / "config.json", json.dumps(about, indent=1) + "\n")
        shown = boards_of(run, trainer.step, about, tensorboard, wandb) if first else []
        session = Session(trainer, run, about, instruments, best, length, shown)
        try:
            if not found:
                session.save()
            return session.go(stop, held_out, pictures, max_minutes, progress)
        except NotFinite as error:
            raise session.keep_batch(error) from None
        except Unreadable:
            if trainer.world == 1:  # else others may wait in an update
                session.save()
            raise
        finally:
            session.close()


class Session:
    r"""One process' stretch of a run: its open files, and what is done between updates.

    Arguments are the pieces that `fit` has made; length: bytes of metrics.jsonl to keep;
    boards: where else its numbers are shown.
    """

    def __init__(self, trainer, run, about, instruments, best, length, boards):
        self.trainer, self.run, self.about = trainer, run, about
        self.instruments, self.first = instruments, trainer.rank == 0
        self.best, self.boards = best, boards
        self.metrics = Log(run / "metrics.jsonl", length) if self.first else None
        self.timing = Log(run / "timing.jsonl") if self.first else None

    def go(self, stop, held_out, pictures, max_minutes, progress):
        r"""Make the updates that are left. Returns what `fit` returns."""
        trainer, config = self.trainer, self.trainer.config
        started = lap = time.perf_counter()
        begin = lap_step = trainer.step
        busy = 0.0  # seconds of updates alone
        bar = tqdm(
            total=config.steps,
            initial=begin,
            unit="step",
            desc="training",
            disable=not (progress and self.first),
        )
        for record in trainer.run():
            self.instruments.add(record)
            bar.update()
            last = record.step == config.steps
            minutes = (time.perf_counter() - started) / 60
            late = max_minutes is not None and minutes >= max_minutes
            stopping = self._agree(stop.asked is not None or late)
            due = {
                "log": record.step % config.log_every == 0 or last,
                "save": record.step % config.save_every == 0,
                "sample": config.sample_every and record.step % config.sample_every == 0,
            }
            if not (any(due.values()) or last or stopping):
                continue
            trainer.check_finite()
            now = time.perf_counter()
            busy += now - lap
            speed = (record.step - lap_step) * config.batch_size / (now - lap)
            if due["log"]:
                line = self.log(record, speed)
                bar.set_postfix_str(f"loss {line['loss']:.4f}, {speed:.0f} examples/s")
            if due["save"]:
                self.measure(held_out)
            if pictures is not None and (due["sample"] or last):
                self.show(pictures(trainer.ema.model, record.step))
            if due["save"] or last or stopping:
                self.save()
            if stopping:
                break
            lap, lap_step = time.perf_counter(), record.step
        bar.close()
        done = trainer.step - begin
        speed = done * config.batch_size / max(busy, 1e-9)
        return {
            "step": trainer.step,
            "updates": done,
            "finished": trainer.step >= config.steps,
            "stopped_by": stop.asked and stop.asked.name,
            "seconds": round(time.perf_counter() - started, 2),
            "examples_per_second": float(f"{speed:.5g}"),
        }

    def log(self, record, speed):
        r"""Write one line of metrics, and one of timing; returns the first."""
        trainer = self.trainer
        line = {"step": record.step, **self.instruments.read()}
        line["lr"] = trainer.optimizer.param_groups[0]["lr"]
        line["ema_initial_share"] = trainer.ema.initial_share
        self._write(line)
        if self.first:
            timing = {"step": record.step, "examples_per_second": round(speed, 1)}
            self.timing.write(timing | {"threads": torch.get_num_threads()})
        return line

    def measure(self, held_out):
        r"""Write the EMA's loss on held-out examples."""
        if held_out is not None:
            loss, bands = held_out_loss(self.trainer, *held_out)
            self.best.measured(self.trainer.step, loss)
            line = {"step": self.trainer.step, "held_out_loss": loss}
            self._write(line | {"held_out_bands": bands})

    def show(self, path):
        r"""Show a picture on the boards, where a path was given."""
        for board in self.boards if isinstance(path, (str, Path)) else ():
            board.picture(path, self.trainer.step)

    def save(self):
        r"""Write a checkpoint from which another process goes on exactly."""
        trainer = self.trainer
        tensors, numbers = trainer.state()
        tensors |= self.instruments.state()
        if self.first:
            numbers["metrics_bytes"] = self.metrics.to_disk()
            numbers |= self.best.state()
            write_checkpoint(
                self.run,
                trainer.ema.model,
                trainer.schedule,
                self.about,
                tensors,
                numbers,
                trainer.config.keep,
                self.best.step,
            )
        _barrier(trainer)

    def keep_batch(self, error):
        r"""Save the batch on which the loss was not finite; returns the error to raise."""
        names = ("x_0", "t", "noise", "y")
        values = (*self.trainer.draw(error.step), self.trainer.labels(error.step))
        batch = {n: v for n, v in zip(names, values, strict=True) if v is not None}
        path = self.run / f"bad_batch_step_{error.step:09d}.safetensors"
        if self.first:
            save_file({name: v.contiguous() for name, v in batch.items()}, path)
        error.args = (
            f"{error.args[0]}. The batch is in {path}; the run is whole up to "
            f"{checkpoint_of(self.run).name}",
        )
        return error

    def close(self):
        r"""Close the files."""
        for file in (self.metrics, self.timing, *self.boards):
            if file is not None:
                file.close()

    def _write(self, line):
        if self.first:
            self.metrics.write(line)
        for board in self.boards:
            board.line(line)

    def _agree(self, requested):
        if self.trainer.world == 1:
            return requested
        vote = torch.tensor(float(requested), device=self.trainer.device)
        distributed.all_reduce(vote)  # one process was asked: all stop, at one step
        return bool(vote)


class Stop:
    r"""Remember a first Ctrl-C or SIGTERM instead of ending at once; a second one ends."""

    def __init__(self):
        self.asked, self.before = None, {}

    def __enter__(self):
        try:
            for kind in (signal.SIGINT, signal.SIGTERM):
                self.before[kind] = signal.signal(kind, self._note)
        except ValueError:
            pass  # not the main thread: signals are somebody else's there
        return self

    def __exit__(self, *_):
        for kind, handler in self.before.items():
            signal.signal(kind, handler)

    def _note(self, kind, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = signal.Signals(kind)
        message = "\nstopping after this update, with a checkpoint (again: now)"
        with suppress(RuntimeError):  # stderr was just being written, by the bar
            print(message, file=sys.stderr, flush=True)


def _restore(trainer, instruments, best, run):
    folder = checkpoint_of(run)
    with or_older(run, folder):
        pretrained, tensors, numbers = read_checkpoint(folder, type(trainer.model))
        _check_numbers(numbers, folder)
    if not pretrained.schedule.same_as(trainer.schedule):
        one, other = pretrained.schedule, trainer.schedule
        raise ValueError(
            f"{folder} was trained with another schedule (T = {one.T}, beta_T = "
            f"{float(one.beta[-1]):.3g}) than the one given (T = {other.T}, beta_T = "
            f"{float(other.beta[-1]):.3g})"
        )
    try:
        trainer.restore(pretrained.model.state_dict(), tensors, numbers)
        if trainer.rank == 0:
            instruments.restore(tensors)
            best.restore(numbers, run)
        if trainer.step > trainer.config.steps:
            raise ValueError(
                f"it has made {trainer.step:,} steps already, and `steps`, their number in "
                f"all, is {trainer.config.steps:,}: give more"
            )
        if trainer.rank == 0:
            _tell_lost(run / "metrics.jsonl", numbers["metrics_bytes"], folder)
        return numbers["metrics_bytes"]
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} was not written by ddpm_lite.training.fit: {error}"
        ) from error


def _check_numbers(numbers, folder):
    r"""Refuse a state.json that is not what `Trainer.state` gave, or of another step."""
    path = folder / "state.json"
    if not isinstance(numbers, dict):
        raise ValueError(f"{path} must hold {{name: value}}, got {numbers!r:.60}")
    for name, kinds in _NUMBERS.items():
        if name not in numbers:
            raise ValueError(f"{path} lacks {name!r}: restore the file")
        value = numbers[name]
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if not fits or (kinds is not str and kinds is not dict and not value >= 0):
            raise ValueError(f"{path} is damaged: {name} cannot be {value!r:.60}")
    if not isinstance(numbers.get("identity", {}), dict):
        raise ValueError(f"{path} is damaged: identity is {numbers['identity']!r:.60}")
    if numbers["step"] != step_of(folder):
        raise ValueError(
            f"{path} is of step {numbers['step']:,}, and its folder of step "
            f"{step_of(folder):,}: files of two checkpoints were mixed"
        )


def _tell_lost(path, length, folder):
    r"""Warn where metrics that were written before a checkpoint are not there any more."""
    there = path.stat().st_size if path.is_file() else 0
    if there < length:
        what = f"has {there:,} of the {length:,} bytes" if there else "lacks all"
        warnings.warn(
            f"{path} {what} that stood there at {folder.name}: metrics of earlier steps "
            "are lost, and the curves lack them",
            stacklevel=4,
        )


def _barrier(trainer):
    if trainer.world > 1:
        distributed.barrier()
