r"""Wrong answers to 11.6: names, half repairs, and repairs that break something else."""

import torch

from wrong import wrong

EQUIVALENT = {
    (
        "11.6",
        "return loss.detach(), output.grad",
        "return loss, output.grad",
    ): "the same numbers; what is left behind them is a graph that backward has used up"
}
ERROR = "error = before.sqrt() * large / (1 - a_bar) * (x_0 - guess)"
EQUIVALENT |= {
    (
        "11.6",
        "output = output.detach().requires_grad_()",
        "output = output.requires_grad_()",
    ): "a tensor goes into an answer as a copy, which has no graph to be cut from"
}
EQUIVALENT |= {
    ("11.6", ERROR, after): "only the square of the error is used, and it knows no sign"
    for after in (
        "error = -(before.sqrt() * large / (1 - a_bar) * (x_0 - guess))",
        "error = -(before.sqrt() * large / (1 - a_bar)) * (x_0 - guess)",
        "error = -(before.sqrt() * large) / (1 - a_bar) * (x_0 - guess)",
        "error = -before.sqrt() * large / (1 - a_bar) * (x_0 - guess)",
        "error = before.sqrt() * -large / (1 - a_bar) * (x_0 - guess)",
        "error = before.sqrt() * large / (a_bar - 1) * (x_0 - guess)",
        "error = before.sqrt() * large / (-(1 - a_bar)) * (x_0 - guess)",
        "error = before.sqrt() * large / (1 - a_bar) * (guess - x_0)",
        "error = before.sqrt() * large / (1 - a_bar) * (-(x_0 - guess))",
    )
}
RIGHT = ("not_detached", "plus_one")


def _weight(snr, gamma):
    return snr.clamp(max=gamma) / (snr + 1)


def _hybrid(
    output, alpha_bar, x_0, t, noise, gamma, weight=_weight, cut="guess", half=2, total=True
):
    output = output.detach().requires_grad_()
    a_bar, before = alpha_bar[t][:, None], alpha_bar[t - 1][:, None]
    a, s = a_bar.sqrt(), (1 - a_bar).sqrt()
    v, u = output.chunk(2, 1)
    if cut == "all":
        v = v.detach()
    x_t, target = a * x_0 + s * noise, a * noise - s * x_0
    square = (v - target) ** 2 * weight(a_bar / (1 - a_bar), gamma)
    simple = square.mean(1) if cut != "sum" else square.sum(1)
    large = 1 - a_bar / before
    small = large * (1 - before) / (1 - a_bar)
    share = (u + 1) / 2
    log_variance = (1 - share) * small.log() + share * large.log()
    if cut == "linear":
        log_variance = ((1 - share) * small + share * large).log()
    guess = a * x_t - s * v
    guess = guess if cut == "nothing" else guess.detach()
    error = (before.sqrt() * large / (1 - a_bar) * (x_0 - guess)) ** 2
    kl = (log_variance - small.log() + (small + error) / log_variance.exp() - 1) / half
    if cut == "bound":
        kl = kl.detach()
    loss = simple + 1e-3 * (len(alpha_bar) - 1) * kl.mean(1)
    (loss.sum() if total else loss.mean()).backward()
    return loss.detach(), output.grad


def _plus_one(snr, gamma):
    return (snr + 1).clamp(max=gamma) / (snr + 1)


@wrong("11.6", "which SNR is it that gamma limits", RIGHT)
def repairs_the_gradient_only(*given):
    return _hybrid(*given, weight=_plus_one)


@wrong("11.6", "which part of the loss still moves v", RIGHT)
def repairs_the_weight_only(*given):
    return _hybrid(*given, cut="nothing")


@wrong("11.6", "what is divided by SNR + 1", RIGHT)
def adds_one_to_the_weight(*given):
    return _hybrid(*given, weight=lambda snr, gamma: snr.clamp(max=gamma) / snr + 1)


@wrong("11.6", "or for another prediction", RIGHT)
def loss_weighed_for_noise(*given):
    return _hybrid(*given, weight=lambda snr, gamma: snr.clamp(max=gamma) / snr)


@wrong("11.6", "the smaller of the two, or the larger", RIGHT)
def loss_of_the_larger(*given):
    return _hybrid(*given, weight=lambda snr, gamma: snr.clamp(min=gamma) / (snr + 1))


@wrong("11.6", "what is gamma for", RIGHT)
def loss_without_gamma(*given):
    return _hybrid(*given, weight=lambda snr, gamma: snr / (snr + 1))


@wrong("11.6", "does each step count alike", RIGHT)
def no_weight(*given):
    return _hybrid(*given, weight=lambda snr, gamma: torch.ones_like(snr))


@wrong("11.6", "does anything teach v", RIGHT)
def detaches_v_altogether(*given):
    return _hybrid(*given, cut="all")


@wrong("11.6", "the gradient by u should be", RIGHT)
def detaches_the_bound(*given):
    return _hybrid(*given, cut="bound")


@wrong("11.6", "a mean over numbers, or their sum", RIGHT)
def sums_over_numbers(*given):
    return _hybrid(*given, cut="sum")


@wrong("11.6", "of a sum over examples, or of a mean", RIGHT)
def the_gradient_of_a_mean(*given):
    return _hybrid(*given, total=False)


@wrong("11.6", "what else is in the loss than was", RIGHT)
def interpolates_variances(*given):
    return _hybrid(*given, cut="linear")


@wrong("11.6", "of the code nothing is said yet", ["loss_without_gamma"])
def a_wrong_name_and_the_code_as_it_was(*given):
    return _hybrid(*given, weight=_plus_one, cut="nothing")


@wrong("11.6", "that row is that of the sound", ["kl_turned", "plus_one"])
def blames_the_divergence(*given):
    return _hybrid(*given)


@wrong("11.6", "larger than what the weights explain", ["plus_one"])
def sees_the_weights_only(*given):
    return _hybrid(*given)


@wrong("11.6", "costs much in the last fifth", ["not_detached"])
def sees_the_gradient_only(*given):
    return _hybrid(*given)
