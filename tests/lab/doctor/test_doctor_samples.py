r"""Samples get the name that a person would give them."""

import json
import math
import re

import pytest
import torch
from doctor_runs import blocks, check_named, every_fault, rewrite
from helpers import normal

from ddpm_lite.lab.doctor import samples
from ddpm_lite.lab.doctor.case import Case
from ddpm_lite.lab.doctor.samples import looks, name_of


def answer_shifted(run):
    def shifted(own):
        return own | {"conv_out.bias": own["conv_out.bias"] + 0.15}

    rewrite(run, shifted, shifted)


def copies(run):
    (run / "memorisation.json").write_text('{"samples": 200, "copying_share": 0.9}')


@every_fault((answer_shifted, "black samples", set()), (copies, "copies", set()))
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def finding(run, **found):
    r"""What `copies` makes of a memorisation.json, of a run of 800 pictures, 200 aside."""
    (run / "memorisation.json").write_text(json.dumps(found))
    about = json.loads((run / "config.json").read_text())
    (said,) = samples.copies(Case(run, about))
    return said


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (dict(samples=200, copying_share=0.9, standard_error=0.2), "wrong", "stop earlier"),
        (dict(samples=200, copying_share=0.9, standard_error=4.2), "note", "so few pict"),
        (dict(samples=200, copying_share=0.9, held_out=6), "note", "needs 16 .* has 6"),
        (dict(samples=12, copying_share=0.6), "note", "so few pictures that cannot be"),
        (
            dict(copying_share=None, cannot_tell="needs 16, has 3"),
            "note",
            "needs 16, has 3",
        ),
        (dict(samples=200, copying_share=0.3, standard_error=0.1), "note", "0.30"),
        (dict(samples=200, copying_share=-0.1, standard_error=0.1), "ok", "-0.10"),
        (
            dict(copying_share=1.0, sample_to_train=0.5, held_out_to_train=0.3, samples=9),
            "ok",
            "farther .* no copies",
        ),
        (
            dict(
                copying_share=1.0, sample_to_train=0.1, held_out_to_train=0.3, samples=200
            ),
            "wrong",
            "stop earlier",
        ),
        (dict(copying_share="much"), "note", "not what a report writes"),
    ],
)
def test_copies_are_named_where_that_can_be_told(run, found, level, words):
    said = finding(run, **found)
    assert (said.level, said.what) == (level, "copies") and re.search(words, said.words)


def test_a_report_that_is_no_report(run):
    for text in ("[1]", "{", '"copying_share"', ""):
        (run / "memorisation.json").write_text(text)
        (said,) = samples.copies(Case(run, {}))
        assert said.level == "note"


def test_one_picture_has_no_variety():
    found = looks(as_pictures()[:1])
    assert found["variety"] == 0 and all(math.isfinite(v) for v in found.values())


def as_pictures(n=200):
    grey = torch.from_numpy(blocks(n)).float()[:, None] / 127.5 - 1
    return grey.expand(n, 3, 8, 8)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda x: x[:16], ""),
        (lambda x: normal(16, 3, 8, 8).float().clamp(-1, 1), "noisy samples"),
        (lambda x: 0.05 * x[:16] - 0.95, "black samples"),
        (lambda x: 0.5 * x[:16], "washed-out samples"),
        (lambda x: 0.4 * x[:16] + 0.6, "washed-out samples"),
        (lambda x: x[:1].expand(16, 3, 8, 8), "samples all alike"),
        (lambda x: x[:16].sign(), "saturated samples"),
    ],
)
def test_samples_get_the_name_that_a_person_would_give_them(change, name):
    x = as_pictures()
    got, why = name_of(looks(change(x)), looks(x))
    assert got == name and bool(why) == bool(name)


def test_looks_are_what_they_say():
    x = torch.tensor([[0.0, 1.0], [0.0, -1.0]]).reshape(2, 1, 1, 2)
    found = looks(x)
    assert found["brightness"] == 0 and found["saturated"] == 0.5
    assert found["roughness"] == 1  # one step between neighbours in each
    assert abs(found["contrast"] - 0.5**0.5) < 1e-6  # deviation of 0 and 1 about 1 / 2
    assert abs(found["variety"] - 2**0.5 / 2) < 1e-6  # of 0, 0 and of 1, -1
