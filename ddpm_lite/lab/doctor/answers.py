r"""Answers: what does the network say, before its loss is judged?

Where noise and x_0 are in x_t in equal parts, a network's answer lies nearest to what it
predicts: to the noise, to x_0 or to v. At t = T all of x_t is noise, so that the right
prediction of the noise is x_t itself.
"""

import torch

from ...process import predict, q_sample, v_from_x_0
from ...seeds import generator_for
from .findings import Finding

_KNOWN = 202  # keeps these random draws apart from those of loss and samples


def prediction(case):
    r"""Does the network predict what it says: noise, x_0, v or the flow?"""
    if case.pictures is None:
        return
    x_0, y, noise, t = _known(case)
    x_t, own = q_sample(case.schedule, x_0, t, noise), case.model.prediction
    answer = ask(case, case.model, x_t, t, y)
    truths = {"noise": noise, "x_0": x_0, "flow": noise - x_0}
    truths["v"] = v_from_x_0(case.schedule, x_t, t, x_0)
    missed = {
        name: float((answer - truth).square().mean() / truth.square().mean())
        for name, truth in truths.items()
    }
    best = min(missed, key=missed.get)
    listed = ", ".join(f"{share:.2f} of {name}" for name, share in missed.items())
    if missed[best] < 0.5 * missed[own]:
        words = (
            f"The network says that it predicts {own}, and answers {best}: of known draws "
            f"it misses {listed}. Samplers take its word: write prediction = {best} into "
            "its settings, or train again."
        )
        yield Finding("wrong", "prediction", words, missed)
    else:
        words = f"The network predicts {own}: of known draws it misses {listed}."
        yield Finding("ok", "prediction", words, missed)


def noise_at_the_end(case):
    r"""At t = T, where all of x_t is noise, does a network for noise answer x_t?"""
    if case.pictures is None or case.model.prediction != "noise":
        return
    x_0, y, noise, _ = _known(case)
    t = torch.full((len(x_0),), case.schedule.T)
    x_T = q_sample(case.schedule, x_0, t, noise)
    answer = ask(case, case.model, x_T, t, y)
    cosine = float(torch.cosine_similarity(answer.flatten(), x_T.flatten(), dim=0))
    words = f"At t = T, where x_t is noise, the answer and x_t correlate at {cosine:.3f}"
    if not cosine > 0.9:
        words += (
            ", and should at 1. Sampling begins there, so every picture goes astray: train "
            "longer, or look at the prior gap."
        )
        yield Finding("wrong", "noise at t = T", words, {"correlation": cosine})
    else:
        yield Finding("ok", "noise at t = T", f"{words}.", {"correlation": cosine})


def ask(case, denoiser, x_t, t, y):
    r"""What a denoiser predicts on the case's device, its mean alone, on the CPU.

    x_t: (B, C, H, W). t: int64 (B,). y: int64 (B,) or None, left out where the denoiser
    has no classes.
    """
    y = y.to(case.device) if y is not None and getattr(denoiser, "classes", 0) else None
    with torch.no_grad():
        return predict(denoiser, x_t.to(case.device), t, y).cpu()


def _known(case):
    r"""Pictures, their classes, noise, and t where both are in x_t in equal parts."""
    schedule, n = case.schedule, max(32, case.draws // 8)
    generator = generator_for(_KNOWN)
    middle = ((schedule.alpha_bar > 0.2) & (schedule.alpha_bar < 0.8)).nonzero().flatten()
    middle = middle if len(middle) else torch.tensor([-(-schedule.T // 2)])
    t = middle[torch.randint(len(middle), (n,), generator=generator)]
    index = torch.randint(len(case.pictures), (n,), generator=generator)
    x_0, y = case.pictures.to_float(index), case.pictures.y
    noise = torch.randn(x_0.shape, generator=generator)
    return x_0, None if y is None else y[index], noise, t
