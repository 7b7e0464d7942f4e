r"""The command line as a whole: what there is, what is refused, when torch is imported."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest

from ddpm_lite import commands
from ddpm_lite.commands.main import COMMANDS, main
from ddpm_lite.commands.shared import Drawing, Machine

EVERY_COMMAND = pytest.mark.parametrize("name", COMMANDS)
COMPUTE = ("quickstart", "train", "resume", "sample", "evaluate", "bench")


def module_of(name):
    return import_module(f"ddpm_lite.commands.{COMMANDS[name][0]}")


def options_of(kind):
    r"""{option: default} of a dataclass, those of dataclasses inside it too."""
    found = {}
    for field in fields(kind):
        inside = is_dataclass(field.type)
        found |= options_of(field.type) if inside else {field.name: field.default}
    return found


def ran(code):
    r"""What a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["smple"], ["xyzzy"]])
def test_help_and_a_wrong_command_answer_without_torch(arguments):
    code = f"from ddpm_lite.commands.main import main\nmain({arguments})\n"
    assert ran(f"{code}print('torch' in sys.modules)").endswith("False\n")


def test_the_load_is_read_before_torch_is_imported():
    code = "from ddpm_lite.commands import main\n"
    code += "class Seen(main.Threads):\n    def __init__(self):\n"
    code += "        print('torch' in sys.modules)\n        super().__init__()\n"
    code += "main.Threads = Seen\nmain.main(['presets'])\nprint('torch' in sys.modules)"
    first, *_, last = ran(code).splitlines()
    assert (first, last) == ("False", "True")


def test_one_module_for_each_command():
    modules = [module for module, _ in COMMANDS.values()]
    assert sorted([*modules, "parsing", "shared", "main"]) == sorted(commands.CONTENTS)


@EVERY_COMMAND
def test_the_summary_is_the_first_line_of_the_help(name, capsys):
    kind = module_of(name).Options
    assert COMMANDS[name][1] == kind.__doc__.splitlines()[0]
    assert main([]) == 0
    assert any(
        line.split(maxsplit=1) == [name, COMMANDS[name][1]]
        for line in capsys.readouterr().out.splitlines()
    )


@EVERY_COMMAND
def test_help_names_every_option(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    positional = ("run", "submissions", "folder", "name")
    for option in set(options_of(module_of(name).Options)) - {*positional}:
        assert re.search(f" --(no-)?{option.replace('_', '-')} ", shown), option


@EVERY_COMMAND
def test_commands_that_compute_take_a_number_of_threads(name):
    options = options_of(module_of(name).Options)
    assert ("threads" in options) == (name in COMPUTE)
    assert ("device" in options) == (name in COMPUTE[1:])


def test_sample_and_evaluate_draw_by_the_same_options():
    for name in ("sample", "evaluate"):
        options = options_of(module_of(name).Options).items()
        assert options_of(Drawing).items() <= options
        assert options_of(Machine).items() <= options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["smple"], "there is no command 'smple': did you mean sample?"),
        (["xyzzy"], "there is no command 'xyzzy'; there are quickstart, presets, train"),
        (["train", "digit"], "there is no preset 'digit': did you mean digits?; pictures"),
        (["train", "photos/"], "there is no preset 'photos/'; there are digits, fashion"),
        (["train"], "say what to train on: --data"),
        (["sample", "s_curve"], "s_curve is a MLP for points, not a model of pictures"),
        (["info", "nowhere"], "nowhere is no run folder"),
        (["curves", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, words, capsys):
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("ddpm-lite: ") and words in shown and shown.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--nope"], ["--num", "many"], ["one", "two"]])
def test_an_option_that_does_not_exist_gives_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "digits", *arguments])
    assert stopped.value.code == 2
    capsys.readouterr()
