r"""The command `ddpm-lite`: from a folder of pictures to new ones.

Each command is a module of this folder with the dataclass `Options`, in which the help is
said too, and `run(options, threads)`. It is imported only when it is called, and after the
load of the machine begins to be read: torch comes with it. Results that a program may read
are printed as JSON with --json. An error is one line on stderr and the exit status 1; an
option that does not exist gives status 2.
"""

import os
import sys
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
    r"""Run a command line, sys.argv if None. Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a letter that they lack ends no training
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _fail(f"there is no command {name!r}{parsing.nearest(name, COMMANDS)}")
    threads = Threads()
    try:
        command = import_module(f".{COMMANDS[name][0]}", __package__)
        status = command.run(_options(command, name, rest), threads) or 0
    except (ValueError, OSError, FloatingPointError, RuntimeError, ImportError) as error:
        status = _fail(" ".join(str(error).split()))
    finally:
        threads.end()
    if "RANK" in os.environ:  # torchrun's
        from ..training.experiment import leave  # brings torch

        leave(status)
    return status


def usage():
    r"""What the commands are, in a few lines."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}} {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        ["usage: ddpm-lite COMMAND [options]; COMMAND --help tells its options", *lines]
    )


def _options(command, name, rest):
    if name == "train":  # a preset may come first
        return command.parse(rest)
    return parsing.parse(command.Options, name, rest)


def _fail(message):
    print(f"ddpm-lite: {message}", file=sys.stderr)
    return 1
