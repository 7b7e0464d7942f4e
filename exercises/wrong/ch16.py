r"""Typical wrong answers to the exercises of chapter 16, each with words of its hint."""

import math

import torch

from wrong import wrong


def _unscaled(z, alpha_bar, t, deviation=None, scale=None, factor=None, step=None):
    d = float(z.std(correction=0)) if deviation is None else float(deviation)
    v = d**2 if factor is None else factor(d)
    ratio = alpha_bar / (1 - alpha_bar)
    low = (ratio <= d**2 * ratio[t]).nonzero()
    found = int(low[0]) if len(low) else None
    if step is not None:
        found = step(found, ratio, d, t)
    return (1 / d if scale is None else scale(d)), v, found


@wrong("16.1", "must they become larger, or smaller")
def multiplies_by_the_deviation(*given):
    return _unscaled(*given, scale=lambda d: d)


@wrong("16.1", "is that a variance, or a deviation")
def divides_by_the_variance(*given):
    return _unscaled(*given, scale=lambda d: 1 / d**2)


@wrong("16.1", "about what is the deviation taken")
def takes_the_size_about_zero(z, alpha_bar, t):
    return _unscaled(z, alpha_bar, t, z.square().mean().sqrt())


@wrong("16.1", "by which number are the")
def divides_by_one_less(z, alpha_bar, t):
    return _unscaled(z, alpha_bar, t, z.std())


@wrong("16.1", "or one for each channel")
def averages_over_channels(z, alpha_bar, t):
    return _unscaled(z, alpha_bar, t, z.std((0, 2, 3), correction=0).mean())


@wrong("16.1", "the largest entry, or the deviation")
def scales_to_the_largest(z, alpha_bar, t):
    return _unscaled(z, alpha_bar, t, z.abs().max())


@wrong("16.1", "one of deviations, or of variances")
def ratio_of_deviations(*given):
    return _unscaled(*given, factor=lambda d: d)


@wrong("16.1", "which of the two has more signal")
def turns_the_factor(*given):
    return _unscaled(*given, factor=lambda d: 1 / d**2)


@wrong("16.1", "is the ratio the same with a scale")
def same_step(*given):
    return _unscaled(*given, step=lambda found, ratio, d, t: t)


@wrong("16.1", "is there a step that has as little signal")
def always_finds_a_step(*given):
    def step(found, ratio, d, t):
        return len(ratio) - 1 if found is None else found

    return _unscaled(*given, step=step)


@wrong("16.1", "is the ratio there already as low")
def takes_the_nearest_step(*given):
    def step(found, ratio, d, t):
        if found is None:
            return None
        return int((ratio[1:] - d**2 * ratio[t]).abs().argmin()) + 1

    return _unscaled(*given, step=step)


@wrong("16.1", "is there no step between")
def never_finds_one(*given):
    return _unscaled(*given, step=lambda found, ratio, d, t: None)


def _survivors(v, beta, b=None, a=None, s=None, nats=None):
    alive = v > beta
    best = torch.where(alive, v - beta, torch.zeros_like(v)).sqrt()
    b = best if b is None else b
    right_s = torch.where(alive, beta / v, torch.ones_like(v)).sqrt()
    a = best / v if a is None else a
    s = right_s if s is None else s
    return a, b, s, float(-right_s.log().sum()) if nats is None else float(nats)


@wrong("16.2", "which entries are worth their price")
def lets_none_die(v, beta):
    return _survivors(v, beta, b=(v - beta).abs().sqrt())


@wrong("16.2", "is it b, or its square")
def gives_the_square(v, beta):
    return _survivors(v, beta, b=(v - beta).clamp(min=0))


@wrong("16.2", "change nothing")
def no_weight(v, beta):
    return _survivors(v, beta, b=v.sqrt())


@wrong("16.2", "is b a step")
def all_or_nothing(v, beta):
    return _survivors(v, beta, b=torch.where(v > beta, v, torch.zeros_like(v)).sqrt())


@wrong("16.2", "which factor has the squared error")
def forgets_the_half(v, beta):
    return _survivors(v, beta, b=(v - beta / 2).clamp(min=0).sqrt())


@wrong("16.2", "must x come back exactly")
def inverts_the_decoder(v, beta):
    b = (v - beta).clamp(min=0).sqrt()
    return _survivors(v, beta, a=torch.where(b > 0, 1 / b, torch.zeros_like(b)))


@wrong("16.2", "the encoder's, or the decoder's")
def same_number_for_both(v, beta):
    return _survivors(v, beta, a=(v - beta).clamp(min=0).sqrt())


@wrong("16.2", "what is s where z says nothing")
def noise_above_one(v, beta):
    return _survivors(v, beta, s=(beta / v).sqrt())


@wrong("16.2", "is s a variance, or a deviation")
def gives_the_variance(v, beta):
    return _survivors(v, beta, s=(beta / v).clamp(max=1))


@wrong("16.2", "or of all together")
def divergence_of_an_entry(v, beta):
    nats = _survivors(v, beta)[3]
    return _survivors(v, beta, nats=nats / len(v))


@wrong("16.2", "averaged over x")
def forgets_the_means(v, beta):
    s = _survivors(v, beta)[2]
    return _survivors(v, beta, nats=((s**2 - 1) / 2 - s.log()).sum())


@wrong("16.2", "the logarithm of a variance, and of a deviation")
def twice_the_divergence(v, beta):
    return _survivors(v, beta, nats=2 * _survivors(v, beta)[3])


@wrong("16.2", "should not be negative")
def turns_the_sign_of_b(v, beta):
    a, b, s, nats = _survivors(v, beta)
    return -a, -b, s, nats


def _cut(x, p, order=(0, 2, 4, 1, 3, 5)):
    B, C, H, W = x.shape
    return x.reshape(B, C, H // p, p, W // p, p).permute(*order)


def _norm(h, eps=1e-6, correction=0, middle=True):
    root = (h.var(2, correction=correction, keepdim=True) + eps).sqrt()
    return (h - h.mean(2, keepdim=True) * middle) / root


def _step(
    x,
    c,
    W,
    f,
    p,
    norm=_norm,
    given=lambda norm, shift, scale: norm * (1 + scale) + shift,
    parts=(0, 1, 2),
    out=lambda h, given, gate, said: h + gate * said,
    back=(0, 3, 1, 4, 2, 5),
):
    r"""The step, of which parts can be replaced; right if none is."""
    cut = _cut(x, p)
    h = cut.reshape(len(x), -1, x.shape[1] * p * p)
    thirds = (c @ W)[:, None].chunk(3, 2)
    shift, scale, gate = (thirds[i] for i in parts)
    inside = given(norm(h), shift, scale)
    h = out(h, inside, gate, f(inside))
    made = h.reshape(cut.shape)
    return (made.permute(*back) if back else made).reshape(x.shape)


@wrong("16.3", "are the tokens normed")
def without_the_norm(*given):
    return _step(*given, norm=lambda h: h)


@wrong("16.3", "squares divided")
def norm_with_one_less(*given):
    return _step(*given, norm=lambda h: _norm(h, correction=1))


@wrong("16.3", "one colour")
def adds_nothing_to_the_variance(*given):
    return _step(*given, norm=lambda h: _norm(h, eps=0.0))


@wrong("16.3", "what is subtracted from a token")
def divides_by_the_size_only(*given):
    def norm(h):
        return h / (h.square().mean(2, keepdim=True) + 1e-6).sqrt()

    return _step(*given, norm=norm)


@wrong("16.3", "over which axis is the mean taken")
def norms_all_tokens_together(*given):
    def norm(h):
        spread = h.var((1, 2), correction=0, keepdim=True)
        return (h - h.mean((1, 2), keepdim=True)) / (spread + 1e-6).sqrt()

    return _step(*given, norm=norm)


@wrong("16.3", "which pixels are there in the first token")
def reshapes_without_cutting(x, c, W, f, p):
    h = x.reshape(len(x), -1, x.shape[1] * p * p)
    shift, scale, gate = (c @ W)[:, None].chunk(3, 2)
    h = h + gate * f(_norm(h) * (1 + scale) + shift)
    return h.reshape(x.shape)


@wrong("16.3", "in which order are the entries of a token")
def channels_last(x, c, W, f, p):
    cut = _cut(x, p, (0, 2, 4, 3, 5, 1))
    h = cut.reshape(len(x), -1, x.shape[1] * p * p)
    shift, scale, gate = (c @ W)[:, None].chunk(3, 2)
    h = h + gate * f(_norm(h) * (1 + scale) + shift)
    return h.reshape(cut.shape).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


@wrong("16.3", "in which order do the tokens come")
def column_by_column(x, c, W, f, p):
    cut = _cut(x, p, (0, 4, 2, 1, 3, 5))
    h = cut.reshape(len(x), -1, x.shape[1] * p * p)
    shift, scale, gate = (c @ W)[:, None].chunk(3, 2)
    h = h + gate * f(_norm(h) * (1 + scale) + shift)
    return h.reshape(cut.shape).permute(0, 3, 2, 4, 1, 5).reshape(x.shape)


@wrong("16.3", "what does a scale of 0 leave of a token")
def scales_without_one(*given):
    return _step(*given, given=lambda norm, shift, scale: norm * scale.exp() + shift)


@wrong("16.3", "which comes first in c W")
def scale_before_shift(*given):
    return _step(*given, parts=(1, 0, 2))


@wrong("16.3", "what is the gate for")
def no_gate(*given):
    return _step(*given, out=lambda h, given, gate, said: h + said)


@wrong("16.3", "what becomes of x")
def no_way_around(*given):
    return _step(*given, out=lambda h, given, gate, said: gate * said)


@wrong("16.3", "added to what f was given")
def adds_to_the_normed(*given):
    return _step(*given, out=lambda h, given, gate, said: given + gate * said)


@wrong("16.3", "where in the picture is the first token")
def does_not_put_back(*given):
    return _step(*given, back=None)


@wrong("16.3", "where in the picture is the first token")
def puts_back_as_it_was_cut(x, c, W, f, p):
    cut = _cut(x, p)
    h = cut.reshape(len(x), -1, x.shape[1] * p * p)
    shift, scale, gate = (c @ W)[:, None].chunk(3, 2)
    h = h + gate * f(_norm(h) * (1 + scale) + shift)
    return h.reshape(cut.shape).permute(0, 2, 4, 1, 3, 5).reshape(x.shape)


def _pca(x, k, m=None, rows=None, scale=None, share=None):
    mean = x.mean(0)
    _, sizes, axes = torch.linalg.svd(x - mean, full_matrices=False)
    power = sizes.square()
    deviation = (power[:k].sum() / (len(x) * k)).sqrt()
    return (
        mean if m is None else m,
        axes[:k] if rows is None else rows,
        float(1 / deviation) if scale is None else float(scale(float(deviation), x, k)),
        float(power[:k].sum() / power.sum()) if share is None else float(share(sizes, k)),
    )


@wrong("16.4", "are these pictures around 0")
def no_mean(x, k):
    return _pca(x, k, m=torch.zeros_like(x[0]))


@wrong("16.4", "orthogonal")
def rows_with_their_sizes(x, k):
    _, sizes, axes = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    return _pca(x, k, rows=(sizes[:, None] * axes)[:k])


@wrong("16.4", "or how they differ")
def axes_about_zero(x, k):
    return _pca(x, k, rows=torch.linalg.svd(x, full_matrices=False)[2][:k])


@wrong("16.4", "the largest axes, or the smallest")
def the_first_of_rising_axes(x, k):
    off = x - x.mean(0)
    return _pca(x, k, rows=torch.linalg.eigh(off.T @ off)[1][:, :k].T)


@wrong("16.4", "the largest axes, or the smallest")
def the_last_of_falling_axes(x, k):
    axes = torch.linalg.svd(x - x.mean(0), full_matrices=False)[2]
    return _pca(x, k, rows=axes[-k:])


@wrong("16.4", "are the pixels themselves")
def the_first_pixels(x, k):
    return _pca(x, k, rows=torch.eye(x.shape[1], dtype=x.dtype)[:k])


@wrong("16.4", "kept, or lost")
def share_that_is_lost(x, k):
    return _pca(x, k, share=lambda s, k: (s[k:] ** 2).sum() / (s**2).sum())


@wrong("16.4", "a share of variances, or of deviations")
def share_of_deviations(x, k):
    return _pca(x, k, share=lambda s, k: s[:k].sum() / s.sum())


@wrong("16.4", "do all axes carry as much")
def share_of_axes(x, k):
    return _pca(x, k, share=lambda s, k: k / x.shape[1])


@wrong("16.4", "must they become larger, or smaller")
def scale_turned(x, k):
    return _pca(x, k, scale=lambda d, x, k: d)


@wrong("16.4", "by which number are the squares")
def scale_with_one_less(x, k):
    return _pca(x, k, scale=lambda d, x, k: math.sqrt((len(x) - 1) / len(x)) / d)


@wrong("16.4", "the length of z, or the size of an entry")
def scale_of_the_length(x, k):
    if k == 1:
        return _pca(x, k)
    return _pca(x, k, scale=lambda d, x, k: 1 / (d * math.sqrt(k)))


@wrong("16.4", "is it the pixels, or the latents")
def scale_of_the_pixels(x, k):
    def scale(d, x, k):
        return 1 / (x - x.mean(0)).std(correction=0)

    return _pca(x, k, scale=scale)


# Slips of the solutions that are right all the same, each with the proof.
EQUIVALENT = {}


def _equal(number, before, proof, *afters):
    EQUIVALENT.update({(number, before, after): proof for after in afters})


CUT = "_, sizes, rows = torch.linalg.svd(x - m, full_matrices=False)"
_equal(
    "16.4",
    CUT,
    "more rows come behind the first min(N, D), and k is less than that",
    CUT.replace(", full_matrices=False", ""),
    CUT.replace("=False", "=True"),
)
_equal(
    "16.4",
    CUT,
    "the negative of a matrix has the same sizes, and rows of the same spans",
    CUT.replace("x - m", "m - x"),
)
_equal(
    "16.4",
    "scale = (len(x) * k / power[:k].sum()).sqrt()",
    "the left vectors, too, are as many as the pictures: their matrix has N rows",
    "scale = (len(_) * k / power[:k].sum()).sqrt()",
)
MADE = "return m, rows[:k], float(scale), float(power[:k].sum() / power.sum())"
_equal(
    "16.4",
    MADE,
    "rows turned around are as good, and a tensor of one number is a number",
    MADE.replace("rows", "-rows"),
    MADE.replace("float(power[:k].sum() / power.sum())", "power[:k].sum() / power.sum()"),
)
