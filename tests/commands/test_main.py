r"""The command line as a whole: what there is, what is refused, when torch is imported."""

import re
import subprocess
import sys
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module

import pytest

import ddpm_lite
from ddpm_lite import commands
from ddpm_lite.commands import parsing, train
from ddpm_lite.commands.main import COMMANDS, main
from ddpm_lite.commands.shared import Drawing, Machine
from ddpm_lite.training.presets import RUNS

EVERY_COMMAND = pytest.mark.parametrize("name", COMMANDS)
COMPUTE = ("quickstart", "train", "resume", "sample", "evaluate", "bench")


def module_of(name):
    return import_module(f"ddpm_lite.commands.{COMMANDS[name][0]}")


def options_of(kind):
    r"""{option: default} of a dataclass, those of dataclasses inside it too."""
    found = {}
    for one in fields(kind):
        if one.type is object:
            continue  # a network of one's own, which is no option
        inside = is_dataclass(one.type)
        found |= options_of(one.type) if inside else {one.name: one.default}
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
        (["train"], "say what to train on: --data"),
        (["evaluate", "s_curve"], "s_curve is an MLP for points, not a model of pictures"),
        (["info", "nowhere"], "nowhere is neither a run folder"),
        (["curves", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_one_line_and_status_1(arguments, words, capsys):
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("ddpm-lite: ") and words in shown and shown.count("\n") == 1


def status_of(arguments):
    try:
        return main(arguments)
    except SystemExit as stopped:
        return stopped.code


SEE = "; see ddpm-lite sample --help"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("smple", "there is no command 'smple': did you mean sample?"),
        ("xyzzy", "there is no command 'xyzzy'; there are quickstart, presets, train"),
        ("train digit", "there is no preset 'digit': did you mean digits? For pictures: "),
        ("train photos/", "there is no preset 'photos/'; there are digits, fashion"),
        ("sample digits --xyzzy", "sample has no option --xyzzy" + SEE),
        ("sample digits --nmu 3", "has no option --nmu: did you mean --num? see ddpm-lite"),
        ("sample digits --nmu=3", "has no option --nmu: did you mean --num?"),
        ("sample digits --num many", "--num must be a whole number, got 'many'" + SEE),
        ("sample digits --num=1.5", "--num must be a whole number, got '1.5'" + SEE),
        ("sample digits --num", "--num must be a whole number, got nothing" + SEE),
        ("sample digits --out --num 3", "--out must be a word, got nothing" + SEE),
        ("sample digits --threads x", "--threads must be a whole number or None, got"),
        ("sample digits two", "sample takes no word 'two'" + SEE),
        ("sample digits --json yes", "--json takes no word 'yes'" + SEE),
        ("sample", "expected ddpm-lite sample RUN [options], got ddpm-lite sample;"),
        ("export digits", "expected ddpm-lite export RUN --out OUT [options], got"),
        ("train digits --size 1 2 3", "a whole number or 2 whole numbers, got '1 2 3'"),
        ("train digits --lr 1,5", "--lr must be a number, got '1,5'; see ddpm-lite train"),
        ("bench --batches 8 few", "--batches must be whole numbers, got '8 few'"),
        ("import x --clip maybe", "--clip takes no word 'maybe'; see ddpm-lite import"),
        ("info digits\0", "no word may hold a NUL character, got 'digits\\x00'"),
        (f"sample digits --num {'9x' * 99}", f"got '{'9x' * 99}'" + SEE),
    ],
)
def test_what_is_not_understood_is_one_line_and_status_2(line, words, capsys):
    assert status_of(line.split(" ")) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("ddpm-lite: ") and shown.count("\n") == 1
    assert words in shown and shown.count("ddpm-lite: ") == 1


@pytest.mark.parametrize("arguments", [["--nope"], ["--num", "many"], ["one", "two"]])
def test_an_option_that_does_not_exist_gives_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "digits", *arguments])
    assert stopped.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize("name", ["-V", "--version", "version"])
def test_the_version_is_told_without_torch(name):
    code = f"from ddpm_lite.commands.main import main\nprint(main([{name!r}]))\n"
    told = ran(f"{code}print('torch' in sys.modules)")
    assert told.splitlines() == [f"ddpm-lite {ddpm_lite.__version__}", "0", "False"]


@EVERY_COMMAND
def test_every_flag_has_both_forms_whatever_its_default(name, capsys):
    starts = [[name, preset] for preset in RUNS] if name == "train" else [[name]]
    for start in starts:
        with pytest.raises(SystemExit):
            main([*start, "--help"])
        shown = capsys.readouterr().out
        options = parsing.options_of(module_of(name).Options)
        flags = {o for o, of in options.items() if of in (bool, bool | None)}
        for flag in flags - {o for o in flags if f"--{o[5:]}" in flags}:
            assert f" {flag}, --no{flag[1:]} " in shown, flag


def test_a_flag_says_what_giving_it_does():
    for preset in RUNS:
        for words, expected in ([["--flip"], True], [["--no-flip"], False]):
            options = train.parse([preset, *words, "--no-labels"])
            assert options.run.train.flip is expected and options.run.labels is False


@pytest.mark.parametrize(
    ("words", "clip"),
    [
        ([], None),
        (["--clip"], True),
        (["--no-clip"], False),
        (["--clip", "True"], True),
        (["--clip", "False"], False),
        (["--clip", "--json"], True),
    ],
)
def test_a_flag_that_may_be_left_open(words, clip):
    assert parsing.parse(module_of("import").Options, "import", ["x", *words]).clip is clip


def test_the_help_of_train_names_the_presets(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"PRESET is one of {', '.join(RUNS)}; small-32 if none is given." in shown
    assert shown.count("PRESET is one of") == 1 == shown.count("if none is given")


@dataclass(frozen=True)
class Deeper:
    r"""Options inside others."""

    lr: float = 1.0  # rate

    def __post_init__(self):
        if self.lr < 0:
            raise ValueError(f"lr must be {'long ' * 40}words, got {self.lr}")


@dataclass(frozen=True)
class Narrow:
    r"""Options that refuse a value, as those of the commands do."""

    deep: Deeper = field(default_factory=Deeper)
    num: int = 3  # how many
    far_off: int = 0  # how far

    def __post_init__(self):
        if self.far_off < 0:
            raise ValueError(f"far_off must be >= 0, got {self.far_off}")
        if self.far_off + self.num > 9:
            raise ValueError("far_off and num are too much")
        if self.num < 1:
            raise ValueError(f"--num must be an integer >= 1, got {self.num}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--num", "0"], "--num must be an integer >= 1, got 0"),
        (["--lr", "-1"], f"--lr must be {'long ' * 40}words, got -1.0"),
        (["--far-off", "-1"], "--far-off must be >= 0, got -1"),
        (["--far-off", "9"], "far_off and num are too much"),
    ],
)
def test_what_a_dataclass_refuses_comes_through_with_its_option(words, expected):
    with pytest.raises(ValueError) as refused:
        parsing.parse(Narrow, "narrow", words)
    assert str(refused.value) == expected
    assert type(refused.value) is ValueError  # understood, and refused: status 1


def test_curves_overwrite_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.png").write_text("mine")
    for out, words in (("mine.png", "already exists"), ("mine.jpg", "must end in .png")):
        assert main(["curves", "run", "--out", out]) == 1
        assert words in capsys.readouterr().err
    assert (tmp_path / "mine.png").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("sample digts", "did you mean digits?"),
        ("sample small-32", "small-32 is a preset, which has no weights: train it first"),
        ("train photos", "For pictures: ddpm-lite train --data photos"),
        ("train --epochs 3", "has no option --epochs: did you mean --steps?"),
        ("train --hlep", "did you mean --help?"),
    ],
)
def test_words_that_are_nearly_right(arguments, words, capsys):
    try:
        status = main(arguments.split())
    except SystemExit as stopped:
        status = stopped.code
    assert status in (1, 2) and words in capsys.readouterr().err
