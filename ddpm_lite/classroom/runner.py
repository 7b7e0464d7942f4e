r"""A submission's process, seen from the grader: start it, ask it, give up on it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from . import crowd, jail, messages, wire
from .answer import lent
from .cells import ONLY
from .exercise import Hint, Unsolved
from .held import Package

_START = """
import json, os, sys
package, fd, memory, seconds, processes = sys.argv[1], *map(int, sys.argv[2:6])
inside = lambda p: os.path.isdir(os.path.join(p, "ddpm_lite")) and "site-packages" not in p
sys.path[:] = [package, *(p for p in sys.path if not inside(p))]
if len(sys.argv) > 6:
    from ddpm_lite.classroom.confine import confine, stay_above
    stay_above()
    confine(*json.loads(sys.argv[6]))
from ddpm_lite.classroom.worker import main
main(fd, memory, seconds, processes)
"""
LENT = 128 * 2**20  # bytes that the calls of one check's functions may come to
LENT_AT_ONCE = 2**21  # and one of them
_CALL = 1024  # bytes that a call counts for, whatever it holds
_LOOK = 0.5  # seconds between two looks at the memory of a submission


class Stopped(Exception):
    r"""The process did not answer: it took too long, ended, or wrote nonsense."""


class _TooMuch(Exception):
    r"""All processes of a submission together hold more memory than they may."""


def check_ipython(isolation):
    r"""Raise ValueError where the processes of submissions have no IPython to read cells.

    isolation: one of `jail.KINDS`. It must be there for them: this process needs none.
    """
    look = "import importlib.util as u; raise SystemExit(u.find_spec('IPython') is None)"
    command = jail.apart([sys.executable, "-I", "-c", look], isolation)
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise ValueError(
            "the processes of submissions find no IPython, which reads a notebook's cells: "
            f"{sys.executable} -m pip install ipython (not with --user)"
        )


class Runner:
    r"""The process of one submission. A context manager: it ends with the block.

    package: a `held.Package`, or the folder of `lacking.write`. Where nothing keeps it from
    being written, each process gets a copy of its own.
    isolation: one of `jail.KINDS`. memory_gb: address space of one of its processes, and
    memory of all of them together. seconds: what its cells and its exercises may take
    together, and half of that the cells alone; `left` says how much of it remains.
    """

    def __init__(self, cells, package, isolation, *, memory_gb=4.0, seconds=120.0):
        self.cells, self.isolation = list(cells), isolation
        self.package = Package(package)
        self.memory, self.left = int(memory_gb * 2**30), seconds
        self.seconds = seconds
        self.process = self.socket = self.folder = None
        self.errors, self.remarks, self.lent = None, [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        r"""Start the process and run the cells, unless it runs already.

        Where the cells end it, it is started again for what they define alone. `errors`
        then holds what went wrong in which cell the first time, `remarks` what else.
        Raises `Stopped`.
        """
        if self.process is not None:
            return
        if not self.remarks:
            try:
                part = 2 if self.errors is None else 6  # the second time is a repetition
                return self._run_cells(self.seconds / part, True)
            except Stopped as stopped:
                said = f"the notebook {stopped} while its cells ran; then {ONLY}"
                self.remarks.append(said)
        self._run_cells(self.seconds / 4, False)

    def _run_cells(self, seconds, experiments):
        try:
            self._begin()
        except OSError as error:
            raise self._gone(f"could not be started: {error.strerror}") from error
        with self._timed(min(self.left, seconds)) as until:
            asked = [self.cells, until, experiments]
            self._write(json.dumps(asked).encode(), until)
            errors = self._receive(until, "errors")["errors"]
        self.errors = errors if self.errors is None else self.errors

    def _begin(self):
        self.folder = tempfile.TemporaryDirectory(
            prefix="submission-", ignore_cleanup_errors=True
        )
        self.home = Path(self.folder.name, "home")
        self.home.mkdir()
        package = self.package.readable()
        if self.isolation == "none":
            package = self.package.write(Path(self.folder.name, "package"))
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                self._command(package, theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.home,
                env=self._environment(),
                start_new_session=True,
            )

    def ask(self, name, args, options, seconds):
        r"""Call the submission's function `name`; args may hold functions of the check.

        Returns what it gave back, and the seconds that the process took for it. Raises
        `Hint` for what the function did wrong, `Unsolved`, or `Stopped`.
        """
        given, before = [], self.left
        with self._timed(min(seconds, self.left)) as until:
            asked = {"name": name, "args": args, "options": options}
            self._write(wire.pack(asked, given), until)
            while "ask" in (reply := self._receive(until, *messages.ANSWERS)):
                self._write(wire.pack(_lend(given, reply)), until)
        return _opened(reply, name), before - self.left

    def stop(self):
        r"""End the process and all that it has started, as far as they are known."""
        if self.socket is not None:
            self.socket.close()
        if self.process is not None:
            if self.isolation == "none":
                self._end_all()
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.folder is not None:
            with suppress(Exception):  # such as folders within folders without end
                self.folder.cleanup()
        self.process = self.socket = self.folder = None

    def _end_all(self):
        r"""End what no namespace ends, in several rounds: each may start more meanwhile."""
        for _ in range(50):
            found = crowd.below(self.process.pid)[1:]
            for process in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            if not found:
                return

    def _command(self, package, fd):
        seconds = int(2 * self.seconds) + 30  # of processor time, a last resort
        alone = self.isolation == "none"
        limits = (self.memory, seconds, 0 if alone else 256)
        start = [sys.executable, "-I", "-c", _START, str(package), str(fd)]
        start += map(str, limits)
        if alone:
            readable = [*jail.system(), str(package), "/proc", "/sys/devices/system"]
            start.append(json.dumps([readable, [str(self.home), "/dev/shm"]]))
        own = Path(wire.__file__).parents[1]
        return jail.apart(start, self.isolation, shown=[package], hidden=[own])

    def _environment(self):
        home = str(self.home) if self.isolation == "none" else "/tmp"
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
        except _TooMuch as error:
            gb = self.memory / 2**30
            raise self._gone(f"took more than {gb:g} GB of memory") from error
        except (EOFError, OSError) as error:
            raise self._gone("ended before it answered") from error
        except ValueError as error:
            raise self._gone(f"sent what cannot be read ({error})") from error
        finally:
            self.left = max(0.0, self.left - (monotonic() - begun))

    def _write(self, data, until):
        self._wait(until)
        self.socket.settimeout(max(1e-3, until - monotonic()))
        wire.send(self.socket, data)

    def _receive(self, until, *kinds):
        data = wire.receive(self.socket, lambda: self._readable(until))
        reply = messages.read(data, *kinds)
        if "ask" in reply:
            self.lent += len(data) + _CALL
            if self.lent > LENT or len(data) > LENT_AT_ONCE:
                raise ValueError("more for the check's functions than any check needs")
        return reply

    def _readable(self, until):
        r"""Wait until there is something to read, and look at the memory meanwhile."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        while True:
            self._wait(until)
            self.socket.settimeout(max(1e-3, until - monotonic()))
            if poll.poll(1000 * min(_LOOK, max(0.0, until - monotonic()))):
                return
            if crowd.memory(self.process.pid) > self.memory:
                raise _TooMuch

    def _wait(self, until):
        if monotonic() >= until:
            raise TimeoutError

    def _gone(self, how):
        self.stop()
        return Stopped(how)


class RemoteAnswer:
    r"""The submission's function for one exercise, as a check calls it."""

    def __init__(self, runner, exercise):
        self.runner, self.exercise = runner, exercise
        self.left = exercise.seconds
        runner.lent = 0

    def __call__(self, *args, **options):
        return self._ask(self.exercise.name, args, options)

    def other(self, name):
        r"""Another function of the submission; all calls share the time."""
        return lambda *args, **options: self._ask(name, args, options)

    def _ask(self, name, args, options):
        value, took = self.runner.ask(name, args, options, self.left)
        self.left -= took
        return value


def _lend(given, reply):
    r"""Call a function of the check for the submission, and say in a dict how it ended."""
    try:
        function = lent(given[reply["ask"]], wire.unpack)
        return {"value": function(*reply["args"], **reply["options"])}
    except Exception as error:  # whatever a submission passes to it
        return {"raised": f"{type(error).__name__}: {wire.clean(error, 500)}"}


def _opened(reply, name):
    if "value" in reply:
        return reply["value"]
    if "unsolved" in reply:
        raise Unsolved
    if "raised" in reply:
        raise Hint(reply["raised"])
    there = ", ".join(reply["missing"])
    raise Hint(f"there is no function {name}; the notebook defines {there or 'none'}")
