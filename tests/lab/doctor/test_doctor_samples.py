r"""Samples get the name that a person would give them."""

import pytest
import torch
from doctor_runs import blocks, check_named, every_fault, rewrite
from helpers import normal

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
