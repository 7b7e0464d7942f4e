r"""The log: what do config.json, metrics.jsonl and timing.jsonl say of the training?

Each function asks one thing and needs neither network nor pictures. An EMA of decay d
averages over 1 / (1 - d) steps, and what it still holds of its first weights is the
product of all its decays.
"""

import math

import torch

from ...training.instruments import read_log
from .findings import Finding, one_line


def length(case):
    r"""Has the run made all its steps, and how often has it seen each picture?"""
    steps, step, batch = case.train.steps, case.step, case.train.batch_size
    known = case.about.get("described", {}).get("pictures")
    seen = f", each {case.of(1)} {step * batch / known:.3g} times" if known else ""
    numbers = {"step": step, "steps": steps}
    if step < steps:
        words = f"Step {step:,} of {steps:,}{seen}. Go on with: ddpm-lite resume {case.run}"
        yield Finding("note", "not finished", words, numbers)
    else:
        yield Finding("ok", "training length", f"All {steps:,} steps{seen}.", numbers)


def ema_horizon(case):
    r"""Does the EMA still hold its random initial weights?"""
    share, decay = case.state.get("ema_initial_share", 0.0), case.train.ema_decay
    horizon = 1 / (1 - decay)
    numbers = {"initial_share": share, "horizon": horizon}
    if share > 0.01:
        words = (
            f"The EMA still holds {share:.0%} of the random initial weights, and samples "
            f"come from it: it averages over {horizon:,.0f} steps, and has seen "
            f"{case.step:,}. Sample from it later, or lower ema_decay from {decay:g}."
        )
        yield Finding("wrong", "EMA horizon", words, numbers)
    elif horizon > case.train.steps:
        words = (
            f"ema_decay {decay:g} averages over {horizon:,.0f} steps and the run has "
            f"{case.train.steps:,}; only its warm-up keeps the average fresh."
        )
        yield Finding("note", "EMA horizon", words, numbers)
    else:
        words = f"It averages over {horizon:,.0f} steps; {share:.0e} of the start is left."
        yield Finding("ok", "EMA horizon", words, numbers)


def loss_curve(case):
    r"""Has the training loss stayed finite, and does it fall?"""
    bad = sorted(case.run.glob("bad_batch_step_*.safetensors"))
    losses = {line["step"]: line["loss"] for line in case.lines if "loss" in line}
    holes = [step for step, loss in losses.items() if not math.isfinite(loss)]
    if bad or holes:
        step = holes[0] if holes else int(bad[0].stem.rsplit("_", 1)[1])
        where = f" (the batch is in {bad[0].name})" if bad else ""
        words = (
            f"The loss was NaN or infinite at step {step:,}{where}. Go on from the last "
            f"checkpoint with a lower lr than {case.train.lr:g}, in float32 or bfloat16."
        )
        yield Finding("wrong", "loss not finite", words, {"step": step})
        return
    if not losses:
        words = f"There is no line of metrics yet; one comes every {case.train.log_every} "
        yield Finding("note", "loss curve", f"{words}steps.")
        return
    best, recent = min(losses, key=losses.get), list(losses.values())[-3:]
    last = sum(recent) / len(recent)
    numbers = {"lowest": losses[best], "last": last}
    if len(losses) >= 5 and last > 2 * losses[best]:
        words = (
            f"The training loss was {losses[best]:.3g} at step {best:,} and is {last:.3g} "
            "now. Go on from an earlier checkpoint with a lower lr."
        )
        yield Finding("wrong", "loss rises", words, numbers)
        return
    words = f"The training loss went from {next(iter(losses.values())):.3g} to {last:.3g}."
    yield Finding("ok", "loss curve", words, numbers)


def learning_rate(case):
    r"""Has the learning rate reached its height?"""
    steps, warmup, lr = case.train.steps, case.train.warmup_steps, case.train.lr
    numbers = {"warmup_steps": warmup, "steps": steps, "lr": lr}
    if warmup >= steps > 1:
        words = (
            f"The learning rate rises over {warmup:,} steps and the run has {steps:,}, so "
            f"it never reaches {lr:g}. Set --warmup-steps to a twentieth of the run."
        )
        yield Finding("wrong", "warm-up", words, numbers)
    elif case.step < warmup:
        words = f"At step {case.step:,} the learning rate still rises, up to {warmup:,}."
        yield Finding("note", "warm-up", words, numbers)
    else:
        words = f"The learning rate rose to {lr:g} in {warmup:,} steps."
        yield Finding("ok", "warm-up", words, numbers)


def gradient(case):
    r"""Does the norm of the gradient stay, and is it rarely cut?"""
    lines = [line for line in case.lines if "grad_norm" in line]
    lines = [line for line in lines if line["step"] > case.train.warmup_steps] or lines
    if not lines:
        return
    norms = [line["grad_norm"] for line in lines]
    recent = [line["clipped"] for line in lines[-max(1, len(lines) // 4) :]]
    middle, last = sorted(norms)[len(norms) // 2], norms[-1]
    clipped = sum(recent) / len(recent)
    numbers = {"median": middle, "last": last, "clipped": clipped}
    if not math.isfinite(last) or (len(norms) >= 5 and last > 10 * middle):
        words = (
            f"Its norm is {last:.3g}, and was {middle:.3g} in the middle of the run. Go on "
            "from an earlier checkpoint with a lower lr, and with grad_clip 1."
        )
        yield Finding("wrong", "gradient explodes", words, numbers)
    elif clipped > 0.9:
        words = (
            f"It is cut in {clipped:.0%} of the last steps: its norm is about "
            f"{middle:.3g}, and the limit {case.train.grad_clip:g}. What a batch says then "
            "counts by its direction alone. Raise grad_clip; lower lr if the loss jumps."
        )
        yield Finding("wrong", "gradient clipped", words, numbers)
    else:
        words = f"Its norm is about {middle:.3g}; {clipped:.0%} of the last steps were cut."
        yield Finding("ok", "gradient", words, numbers)


def precision(case):
    r"""Did the network's precision hold the gradients?"""
    named = case.about.get("precision", case.train.precision)
    scale = (case.state.get("scaler") or {}).get("scale")
    if scale is not None and scale < 1:
        words = (
            f"The loss scale of float16 fell to {scale:.1g}: gradients overflow again and "
            "again, and those steps are lost. Use bfloat16 or float32."
        )
        yield Finding("wrong", "precision", words, {"loss_scale": scale})
    elif named == "float16":
        words = (
            "The network ran in float16, which ends at 65,504: if a loss turns NaN, use "
        )
        yield Finding("note", "precision", f"{words}bfloat16 or float32.")
    else:
        found = "what the machine does best" if named == "auto" else named
        yield Finding("ok", "precision", f"That of the network is {found}.")


def device_used(case):
    r"""Did the run use a CPU where there is a card?"""
    build = str(case.about.get("versions", {}).get("torch", ""))
    used = str(case.about.get("device", "cpu" if "+cpu" in build else "unknown"))
    if used == "cpu" and torch.cuda.is_available():
        words = "It used the CPU, and there is a CUDA card here, which resume would use."
        yield Finding("note", "device of the run", words)


def speed(case):
    r"""Is the run still as fast as it was?"""
    try:
        lines = read_log(case.run / "timing.jsonl")
        speeds = [line["examples_per_second"] for line in lines]
    except (ValueError, KeyError) as error:
        yield Finding("note", "speed", f"timing.jsonl cannot be read: {one_line(error)}")
        return
    if len(speeds) >= 5:
        middle, last = sorted(speeds)[len(speeds) // 2], speeds[-1]
        words = f"{last:,.0f} {case.of()}/s at last, {middle:,.0f} in the middle of the run"
        level, words = "ok", f"{words}."
        if last < 0.4 * middle:
            level, words = "note", f"{words} Does something else use this machine?"
        yield Finding(level, "speed", words, {"median": middle, "last": last})
