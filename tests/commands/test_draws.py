r"""The commands sample and evaluate: how to draw, from the words to the pictures."""

import json

import pytest
import torch

from ddpm_lite import Schedule
from ddpm_lite.commands.main import main
from ddpm_lite.commands.shared import Drawing, draw, open_pictures
from ddpm_lite.training import device


@pytest.mark.parametrize(
    ("sampler", "T", "steps"),
    [("ancestral", 300, 300), ("ddim", 300, 50), ("ddim", 20, 20), ("heun", 300, 25)],
)
def test_the_number_of_steps_that_is_taken(sampler, T, steps):
    schedule = Schedule.linear(T)
    expected = Drawing(sampler, steps, guidance=1.0)
    assert Drawing(sampler).with_steps(schedule) == expected
    assert Drawing(sampler, 7).with_steps(schedule).steps == 7


def test_the_solvers_take_no_more_steps_than_there_are_below_their_start():
    schedule = Schedule.from_beta([0.5] * 9 + [1 - 1e-9])  # sigma_10 is above 160
    assert Drawing("dpmpp_2m").with_steps(schedule).steps == 9


def test_one_class_for_all_pictures_or_an_error():
    found, few = open_pictures("digits", device="cpu"), Drawing(steps=2)
    quiet = dict(progress=False)
    turns = draw(found, few, 4, None, **quiet)
    threes = draw(found, few, 4, None, label=3, **quiet)
    same = [torch.equal(a, b) for a, b in zip(turns, threes, strict=True)]
    assert same == [False, False, False, True]
    for label in (-1, 10):
        with pytest.raises(ValueError, match=r"--label must lie in 0\.\.9"):
            draw(found, few, 4, None, label=label, **quiet)


def test_evaluate_draws_and_says_how(capsys):
    ask = ["evaluate", "digits", "--num", "64", "--steps", "2", "--device", "cpu", "--json"]
    assert main(ask) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["spacing"] == "trailing" and not {"eta", "variance"} & set(plain)
    how = ["--sampler", "ancestral", "--variance", "small"]
    assert main([*ask, *how]) == 0
    small = json.loads(capsys.readouterr().out)
    assert small["variance"] == "small" and "eta" not in small
    assert small["measures"] != plain["measures"]


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    for taken, words in (
        (tmp_path, "is not empty: name another folder with --out"),
        (tmp_path / "mine", "mine is a file: name another folder with --out"),
    ):
        assert main(["sample", "digits", "--num", "1", "--out", str(taken)]) == 1
        assert words in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_the_command_line_takes_every_sampler_and_spacing(tmp_path, capsys):
    common = ["sample", "digits", "--num", "2", "--device", "cpu", "--json"]
    for sampler, spacing, calls in (
        ("heun", "quadratic", 5),
        ("dpmpp_2m", "log_snr", 3),
        ("dpmpp_2m_sde", "linspace", 3),
    ):
        more = [
            "--sampler",
            sampler,
            "--spacing",
            spacing,
            "--out",
            f"{tmp_path}/{sampler}",
        ]
        assert main([*common, *more, "--steps", "3"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["steps"], told["calls"]) == (3, calls)
        assert (tmp_path / sampler / "grid.png").exists()
    more = ["--sampler", "dpmpp_2m", "--out", f"{tmp_path}/25"]
    assert main([*common, *more]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 25
    bad = ("--sampler", "euler"), ("--spacing", "even"), ("--precision", "half")
    for option, value in bad:
        assert main([*common, option, value, "--out", f"{tmp_path}/no"]) == 1
        assert f"{option[2:]} must be one of" in capsys.readouterr().err


def test_the_precision_of_the_network_when_sampling(tmp_path, capsys, monkeypatch):
    ask = ["sample", "digits", "--num", "2", "--steps", "3", "--device", "cpu", "--json"]
    grids, told = {}, {}
    for precision in ("auto", "float32", "bfloat16"):
        out = tmp_path / precision
        assert main([*ask, "--precision", precision, "--out", str(out)]) == 0
        told[precision] = json.loads(capsys.readouterr().out)["device"]
        grids[precision] = (out / "00000.png").read_bytes()
    assert grids["auto"] == grids["float32"] != grids["bfloat16"]  # it is narrow
    assert "in float32," in told["auto"] and "in bfloat16," in told["bfloat16"]
    monkeypatch.setattr(device, "WIDE", 24)
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    assert main([*ask, "--out", str(tmp_path / "wide")]) == 0
    assert (tmp_path / "wide" / "00000.png").read_bytes() == grids["bfloat16"]
    found = open_pictures("digits", device="cpu")
    exact, half = (
        draw(found, Drawing(steps=25, precision=p), 4, None, progress=False)
        for p in ("float32", "bfloat16")
    )
    assert 0 < (exact - half).abs().mean() < 0.02  # 2.5 grey levels of 255
