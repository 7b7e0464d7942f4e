r"""Checks of chapter 06, the U-Net.

Networks cannot travel to a submission and back, so that the parts are asked for as
functions of tensors; what is counted by hand is counted again on real layers.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from ..seeds import generator_for
from .exercise import (
    Hint,
    exercise,
    expect,
    near,
    normal,
    number,
    several,
    steps,
    tensor,
    uniform,
)

ASKED = ("models.unet.Attention",)


def _whole(low, high, *seed):
    r"""One whole number in low..high that depends on seed alone."""
    return int(steps(low, high, 1, *seed))


def _reached(kernels, strides):
    r"""How many inputs one output of such convolutions depends on, counted by gradient."""
    x = torch.zeros(1, 1, 4001, dtype=torch.float64, requires_grad=True)
    h = x
    for kernel, stride in zip(kernels, strides, strict=True):
        h = F.conv1d(h, torch.ones(1, 1, kernel, dtype=torch.float64), stride=stride)
    h[0, 0, h.shape[2] // 2].backward()
    return int((x.grad != 0).sum())


@exercise("06.1", "reach", kind="understanding", minutes=15, points=3, lacks=ASKED)
def reach(answer, seed):
    def asked(kernels, strides):
        got = number(answer(list(kernels), list(strides)), "the reach")
        counted = _reached(kernels, strides)
        layers = f"kernels {tuple(kernels)} with strides {tuple(strides)}"
        said = (
            f"one output of {layers} depends on {counted} neighbouring inputs (counted by "
            f"their gradients), you say {got:.10g}: "
        )
        return got, got == counted, said

    kernel = _whole(4, 12, 60, seed)
    _, right, said = asked([kernel], [1])
    expect(right, said + "what does a single kernel look at?")
    alone = [kernel, 1, 1] if seed % 2 else [1, kernel, 1]
    _, right, said = asked(alone, [1, 1, 1])
    expect(right, said + "how many further neighbours does a kernel of 1 bring in?")
    for i in range(4):
        kernels = steps(2, 12, _whole(2, 6, 61, seed, i), 62, seed, i).tolist()
        _, right, said = asked(kernels, [1] * len(kernels))
        expect(
            right,
            said + "two neighbours of one layer see nearly the same inputs: how many does "
            "the second of them add to those of the first?",
        )
    yield 1, "layers that move by one pixel"
    yield from _reach_with_strides(asked, seed)


def _reach_with_strides(asked, seed):
    r"""The second stage of 06.1: strides, first one alone, then several."""
    stride = _whole(2, 4, 63, seed)  # below the kernels, which all differ
    kernels = (4 + torch.randperm(4, generator=generator_for(63, seed)))[:3].tolist()
    still, *_ = asked(kernels, [1, 1, 1])
    for strides in ([1, 1, stride], [1, stride, 1]):
        got, right, said = asked(kernels, strides)
        expect(
            right or got != _reached(kernels[::-1], strides[::-1]),
            f"{said}that is what these layers see in reverse order. Which of them is it "
            "that looks at the input, and whose neighbours does a stride move apart?",
        )
        expect(
            right or got == still or strides[2] == 1,
            f"{said}with a stride of 1 in the last layer you say {still:.10g}. A stride "
            "says where the next output stands: for whom does the last layer's matter?",
        )
    expect(
        right or got != still,
        f"{said}it is the same as with strides of 1 for you. How far apart, counted in "
        "inputs, are the neighbours at which the third kernel looks?",
    )
    expect(
        right,
        f"{said}which of the three kernels looks at neighbours that are {stride} inputs "
        "apart?",
    )
    strides = [3, _whole(2, 4, 64, seed), 1]
    _, right, said = asked([4, 5, kernels[0]], strides)
    expect(
        right,
        f"{said}two neighbours behind the second layer are how many outputs of the first "
        "one apart, and how many inputs is each of those?",
    )
    for i in range(4):
        kernels = steps(1, 5, _whole(3, 6, 65, seed, i), 66, seed, i)
        share = uniform(kernels.shape, 67, seed, i)
        strides = 1 + (share * kernels.clamp(max=3)).long()
        _, right, said = asked(kernels.tolist(), strides.tolist())
        expect(
            right,
            said + "how far apart are two neighbours of each layer on the input's scale, "
            "and how many more of them does its kernel see than one?",
        )
    yield 2, "layers that move by more, in any order"


def _products(side, C):
    r"""Products of a 3x3 convolution, and of q k and of weights v."""
    pixels = side * side  # nothing of this size is made: the side is an answer
    weights = nn.Conv2d(C, C, 3, device="meta").weight.numel()
    return weights * pixels, 2 * pixels * pixels * C  # a product for each pair and channel


@exercise(
    "06.2", "attention_overtakes", kind="derivation", minutes=20, points=3, lacks=ASKED
)
def attention_overtakes(answer, seed):
    def asked(C):
        n = number(answer(C), "the side")
        expect(n == int(n) and n >= 1, f"a side is a whole number of pixels, yours is {n}")
        return int(n)

    for C in steps(100, 2500, 4, 70, seed).tolist():
        n, more = asked(C), asked(4 * C)
        grows = f"with {C} channels you say {n}, with four times as many {more}: "
        expect(
            more > 1.4 * n,
            f"{grows}the side hardly grows. Which of the two counts has one product for "
            "each channel, and which for each pair of channels?",
        )
        expect(
            more < 2.8 * n,
            f"{grows}the side grows by {more / n:.3g}. Did you ask for a side, or for a "
            "number of pixels?",
        )
        conv, pairs = _products(n, C)
        said = (
            f"with {C} channels you say {n} x {n}, where the pairs of pixels need "
            f"{pairs / conv:.3g} times the products of the convolution: "
        )
        conv, pairs = _products(n + 1, C)
        expect(
            pairs > 0.3 * conv,
            f"{said}how many weights has a 3x3 kernel for each pair of channels, and are "
            "all of them used at each pixel?",
        )
        expect(
            pairs > conv,
            f"{said}is anything counted for the pairs of pixels beside the two products, "
            "or left out for the convolution?",
        )
        conv, pairs = _products(max(n - 2, 0), C)
        expect(
            pairs <= conv,
            f"{said}does every pixel look at every pixel, and are both products counted, q "
            "with k and weights with v?",
        )
    yield 2, "where the two are equal, to a pixel"
    first = _whole(3, 80, 71, seed)
    edge = [-(-2 * n * n // 9) for n in range(first, first + 9)]
    edge.sort(key=lambda C: 2 * math.isqrt(C // 2) ** 2 == C)  # where they are equal: last
    for C in (*(C - 1 for C in edge), *edge, 1, 2, 3):
        n = asked(C)
        (conv, pairs), (before, less) = _products(n, C), _products(n - 1, C)
        said = f"with {C} channels you say {n} x {n}, "
        expect(
            pairs != conv,
            f"{said}where the pairs of pixels need {pairs:,} products and the convolution "
            "just as many: from where on are there more?",
        )
        expect(
            pairs > conv,
            f"{said}where the pairs of pixels need only {pairs:,} products and the "
            f"convolution {conv:,}: when a side comes out as no whole number, which one "
            "beside it is asked for?",
        )
        expect(
            less <= before,
            f"{said}but attention is dearer already at {n - 1} x {n - 1}: {less:,} "
            f"products against {before:,}",
        )
    yield 1, "the smallest one, for every number of channels"


def _embedding(index, width):
    r"""Sines, then cosines, of periods up to 10000 with half - 1; index: float64 (B,)."""
    half = width // 2
    rate = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / (half - 1))
    angle = index.double()[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)


@exercise("06.3", "shift", kind="derivation", minutes=25, points=4, lacks=ASKED)
def shift(answer, seed):
    index = 1000 * uniform((7,), 72, seed)
    widths = 2 * steps(3, 20, 3, 73, seed)
    shifts = steps(2, 300, 3, 74, seed) * torch.tensor([1, -1, 1])
    cases = list(zip(widths.tolist(), shifts.tolist(), strict=True))

    def asked(width, k):
        like = torch.zeros(width, width, dtype=torch.float64)
        return tensor(answer(width, k), like, "the matrix")

    for width, k in cases:
        still = (asked(width, 0) - torch.eye(width)).abs().max()
        expect(
            still < 1e-9,
            "a shift by 0 should change nothing, but your matrix for k = 0 is not the "
            f"identity: they differ by up to {float(still):.3g}",
        )
        _first_pair(asked(width, k), width, k, index)
    yield 2, "the pair of the first frequency turns as it should"
    for width, k in (*cases, (4, cases[0][1]), (4, -1)):
        _all_pairs(asked(width, k), width, k, index)
    yield 2, "and so do the pairs of all others"


def _first_pair(M, width, k, index):
    r"""Expect that M turns the sine and the cosine of frequency 1 by k."""
    half = width // 2
    rows, here = M[[0, half]], f"width {width}, shift {k}: "
    others = rows.clone()
    others[:, [0, half]] = 0
    if (others.abs() > 1e-6).any():
        i, j = (others.abs() > 1e-6).nonzero()[0].tolist()
        raise Hint(
            f"{here}entry {i * half} of e(t + k) has the frequency 1, yours is made of "
            f"entry {j} of e(t) as well (entries count from 0): which other entry has the "
            "frequency 1, when all sines come first?"
        )
    (a, b), (c, d) = rows[:, [0, half]].tolist()
    for row, one, other in ((0, a, b), (half, c, d)):
        off = one * one + other * other - 1
        expect(
            abs(off) < 1e-5,
            f"{here}the squares of the two numbers in row {row} add up to 1 {off:+.3g}. A "
            "sinusoid keeps its height when it is shifted: what do sin^2 and cos^2 of one "
            "angle add up to?",
        )
    expect(
        abs(a * c + b * d) < 1e-5,
        f"{here}the height of a sinusoid does not stay what it is: rows 0 and {half} are "
        f"not at right angles, their product is {a * c + b * d:.3g}. Which signs stand in "
        "the addition theorems of sine and cosine?",
    )
    e, wanted = _embedding(index, width), _embedding(index + k, width)
    got, back = e @ M.T, _embedding(index - k, width)

    def off(other):
        return float((got - other)[:, [0, half]].abs().max())

    expect(
        off(wanted) < 1e-3 or off(back) > 1e-3,
        f"{here}your matrix makes e(t - k) out of e(t), to {off(back):.1g}: in which "
        "direction does it turn, and is it M times a column?",
    )
    expect(
        off(wanted) < 1e-3,
        f"{here}the entries 0 and {half} of your M e(t) differ from those of e(t + k) by "
        f"up to {off(wanted):.3g}: by which angle does a wave of frequency 1 move in {k} "
        "steps?",
    )
    _digits(off(wanted), here)


def _digits(off, here):
    r"""Expect that what is nearly right is right to the digits of float64."""
    expect(
        off < 1e-8,
        f"{here}right but for {off:.2g}, where float64 has 1e-13: are all numbers float64 "
        "from the first on, before any power, sine or cosine is taken of them?",
    )


def _all_pairs(M, width, k, index):
    r"""Expect that M makes e(t + k) out of e(t)."""
    half, here = width // 2, f"width {width}, shift {k}: "
    mine = torch.eye(half).repeat(2, 2).bool()
    off = float(M[~mine].abs().max())
    expect(
        off < 1e-6,
        f"{here}entries of different frequencies are mixed, with factors up to {off:.3g}: "
        "which two entries of e(t) have the same frequency?",
    )
    got, wanted = _embedding(index, width) @ M.T, _embedding(index + k, width)
    off = (got - wanted).abs().max(0).values
    pair = torch.maximum(off[:half], off[half:])
    _digits(float(pair.max()) if pair.max() < 1e-3 else 0.0, here)
    j = int((pair > 1e-8).int().argmax())
    turned = float(torch.atan2(M[j, half + j], M[j, j]))
    length = float(M[j, j] ** 2 + M[j, half + j] ** 2)
    expect(
        pair[j] < 1e-8 or abs(length - 1) < 1e-6,
        f"{here}the pair of frequency {j + 1} of {half} changes its length, its numbers "
        f"have squares that add up to 1 {length - 1:+.3g}",
    )
    expect(
        pair[j] < 1e-8,
        f"{here}of {half} frequencies number {j + 1} is the first that is wrong: your "
        f"matrix turns its pair by {turned:.4g} (between -pi and pi), and is off by up to "
        f"{float(pair[j]):.3g}. The first frequency is 1: which one is the last, and where "
        "in the list does the exponent get to 1?",
    )


def _attended(answer, q, k, v, heads):
    r"""What an answer gives back for many_heads, once its shapes are right."""
    out, weights = several(answer(q, k, v, heads), 2, "the outputs and the weights")
    like = torch.zeros(q.shape[0], heads, q.shape[1], k.shape[1], dtype=q.dtype)
    return tensor(out, q, "the output"), tensor(weights, like, "the weights")


def _three(shape, *seed):
    r"""Three random tensors, q, k and v."""
    return [normal(shape, *seed, i) for i in range(3)]


@exercise("06.4", "many_heads", kind="code", minutes=30, points=4, lacks=ASKED)
def many_heads(answer, seed):
    N, C = _whole(5, 8, 75, seed), _whole(5, 12, 76, seed)
    q, k, v = _three((3, N, C), 77, seed)
    _alone(answer, q, k, v, 1)
    _shares(*_attended(answer, q, k, v, 1), v, "with one head")
    q, k, v = _three((2, N + 1, C), 79, seed)
    out, weights = _attended(answer, q, k, v, 1)
    expect(
        near(weights, _attended(answer, q, k + 3, v, 1)[1])
        and not near(weights, _attended(answer, q + 1, k, v, 1)[1]),
        "when all of k grows by one number no weight should change, and when all of q does "
        "they should: who asks, and who is asked?",
    )
    # Two pixels: the logarithm of the odds is the difference of the scores.
    for channels in (*steps(2, 40, 3, 78, seed).tolist(), 1):
        ones = torch.ones(1, 2, channels, dtype=torch.float64)
        half = torch.cat([ones[:, :1] / 2, 0 * ones[:, :1]], 1)
        _, two = _attended(answer, ones, half, half, 1)
        odds = float((two[0, 0, 0, 0] / two[0, 0, 0, 1]).log())
        _scaled(odds, channels)
    expect(
        near(out, F.scaled_dot_product_attention(q, k, v)),
        "with one head the outputs are not those of torch's attention: which pixel of q "
        "meets which pixel of k, and is v what the weights are used on?",
    )
    yield 2, "one head is an attention"
    yield from _many_heads(answer, seed)


def _scaled(odds, channels):
    r"""Expect the odds of two pixels whose products differ by half of the channels."""
    said = (
        f"the product q k of {channels} channels is {0.5 * channels:g} for one pixel and 0 "
        f"for the other; the logarithms of their weights differ by {odds:.4g}: "
    )
    expect(
        abs(odds / (0.5 * channels) - 1) > 1e-9 or channels == 1,
        f"{said}so one pixel gets nearly all, the more channels the more. By what does the "
        "paper of attention divide the products?",
    )
    expect(
        abs(odds / 0.5 - 1) > 1e-9 or channels == 1,
        f"{said}as if there were one channel. A sum of {channels} independent numbers has "
        "a deviation that grows with their number, but does it grow as fast?",
    )
    expect(
        abs(odds / (0.5 * channels**0.5) - 1) < 1e-9,
        f"{said}is each product divided once by its own size, the deviation of a sum of "
        f"{channels} independent numbers?",
    )


def _alone(answer, q, k, v, heads):
    r"""Expect that a picture gets the same in a batch as alone."""
    out, weights = _attended(answer, q, k, v, heads)
    alone, own = _attended(answer, q[1:2], k[1:2], v[1:2], heads)
    expect(
        near(alone, out[1:2]) and near(own, weights[1:2]),
        f"with heads = {heads} the second picture of a batch gets another answer, or other "
        "weights, than when it is alone: do numbers of different pictures, or of pictures "
        "and heads, get mixed?",
    )


def _shares(out, weights, v, when):
    r"""Expect weights that are shares, and outputs that are means of v by them."""
    least = float(weights.min())
    expect(least >= 0, f"a weight is a share, none below 0; yours go down to {least:.4g}")
    rows = weights.sum(3)
    expect(
        near(rows, torch.ones_like(rows)),
        f"{when} what pixel i takes from all others should add up to 1, weights[0, 0, 0] "
        f"adds up to {float(rows[0, 0, 0]):.4g}: over which dimension is the softmax?",
    )
    heads, each = weights.shape[1], v.shape[2] // weights.shape[1]
    expected = [weights[:, i] @ v[..., i * each : (i + 1) * each] for i in range(heads)]
    expect(
        near(out, torch.cat(expected, 2)),
        f"{when} the outputs are not the means of v that your own weights give: are these "
        "the weights that were used, each with its own head's channels?",
    )


def _many_heads(answer, seed):
    r"""The second stage of 06.4: what belongs to which picture, pixel and head."""
    heads, each, N = steps(2, 4, 3, 80, seed).tolist()
    N, C, when = N + 3, heads * each, f"with {heads} heads"
    q, k, v = _three((3, N, C), 81, seed)
    _alone(answer, q, k, v, heads)
    out, weights = _attended(answer, q, k, v, heads)
    swapped = torch.randperm(N, generator=generator_for(82, seed))
    moved, _ = _attended(answer, q[:, swapped], k, v, heads)
    expect(
        near(moved, out[:, swapped]),
        f"{when}, when the asking pixels change places, the answers should do so too and "
        "nothing else should change: do numbers of different pixels get mixed?",
    )
    changed, asking = v.clone(), q.clone()
    changed[..., each:] += normal((3, N, C - each), 83, seed)
    asking[..., each:] *= -2
    other, _ = _attended(answer, q, k, changed, heads)
    expect(
        near(other[..., :each], out[..., :each]),
        f"{when} of {each} channels the first {each} channels of the output change when "
        "the others of v do: which channels of v belong to which head?",
    )
    _, turned = _attended(answer, asking, k, v, heads)
    expect(
        near(turned[:, 0], weights[:, 0]) and not near(turned[:, 1], weights[:, 1]),
        f"{when} the weights of the first should not depend on what the others are asked, "
        "and those of the second should: which channels of q belong to which head?",
    )
    _shares(out, weights, v, when)
    split = [x.reshape(3, N, heads, each).transpose(1, 2) for x in (q, k, v)]
    right = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(3, N, C)
    expect(
        near(out, right),
        f"{when} of {each} channels the outputs are not those of torch's attention: is "
        "each head's score divided by the size for its own number of channels?",
    )
    yield 2, "each head is one of its own, on its own channels"


class Part:
    r"""A block of a U that notes what it is given, and gives the channels it is to give."""

    def __init__(self, name, seen, channels, scale=1):
        self.name, self.seen, self.channels, self.scale = name, seen, channels, scale

    def __call__(self, h):
        if not isinstance(h, torch.Tensor) or h.dim() != 4:
            raise ValueError(f"the block {self.name} wants pictures (B, C, H, W)")
        self.seen.append((self.name, h))
        return self.gives(h)

    def gives(self, h):
        r"""What the block makes of h, without a note."""
        B, _, H, W = h.shape
        first, last = h[:, :1], h[:, -1:]
        mixed = torch.sin(first + 2 * last + sum(map(ord, self.name)))
        mixed = mixed + h.mean(1, keepdim=True)
        size = max(int(H * self.scale), 1), max(int(W * self.scale), 1)
        return F.interpolate(mixed.expand(B, self.channels, H, W), size=size)


def _parts(down, up, middle, scale=1):
    r"""The blocks of a U whose outputs have these channels, and the list of their notes."""
    seen, last = [], len(down) - 1
    return (
        [Part(f"down {i + 1}", seen, c, 1 / scale if i else 1) for i, c in enumerate(down)],
        Part("middle", seen, middle),
        [Part(f"up {i + 1}", seen, c, scale if i < last else 1) for i, c in enumerate(up)],
        seen,
    )


@exercise("06.5", "wire", kind="project", minutes=45, points=5, lacks=ASKED)
def wire(answer, seed):
    # One block on each side, all with the same channels, so that mix-ups go through.
    C, side = _whole(2, 5, 84, seed), _whole(5, 9, 85, seed)
    _wired(answer, normal((2, C, side, side), 86, seed), _parts([C], [C], C))
    more = normal((2, C + 2, side, side), 87, seed)
    _wired(answer, more, _parts([C], [C + 1], C + 3))
    yield 2, "a U of one block on each side"
    depth = _whole(3, 4, 88, seed)
    same = normal((2, C, side, side), 89, seed)
    _wired(answer, same, _parts([C] * depth, [C] * depth, C))
    down, up = (steps(2, 6, depth, 90 + i, seed).tolist() for i in range(2))
    x = normal((2, 1, 16, 16), 92, seed)
    _wired(answer, x, _parts(down, up, C, 2))
    _wired(answer, x, _parts([C, C + 1], [C, C], C, 2))
    yield 3, "a deep one, in mirror order, with sizes that change"


def _wired(answer, x, parts):
    r"""Expect that an answer joins the parts of a U as the statement says."""
    down, middle, up, seen = parts
    out = answer(x, down, middle, up)
    order, given = [name for name, _ in seen], dict(seen)
    wanted = [part.name for part in (*down, middle, *up)]
    expect(
        order == wanted,
        f"the blocks should be called in the order {', '.join(wanted)}, yours is "
        f"{', '.join(order) or 'none'}",
    )
    known, h, kept = {"x": x}, x, []
    for part in (*down, middle):
        expect(
            near(given[part.name], h),
            f"{part.name} should get what came just before it and nothing else, yours gets "
            f"{_whose(given[part.name], known)}",
        )
        h = known[f"what {part.name} gave"] = part.gives(h)
        kept.append(h)
    kept.pop()
    for part in up:
        skip, got = kept.pop(), given[part.name]
        before, count = h.shape[1], h.shape[1] + skip.shape[1]
        expect(
            got.shape[1] == count,
            f"{part.name} should get the {before} channels of the way up and the "
            f"{skip.shape[1]} of its partner on the way down, {count} in all, yours gets "
            f"{got.shape[1]}, {_whose(got, known)}: are they joined or added, and are they "
            "its partner's, as it gave them?",
        )
        expect(
            not near(got, torch.cat([skip, h], 1)),
            f"{part.name} gets the right channels, but which part comes first?",
        )
        expect(
            near(got[:, before:], skip),
            f"behind the first {before} channels {part.name} gets "
            f"{_whose(got[:, before:], known)}: which block of the way down is its "
            "mirror image, and is its output kept or its input?",
        )
        expect(
            near(got[:, :before], h),
            f"the first {before} channels of {part.name} should be what the block before "
            f"it gave, yours are {_whose(got[:, :before], known)}",
        )
        h = known[f"what {part.name} gave"] = part.gives(got)
    out = tensor(out, h, "the result")
    expect(
        near(out, h),
        f"the result should be what the last block gave, yours is {_whose(out, known)}",
    )


def _whose(got, known):
    r"""Which of these tensors an answer is, in words."""
    found = [name for name, tensor in known.items() if near(got, tensor)]
    return found[0] if found else "something else"
