r"""Checks of chapter 06, the U-Net.

Networks cannot travel to a submission and back, so that the parts are asked for as
functions of tensors; what is counted by hand is counted again on real layers.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .exercise import exercise, expect, near, normal, number, several, tensor, uniform

ASKED = ("models.unet.Attention",)


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
    plans = [
        ((3,), (1,)),
        ((3, 3), (1, 1)),
        ((3, 3, 3), (1, 2, 1)),
        ((3, 3, 3, 3, 3), (1, 2, 1, 2, 1)),
        ((1, 5, 3, 2), (1, 2, 2, 1)),
        ((3, 3) * 6, (1, 2) * 6),
    ]
    for kernels, strides in plans:
        got = number(answer(list(kernels), list(strides)), "the reach")
        counted = _reached(kernels, strides)
        expect(
            got == counted,
            f"one output of kernels {kernels} with strides {strides} depends on {counted} "
            f"neighbouring inputs (counted by their gradients), you say {got:g}: how far "
            "apart are two neighbours of a layer on the input's scale, and how many more "
            "of them does a kernel see than one?",
        )


@exercise(
    "06.2", "attention_overtakes", kind="derivation", minutes=20, points=3, lacks=ASKED
)
def attention_overtakes(answer, seed):
    for channels in (1, 2, 64, 128, 256, 512):
        n = number(answer(channels), "the side")
        expect(n == int(n) and n >= 1, f"a side is a whole number of pixels, yours is {n}")

        def products(side, C=channels):
            r"""Products of a 3x3 convolution, and of q k and of weights v."""
            pixels = side * side  # nothing of this size is made: the side is an answer
            pairs = pixels * pixels * C  # q k: one product for each pair and channel
            weights = nn.Conv2d(C, C, 3, device="meta").weight.numel()
            return weights * pixels, 2 * pairs

        (conv, pairs), (before, less) = products(int(n)), products(max(int(n) - 1, 0))
        expect(
            pairs > conv,
            f"with {channels} channels you say {n:g} x {n:g}, where the pairs of pixels "
            f"need {pairs:,} products and the convolution {conv:,}: do you count all pairs "
            "of pixels, in both products, and nine weights for each pair of channels?",
        )
        expect(
            n == 1 or less <= before,
            f"with {channels} channels attention is dearer already at {n - 1:g} x {n - 1:g}"
            f": {less:.6g} products against {before:.6g}; you say {n:g}",
        )


def _embedding(index, width):
    r"""Sines, then cosines, of periods up to 10000 with half - 1; index: float64 (B,)."""
    half = width // 2
    rate = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / (half - 1))
    angle = index.double()[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)


@exercise("06.3", "shift", kind="derivation", minutes=25, points=4, lacks=ASKED)
def shift(answer, seed):
    index = 1000 * uniform((7,), 60, seed)
    for width in (4, 8, 32):
        one = torch.zeros(width, width, dtype=torch.float64)
        for k in (1, 10, -3):
            M = tensor(answer(width, k), one, "the matrix")
            still = tensor(answer(width, 0), one, "the matrix for k = 0")
            expect(
                near(still, torch.eye(width)),
                "a shift by 0 should change nothing, but your matrix is not the identity",
            )
            longest, *_, shortest = torch.linalg.svdvals(M).tolist()
            expect(
                near(M @ M.T, torch.eye(width), atol=1e-9),
                "a sinusoid keeps its height when it is shifted, but your matrix changes "
                f"lengths, by factors from {shortest:.4g} to {longest:.4g}: what do sin^2 "
                "and cos^2 of one frequency add up to, before and after?",
            )
            got, wanted = _embedding(index, width) @ M.T, _embedding(index + k, width)
            worst = int((got - wanted).abs().max(0).values.argmax())
            half, kind = width // 2, "sine" if worst < width // 2 else "cosine"
            expect(
                near(got, wanted, atol=1e-8),
                f"width {width}, shift {k}: entry {worst}, the {kind} of frequency "
                f"{worst % half + 1} of {half}, is off by up to "
                f"{float((got - wanted).abs().max()):.3g} after your matrix: which entry "
                "is its partner, by which angle does this pair turn in k steps, and in "
                "which direction?",
            )


@exercise("06.4", "many_heads", kind="code", minutes=30, points=4, lacks=ASKED)
def many_heads(answer, seed):
    B, N, C, heads = 2, 6, 8, 2
    q, k, v = (normal((B, N, C), 61 + i, seed) for i in range(3))

    def asked(q, k, v, heads=heads):
        out, weights = several(answer(q, k, v, heads), 2, "the outputs and the weights")
        like = torch.zeros(q.shape[0], heads, q.shape[1], k.shape[1], dtype=q.dtype)
        return tensor(out, q, "the output"), tensor(weights, like, "the weights")

    out, weights = asked(q, k, v)
    least = float(weights.min())
    expect(least >= 0, f"a weight is a share, none below 0; yours go down to {least:.4g}")
    rows = weights.sum(3)
    expect(
        near(rows, torch.ones_like(rows)),
        f"what pixel i takes from all others should add up to 1, weights[0, 0, 0] adds up "
        f"to {float(rows[0, 0, 0]):.4g}: over which dimension is the softmax?",
    )
    alone, own = asked(q[1:], k[1:], v[1:])
    expect(
        near(alone, out[1:]) and near(own, weights[1:]),
        "the second picture of a batch gets another answer, or other weights, than when it "
        "is alone: do numbers of different pictures, or of pictures and heads, get mixed?",
    )
    swapped = torch.tensor([3, 1, 2, 0, 5, 4])
    moved, _ = asked(q[:, swapped], k, v)
    expect(
        near(moved, out[:, swapped]),
        "when the asking pixels change places, the answers should do so too and nothing "
        "else should change: do numbers of different pixels get mixed?",
    )
    flat, _ = asked(q, k, torch.ones_like(v))
    expect(
        near(flat, torch.ones_like(flat)),
        "when all pixels say 1 every answer should be 1: are the outputs means of v?",
    )
    changed = v.clone()
    changed[..., C // 2 :] += 1
    other, _ = asked(q, k, changed)
    expect(
        near(other[..., : C // 2], out[..., : C // 2]),
        "the first head's half of the output changes when the second half of v does: which "
        "channels belong to which head?",
    )
    q_changed = q.clone()
    q_changed[..., C // 2 :] *= -2
    _, turned = asked(q_changed, k, v)
    expect(
        near(turned[:, 0], weights[:, 0]) and not near(turned[:, 1], weights[:, 1]),
        "the weights of the first head should not depend on the second half of q, and "
        "those of the second should: which channels belong to which head?",
    )
    # Two pixels, one head: the logarithm of the odds is the difference of the scores.
    for C in (1, 4, 16):
        q, k = torch.ones(1, 2, C).double(), torch.zeros(1, 2, C).double()
        k[:, 0] = 0.5
        _, weights = asked(q, k, k, heads=1)
        odds = float((weights[0, 0, 0, 0] / weights[0, 0, 0, 1]).log())
        expect(
            abs(odds / (0.5 * C**0.5) - 1) < 1e-9,
            f"the product q k of {C} channels is {0.5 * C:g} for one pixel and 0 for the "
            f"other; their weights differ by {odds:.4g} in the logarithm. Products of {C} "
            "independent numbers have a deviation that grows with their number: is each "
            "divided by its own size?",
        )
    q, k, v = (normal((2, 4, 12), 64 + i, seed) for i in range(3))
    out, weights = asked(q, k, v, heads=3)
    expected = [weights[:, i] @ v[..., 4 * i : 4 * i + 4] for i in range(3)]
    expect(
        near(out, torch.cat(expected, 2)),
        "with 3 heads the outputs are not the means of v that your own weights give: are "
        "these the weights that were used, each with its own head's channels?",
    )
    split = [x.reshape(2, 4, 3, 4).transpose(1, 2) for x in (q, k, v)]
    right = F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(2, 4, 12)
    expect(
        near(out, right),
        "with 3 heads of 4 channels the outputs are not those of torch's attention: is "
        "each head's score divided by the size for its own number of channels?",
    )


class Part:
    r"""A block of a U that notes what it is given, and gives the channels it is to give."""

    def __init__(self, name, seen, channels, scale=1):
        self.name, self.seen, self.channels, self.scale = name, seen, channels, scale

    def __call__(self, h):
        if not isinstance(h, torch.Tensor) or h.dim() != 4:
            raise ValueError(f"the block {self.name} wants pictures (B, C, H, W)")
        self.seen.append((self.name, h))
        B, _, H, W = h.shape
        first, last = h[:, :1], h[:, -1:]
        mixed = torch.sin(first + 2 * last + len(self.name)) + h.mean(1, keepdim=True)
        size = max(int(H * self.scale), 1), max(int(W * self.scale), 1)
        return F.interpolate(mixed.expand(B, self.channels, H, W), size=size)


@exercise("06.5", "wire", kind="project", minutes=45, points=5, lacks=ASKED)
def wire(answer, seed):
    for depth in (1, 3):
        seen = []
        x = normal((2, 1, 8, 8), 67, seed, depth)
        down = [Part(f"down {i + 1}", seen, 2 + i, 0.5 if i else 1) for i in range(depth)]
        up = [
            Part(f"up {i + 1}", seen, 2 + i, 2 if i + 1 < depth else 1)
            for i in range(depth)
        ]
        out = answer(x, down, Part("middle", seen, 7), up)
        order = [name for name, _ in seen]
        wanted = [p.name for p in down] + ["middle"] + [p.name for p in up]
        expect(
            order == wanted,
            f"the blocks should be called in the order {', '.join(wanted)}, yours is "
            f"{', '.join(order) or 'none'}",
        )
        given = dict(seen)
        h, stored = x, []
        for block in down:
            expect(
                near(given[block.name], h),
                f"{block.name} should get what the block before it gave, and nothing else",
            )
            h = block(h)
            stored.append(h)
        expect(near(given["middle"], h), "the middle should get what the last down gave")
        h = Part("middle", seen, 7)(h)
        for block in up:
            kept = stored.pop()
            got = given[block.name]
            count = h.shape[1] + kept.shape[1]
            expect(
                got.shape[1] == count,
                f"{block.name} should get the {h.shape[1]} channels of the way up and the "
                f"{kept.shape[1]} of its partner on the way down, {count} in all, yours "
                f"gets {got.shape[1]}",
            )
            expect(
                near(got[:, h.shape[1] :], kept),
                f"the channels of {block.name} behind the first {h.shape[1]} are not those "
                "that its partner gave: which block of the way down has the same picture "
                "size, was its output kept or its input, and which part comes first?",
            )
            expect(
                near(got[:, : h.shape[1]], h),
                f"the first channels of {block.name} are not what the block before it gave",
            )
            h = block(torch.cat([h, kept], 1))
        out = tensor(out, h, "the result")
        expect(near(out, h), "the result should be what the last block gave")
