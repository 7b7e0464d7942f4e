r"""The benchmark's clock: turns, rates, and a plan of what is measured in which time."""

import math
import sys
import time
from contextlib import contextmanager
from statistics import median

import torch
from tqdm import tqdm


def timed(task, device):
    r"""Seconds of a function without arguments; its own number if it returns a float."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    own = task()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return own if isinstance(own, float) else max(time.perf_counter() - start, 1e-9)


def interleave(tasks, rounds, device, least=0.2, *, most=math.inf, note=None):
    r"""Time functions in turns. Returns {name: seconds of one call, one for each round}.

    tasks: {name: function without arguments}; one that returns a float has timed itself.
    A first round, which is not counted, finds how many calls last `least` seconds. most:
    seconds that all may take together: the last tasks are left out where not even one
    round would fit, then rounds are; the first task and one round always stay. note:
    called as note(name, seconds, share): each first time, then None, with the share done.
    """
    seconds, calls, once, start = {}, {}, {}, time.perf_counter()
    note, least = note or (lambda *_: None), min(least, most / (8 * len(tasks)))
    for number, (name, task) in enumerate(tasks.items()):
        dearest = max(once.values(), default=0.0)  # as the next one may be
        if _spent(start) + sum(once[n] * calls[n] for n in calls) + 3 * dearest > most:
            break
        first = timed(task, device)
        once[name] = first if first > least else timed(task, device)
        calls[name] = max(1, math.ceil(least / once[name]))
        seconds[name] = []
        note(name, once[name], (number + 1) / len(tasks) / (rounds + 1))
    names = list(calls)
    for number in range(rounds):
        before, shift = _spent(start), number % len(names)  # nobody is always the first
        for turn, name in enumerate(names[shift:] + names[:shift]):
            total = sum(timed(tasks[name], device) for _ in range(calls[name]))
            seconds[name].append(total / calls[name])
            note(name, None, (number + 1 + (turn + 1) / len(names)) / (rounds + 1))
        if 2 * _spent(start) - before > most:  # another such round
            break
    return seconds


def _spent(start):
    return time.perf_counter() - start


def rate(seconds, count):
    r"""`count` things per second: {"median", "low", "high"} over the rounds."""
    return spread([count / s for s in seconds])


def ratio(mine, theirs):
    r"""How many times faster mine is than theirs, round by round, as `rate` tells it."""
    return spread([b / a for a, b in zip(mine, theirs, strict=True)])


def spread(values):
    r"""Median, smallest and largest of some numbers, to four digits."""
    three = {"median": median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in three.items()}


class Plan:
    r"""What is measured, one part after the other, with a bar that says how long yet.

    parts: {name: seconds that it may take}, guesses, in their order. budget: seconds that
    all may take together, infinite if nothing is to be cut short. file: where bar and
    lines go, stderr if None; where that is no terminal, every part is a line.
    """

    def __init__(self, parts, budget=math.inf, file=None):
        self.ahead, self.budget, self.start = dict(parts), budget, time.perf_counter()
        self.done = self.guess = 0.0
        self.file = file or sys.stderr
        self.shown = self.file.isatty()
        bar = "{desc}{percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"
        more = dict(bar_format=bar, smoothing=0, file=self.file, leave=False)
        self.bar = tqdm(total=sum(parts.values()), disable=not self.shown, **more)

    def tell(self, line):
        r"""Print a line, above the bar."""
        tqdm.write(line, file=self.file)
        self.file.flush()

    def share(self, name):
        r"""Seconds that the parts may take whose names begin so: a share of what is left.

        Infinite without a budget. What others did not use of theirs, or took beyond it, is
        shared by all to come.
        """
        mine = sum(v for k, v in self.ahead.items() if k.startswith(name))
        left = max(0.0, self.budget - _spent(self.start))
        return left * mine / sum(self.ahead.values()) if left < math.inf else left

    @contextmanager
    def part(self, name):
        r"""Measure a part. Gives the seconds that it may take, see `share`."""
        share = self.share(name)
        self.guess = self.ahead.pop(name, 0.0)
        ahead = self.guess + sum(self.ahead.values())
        self.bar.set_description(name)
        if not self.shown:
            pace = _spent(self.start) / self.done if self.done else 0.0
            self.tell(name + (f"; about {pace * ahead:.0f} s left" if pace else ""))
        yield share
        self.note(1.0)
        self.done += self.guess

    def note(self, share):
        r"""Say which share of the present part is done."""
        self.bar.update(self.done + share * self.guess - self.bar.n)

    def close(self):
        r"""Take the bar away."""
        self.bar.close()
