r"""Inception-v3 as FID knows it: pictures in, 2048 features out.

Szegedy et al. 2015 (arXiv 1512.00567), in the form of TensorFlow's release of 2015-12-05
that Heusel et al. 2017 (arXiv 1706.08500) measured with, and with the names of its
PyTorch port. It differs from torchvision's network in three ways: 1008 classes, averages
that leave out the padding at the border, and a maximum for the average in the very last
block. The weights come from a file of the user's; nothing is downloaded.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from ..checks import check_integer

FILE = "pt_inception-2015-12-05-6726825d.pth"
_COUNTER = ".num_batches_tracked"


def _average_pool(x):
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _max_pool(x):
    return F.max_pool2d(x, 3, stride=1, padding=1)


def _max_pool_2(x):
    return F.max_pool2d(x, 3, stride=2)


# A branch is a row of convolutions, "channels:height x width of the kernel"; those with
# "/2" have stride 2 and no padding, all others keep the size. "+" puts two side by side.
_5 = {
    "branch1x1": "64:1x1",
    "branch5x5": "48:1x1 64:5x5",
    "branch3x3dbl": "64:1x1 96:3x3 96:3x3",
}
_6A = {
    "branch3x3": "384:3x3/2",
    "branch3x3dbl": "64:1x1 96:3x3 96:3x3/2",
    "branch_pool": "",
}
_7A = {
    "branch3x3": "192:1x1 320:3x3/2",
    "branch7x7x3": "192:1x1 192:1x7 192:7x1 192:3x3/2",
    "branch_pool": "",
}
_7 = {
    "branch1x1": "320:1x1",
    "branch3x3": "384:1x1 384:1x3+384:3x1",
    "branch3x3dbl": "448:1x1 384:3x3 384:1x3+384:3x1",
    "branch_pool": "192:1x1",
}


def _6(width):
    return {
        "branch1x1": "192:1x1",
        "branch7x7": f"{width}:1x1 {width}:1x7 192:7x1",
        "branch7x7dbl": f"{width}:1x1 {width}:7x1 {width}:1x7 {width}:7x1 192:1x7",
        "branch_pool": "192:1x1",
    }


_BLOCKS = {  # name: channels in, the pool before branch_pool, branches
    "Mixed_5b": (192, _average_pool, _5 | {"branch_pool": "32:1x1"}),
    "Mixed_5c": (256, _average_pool, _5 | {"branch_pool": "64:1x1"}),
    "Mixed_5d": (288, _average_pool, _5 | {"branch_pool": "64:1x1"}),
    "Mixed_6a": (288, _max_pool_2, _6A),
    "Mixed_6b": (768, _average_pool, _6(128)),
    "Mixed_6c": (768, _average_pool, _6(160)),
    "Mixed_6d": (768, _average_pool, _6(160)),
    "Mixed_6e": (768, _average_pool, _6(192)),
    "Mixed_7a": (768, _max_pool_2, _7A),
    "Mixed_7b": (1280, _average_pool, _7),
    "Mixed_7c": (2048, _max_pool, _7),
}


class _Conv(nn.Module):
    def __init__(self, channels, out, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    def __init__(self, channels, pool, branches):
        super().__init__()
        self.pool, self.branches = pool, {}
        for branch, row in branches.items():
            width, steps = channels, row.split()
            self.branches[branch] = []  # for each step, the names of its layers
            for number, step in enumerate(steps, 1):
                name = f"{branch}_{number}" if len(steps) > 1 else branch
                fork = step.split("+")
                names = [name + letter for letter in "ab"] if len(fork) > 1 else [name]
                layers = [_read(text, width) for text in fork]
                for key, layer in zip(names, layers, strict=True):
                    self.add_module(key, layer)
                self.branches[branch].append(names)
                width = sum(layer.conv.out_channels for layer in layers)

    def forward(self, x):
        outputs = []
        for branch, steps in self.branches.items():
            h = self.pool(x) if branch == "branch_pool" else x
            for names in steps:
                h = torch.cat([self.get_submodule(name)(h) for name in names], 1)
            outputs.append(h)
        return torch.cat(outputs, 1)


def _read(text, channels):
    r"""A layer from its text: "96:3x3/2" has 96 channels, kernel 3 by 3 and stride 2."""
    out, kernel = text.removesuffix("/2").split(":")
    kernel = tuple(int(side) for side in kernel.split("x"))
    if text.endswith("/2"):
        return _Conv(channels, int(out), kernel, stride=2)
    return _Conv(channels, int(out), kernel, padding=tuple(side // 2 for side in kernel))


class Inception(nn.Module):
    r"""The network: pictures (N, 3, 299, 299) in [-1, 1] to features (N, 2048).

    It measures and is not trained: its weights need no gradients, and it stays in eval
    mode whatever is asked, for a batch must not change what a picture's features are.
    Its weights are random until `load` puts those of a file in their place. `fc`, the
    classifier, is there because the file has it; features are taken before it.
    """

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        for name, block in _BLOCKS.items():
            self.add_module(name, _Mixed(*block))
        self.fc = nn.Linear(2048, 1008)
        self.requires_grad_(False).eval()

    def train(self, mode=True):
        r"""Stay in eval mode."""
        return super().train(False)

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_max_pool_2(x)))
        x = _max_pool_2(x)  # (N, 192, 35, 35)
        for name in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))  # of (N, 2048, 8, 8)


def load(path):
    r"""Read the weights of FID's network from a local file. Returns an Inception.

    path: the file that the PyTorch port calls pt_inception-2015-12-05-6726825d.pth, or
    its tensors under the same names in a .safetensors file. A .pth is read with
    weights_only=True: no code in it is run. Raises FileNotFoundError where there is no
    file, and ValueError for one that is broken, of another kind, or of another network,
    with the first tensor that is missing, does not fit or is too many.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no Inception weights at {path}: FID needs a copy of {FILE} (nothing is "
            "downloaded)"
        )
    tensors = _tensors(path)
    with torch.device("meta"):  # shapes alone: no random weights that nobody needs
        network = Inception()
    # counters of training batches, which only some files have and nothing here reads
    counters = {k: torch.tensor(0) for k in network.state_dict() if k.endswith(_COUNTER)}
    problem = _problem(tensors, network.state_dict())
    if problem:
        raise ValueError(f"{path} does not hold the weights of {FILE}: {problem}")
    network.load_state_dict(counters | tensors, assign=True)
    return network


def features(network, pictures, batch_size=64):
    r"""The 2048 features of each picture, (N, 2048) float32 on the CPU.

    network: an Inception; it works on its own device, in float32 and never less, in
    batches of `batch_size`. pictures: floating point (N, C, H, W) in [-1, 1], C = 1 or 3;
    grey is repeated, and each is scaled to 299 by 299 bilinearly, without smoothing, as
    the PyTorch port of FID does it. Raises ValueError for other shapes or values.
    """
    check_integer("batch_size", batch_size, 1)
    check_input(pictures)
    device = network.fc.weight.device
    found = []
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # 10 bits of 23
    ):
        for batch in pictures.split(batch_size):
            found.append(network(_prepare(batch.to(device).float())).cpu())
    return torch.cat(found)


def check_input(pictures, name="pictures"):
    r"""Return pictures that Inception can see; raise ValueError for any others."""
    seen = pictures.dim() == 4 and len(pictures) > 0 and pictures.shape[1] in (1, 3)
    if not seen or not pictures.is_floating_point():
        raise ValueError(
            f"{name} must be floating point (N, C, H, W) with C = 1 or 3, got "
            f"{pictures.dtype} {tuple(pictures.shape)}"
        )
    if not (pictures.abs() <= 1).all():
        raise ValueError(
            f"{name} must lie in [-1, 1], got values from {float(pictures.min()):.4g} to "
            f"{float(pictures.max()):.4g}; scale or clamp them first"
        )
    return pictures


def _prepare(pictures):
    # scaled in [0, 1] and back, as the port does, which rounds as it rounds
    x = ((pictures + 1) / 2).expand(-1, 3, -1, -1)
    return 2 * F.interpolate(x, (299, 299), mode="bilinear", align_corners=False) - 1


def _tensors(path):
    r"""What a weight file holds, without running anything that is in it."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix in (".pth", ".pt"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken .pth raises almost any kind
        why = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read as plain tensors; expected {FILE} or its tensors as "
            f".safetensors: {why:.120}"
        ) from error
    raise ValueError(f"Inception weights must end in .pth or .safetensors, got {path}")


def _problem(tensors, expected):
    r"""What is wrong first with a file's tensors, in words; None if they fit."""
    if not isinstance(tensors, dict):
        return f"expected tensors by name, got a {type(tensors).__name__}"
    for name, tensor in expected.items():
        if name.endswith(_COUNTER):
            continue
        found = tensors.get(name)
        if not isinstance(found, torch.Tensor):
            return f"{name} is missing; it has {len(tensors)} entries"
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            return (
                f"{name} must be {tensor.dtype} {tuple(tensor.shape)}, got {found.dtype} "
                f"{tuple(found.shape)}"
            )
        if not torch.isfinite(found).all():
            return f"{name} has NaN or infinity"
    extra = [name for name in tensors if name not in expected]
    return f"{extra[0]} is no tensor of that file" if extra else None
