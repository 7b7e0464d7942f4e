r"""Typical wrong answers to the exercises of chapter 06, each with words of its hint."""

import math

import torch

from wrong import wrong


def _walk(kernels, strides):
    seen, apart = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += (kernel - 1) * apart
        apart *= stride
    return seen


@wrong("06.1", "the same as with strides of 1")
def forgets_the_strides(kernels, strides):
    return 1 + sum(kernel - 1 for kernel in kernels)


@wrong("06.1", "see nearly the same inputs")
def multiplies_kernels(kernels, strides):
    return math.prod(kernels)


@wrong("06.1", "in reverse order")
def starts_at_the_output(kernels, strides):
    return _walk(kernels[::-1], strides[::-1])


@wrong("06.1", "how many inputs is each of those")
def distance_of_the_last_stride_alone(kernels, strides):
    seen, apart = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += (kernel - 1) * apart
        apart = stride
    return seen


@wrong("06.1", "how many inputs is each of those")
def adds_the_strides(kernels, strides):
    seen, apart = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += (kernel - 1) * apart
        apart += stride - 1
    return seen


@wrong("06.1", "what does a single kernel look at")
def one_neighbour_on_each_side(kernels, strides):
    return 1 + 2 * len(kernels)


@wrong("06.1", "for whom does the last layer's matter")
def strides_for_gaps_in_the_kernel(kernels, strides):
    return 1 + sum((k - 1) * s for k, s in zip(kernels, strides, strict=True))


@wrong("06.1", "which of the three kernels")
def gaps_in_all_kernels_but_the_last(kernels, strides):
    return 1 + sum((k - 1) * s for k, s in zip(kernels, [*strides[:-1], 1], strict=True))


@wrong("06.1", "for whom does the last layer's matter")
def strides_one_layer_early(kernels, strides):
    seen, apart = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        apart *= stride
        seen += (kernel - 1) * apart
    return seen


@wrong("06.1", "does a kernel of 1 bring in")
def adds_whole_kernels(kernels, strides):
    seen, apart = 0, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += kernel * apart
        apart *= stride
    return seen


@wrong("06.1", "one number")
def one_for_each_layer(kernels, strides):
    return [3 for _ in kernels]


@wrong("06.2", "are both products counted")
def counts_pairs_once(channels):
    return math.isqrt(9 * channels) + 1


@wrong("06.2", "how many weights has a 3x3 kernel")
def one_weight_for_each_pair_of_channels(channels):
    return math.isqrt(channels // 2) + 1


@wrong("06.2", "a number of pixels")
def pixels_for_side(channels):
    return 9 * channels // 2 + 1


@wrong("06.2", "whole number")
def not_rounded(channels):
    return math.sqrt(4.5 * channels)


@wrong("06.2", "hardly grows")
def one_kernel_for_all_channels(channels):
    return math.isqrt(9 // 2) + 1


@wrong("06.2", "beside the two products")
def additions_of_attention_only(channels):
    return math.isqrt(9 * channels // 4) + 1


@wrong("06.2", "from where on are there more")
def as_many_is_enough(channels):
    return math.ceil(math.sqrt(4.5 * channels))


@wrong("06.2", "which one beside it is asked for")
def cut_off(channels):
    return math.isqrt(9 * channels // 2)


@wrong("06.2", "hardly grows")
def far_too_many(channels):
    return 10**9


@wrong("06.2", "dearer already")
def one_too_many(channels):
    return math.isqrt(9 * channels // 2) + 2


def _matrix(width, k, last=1, sign=1, interleaved=False):
    half = width // 2
    rates = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / (half - last))
    cosines, sines = torch.diag((k * rates).cos()), torch.diag((k * rates).sin())
    upper = torch.cat([cosines, sign * sines], 1)
    M = torch.cat([upper, torch.cat([-sign * sines, cosines], 1)])
    if interleaved:
        order = torch.arange(width).reshape(2, half).T.flatten()
        M = M[order][:, order]
    return M


@wrong("06.3", "where in the list does the exponent get to 1")
def half_without_minus_one(width, k):
    return _matrix(width, k, last=0)


@wrong("06.3", "in which direction")
def backwards(width, k):
    return _matrix(width, k, sign=-1)


@wrong("06.3", "when all sines come first")
def sines_and_cosines_in_turn(width, k):
    return _matrix(width, k, interleaved=True)


@wrong("06.3", "not at right angles")
def two_pluses(width, k):
    half = width // 2
    M = _matrix(width, k)
    M[half:, :half] *= -1
    return M


@wrong("06.3", "are all numbers float64 from the first on")
def rates_in_float32(width, k):
    half = width // 2
    angles = k * 10_000.0 ** (-torch.arange(half) / (half - 1))
    C, S = torch.diag(angles.cos()), torch.diag(angles.sin())
    return torch.cat([torch.cat([C, S], 1), torch.cat([-S, C], 1)]).double()


@wrong("06.3", "keeps its height when it is shifted")
def cosines_alone(width, k):
    return _matrix(width, k).diag().diag()


@wrong("06.3", "by which angle does a wave of frequency 1 move")
def periods_for_frequencies(width, k):
    return _matrix(width, 2 * math.pi * k)


@wrong("06.3", "of different frequencies are mixed")
def the_partner_from_the_end(width, k):
    half = width // 2
    M = _matrix(width, k)
    M[1:half, half + 1 :] = M[1:half, half + 1 :].flip(1)
    M[half + 1 :, 1:half] = M[half + 1 :, 1:half].flip(1)
    return M


@wrong("06.3", "should be torch.float64")
def in_float32(width, k):
    return _matrix(width, k).float()


@wrong("06.3", "not the identity")
def one_step_more(width, k):
    return _matrix(width, k + 1)


def _attend(q, k, v, heads, over=3, scale=None, channels_last=True):
    B, N, C = q.shape
    each = C // heads
    if channels_last:
        q, k, v = (x.reshape(B, -1, heads, each).transpose(1, 2) for x in (q, k, v))
    else:
        q, k, v = (x.reshape(B, heads, -1, each) for x in (q, k, v))
    weights = (q @ k.transpose(2, 3) * (each**-0.5 if scale is None else scale)).softmax(
        over
    )
    out = weights @ v
    out = out.transpose(1, 2) if channels_last else out
    return out.reshape(B, N, C), weights


@wrong("06.4", "over which dimension")
def softmax_over_the_asking(q, k, v, heads):
    return _attend(q, k, v, heads, over=2)


@wrong("06.4", "one pixel gets nearly all")
def without_the_scale(q, k, v, heads):
    return _attend(q, k, v, heads, scale=1)


@wrong("06.4", "its own number of channels")
def scale_of_all_channels(q, k, v, heads):
    return _attend(q, k, v, heads, scale=q.shape[2] ** -0.5)


@wrong("06.4", "does it grow as fast")
def divides_by_the_number(q, k, v, heads):
    return _attend(q, k, v, heads, scale=heads / q.shape[2])


@wrong("06.4", "different pixels get mixed")
def reshapes_without_transposing(q, k, v, heads):
    return _attend(q, k, v, heads, channels_last=False)


@wrong("06.4", "which channels of q belong to which head")
def every_second_channel(q, k, v, heads):
    C = q.shape[2]
    order = torch.arange(C).reshape(C // heads, heads).T.flatten()
    out, weights = _attend(q[..., order], k[..., order], v[..., order], heads)
    return out[..., order.argsort()], weights


@wrong("06.4", "pictures and heads")
def heads_before_the_batch(q, k, v, heads):
    B, N, _ = q.shape
    out, weights = _attend(q, k, v, heads)
    return out, weights.transpose(0, 1).reshape(B, heads, N, N)


@wrong("06.4", "pictures")
def keys_of_the_first_picture(q, k, v, heads):
    return _attend(q, k[:1].expand_as(k), v, heads)


@wrong("06.4", "who asks, and who is asked")
def keys_ask(q, k, v, heads):
    return _attend(k, q, v, heads)


@wrong("06.4", "divided once by its own size")
def scales_by_the_number_of_pixels(q, k, v, heads):
    return _attend(q, k, v, heads, scale=q.shape[1] ** -0.5)


@wrong("06.4", "does it grow as fast")
def scales_twice(q, k, v, heads):
    scale = (q.shape[2] // heads) ** -0.25
    return _attend(q * scale, k * scale, v, heads)


@wrong("06.4", "the means of v that your own weights give")
def scales_the_outputs(q, k, v, heads):
    out, weights = _attend(q, k, v, heads)
    return out / math.sqrt(q.shape[2] // heads), weights


@wrong("06.4", "none below 0")
def divides_by_the_sum(q, k, v, heads):
    out, weights = _attend(q, k, v, heads)
    scores = weights.log() - weights.log().mean(3, keepdim=True) + 0.1
    return out, scores / scores.sum(3, keepdim=True)


@wrong("06.4", "the weights should have shape")
def one_head_for_all(q, k, v, heads):
    return _attend(q, k, v, 1)


def _run(x, down, middle, up, take=-1, first=False, keep_input=False, join=True):
    kept = []
    for block in down:
        given = x
        x = block(x)
        kept.append(given if keep_input else x)
    x = middle(x)
    for block in up:
        other = kept.pop(take)
        parts = [other, x] if first else [x, other]
        x = block(torch.cat(parts, 1) if join else x + other.mean(1, keepdim=True))
    return x


@wrong("06.5", "which part comes first")
def kept_in_front(x, down, middle, up):
    return _run(x, down, middle, up, first=True)


@wrong("06.5", "which block of the way down is its mirror image")
def first_kept_first_taken(x, down, middle, up):
    return _run(x, down, middle, up, take=0)


@wrong("06.5", "is its output kept or its input")
def keeps_the_inputs(x, down, middle, up):
    return _run(x, down, middle, up, keep_input=True)


@wrong("06.5", "are they joined or added")
def adds_instead(x, down, middle, up):
    return _run(x, down, middle, up, join=False)


@wrong("06.5", "in the order")
def forgets_the_middle(x, down, middle, up):
    return _run(x, down, lambda h: h, up)


@wrong("06.5", "what the last block gave")
def adds_the_input_at_the_end(x, down, middle, up):
    return _run(x, down, middle, up) + x


@wrong("06.5", "should be what the last block gave")
def leaves_out_the_last_block_of_the_way_up(x, down, middle, up):
    kept = []
    for block in down:
        x = block(x)
        kept.append(x)
    x = middle(x)
    for block in up:
        before, x = x, block(torch.cat([x, kept.pop()], 1))
    return before


@wrong("06.5", "should get what came just before it")
def the_middle_gets_the_input(x, down, middle, up):
    return _run(x, down, lambda h: middle(x), up)


@wrong("06.5", "what the block before it gave")
def the_way_up_forgets(x, down, middle, up):
    kept = []
    for block in down:
        x = block(x)
        kept.append(x)
    x = middle(x)
    for block in up:
        given = torch.cat([kept[-1], kept.pop()], 1)
        x = block(given)
    return x


_TURNS = "cosines, sines = torch.diag((k * rates).cos()), torch.diag((k * rates).sin())"
_SPLIT = "q, k, v = (x.reshape(B, -1, heads, each).transpose(1, 2) for x in (q, k, v))"
_SCORES = "scores = q @ k.transpose(2, 3) / math.sqrt(each)"
_OUT = "return (weights @ v).transpose(1, 2).reshape(B, N, C), weights"
_AXES = "which of the two axes is named first does not matter"
EQUIVALENT = {
    ("06.1", "seen, apart = 1, 1", "(apart, seen) = 1, 1"): "both are 1",
    ("06.3", "half = width // 2", "half = width / 2"): "width is even",
    ("06.3", _TURNS, _TURNS.replace("(k * rates).cos", "(-k * rates).cos")): "cos is even",
    ("06.3", _TURNS, _TURNS.replace("(k * rates).cos", "(k * -rates).cos")): "cos is even",
    ("06.4", "B, N, C = q.shape", "B, N, C = k.shape"): "q, k and v have one shape",
    ("06.4", "B, N, C = q.shape", "B, N, C = v.shape"): "q, k and v have one shape",
    ("06.4", _SPLIT, _SPLIT.replace("(1, 2)", "(2, 1)")): _AXES,
    ("06.4", _SCORES, _SCORES.replace("(2, 3)", "(3, 2)")): _AXES,
    ("06.4", _OUT, _OUT.replace("(1, 2)", "(2, 1)")): _AXES,
}
