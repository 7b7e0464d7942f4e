r"""Formulas of docstrings on the site: found, and set as a reader would write them."""

import sys
from pathlib import Path

import pytest

import ddpm_lite

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "site"))
from formulas import as_rst, latex, runs


def found(line):
    return [text for formula, text in runs(line) if formula]


@pytest.mark.parametrize(
    ("line", "formulas"),
    [
        (
            "Returns x_t = sqrt(1 - beta_t) x_{t-1}, like x_0.",
            ["x_t = sqrt(1 - beta_t) x_{t-1}", "x_0"],
        ),
        (", noise: (B, *shape), noise from N(0, I).", ["N(0, I)"]),
        ("alpha_bar: (T+1,), alpha_bar[0] = 1; a t in 1..T", []),
        ("s is t - 1 unless given, as a rule - not always", ["t - 1"]),
        ("see `t = 1`, x_prev, t_max; at t = 2 (if T = 3) it is", ["t = 2", "T = 3"]),
        ("q(x_s | x_t, x_0), or q (and p) alone", ["q(x_s | x_t, x_0)"]),
        ("a min - max - sum of all", []),
        (
            "log(alpha_bar_t / (1 - alpha_bar_t)) from T",
            ["log(alpha_bar_t / (1 - alpha_bar_t))"],
        ),
    ],
)
def test_formulas_are_found_and_nothing_else(line, formulas):
    assert "".join(text for _, text in runs(line)) == line
    parts = line.split("`")[::2]  # as as_rst does it
    assert [one for part in parts for one in found(part)] == formulas


@pytest.mark.parametrize(
    ("text", "set_"),
    [
        ("sqrt(1 - alpha_bar_t) noise", r"\sqrt { 1 - \bar\alpha_{t} } \varepsilon"),
        ("floor(T i / N) + 1", r"\lfloor T i / N \rfloor + 1"),
        (
            "KL(q(x_T) || N(0, I))",
            r"\mathrm{KL} ( q ( x_{T} ) \,\|\, \mathcal N ( 0 , I ) )",
        ),
        ("(1 + n) / (10 + n)", "( 1 + n ) / ( 10 + n )"),
    ],
)
def test_a_formula_is_set_in_the_letters_of_the_paper(text, set_):
    assert latex(text) == set_


def test_what_is_no_formula_is_escaped_and_code_is_left_alone():
    said = as_rst("of a | `t | 1` is t = 1", lambda text: text.replace("|", r"\|"))
    assert said == r"of a \| `t | 1` is :math:`t = 1`"


def test_every_docstring_is_kept_word_by_word():
    for name in ddpm_lite.__all__:
        for line in (getattr(ddpm_lite, name).__doc__ or "").splitlines():
            assert "".join(text for _, text in runs(line)) == line
            for formula in found(line):
                assert latex(formula).count("{") == latex(formula).count("}")
