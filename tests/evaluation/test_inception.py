r"""FID's network: against an independent one, and its pools and scaling by hand."""

import hashlib

import pytest
import torch
from helpers import close
from safetensors.torch import save_file

from ddpm_lite.evaluation import inception

# What torch-fidelity 0.4.0's own network, which is not a dependency, gives on `filled`
# and `picture` below: some of the 2048 features, two from each branch of the last block.
INDEPENDENT = {
    319: 0.10332,
    320: 2.72853,
    703: 0.65074,
    704: 3.87629,
    1087: 2.16927,
    1088: 1.25745,
    1471: 0.22791,
    1472: 0.85456,
    1856: 3.84076,
    2047: 9.13664,
}
NAMES_AND_SHAPES = "5cd80b7358cc11d104a4492d216982e2381da7ee34a86cf996ea4d821070053c"
WEIGHTS = 23_850_960  # torchvision's Inception-v3 has 8 x 2049 fewer: 1000 classes


def filled(network):
    r"""Put weights in place that keep the signal's size and are a function of a seed."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        z = torch.randn(tensor.shape, generator=generator)
        if name.endswith("conv.weight"):
            tensor.copy_(z * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "bn.weight")):
            tensor.copy_(1 + 0.2 * z.clamp(-3, 3))
        else:
            tensor.copy_(0.1 * z)
    return network


@pytest.fixture(scope="module")
def network():
    return filled(inception.Inception())


def tensors_of(network):
    r"""What the file of the PyTorch port holds: all but the counters of BatchNorm."""
    state = network.state_dict().items()
    return {k: v for k, v in state if not k.endswith("num_batches_tracked")}


def picture():
    i = torch.arange(299)
    grey = (2 * i[:, None] + 3 * i[None, :]) % 256
    return (torch.stack([grey, grey.T, 255 - grey])[None].float() - 128) / 128


def some_pictures(n, channels=3, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, channels, size, size, generator=generator) - 1


# --- the architecture


def test_names_and_shapes_are_those_of_the_file(network):
    tensors = tensors_of(network)
    assert len(tensors) == 472
    assert sum(p.numel() for p in network.parameters()) == WEIGHTS
    lines = [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == NAMES_AND_SHAPES
    assert lines[0] == "Conv2d_1a_3x3.conv.weight (32, 3, 3, 3)"
    assert "Mixed_6c.branch7x7dbl_4.conv.weight (160, 160, 7, 1)" in lines
    assert lines[-2:] == ["fc.weight (1008, 2048)", "fc.bias (1008,)"]


def test_features_are_those_of_an_independent_network(network):
    with torch.no_grad():
        features = network(picture())[0]
    assert features.shape == (2048,)
    found = features[list(INDEPENDENT)]
    close(found, list(INDEPENDENT.values()), rtol=1e-4, atol=1e-5)
    assert float(features.mean()) == pytest.approx(0.9270, abs=1e-4)
    assert float(features.std()) == pytest.approx(1.2348, abs=1e-4)


def mean_by_hand(x, i, j):
    rows, columns = range(max(i - 1, 0), i + 2), range(max(j - 1, 0), j + 2)
    near = [x[a, b] for a in rows for b in columns if a < len(x) and b < len(x[0])]
    return sum(near) / len(near)  # 4 at a corner, 6 at an edge: the padding is left out


def largest_by_hand(x, i, j):
    rows, columns = range(max(i - 1, 0), i + 2), range(max(j - 1, 0), j + 2)
    return max(x[a, b] for a in rows for b in columns if a < len(x) and b < len(x[0]))


def halved_by_hand(x, i, j):
    return x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max()


BY_HAND = dict.fromkeys("5b 5c 5d 6b 6c 6d 6e 7b".split(), mean_by_hand)
BY_HAND |= {"7c": largest_by_hand, "6a": halved_by_hand, "7a": halved_by_hand}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_pool_of_each_block_by_hand(name):
    block = inception._Mixed(*inception._BLOCKS[f"Mixed_{name}"])
    block.eval().requires_grad_(False)
    channels, x = inception._BLOCKS[f"Mixed_{name}"][0], some_pictures(1, 1, 5)[0, 0]
    for tensor in block.state_dict().values():
        if tensor.dim() == 4:
            tensor.zero_()
    inputs = torch.zeros(1, channels, 5, 5)
    inputs[0, 3] = x + 2  # positive: ReLU passes it
    scale = 1.0
    if hasattr(block, "branch_pool"):
        block.branch_pool.conv.weight[0, 3] = 1.0  # hands channel 3 to output 0
        scale = (1 + 1e-3) ** -0.5  # BatchNorm's epsilon
    with torch.no_grad():
        y = block(inputs)[0]
    pooled = y[-block.branch_pool.conv.out_channels] if scale < 1 else y[3 - channels]
    expected = [
        [scale * BY_HAND[name](x + 2, i, j) for j in range(pooled.shape[1])]
        for i in range(pooled.shape[0])
    ]
    close(pooled, torch.tensor(expected), rtol=1e-5)
    assert pooled.shape == ((2, 2) if name in ("6a", "7a") else (5, 5))


# --- what goes in


@pytest.mark.parametrize("size", [(4, 7), (310, 301)])
def test_scaling_is_bilinear_between_the_centres_of_pixels(size):
    x = 2 * torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)) - 1

    def place(n):
        at = ((torch.arange(299).double() + 0.5) * n / 299 - 0.5).clamp(0, n - 1)
        low = at.floor().long().clamp(max=n - 2)
        weight = torch.zeros(299, n, dtype=torch.float64)
        weight[torch.arange(299), low] = 1 - (at - low)
        weight[torch.arange(299), low + 1] += at - low
        return weight

    by_hand = place(size[0]) @ x[0, 0].double() @ place(size[1]).T
    seen = inception._prepare(x)
    assert seen.shape == (1, 3, 299, 299) and seen.abs().max() <= 1
    for channel in seen[0]:
        close(
            channel.double(), by_hand, rtol=0, atol=1e-4
        )  # float32 finds its place to 2e-5


def test_features_do_not_depend_on_batch_kind_of_grey_or_time(network):
    x = some_pictures(3, channels=1)
    together = inception.features(network, x)
    assert together.shape == (3, 2048) and together.dtype == torch.float32
    alone = inception.features(network, x[2:].expand(-1, 3, -1, -1).double(), batch_size=1)
    close(alone, together[2:], rtol=1e-4, atol=1e-4)
    assert torch.equal(inception.features(network, x), together)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(inception.features(network, x[:1]), together[:1], rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_it_cannot_be_put_into_train_mode(network):
    x, before = some_pictures(2), network.Mixed_5b.branch1x1.bn.running_mean.clone()
    first = inception.features(network, x[:1])
    assert network.train() is network
    assert not any(module.training for module in network.modules())
    assert not torch.nn.Sequential(network).train()[0].Mixed_7c.training
    close(inception.features(network, x)[:1], first, rtol=1e-4, atol=1e-4)
    assert torch.equal(network.Mixed_5b.branch1x1.bn.running_mean, before)
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (torch.zeros(2, 4, 8, 8), r"C = 1 or 3, got torch.float32 \(2, 4, 8, 8\)"),
        (torch.zeros(2, 8, 8), r"\(N, C, H, W\) .* got torch.float32 \(2, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"got torch.float32 \(0, 3, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), r"got torch.uint8 \(2, 3, 8, 8\)"),
        (torch.full((2, 3, 8, 8), 1.01), r"in \[-1, 1\], got values from 1.01 to 1.01"),
        (torch.full((2, 3, 8, 8), torch.nan), r"in \[-1, 1\], got values from nan to nan"),
    ],
)
def test_pictures_that_are_refused(network, bad, why):
    with pytest.raises(ValueError, match=why):
        inception.features(network, bad)


def test_a_batch_of_none_is_refused(network):
    with pytest.raises(ValueError, match=r"batch_size must be an integer >= 1, got 0"):
        inception.features(network, some_pictures(1), batch_size=0)


# --- the file


def test_a_file_of_either_kind_is_read(network, tmp_path):
    tensors = tensors_of(network)
    save_file(tensors, tmp_path / "a.safetensors")
    # as old versions of torch wrote it, and with the counters
    torch.save(
        network.state_dict(), tmp_path / "b.pth", _use_new_zipfile_serialization=False
    )
    for name in ("a.safetensors", "b.pth"):
        loaded = inception.load(tmp_path / name)
        assert list(loaded.state_dict()) == list(network.state_dict())
        assert all(torch.equal(tensors_of(loaded)[k], v) for k, v in tensors.items())
        assert not any(module.training for module in loaded.modules())
        assert not any(p.requires_grad for p in loaded.parameters())
        assert {p.device.type for p in loaded.state_dict().values()} == {"cpu"}


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"FID needs a copy of pt_inception-2015"):
        inception.load(tmp_path / "none.pth")


def test_files_that_are_refused(network, tmp_path):
    def refuses(tensors, why, name="bad.pth"):
        torch.save(tensors, tmp_path / name)
        with pytest.raises(ValueError, match=why) as caught:
            inception.load(tmp_path / name)
        assert inception.FILE in str(caught.value) and "\n" not in str(caught.value)

    refuses([1, 2], r"expected tensors by name, got a list")
    refuses({"a": torch.zeros(1)}, r"_3x3.conv.weight is missing; it has 1 entries")
    tensors = tensors_of(network)
    first = "Conv2d_1a_3x3.conv.weight"
    refuses({first: tensors[first].half()}, r"must be torch.float32 .*, got torch.float16")
    refuses({first: torch.full((32, 3, 3, 3), torch.nan)}, r"has NaN or infinity")
    # torchvision's own network: 1000 classes, and a second classifier on the way
    torchvision = tensors | {"fc.weight": torch.zeros(1000, 2048)}
    refuses(torchvision, r"fc.weight must be .*\(1008, 2048\), got .*\(1000, 2048\)")
    refuses(tensors | {"AuxLogits.fc.bias": torch.zeros(1)}, r"AuxLogits.fc.bias is no ten")
    # a file that would run code when read, and one that is no such file at all
    refuses({"a": inception.Inception}, r"cannot be read as plain tensors")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ValueError, match=r"text.safetensors cannot be read as plain"):
        inception.load(tmp_path / "text.safetensors")
    (tmp_path / "weights.bin").write_text("")
    with pytest.raises(ValueError, match=r"must end in .pth or .safetensors, got .*bin"):
        inception.load(tmp_path / "weights.bin")
