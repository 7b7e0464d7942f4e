r"""The command `ddpm-lite`: from a folder of pictures to new ones.

Each command is a module of this folder with the dataclass `Options`, in which the help is
said too, and `run(options, threads)`. It is imported only when it is called, and after the
load of the machine begins to be read: torch comes with it. Results that a program may read
are printed as JSON with --json.

An error is one line on stderr, and one of all processes where torchrun starts several:
what was expected, what came, what to do. The exit status says how it ended: 0 done; 1 it
could not be done, or `doctor` found something wrong; 2 the command line was not understood;
130 stopped by Ctrl-C and 143 by SIGTERM; 141 all was done, but the pipe that it was told to
had closed.
"""

import os
import sys
import warnings
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib import import_module

from ..training.threads import Threads
from . import parsing

# name: (module, what it does)
COMMANDS = {
    "quickstart": (
        "quickstart",
        "Train on handwritten digits for a minute or two, draw new ones and measure them.",
    ),
    "presets": (
        "presets",
        "List the named settings that train starts from, and the models that are shipped.",
    ),
    "train": (
        "train",
        "Train on pictures: ddpm-lite train [PRESET] --data FOLDER [options].",
    ),
    "resume": ("resume", "Go on with a run from its newest checkpoint."),
    "sample": (
        "sample",
        "Draw pictures with the EMA of a run, a weight file or a model that is shipped.",
    ),
    "evaluate": (
        "evaluate",
        "Measure samples against pictures that were set aside, and training ones beside.",
    ),
    "info": (
        "info",
        "Tell what a run, a weight file, a shipped model or a preset is and costs.",
    ),
    "curves": (
        "curves",
        "Draw the curves of a run: loss, bands of t, held-out loss, gradient, EMA.",
    ),
    "doctor": (
        "doctor",
        "Check this installation, and a run if one is named, and say what is wrong.",
    ),
    "bench": (
        "bench",
        "Measure speed and memory here, beside diffusers where that is installed.",
    ),
    "grade": (
        "grade",
        "Check a class's notebooks of exercises, each apart from the others.",
    ),
    "export": ("export", "Write a model as a folder that another library loads."),
    "import": ("import_", "Read a DDPM of the library diffusers into a weight file."),
}


def main(arguments=None):
    r"""Run a command line, sys.argv if None. Returns the exit status.

    Raises SystemExit after COMMAND --help, with 0, and with 2 for options that it does not
    understand.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a letter that they lack ends no training
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    told = Told()
    try:
        with told, notes():
            status = _answer(arguments)
    except SystemExit as stopped:
        if stopped.code or not told.status:
            raise
        status = 0
    return status or told.status


def usage():
    r"""What the commands are, in a few lines."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}} {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ddpm-lite COMMAND [options]; COMMAND --help tells its options, "
            "--version the version",
            *lines,
        ]
    )


def _answer(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        package = import_module(__package__.partition(".")[0])
        print(f"ddpm-lite {package.__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        near = parsing.nearest(name, COMMANDS)
        return _say(f"there is no command {name!r}{near}; see ddpm-lite --help", 2)
    threads = Threads()
    try:
        command, options = _understood(name, rest)
        status = command.run(options, threads) or 0
    except parsing.Misunderstood as error:
        _say(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        status = _say("stopped", 130)
    except (ValueError, OSError, FloatingPointError, RuntimeError, ImportError) as error:
        status = _say(_in_words(error), 1)
    except MemoryError as error:
        status = _say(_in_words(error), 1)
    finally:
        threads.end()
    if "RANK" in os.environ:  # torchrun's
        from ..training.together import leave  # brings torch

        leave(status)
    return status


def _understood(name, rest):
    r"""The module of a command, and its options. Raises as `parsing.parse`."""
    odd = [word for word in rest if "\0" in word]
    if odd:
        raise parsing.Misunderstood(f"no word may hold a NUL character, got {odd[0]!r}")
    command = import_module(f".{COMMANDS[name][0]}", __package__)
    if name == "train":  # a preset may come first
        return command, command.parse(rest)
    return command, parsing.parse(command.Options, name, rest)


# --- how a command ends


def _say(message, status=1):
    text = " ".join(str(message).split())
    if not _said_elsewhere(text):
        print(f"ddpm-lite: {text}", file=sys.stderr)
    return status


def _said_elsewhere(text):
    r"""Whether another of the processes that torchrun started has said the same."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return False
    from torch import distributed

    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    try:  # torchrun's own store, which counts across processes and machines
        where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = distributed.TCPStore(*where, timeout=timedelta(seconds=5))
        return store.add(f"ddpm-lite {again}: {text}", 1) > 1
    except (KeyError, ValueError, RuntimeError):
        return False  # better twice than never


def _in_words(error):
    r"""What an error says, with the file or the advice that Python and torch leave out."""
    text = " ".join(str(error).split())
    lacking = ("out of memory", "can't allocate memory", "not enough memory")
    if isinstance(error, MemoryError) or any(words in text for words in lacking):
        why = f" ({text[:200]})" if text else ""
        return f"the memory does not suffice{why}: take smaller batches, or fewer pictures"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"cannot use {error.filename}: {error.strerror}"
    return text or type(error).__name__


@contextmanager
def notes():
    r"""Let warnings be one line too, in the style of errors, until the end of the block."""

    def line(message, category, filename, lineno, line=None):
        return f"ddpm-lite: note: {' '.join(str(message).split())}\n"

    before, warnings.formatwarning = warnings.formatwarning, line
    try:
        yield
    finally:
        warnings.formatwarning = before


class Told:
    r"""Let nothing that is only told end what is done: a closed pipe, a full disk.

    While it is entered, what cannot be written to stdout or stderr is left out. `status` is
    then 141 where a pipe had closed, as of other programs, and 1 for other reasons.
    """

    def __init__(self):
        self.streams, self.status = [], 0

    def __enter__(self):
        self.before = sys.stdout, sys.stderr
        self.streams = [_Stream(stream) for stream in self.before]
        sys.stdout, sys.stderr = self.streams
        return self

    def __exit__(self, *_):
        for stream in self.streams:
            stream.flush()
        sys.stdout, sys.stderr = self.before
        for error in (stream.error for stream in self.streams):
            if isinstance(error, BrokenPipeError):
                self.status = 141
            elif error is not None:
                self.status = _say(f"what was to be told is not whole: {error.strerror}")


class _Stream:
    r"""A stream of text that swallows what it cannot write, and keeps the first error."""

    def __init__(self, stream):
        self.stream = open(os.devnull, "w") if stream is None else stream
        self.error = None

    def write(self, text):
        self._try(self.stream.write, text)
        return len(text)

    def flush(self):
        self._try(self.stream.flush)

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def _try(self, do, *arguments):
        if self.error is not None:
            return
        try:
            do(*arguments)
        except OSError as error:
            self.error = error
            with suppress(OSError):  # what is left in its buffer has to go somewhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
