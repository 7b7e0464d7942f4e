r"""What a run knows its data by, and what it writes of itself."""

import pytest
import torch
from helpers import normal
from trainers import SHORT, bytes_of, make, tiny

from ddpm_lite import Schedule
from ddpm_lite.data.marks import fingerprint
from ddpm_lite.training.facts import difference, facts, identity


def moved(trainer, data, y=None, old=False):
    r"""Restore a trainer's state into one on other data; old: of version 0.2.0."""
    tensors, numbers = trainer.state()
    if old:
        del numbers["identity"]
    make(data, y=y).restore(trainer.ema.model.state_dict(), tensors, numbers)


DATA = normal(60, 2).float()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_data_that_another_machine_computed_is_the_same(dtype):
    data = normal(60, 2).to(dtype)
    up = torch.nextafter(data, torch.full_like(data, 9)) if dtype != torch.float16 else None
    eps = torch.finfo(dtype).eps
    up = (data.double() * (1 + eps)).to(dtype) if up is None else up
    assert not torch.equal(up, data)
    assert difference(identity(data), identity(up)) is None
    assert difference(identity(data), identity(data.flip(0)))


def test_a_run_goes_on_with_data_that_differs_by_rounding():
    trainer = make(DATA)
    trainer.update()
    moved(trainer, DATA * (1 + 2e-7))
    moved(trainer, DATA, old=True)
    with pytest.raises(ValueError, match=r"its fingerprint was .*, and is now"):
        moved(trainer, DATA * (1 + 2e-7), old=True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:59], "60 examples then, 59 examples now"),
        (DATA[:, :1], r"shape \[2\] then, shape \[1\] now"),
        (DATA.double(), "float32 then, float64 now"),
        (DATA.flip(0), "as many examples of that shape, but others, or in another order"),
        (DATA.clone().index_fill_(0, torch.tensor([30]), 0.0), "as many examples of that"),
        (DATA * 1.001, "as many examples of that shape"),
        (DATA + 0.001, "as many examples of that shape"),
    ],
)
def test_other_data_is_refused_and_said(data, words):
    trainer = make(DATA)
    trainer.update()
    with pytest.raises(ValueError, match=rf"trained on other data \({words}") as error:
        moved(trainer, data)
    assert "\n" not in str(error.value)


def test_half_of_many_examples_cannot_be_exchanged():
    data = normal(9000, 2).float()
    half = data.clone()
    half[1::2] *= -1  # those that lie between the ones that version 0.2.0 looked at
    assert difference(identity(data), identity(data * (1 + 1e-7))) is None
    assert difference(identity(data), identity(half)).startswith("as many examples")
    bytes_, y = bytes_of(9000, 1, 2, 2), torch.arange(9000) % 3
    other = y.clone()
    other[1::2] = 0
    assert difference(identity(bytes_, y), identity(bytes_, other)).startswith("the labels")
    other = bytes_.clone()
    other[1::2] = 0
    for new in (data, bytes_):
        trainer = make(new, tiny() if new is bytes_ else None)
        tensors, numbers = trainer.state()
        assert numbers["data"] == fingerprint(new)
        average = trainer.ema.model.state_dict()
        changed = other if new is bytes_ else half
        later = make(changed, tiny() if new is bytes_ else None)
        with pytest.raises(ValueError, match="trained on other data"):
            later.restore(average, tensors, numbers)
        del numbers["identity"]  # as version 0.2.0 wrote it: this change it did not see
        later.restore(average, tensors, numbers | {"data": fingerprint(new, stride=2)})


def test_other_labels_are_refused_and_said():
    x_0, y = bytes_of(9, 1, 4, 4), torch.arange(9) % 3
    known = identity(x_0, y)
    assert difference(known, identity(x_0, y.clone())) is None
    assert difference(known, identity(x_0)) == "the labels: others then, none now"
    assert difference(identity(x_0), known) == "the labels: none then, others now"
    assert (
        difference(known, identity(x_0, y.flip(0))) == "the labels: others then, others now"
    )
    brighter = (x_0.int() + 1).clamp(max=255).to(torch.uint8)
    assert difference(known, identity(brighter, y)).startswith("as many examples")


def test_equal_or_empty_numbers_have_an_identity():
    assert difference(identity(torch.zeros(5, 2)), identity(torch.zeros(5, 2))) is None
    assert difference(identity(torch.zeros(5, 2)), identity(torch.ones(5, 2)))


def test_what_a_run_says_of_itself():
    y = torch.arange(9) % 3
    trainer = make(bytes_of(9, 1, 4, 4), tiny(classes=3), y=y)
    found = facts(trainer, (torch.zeros(2, 1, 4, 4), None))
    assert (found["data"], found["schedule"]) == ("", "cosine")
    assert found["sample_steps"] == 10 and found["labels"] and found["hold_out"] == 0
    about = found["described"]
    assert (about["pictures"], about["held_out"], about["levels"]) == (9, 2, 256)
    assert about["classes"] == ["0", "1", "2"] and about["dtype"] == "uint8"
    assert found["unet"] == trainer.model.config
    own = Schedule.from_beta(SHORT.beta[1:].clamp(min=0.1))
    found = facts(make(torch.full((9, 1, 4, 4), 1.5), tiny(clip=False), own))
    assert found["unet"]["clip"] is False and "schedule" not in found
    assert found["described"]["dtype"] == "float32" and not found["labels"]
