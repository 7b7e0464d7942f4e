r"""A small classifier of real pictures: it lends measures its eyes.

Pixels are a poor measure of what a picture shows: a shirt moved by one pixel is far from
itself. A network that has learned to tell shirts from shoes answers with 64 numbers that
change little then. Measures compare pictures by these, and ask it what it sees.
Two such judges come with the package, see `load_judge`. A distance in these features is
named after them, and is never FID.
"""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from ..checks import check_integer
from ..seeds import seeded, shuffled
from .metrics import chosen

_JUDGES = Path(__file__).parent / "judges"
_CLASSIFIER = 300  # its stream of random numbers


class Classifier(nn.Module):
    r"""Four convolutions, 64 features and one number for each class.

    shape: of one picture, (C, H, W), H and W divisible by 4. classes: how many.
    Called with pictures (B, C, H, W) in [-1, 1], it returns logits (B, classes).
    Raises ValueError for other sizes.
    """

    def __init__(self, shape=(1, 28, 28), classes=10, width=32, features=64):
        super().__init__()
        C, H, W = shape
        if H % 4 or W % 4:
            raise ValueError(f"height and width must be divisible by 4, got {H} and {W}")
        check_integer("classes", classes, 2)
        self.shape, self.classes = tuple(shape), classes
        self.width, self.features = width, features
        self.trunk = nn.Sequential(
            *_convolution(C, width),
            *_convolution(width, width),
            nn.MaxPool2d(2),
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * (H // 4) * (W // 4), features),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(features, classes)

    @property
    def settings(self):
        r"""What builds it again, {name: value}."""
        names = ("shape", "classes", "width", "features")
        return {name: getattr(self, name) for name in names}

    def forward(self, x):
        return self.head(self.dropout(self.trunk(x)))


def _convolution(before, after):
    return nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()


def train_classifier(pictures, epochs=4, batch_size=128, seed=0, progress=True):
    r"""Train a Classifier on real pictures. Returns it, in eval mode.

    pictures: a PictureSet with classes. epochs: how often each picture is seen. AdamW,
    whose rate rises to 4e-3 and falls to almost 0 in one cycle (Smith and Topin 2017).
    Initial weights, order and dropout are functions of `seed`. 60,000 pictures of 28 x 28
    take about two minutes an epoch on one core. Raises ValueError without labels.
    """
    if pictures.y is None:
        raise ValueError(f"{pictures.name} has no labels to learn")
    check_integer("epochs", epochs, 1)
    check_integer("batch_size", batch_size, 2, len(pictures))
    steps = epochs * (len(pictures) // batch_size)
    classes = max(len(pictures.classes), int(pictures.y.max()) + 1)
    with seeded(torch.device("cpu"), _CLASSIFIER, seed):
        classifier = Classifier(pictures.shape, classes).train()
        adam = torch.optim.AdamW(classifier.parameters(), weight_decay=1e-2)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 4e-3, total_steps=steps)
        for step in tqdm(range(steps), desc="learning to judge", disable=not progress):
            index = shuffled(len(pictures), step * batch_size, batch_size, seed)
            logits = classifier(pictures.to_float(index))
            loss = F.cross_entropy(logits, pictures.y[index])
            adam.zero_grad()
            loss.backward()
            adam.step()
            cycle.step()
    return classifier.eval()


@torch.no_grad()
def look(classifier, pictures, batch_size=500):
    r"""What a classifier makes of pictures: their features, and the class that it sees.

    pictures: (N, C, H, W) in [-1, 1] or a PictureSet, of the classifier's shape. Returns
    features (N, 64), >= 0, and labels, int64 (N,). Raises ValueError for another shape.
    """
    there = tuple(
        pictures.shape[1:] if isinstance(pictures, torch.Tensor) else pictures.shape
    )
    if there != classifier.shape:
        raise ValueError(
            f"this classifier judges pictures of shape {classifier.shape}, got {there}"
        )
    device = next(classifier.parameters()).device
    features, labels = [], []
    for index in torch.arange(len(pictures)).split(batch_size):
        seen = classifier.trunk(chosen(pictures, index).float().to(device))
        features.append(seen.cpu())
        labels.append(classifier.head(seen).argmax(1).cpu())
    return torch.cat(features), torch.cat(labels)


def accuracy(classifier, pictures, y):
    r"""Share of pictures whose class a classifier sees rightly, a float.

    pictures: as in `look`. y: int64 (N,), their classes.
    """
    return float((look(classifier, pictures)[1] == y).double().mean())


def save_classifier(path, classifier, about):
    r"""Write a classifier to one safetensors file, its weights as float16.

    about: what to know of it, JSON values: how it was made, its accuracy on unseen
    pictures. A file that is there is replaced only once the new one is whole.
    """
    path = Path(path)
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in classifier.state_dict().items()
    }
    text = json.dumps({"settings": classifier.settings, "about": about}, sort_keys=True)
    part = path.with_suffix(".part")
    try:
        save_file(tensors, part, metadata={"ddpm_lite_classifier": text})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_classifier(path):
    r"""Read what `save_classifier` wrote: a Classifier in eval mode, and what it said.

    Its weights are float32 again. Raises FileNotFoundError where there is no file, and
    ValueError for one that something else wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no classifier at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {})["ddpm_lite_classifier"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        classifier = Classifier(**said["settings"])
        classifier.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{path} holds no classifier of ddpm_lite: {why}") from error
    return classifier.eval(), said["about"]


def load_judge(name):
    r"""A classifier that comes with the package, by name, and what is known of it.

    name: "clothes" (Fashion-MNIST) or "mnist". Returns (Classifier, about); about holds
    its accuracy on unseen pictures. Raises ValueError for another name, and lists them.
    """
    if name not in judge_names():
        raise ValueError(f"there is no judge {name!r}; there are {judge_names()}")
    return load_classifier(_JUDGES / f"{name}.safetensors")


def judge_names():
    r"""Names of the classifiers that come with the package."""
    return sorted(path.stem for path in _JUDGES.glob("*.safetensors"))
