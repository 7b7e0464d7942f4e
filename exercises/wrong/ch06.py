r"""Typical wrong answers to the exercises of chapter 06, each with words of its hint."""

import math

import torch

from wrong import wrong


@wrong("06.1", "neighbouring inputs")
def forgets_the_strides(kernels, strides):
    return 1 + sum(kernel - 1 for kernel in kernels)


@wrong("06.1", "neighbouring inputs")
def multiplies_kernels(kernels, strides):
    return math.prod(kernels)


@wrong("06.1", "how far")
def strides_one_layer_early(kernels, strides):
    seen, apart = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        apart *= stride
        seen += (kernel - 1) * apart
    return seen


@wrong("06.1", "how many more")
def adds_whole_kernels(kernels, strides):
    seen, apart = 0, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += kernel * apart
        apart *= stride
    return seen


@wrong("06.1", "one number")
def one_for_each_layer(kernels, strides):
    return [3 for _ in kernels]


@wrong("06.2", "dearer already")
def counts_pairs_once(channels):
    return math.isqrt(9 * channels) + 1


@wrong("06.2", "in both products")
def one_weight_for_each_pair_of_channels(channels):
    return math.isqrt(channels // 2) + 1


@wrong("06.2", "dearer already")
def pixels_for_side(channels):
    return 9 * channels // 2 + 1


@wrong("06.2", "whole number")
def not_rounded(channels):
    return math.sqrt(4.5 * channels)


@wrong("06.2", "dearer already")
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


@wrong("06.3", "by which angle")
def half_without_minus_one(width, k):
    return _matrix(width, k, last=0)


@wrong("06.3", "in which direction")
def backwards(width, k):
    return _matrix(width, k, sign=-1)


@wrong("06.3", "which entry is")
def sines_and_cosines_in_turn(width, k):
    return _matrix(width, k, interleaved=True)


@wrong("06.3", "changes lengths")
def two_pluses(width, k):
    half = width // 2
    M = _matrix(width, k)
    M[half:, :half] *= -1
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


@wrong("06.4", "by its own size")
def without_the_scale(q, k, v, heads):
    return _attend(q, k, v, heads, scale=1)


@wrong("06.4", "its own number of channels")
def scale_of_all_channels(q, k, v, heads):
    return _attend(q, k, v, heads, scale=q.shape[2] ** -0.5)


@wrong("06.4", "by its own size")
def divides_by_the_number(q, k, v, heads):
    return _attend(q, k, v, heads, scale=heads / q.shape[2])


@wrong("06.4", "different pixels get mixed")
def reshapes_without_transposing(q, k, v, heads):
    return _attend(q, k, v, heads, channels_last=False)


@wrong("06.4", "which channels belong")
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


@wrong("06.5", "RuntimeError")
def first_kept_first_taken(x, down, middle, up):
    return _run(x, down, middle, up, take=0)


@wrong("06.5", "in all")
def keeps_the_inputs(x, down, middle, up):
    return _run(x, down, middle, up, keep_input=True)


@wrong("06.5", "in all")
def adds_instead(x, down, middle, up):
    return _run(x, down, middle, up, join=False)


@wrong("06.5", "in the order")
def forgets_the_middle(x, down, middle, up):
    return _run(x, down, lambda h: h, up)


@wrong("06.5", "what the last block gave")
def adds_the_input_at_the_end(x, down, middle, up):
    return _run(x, down, middle, up) + x
