r"""Examples that are set aside are changed as those are that are trained on."""

import pytest
import torch
from torch.utils.data import IterableDataset, TensorDataset
from trainers import QUICK, SHORT, bytes_of, tiny

from ddpm_lite import TrainConfig, Trainer
from ddpm_lite.data import Items, Stream
from ddpm_lite.data.examples import Unreadable
from ddpm_lite.seeds import HELD_OUT, TRANSFORM, generator_for
from ddpm_lite.training.fit import fit
from ddpm_lite.training.held_out import as_held_out, held_out_loss
from ddpm_lite.training.instruments import read_log

X, Y = bytes_of(23, 1, 4, 4), torch.arange(23) % 3
ASIDE, CLASSES = bytes_of(9, 1, 4, 4), torch.arange(9) % 3


def noisy(x, generator):
    r"""Ten times the usual range, and some noise."""
    return 10 * (2 * x.float() / 255 - 1) + torch.randn(x.shape, generator=generator)


def doubled(x, generator):
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :4, :4]


def trainer(data=X, y=None, transform=None, classes=0, clip=False):
    config = TrainConfig(**QUICK | dict(batch_size=8, save_every=2, steps=4))
    model = tiny(classes=classes, clip=clip)
    return Trainer(model, SHORT, data, config, y=y, transform=transform)


def test_the_transform_changes_them_by_numbers_of_their_own():
    r"""As the loss of the same examples changed by hand, and in any order of asking."""
    made = trainer(transform=noisy)
    seed = made.config.seed
    chance = [generator_for(HELD_OUT, seed, TRANSFORM, i) for i in range(len(ASIDE))]
    by_hand = torch.stack([noisy(x, g) for x, g in zip(ASIDE, chance, strict=True)])
    mean, bands = held_out_loss(made, ASIDE)
    plain = trainer(by_hand)  # no transform: what is given is taken
    assert held_out_loss(plain, by_hand) == (mean, bands)
    assert held_out_loss(made, Items(TensorDataset(ASIDE))) == (mean, bands)
    for _ in made.run():
        pass
    made.ema.model.load_state_dict(plain.ema.model.state_dict())
    assert held_out_loss(made, ASIDE) == (mean, bands)  # the step changes nothing
    firsts = {float(noisy(X[0], g)[0, 0, 0]) for g in chance}
    assert len(firsts) == len(chance)


def test_the_best_is_chosen_by_what_is_trained_on(tmp_path):
    made = trainer(transform=noisy)
    fit(made, tmp_path, held_out=(ASIDE, None), progress=False)
    lines = read_log(tmp_path / "metrics.jsonl")
    found = [line["held_out_loss"] for line in lines if "held_out_loss" in line]
    assert found[-1] == held_out_loss(made, ASIDE)[0]
    other = trainer(transform=doubled)
    both = "the transform was", "or changed in another way"
    with pytest.warns(UserWarning, match=both[0]), pytest.warns(UserWarning, match=both[1]):
        fit(other, tmp_path, held_out=(ASIDE, None), resume=True, progress=False)


@pytest.mark.parametrize("way", ["alone", "pair", "items"])
def test_labels_of_a_dataset_are_taken(tmp_path, way):
    dataset = TensorDataset(ASIDE, CLASSES)
    given = {"alone": dataset, "pair": (dataset, None), "items": Items(dataset)}[way]
    one = trainer(TensorDataset(X, Y), classes=3, clip=True)
    two = trainer(X, Y, classes=3, clip=True)
    fit(one, tmp_path / "one", held_out=given, progress=False)
    fit(two, tmp_path / "two", held_out=(ASIDE, CLASSES), progress=False)
    logs = [read_log(tmp_path / n / "metrics.jsonl") for n in ("one", "two")]
    losses = [[v["held_out_loss"] for v in log if "held_out_loss" in v] for log in logs]
    assert losses[0] == losses[1] and len(losses[0]) == 2
    assert losses[0][-1] != held_out_loss(two, ASIDE, CLASSES.flip(0))[0]
    assert losses[0][-1] == held_out_loss(one, Items(dataset))[0]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([(x, int(y)) for x, y in zip(X, Y, strict=True)])


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("kind", ["stream", "iterable", "function"])
def test_a_stream_is_refused(kind, alone):
    made = {"stream": lambda: Stream(Endless()), "iterable": Endless}
    given = made[kind]() if kind in made else (lambda epoch: iter(Endless()))
    with pytest.raises(ValueError, match="a stream cannot be held out"):
        as_held_out(trainer(X, Y, classes=3), given if alone else (given, None))


@pytest.mark.parametrize(
    ("given", "transform", "error", "words"),
    [
        (TensorDataset(ASIDE, CLASSES + 1), None, Unreadable, "label in 0..2, got 3"),
        (TensorDataset(ASIDE), None, ValueError, "just where the training data have"),
        ((TensorDataset(ASIDE, CLASSES), CLASSES), None, ValueError, "leave y out"),
        ((ASIDE.float(), CLASSES), noisy, ValueError, "the transform changes it too"),
        ((ASIDE[..., :2], CLASSES), noisy, ValueError, "must have the data's shape"),
        (ASIDE, None, TypeError, "or a dataset"),
        ([ASIDE], None, TypeError, "or a dataset"),
        ((), None, TypeError, "or a dataset"),
        (3, None, TypeError, "or a dataset"),
    ],
)
def test_what_does_not_fit_is_refused(given, transform, error, words):
    with pytest.raises(error, match=words):
        as_held_out(trainer(X, Y, classes=3, transform=transform), given)


def test_nothing_held_out_stays_nothing():
    assert as_held_out(trainer(), None) is None
