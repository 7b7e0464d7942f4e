r"""The run with a bug of chapter 06: one stage on the way up of a U-Net.

The check hands in the layers, which look at what they are given.
"""

import torch
from torch.nn import functional as F

from .bugs import Fault, independent, naming
from .exercise import exercise, expect, near, normal, steps, tensor

# What `otherwise` says of a fault was measured where figures/bugs.py trains it alone.
FAULTS = (
    Fault(
        "tiles",
        "enlarges the small picture by laying four copies of it side by side",
        unexplained="why it is pixels four rows or four columns apart that share an answer",
    ),
    Fault(
        "no_skip",
        "joins the enlarged picture with itself and not with what the way down kept",
        unexplained="why they share it to the last digit, where the pixels of x_t differ",
    ),
    Fault(
        "transposed",
        "swaps rows and columns of the small picture",
        "would spoil what comes from the small picture alone: every pixel would still hear "
        "itself, and the map would have one bright spot; here it has four",
    ),
    Fault(
        "skip_flipped",
        "joins what the way down kept upside down",
        "is something that a network learns to undo by other ways: samples and map would "
        "look nearly sound, with one bright spot; here there are four",
    ),
    Fault(
        "one_sided",
        "pads all pictures at the top and on the left only",
        "would move what an answer hears up and to the left, all of it alike; it would not "
        "make four spots of one",
    ),
    Fault(
        "no_silu",
        "leaves the nonlinearity out of every stage",
        "would leave a network that can do what a linear map can, with a loss near the "
        "linear ceiling or below; here the loss is far above it in every band",
    ),
    Fault(
        "t_missing",
        "never adds the embedding of $t$",
        "would give the same answer at every t; here answers differ from t = 20 to 80 as "
        "much as those of the sound run",
    ),
    Fault(
        "batch_norm",
        "normalises over all pictures of the batch together",
        "would make the answer to a picture depend on the others of its batch; here it "
        "does not",
    ),
    Fault(
        "last_random",
        "starts the last convolution with random weights and not with zeros",
        "would begin with a loss above 1 and leave no trace later; this run begins at 1",
    ),
    Fault(
        "skip_first",
        "joins what the way down kept in front of the small picture, not behind it",
        "changes the order of channels, to which the next layer gets used: the bands would "
        "look sound",
    ),
)


@exercise(
    "06.6",
    "up_stage",
    kind="bug",
    minutes=40,
    points=5,
    also=("faults",),
    lacks=("models.unet.UNet",),
)
def find_the_bug(answer, seed):
    r"""Names; what `norm` gets of x, and of what was kept; and all that comes after."""
    yield from independent(
        naming(answer, FAULTS),
        _enlarged(answer, seed),
        _kept(answer, seed),
        _rest(answer, seed),
    )


def _given(seed, thin=False):
    r"""(x, skip, e) of sizes that the seed draws.

    thin: one picture, and x has fewer channels than skip. Otherwise x has as many as
    skip, or more, so that the code as it was runs.
    """
    B, S, H, more = steps(2, 5, 4, 661, seed).tolist()
    C = S + more - 2
    if thin:
        B, C, S = 1, S, S + more - 1
    W = H + int(steps(1, 3, 1, 662, seed))
    x, skip = normal((B, C, H, W), 663, seed), normal((B, S, 2 * H, 2 * W), 664, seed)
    return x, skip, normal((B, 6), 665, seed)


def _norm(h):
    h = h - h.mean((2, 3), keepdim=True)
    return h / (h.std((2, 3), keepdim=True) + 1e-3)


def _run(answer, seed, thin=False):
    r"""(what each layer was given, the layers, what came back), for inputs of `_given`."""
    x, skip, e = _given(seed, thin)
    B, joined = len(x), (len(x), x.shape[1] + skip.shape[1], *skip.shape[2:])
    mix = normal((e.shape[1], joined[1]), 666, seed)
    weight = normal((3, joined[1], 1, 1), 667, seed)
    layers = {
        "norm": _norm,
        "project": lambda e: e @ mix,
        "conv": lambda h: F.conv2d(h, weight),
    }
    shapes, given = {"norm": joined, "project": (B, e.shape[1]), "conv": joined}, {}

    def layer(name):
        def called(value):
            if name in given:
                raise ValueError(f"{name} is called twice in one stage")
            if name == "norm" and isinstance(value, torch.Tensor) and value.dim() == 4:
                _weigh(value, x, skip)
            given[name] = value
            ok = isinstance(value, torch.Tensor) and tuple(value.shape) == shapes[name]
            came = (
                f"{tuple(value.shape)}" if isinstance(value, torch.Tensor) else "no tensor"
            )
            if not ok:
                raise ValueError(f"{name} is made for the shape {shapes[name]}, not {came}")
            return layers[name](value)

        return called

    got = answer(x, skip, e, *(layer(name) for name in layers))
    for name in layers:
        expect(name in given, f"{name} is never called in your stage")
    return given, layers, got


def _weigh(value, x, skip):
    r"""Refuse what has another number of channels than x and skip, and say which."""
    C, S, came = x.shape[1], skip.shape[1], value.shape[1]
    if came != C + S:
        raise ValueError(
            f"x has {C} channels, and the way down kept {S}; norm is given {came}"
        )


def _enlarged(answer, seed):
    r"""Is every small pixel a square of two by two, in its own place?"""
    x, _, _ = _given(seed)
    given, _, _ = _run(answer, seed)
    large = given["norm"][:, : x.shape[1]]
    H, W = x.shape[2:]
    i, j = H - 1, 1
    squares = large.unfold(2, 2, 2).unfold(3, 2, 2)  # (B, C, H, W, 2, 2)
    spread = float((squares - squares[..., :1, :1]).abs().max())
    places = (large[0, 0] == x[0, 0, i, j]).nonzero().tolist()
    where = ", ".join(str(tuple(p)) for p in places[:4]) or "none"
    expect(
        spread < 1e-12,
        f"row {i}, column {j} of a small picture of {H} x {W} is found at the places "
        f"{where} (row, column) of the first channel of what norm gets, {2 * H} x {2 * W}: "
        "which part of the picture does this pixel speak of, and where is it heard?",
    )
    off = int((squares[..., 0, 0] != x).sum())
    expect(
        off == 0,
        f"pixels become squares of one number each, but {off} of {x.numel()} squares have "
        "another number than the small picture has there",
    )
    yield 1, "every small pixel is heard where it belongs"


def _kept(answer, seed):
    r"""Is what the way down kept joined as it is, behind x?"""
    for thin in (False, True):
        _joined(answer, seed, thin)
    yield 1, "what the way down kept arrives"


def _joined(answer, seed, thin):
    x, skip, _ = _given(seed, thin)
    given, _, _ = _run(answer, seed, thin)
    C, S = x.shape[1], skip.shape[1]
    last, first = given["norm"][:, C:], given["norm"][:, :S]
    expect(
        torch.equal(last, skip) or not torch.equal(first, skip),
        f"norm and conv were made for the {C} channels of x in front, and yours get others "
        "there",
    )
    share = float((last * skip).mean() / skip.square().mean())
    expect(
        torch.equal(last, skip),
        f"what the way down kept is in the last {S} channels that norm gets, as it was, "
        f"for {100 * share:.2f} %: how else does a pixel learn what was in it?",
    )


def _rest(answer, seed):
    r"""With both in order: norm, embedding, nonlinearity, conv, as they were?"""
    x, skip, e = _given(seed)
    given, layers, got = _run(answer, seed)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    if not torch.equal(given["norm"], torch.cat([large, skip], 1)):
        return  # which has its own hints
    expect(near(given["project"], e), "project should be given the embedding as it came")
    normed, shift = layers["norm"](given["norm"]), layers["project"](e)[:, :, None, None]
    conv = given["conv"]
    expect(
        not near(conv, F.silu(normed), 1e-7, 1e-9),
        "what conv is given is the same for every t",
    )
    expect(
        not near(conv, normed + shift, 1e-7, 1e-9),
        "what conv is given is a linear function of what norm gave: what bends?",
    )
    off = float((conv - F.silu(normed + shift)).abs().max())
    expect(
        off < 1e-9,
        f"behind norm the stage no longer does what it did: what conv is given differs by "
        f"up to {off:.3g} from norm, plus the embedding, bent by SiLU",
    )
    out = layers["conv"](conv)
    off = float((tensor(got, out, "what the stage gives") - out).abs().max())
    expect(off < 1e-9, f"the stage gives other numbers than conv, by up to {off:.3g}")
    yield 1, "and the rest of the stage is as it was"
