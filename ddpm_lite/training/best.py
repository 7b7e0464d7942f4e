r"""Which checkpoint of a run has the lowest held-out loss."""

import math
import warnings

from ..data.marks import fingerprint
from ..formats.checkpoint import checkpoints, point_to_best, step_of


class Best:
    r"""Remembers the lowest held-out loss of the EMA, and at which checkpoint it was.

    held_out: (x_0, y), or None. keep: whether that checkpoint is to stay; step is None
    where it is not, or nothing was measured yet. changed_by: the transform of these
    examples, in words, "" for none: losses are compared where it is the same.
    It goes into a checkpoint's counters, so that a run which was killed at any moment knows
    it as well as one that was not.
    """

    def __init__(self, held_out, keep, changed_by=""):
        self.on, self.found = keep and held_out is not None, None
        self.mark = fingerprint(*held_out) if self.on else None
        if self.on and changed_by:
            self.mark = f"{self.mark} {changed_by}"

    @property
    def step(self):
        r"""The step of the best checkpoint, or None."""
        return self.found and self.found["step"]

    def measured(self, step, loss):
        r"""Note the held-out loss of a step; its checkpoint is about to be written."""
        lower = self.found is None or loss < self.found["held_out_loss"]
        if self.on and lower and math.isfinite(loss):
            self.found = {"step": step, "held_out_loss": loss, "held_out": self.mark}

    def state(self):
        r"""What stands in state.json, {"best": ...}, or {}."""
        return {} if self.found is None else {"best": self.found}

    def restore(self, numbers, run):
        r"""Go on from the counters of a checkpoint, and point to the best one again.

        Warns where it cannot be the best any more, as other examples are held out, or as
        it was removed. Raises ValueError where the counters are damaged.
        """
        kept = numbers.get("best")
        if kept is not None and not _is_whole(kept):
            raise ValueError(f"state.json is damaged: best cannot be {kept!r:.60}")
        if kept is None or not self.on:
            return
        if kept["held_out"] != self.mark:
            warnings.warn(
                f"step {kept['step']:,} had the lowest held-out loss, but on other "
                "examples, or changed in another way, than are held out now: the best one "
                "is looked for anew",
                stacklevel=2,
            )
        elif kept["step"] not in [step_of(folder) for folder in checkpoints(run)]:
            warnings.warn(
                f"the best checkpoint, of step {kept['step']:,}, is not there any more: "
                "the best one is looked for anew",
                stacklevel=2,
            )
        else:
            self.found = kept
            point_to_best(run, self.step)


def _is_whole(kept):
    kinds = {"step": int, "held_out_loss": float, "held_out": str}
    return isinstance(kept, dict) and all(
        isinstance(kept.get(k), v) for k, v in kinds.items()
    )
