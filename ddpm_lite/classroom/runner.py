r"""A submission's process, seen from the grader: start it, ask it, give up on it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from . import jail, wire
from .answer import lent
from .exercise import Hint, Unsolved

_START = """
import os, sys
package, fd, memory, seconds, processes = sys.argv[1], *map(int, sys.argv[2:])
inside = lambda p: os.path.isdir(os.path.join(p, "ddpm_lite")) and "site-packages" not in p
sys.path[:] = [package, *(p for p in sys.path if not inside(p))]
from ddpm_lite.classroom.worker import main
main(fd, memory, seconds, processes)
"""


class Stopped(Exception):
    r"""The process did not answer: it took too long, ended, or wrote nonsense."""


class Runner:
    r"""The process of one submission. A context manager: it ends with the block.

    package: the folder of `lacking.write`. isolation: one of `jail.KINDS`. memory_gb:
    address space it may take. seconds: what its cells and its exercises may take together,
    and half of that the cells alone; `left` says how much of it remains.
    """

    def __init__(self, cells, package, isolation, *, memory_gb=4.0, seconds=120.0):
        self.cells, self.package, self.isolation = list(cells), package, isolation
        self.memory, self.left = int(memory_gb * 2**30), seconds
        self.seconds = seconds
        self.process = self.socket = self.folder = None
        self.errors = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        r"""Start the process and run the cells, unless it runs already.

        `errors` then holds what went wrong in which cell. Raises `Stopped`.
        """
        if self.process is not None:
            return
        self.folder = tempfile.TemporaryDirectory(prefix="submission-")
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                self._command(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.folder.name,
                env=self._environment(),
                start_new_session=True,
            )
        with self._timed(min(self.left, self.seconds / 2)) as until:
            self._send({"cells": self.cells}, until)
            self.errors = _errors(self._receive(until))

    def ask(self, name, args, options, seconds):
        r"""Call the submission's function `name`; args may hold functions of the check.

        Returns what it gave back, and the seconds that the process took for it. Raises
        `Hint` for what the function did wrong, `Unsolved`, or `Stopped`.
        """
        given, before = [], self.left
        with self._timed(min(seconds, self.left)) as until:
            self._send({"name": name, "args": args, "options": options}, until, given)
            while "ask" in (reply := self._receive(until)):
                self._send(_lend(given, reply), until)
        return _opened(reply, name), before - self.left

    def stop(self):
        r"""End the process and all that it has started, as far as they are known."""
        if self.process is None:
            return
        self.socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        self.folder.cleanup()

    def _command(self, fd):
        seconds = int(2 * self.seconds) + 30  # of processor time, a last resort
        processes = 0 if self.isolation == "none" else 256
        start = [sys.executable, "-I", "-c", _START, str(self.package), str(fd)]
        return jail.apart(
            [*start, str(self.memory), str(seconds), str(processes)],
            self.isolation,
            shown=[self.package],
            hidden=[Path(wire.__file__).parents[1]],
        )

    def _environment(self):
        home = self.folder.name if self.isolation == "none" else "/tmp"
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
        }

    @contextmanager
    def _timed(self, seconds):
        r"""Gives the moment at which time is up; what the block takes is gone from left."""
        begun = monotonic()
        try:
            yield begun + seconds
        except TimeoutError as error:
            raise self._gone(f"took longer than {seconds:.0f} s") from error
        except (EOFError, OSError) as error:
            raise self._gone("ended before it answered") from error
        except ValueError as error:
            raise self._gone(f"sent what cannot be read ({error})") from error
        finally:
            self.left = max(0.0, self.left - (monotonic() - begun))

    def _send(self, value, until, given=None):
        data = wire.pack(value, given)
        self._wait(until)
        wire.send(self.socket, data)

    def _receive(self, until):
        reply = wire.unpack(wire.receive(self.socket, lambda: self._wait(until)))
        if not isinstance(reply, dict):
            raise ValueError("not a dict")
        return reply

    def _wait(self, until):
        if monotonic() >= until:
            raise TimeoutError
        self.socket.settimeout(until - monotonic())

    def _gone(self, how):
        self.stop()
        return Stopped(how)


class RemoteAnswer:
    r"""The submission's function for one exercise, as a check calls it."""

    def __init__(self, runner, exercise):
        self.runner, self.exercise = runner, exercise
        self.left = exercise.seconds

    def __call__(self, *args, **options):
        value, took = self.runner.ask(self.exercise.name, args, options, self.left)
        self.left -= took
        return value


def _lend(given, reply):
    r"""Call a function of the check for the submission, and say in a dict how it ended."""
    try:
        function = lent(given[reply["ask"]], wire.unpack)
        return {"value": function(*reply["args"], **reply["options"])}
    except Exception as error:  # whatever a submission passes to it
        return {"raised": f"{type(error).__name__}: {str(error)[:500]}"}


def _errors(reply):
    errors = reply.get("errors", [])
    if not all(isinstance(i, int) and isinstance(text, str) for i, text in errors):
        raise ValueError("errors of another form")
    return [(i, text[:300]) for i, text in errors[:20]]


def _opened(reply, name):
    if "value" in reply:
        return reply["value"]
    if "unsolved" in reply:
        raise Unsolved
    if "raised" in reply:
        raise Hint(str(reply["raised"])[:2000])
    there = ", ".join(map(str, reply.get("missing", [])))[:500]
    raise Hint(f"there is no function {name}; the notebook defines {there or 'none'}")
