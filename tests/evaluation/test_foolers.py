r"""Each planted fault changes what it says, as much as it says, and nothing else."""

import pytest
import torch
from helpers import normal

from ddpm_lite.evaluation import foolers


def test_invisible_noise_is_at_most_two_grey_levels():
    grey = torch.zeros(50, 1, 10, 10)
    levels = 127.5 * foolers.invisible_noise(grey)
    assert (levels - levels.round()).abs().max() < 1e-4
    counts = (levels.round().long() + 2).flatten().bincount(minlength=5)
    assert len(counts) == 5 and counts.sum() == 5000
    # chi square with 4 degrees of freedom: mean 4, deviation 2.8
    assert float(((counts - 1000.0) ** 2 / 1000).sum()) < 4 + 5 * 2.8
    ends = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 40, 40)
    cut = foolers.invisible_noise(ends)
    assert cut.min() == -1 and cut.max() == 1
    # three of five stay black; 1,600 of them have a deviation of 0.012
    assert abs(float((cut[0] == -1).double().mean()) - 0.6) < 5 * 0.0123
    assert not torch.equal(cut, foolers.invisible_noise(ends, seed=1))


def test_speckle_lies_on_the_thing_in_a_share_of_the_pictures():
    x = normal(200, 1, 16, 16).clamp(-1, 1) * 0.5
    x[:, :, :, :6] = -1  # the background
    new = foolers.speckle(x, share=0.4, covered=0.3)
    changed = new != x
    assert int(changed.flatten(1).any(1).sum()) == 80
    assert not changed[..., :6].any() and set(new[changed].tolist()) == {-1.0, 1.0}
    spoiled = changed[changed.flatten(1).any(1)][..., 6:]
    # at most four values depend on one number: twice the error of as many coins
    n = spoiled.numel()
    assert abs(float(spoiled.double().mean()) - 0.3) < 5 * 2 * (0.21 / n) ** 0.5
    white = float((new[changed] == 1).double().mean())
    assert abs(white - 0.5) < 5 * 2 * (0.25 / int(changed.sum())) ** 0.5
    # spots of about two: neighbours are hit together more often than by chance, 0.09
    together = (spoiled[..., 1:] & spoiled[..., :-1]).double().mean()
    assert together > 0.12
    assert torch.equal(foolers.speckle(x, share=0), x)
    assert not torch.equal(new, foolers.speckle(x, 0.4, 0.3, seed=1))
    with pytest.raises(ValueError, match="share must be a number in"):
        foolers.speckle(x, share=1.5)


def test_classes_labels_and_copies():
    y = torch.arange(1000) % 10
    left = foolers.without_classes(y, (0, 3))
    assert len(left) == 800 and set(y[left].tolist()) == {1, 2, 4, 5, 6, 7, 8, 9}
    with pytest.raises(ValueError, match="no picture is left"):
        foolers.without_classes(torch.zeros(5, dtype=torch.int64), (0,))
    new = foolers.wrong_labels(y, 10)
    assert int((new != y).sum()) == 100 and 0 <= new.min() and new.max() <= 9
    assert not torch.equal(new, foolers.wrong_labels(y, 10, seed=1))
    counts = foolers.repeated(1000, 250).bincount()
    assert counts.tolist() == [4] * 250
