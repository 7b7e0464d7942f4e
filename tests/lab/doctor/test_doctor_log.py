r"""What the log of a training says: loss, gradient, learning rate, EMA, precision."""

import math
import shutil

from doctor_runs import (
    SPOILED,
    check_named,
    edit,
    edit_log,
    every_fault,
    examined,
    first_weights,
    newest,
    rewrite,
)


def average_without_warm_up(run):
    first = first_weights(run)
    share = 0.99**120  # of a decay 0.99
    rewrite(run, lambda own: {k: v.lerp(first[k], share) for k, v in own.items()})
    edit(newest(run) / "state.json", ema_initial_share=share)
    edit(run / "config.json", train__ema_decay=0.99)


def loss_was_nan(run):
    (run / "bad_batch_step_000000130.safetensors").write_bytes(b"")


def loss_rises(run):
    edit_log(run, lambda line: line.update(loss=line["loss"] + line["step"] / 100))


def warm_up_too_long(run):
    edit(run / "config.json", train__warmup_steps=5000)


def gradient_explodes(run):
    edit_log(run, lambda line: line.update(grad_norm=math.exp(line["step"] / 10)))


def gradient_clipped(run):
    edit_log(run, lambda line: line.update(grad_norm=30.0, clipped=1.0))


def half_precision_overflows(run):
    edit(run / "config.json", train__precision="float16")
    edit(newest(run) / "state.json", scaler={"scale": 2.0**-20})


@every_fault(
    (average_without_warm_up, "EMA horizon", {"EMA lag"} | SPOILED),
    (loss_was_nan, "loss not finite", set()),
    (loss_rises, "loss rises", set()),
    (warm_up_too_long, "warm-up", set()),
    (gradient_explodes, "gradient explodes", set()),
    (gradient_clipped, "gradient clipped", set()),
    (half_precision_overflows, "precision", set()),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def test_notes_are_no_faults(run):
    shutil.copytree(newest(run), newest(run).with_suffix(".part"))
    edit(run / "config.json", train__steps=1000, train__ema_decay=0.9999)
    levels = {f.what: f.level for f in examined(run)}
    assert "wrong" not in levels.values()
    for what in ("half a checkpoint", "not finished", "EMA horizon"):
        assert levels[what] == "note"
