r"""Whatever is said on a command line: done, or one line with status 1 or 2.

Every command, with odd values for its options, in real and tiny runs: nothing is replaced
by a stub. What a command says it did must be what it was asked for.
"""

import contextlib
import io
import json
import shutil
import warnings
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_lite.commands import parsing
from ddpm_lite.commands.main import COMMANDS, main
from ddpm_lite.training.config import LR_SCHEDULES

WHOLE = ["-1", "0", "1", "2", "3", "07", "1e3", "1.5", str(-(10**30)), str(10**30), "x"]
NUMBERS = ["nan", "inf", "-inf", "-1", "0", "-0.0", "0.5", "1", "1e-320", "1e400", "1,5"]
WORDS = [
    "",
    " ",
    "nowhere",
    "digits",
    "../..",
    "/",
    "\0",
    "a\nb",
    "фото",
    "\udcff",
    "x" * 300,
]
WORDS += ["--", "-", "auto", "none", "cpu", "cuda:99", "meta", "cosine", "None", "[1]"]
VALUES = {int: WHOLE, float: NUMBERS, str: WORDS, type(None): ["None"], bool: ["", "True"]}
# Work stays small whatever else is asked for; what these are asked for is tried by itself.
SMALL = {
    "train": "digits --dry-run --width 8 --groups 4 --batch-size 4 --steps 1",
    "resume": "{run} --steps 2",
    "sample": "{run} --num 1 --steps 1 --out {new}/out",
    "evaluate": "{run} --num 8 --steps 1 --out {new}/out.json",
    "info": "{run}",
    "curves": "{run} --out {new}/out.png",
    "doctor": "nowhere",
    "bench": "--rounds 0",
    "grade": "{new} --csv {new}/out.csv",
    "export": "{run} --out {new}/out",
    "import": "{new} --out {new}/out.safetensors",
    "quickstart": "--steps 0",
    "presets": "",
}
SLOW = {"presets": 2, "evaluate": 6, "curves": 4, "info": 12}  # real work: fewer examples
LATE = ("--num", "--batch-size", "--width", "--size", "--multipliers", "--blocks")
LATE += ("--channels", "--T", "--steps")  # whose large values are real work: few of them


def values_of(kind):
    r"""Hypothesis: what somebody may write for a value of a type."""
    kinds = [k for k in (get_args(kind) or (kind,)) if k in VALUES] or [int]
    return st.sampled_from([v for k in kinds for v in VALUES[k]] + ["many", "-7"])


@st.composite
def lines(draw, name):
    r"""Hypothesis: the options of a command, one to three of them with odd values."""
    kind = import_module(f"ddpm_lite.commands.{COMMANDS[name][0]}").Options
    known = parsing.options_of(kind)
    options = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=3))
    said = []
    for option in options:
        value = draw(values_of(known[option]))
        large = option in LATE and value in ("1e3", "07", str(10**30)) and name != "bench"
        if name == "quickstart" and value in ("1", "2", "3", "07"):
            continue  # a minute of work
        said += [option] if bool in (known[option],) else [option, "2" if large else value]
    return said + draw(st.sampled_from([[]] * 6 + [["--odd"], ["more"], ["--"]]))


def asked(arguments):
    r"""(status, stdout, stderr) of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                status = main(arguments)
            except SystemExit as stopped:
                status = stopped.code
    return status, out.getvalue(), err.getvalue()


def held(kind, options):
    r"""{option: value} of all the options of an instance."""
    found = {}
    for field in fields(kind):
        value = getattr(options, field.name)
        inside = is_dataclass(field.type)
        found |= held(field.type, value) if inside else {field.name: value}
    return found


@pytest.mark.parametrize("name", SMALL)
def test_odd_values_end_in_a_line_and_never_in_a_traceback(
    name, tiny_run, tmp_path, monkeypatch
):
    place = tmp_path / "new" / "here"  # and ../.. is a folder of ours, too

    @settings(max_examples=SLOW.get(name, 25))
    @given(line=lines(name))
    def check(line):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        monkeypatch.chdir(place)
        run = shutil.copytree(tiny_run, place / "run")
        start = SMALL[name].format(run=run, new=place).split()
        status, _, said = asked([name, *start, *line])
        last = said.splitlines()[-1:] if status in (1, 2) else []
        assert status in (0, 1, 2), said
        doctor = name == "doctor" and status == 1 and not said  # its findings
        assert doctor or status == 0 or last[0].startswith("ddpm-lite: "), said
        assert sum(text.startswith("ddpm-lite: ") for text in said.splitlines()) <= 1

    check()


@settings(max_examples=25)
@given(
    num=st.integers(0, 4),
    steps=st.integers(0, 4),
    seed=st.integers(-1, 2**70),
    sampler=st.sampled_from(["ddim", "ancestral", "heun", "dpmpp_2m", "euler"]),
    batch=st.integers(0, 4),
)
def test_what_sample_says_is_what_was_asked(
    tiny_run, tmp_path_factory, num, steps, seed, sampler, batch
):
    out = tmp_path_factory.mktemp("said") / "out"
    given_ = dict(num=num, steps=steps, seed=seed, sampler=sampler, batch=batch)
    words = [word for k, v in given_.items() for word in (f"--{k}", str(v))]
    status, told, said = asked(
        ["sample", str(tiny_run), *words, "--out", str(out), "--json", "--threads", "1"]
    )
    possible = num > 0 and steps > 0 and seed >= 0 and batch > 0
    possible = possible and sampler != "euler"
    assert (status == 0) == possible, said
    if possible:
        told = json.loads(told)
        assert (told["pictures"], told["steps"], told["seed"]) == (num, steps, seed)
        assert len(list(out.glob("0*.png"))) == num
    else:
        assert said.startswith("ddpm-lite: ") and said.count("\n") == 1
        assert not out.exists()


@settings(max_examples=50)
@given(data=st.data())
def test_a_dry_run_says_the_settings_that_were_given(tiny_run, data):
    choice = {
        "lr": st.floats(1e-6, 1),
        "warmup_steps": st.integers(0, 10**6),
        "ema_decay": st.floats(0, 0.9999),
        "drop_label": st.floats(0, 1),
        "seed": st.integers(0, 2**40),
        "flip": st.booleans(),
        "antithetic": st.booleans(),
        "lr_schedule": st.sampled_from(LR_SCHEDULES),
        "keep": st.integers(1, 9),
        "grad_clip": st.none() | st.floats(1e-3, 10),
    }
    given_ = {k: data.draw(s) for k, s in choice.items() if data.draw(st.booleans())}
    words = []
    for name, value in given_.items():
        option = name.replace("_", "-")
        flag = [f"--{option}" if value else f"--no-{option}"]
        words += flag if isinstance(value, bool) else [f"--{option}", str(value)]
    kind = import_module("ddpm_lite.commands.train")
    options = held(kind.Options, kind.parse(["digits", *words]))
    assert {name: options[name] for name in given_} == given_
