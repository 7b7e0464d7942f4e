r"""How many threads compute: as many as cores are free, looked at again on the way.

The threads of one operation wait for each other, spinning. Where one of them shares its
core with another program, all of them wait until it has its turn again, several hundred
times in a training step: with two threads on two cores, one busy neighbour can make a step
ten times as long, and a thread fewer costs less than two. Waiting asleep
(OMP_WAIT_POLICY=passive) helps there, but slows down small operations where nobody else
is at work, so how threads wait is left to OpenMP, and their number follows the neighbours.
`ddpm-lite bench` measures what a busy one costs then.

A sum is added up in another order by another number of threads, so that its last bits
differ: who needs the same bits twice fixes the number, by --threads or OMP_NUM_THREADS.
"""

import math
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

VARIABLES = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")  # a user's own; torch asks MKL first
EVERY = 2.0  # seconds that the load is averaged over
TAKEN = 0.35  # of a core that others use, from which on it counts as theirs
GIVEN_BACK = 0.15  # and down to which it has to fall to count as free
CALM = 10.0  # seconds that a core must be free before it is used again


def cores(quota="/sys/fs/cgroup/cpu.max"):
    r"""How many cores this process may use, by its affinity and its container's quota.

    quota: the file in which Linux keeps "QUOTA PERIOD" of a container, or "max PERIOD".
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    many = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        most, period = Path(quota).read_text("ascii").split()
    except OSError:
        return many
    return many if most == "max" else max(1, min(many, int(most) // int(period)))


class Load:
    r"""How many cores others keep busy, from one question to the next.

    cores: how many of them there are, those of hyper-threads counted too, which this
    process may use. Raises ImportError where psutil is missing, which reads the load on
    every system.
    """

    def __init__(self):
        import psutil

        self.times = psutil.cpu_times
        process = psutil.Process()
        known = hasattr(process, "cpu_affinity")  # not on macOS, where there is none
        self.mine = set(process.cpu_affinity()) if known else None
        self.before = self._read()
        *_, self.cores = self.before

    def _read(self):
        each = self.times(percpu=True)
        each = [t for i, t in enumerate(each) if self.mine is None or i in self.mine]
        idle = sum(t.idle + getattr(t, "iowait", 0.0) for t in each)
        counted = sum(map(sum, each))
        return time.perf_counter(), counted, idle, time.process_time(), len(each)

    def seconds(self):
        r"""How long ago the last question was."""
        return time.perf_counter() - self.before[0]

    def others(self):
        r"""Cores that others kept busy since the last question, a float; 0 if unknown.

        Only the cores that this process may use are looked at, and its own time, spinning
        included, is taken off.
        """
        before, self.before = self.before, self._read()
        seconds, counted, idle, own, _ = (
            b - a for a, b in zip(before, self.before, strict=True)
        )
        if counted < 0.5 * seconds * self.cores:
            return 0.0  # a system that does not count the time of its cores
        return max(0.0, self.cores - (idle + own) / max(seconds, 1e-9))


class Threads:
    r"""The number of threads that torch computes with, beside what others do.

    Make it before torch is imported, so that the load is read meanwhile, and call `begin`
    after; from then on `look` keeps the number right, until `end` puts back what torch had.
    load, clock: to be replaced in tests.
    """

    def __init__(self, load=Load, clock=time.monotonic):
        self.clock, self.calm_since, self.others, self.fixed = clock, None, 0.0, None
        self.most, self.now, self.before = 1, 1, None
        try:
            self.load = load()
        except Exception:  # psutil is missing, or may not read this system's load
            self.load = None  # nobody can be seen: `summary` says so

    def begin(self, requested=None):
        r"""Choose the number, as `choose`, and set it. Returns self."""
        import torch

        self.before = torch.get_num_threads()
        torch.set_num_threads(self.choose(requested).now)
        return self

    def end(self):
        r"""Give torch the number back that it had before `begin`, if that was called."""
        if self.before is not None:
            import torch

            torch.set_num_threads(self.before)

    def choose(self, requested=None):
        r"""Choose the number for the first time. Returns self.

        requested: a number that stays, or None; a user's variable (see VARIABLES) fixes it
        too. Raises ValueError for a number below 1 or above all cores.
        """
        import torch

        from ..checks import check_integer  # imports torch too

        self.fixed, name = None, next(filter(_number_in, VARIABLES), None)
        if requested is not None:
            most = os.cpu_count() or 1  # more would only wait for each other
            self.most = check_integer("--threads", requested, 1, most)
            self.fixed = "--threads"
        elif name is not None:
            self.most, self.fixed = torch.get_num_threads(), f"{name}={_number_in(name)}"
        else:
            self.most = max(1, min(torch.get_num_threads(), cores()))
        self.now = self.most
        if self._watches():
            time.sleep(max(0.0, 0.5 - self.load.seconds()))
            self.others = self.load.others()
            self.now = self._free(TAKEN)
        return self

    def _watches(self):
        return self.load is not None and self.fixed is None and self.most > 1

    def _free(self, share):
        return min(self.most, max(1, self.load.cores - math.ceil(self.others - share)))

    def look(self):
        r"""Look at the load again, if it is time, and follow it.

        A core that others take is left to them at once; one that they leave is used again
        after CALM seconds (and up to half as many more, so that two processes do not both
        jump at it). Returns whether the number has changed.
        """
        if not self._watches() or self.load.seconds() < EVERY:
            return False
        import torch

        self.others, before = self.load.others(), self.now
        if self._free(TAKEN) < self.now:
            self.now, self.calm_since = self._free(TAKEN), None
        elif self._free(GIVEN_BACK) > self.now:
            self.calm_since = self.calm_since or self.clock()
            if self.clock() - self.calm_since >= CALM * (1 + os.getpid() % 8 / 16):
                self.now, self.calm_since = self.now + 1, None
        else:
            self.calm_since = None
        if self.now != before:
            torch.set_num_threads(self.now)
        return self.now != before

    def summary(self):
        r"""What was chosen, and why, in a few words."""
        many = f"{self.now} thread{'s' if self.now > 1 else ''}"
        if self.fixed is not None:
            return f"{many}, as {self.fixed} says"
        if self.most == 1:
            return f"{many}: torch was set to one, or there is one core"
        if self.load is None:
            return f"{many}; without psutil neighbours cannot be seen"
        if self.now < self.most:
            return f"{many}: others keep {self.others:.1f} of {self.load.cores} cores busy"
        return f"{many}, fewer when others need the cores"


def _number_in(name):
    # OpenMP takes a list too, a number for each level, and ignores what is no number
    first = os.environ.get(name, "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


@contextmanager
def following(threads, *models):
    r"""Let a Threads look at the load whenever a module is called; None changes nothing.

    What changes is said on stderr. Modules on another device than the CPU are left alone.
    """

    def look(module, inputs):
        if threads.look():
            tqdm.write(f"from here on {threads.summary()}", file=sys.stderr)

    here = [m for m in models if next(m.parameters()).device.type == "cpu"]
    hooks = [model.register_forward_pre_hook(look) for model in here if threads]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
