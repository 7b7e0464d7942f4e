r"""The classifier that measures use: it learns, it is kept, and two are shipped."""

from pathlib import Path

import pytest
import torch
from helpers import normal
from safetensors.torch import save_file

from ddpm_lite import data
from ddpm_lite.evaluation import classifier
from ddpm_lite.formats.weights import load_model, load_pretrained, pretrained_names

SHARED = Path(__file__).parents[3] / "shared" / "data"
DATA = {"clothes": "fashion_mnist", "mnist": "mnist"}


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", split="train"), data.load("digits", split="held_out")


@pytest.fixture(scope="module")
def trained(digits):
    return classifier.train_classifier(digits[0], epochs=3, batch_size=32, progress=False)


def test_it_learns_digits_that_it_has_not_seen(digits, trained):
    _, unseen = digits
    right = classifier.accuracy(trained, unseen, unseen.y)
    by_hand = sum(
        int(trained(unseen.to_float(slice(i, i + 1))).argmax()) == int(unseen.y[i])
        for i in range(len(unseen))
    )
    assert right == by_hand / len(unseen)
    assert right > 0.9 and not trained.training
    # of labels that say nothing there is nothing to learn
    wrong = unseen.y[
        torch.randperm(len(unseen), generator=torch.Generator().manual_seed(0))
    ]
    assert classifier.accuracy(trained, unseen, wrong) < 0.25


def test_training_is_a_function_of_its_seed(digits):
    some = data.PictureSet(digits[0].x_0[:128], digits[0].y[:128])
    before = torch.get_rng_state()
    nets = [
        classifier.train_classifier(some, 1, 64, seed=seed, progress=False)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(before, torch.get_rng_state())
    a, b, c = (net.head.weight for net in nets)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_features_are_what_the_last_layer_reads(digits, trained):
    _, unseen = digits
    features, labels = classifier.look(trained, unseen, batch_size=100)
    assert features.shape == (len(unseen), 64) and features.min() >= 0
    logits = features @ trained.head.weight.T + trained.head.bias
    assert torch.equal(logits.argmax(1), labels)
    with torch.no_grad():
        # the order of sums differs with the batch: float32, some hundred terms
        whole = trained(unseen.to_float())
    torch.testing.assert_close(logits, whole, rtol=1e-4, atol=1e-4)
    x = unseen.to_float(slice(0, 7))
    torch.testing.assert_close(
        classifier.look(trained, x)[0], features[:7], rtol=1e-4, atol=1e-4
    )


def test_a_file_brings_it_back_up_to_half_precision(tmp_path, trained, digits):
    path = tmp_path / "eye.safetensors"
    classifier.save_classifier(path, trained, {"accuracy": 0.9})
    again, about = classifier.load_classifier(path)
    assert about == {"accuracy": 0.9} and not again.training
    assert again.settings == trained.settings and again.settings["shape"] == (1, 8, 8)
    for name, value in trained.state_dict().items():
        other = again.state_dict()[name]
        assert other.dtype == value.dtype
        if value.is_floating_point():  # float16 has 11 digits of two
            assert ((other - value).abs() <= 2**-11 * value.abs() + 2**-25).all(), name
    same = classifier.look(again, digits[1])[1] == classifier.look(trained, digits[1])[1]
    assert same.double().mean() > 0.99
    assert [p.name for p in tmp_path.iterdir()] == ["eye.safetensors"]


def test_what_is_no_classifier_is_refused_in_one_line(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="no classifier at"):
        classifier.load_classifier(tmp_path / "none.safetensors")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, other)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a file of tensors")
    for path in (other, broken):
        with pytest.raises(ValueError, match="holds no classifier of ddpm_lite") as caught:
            classifier.load_classifier(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(
        ValueError, match=r"judges pictures of shape \(1, 8, 8\), got \(1, 9, 8\)"
    ):
        classifier.look(trained, torch.zeros(2, 1, 9, 8))
    with pytest.raises(ValueError, match="divisible by 4, got 8 and 10"):
        classifier.Classifier((1, 8, 10))
    with pytest.raises(ValueError, match="no labels to learn"):
        classifier.train_classifier(
            data.PictureSet(torch.zeros(9, 1, 8, 8, dtype=torch.uint8))
        )


@pytest.mark.parametrize("name", DATA)
def test_the_judges_that_come_with_the_package(name):
    assert classifier.judge_names() == sorted(DATA)
    judge, about = classifier.load_judge(name)
    assert judge.shape == (1, 28, 28) and len(about["classes"]) == judge.classes == 10
    assert about["accuracy"] > {"clothes": 0.92, "mnist": 0.99}[name]
    assert (
        about["unseen"] == 10_000 and about["trained_on"] == 60_000 and about["trained_by"]
    )
    path = Path(classifier.__file__).parent / "judges" / f"{name}.safetensors"
    assert path.stat().st_size <= 0.6e6
    features, _ = classifier.look(judge, normal(3, 1, 28, 28).float().clamp(-1, 1))
    assert torch.isfinite(features).all()
    with pytest.raises(
        ValueError, match=r"no judge 'cats'; there are \['clothes', 'mnist'\]"
    ):
        classifier.load_judge("cats")


def test_judges_are_no_models_to_draw_from():
    for name in pretrained_names():
        load_pretrained(name)  # would refuse a classifier
    folder = Path(classifier.__file__).parent / "judges"
    with pytest.raises(ValueError, match="was not written by ddpm_lite"):
        load_model(folder / "mnist.safetensors")


@pytest.mark.parametrize("name", DATA)
def test_a_judge_sees_unseen_pictures_as_well_as_it_says(name):
    if not (SHARED / DATA[name]).is_dir():
        pytest.skip(f"needs {DATA[name]}, which is not here")
    unseen = data.load(str(SHARED / DATA[name]), split="test")
    judge, about = classifier.load_judge(name)
    n, p = 500, about["accuracy"]
    right = classifier.accuracy(judge, unseen.to_float(slice(0, n)), unseen.y[:n])
    assert abs(right - p) <= 5 * (p * (1 - p) / n) ** 0.5
    assert list(unseen.classes) == about["classes"]
