r"""What does guidance cost? `python figures/guidance.py`, two minutes on one thread.

Times the shipped fashion and digits networks with guidance and without, in turns, for
batches of 1, 4, 16 and 64. Writes figures/runs/guidance.json: the ratio of the two, its
median and quartiles, with memory kept as the commands keep it, and as plain Python has it.
"""

import json
import os
import statistics
import time
from pathlib import Path

import torch

from ddpm_lite import guided, load_pretrained
from ddpm_lite.training.device import describe, keep_memory

FILE = Path(__file__).resolve().parent / "runs" / "guidance.json"
BATCHES, LEAST, ROUNDS = (1, 4, 16, 64), 0.05, 15


def seconds(call, times):
    r"""Processor seconds of this process for one call, from `times` of them."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def compare(model, B):
    r"""The ratio guided / unguided of one batch, and how long the unguided call takes.

    Each round times one after the other, in turns first, and gives one ratio.
    """
    x_t, t = torch.randn(B, *model.unet_config.sample_shape), torch.full((B,), 500)
    y, with_guidance = torch.arange(B) % 10, guided(model, 2.0)
    calls = [lambda: model(x_t, t, y), lambda: with_guidance(x_t, t, y)]
    [call() for call in calls]
    times = max(1, round(LEAST / seconds(calls[0], 3)))
    rounds = []
    for i in range(ROUNDS):
        order = (0, 1) if i % 2 else (1, 0)
        found = {which: seconds(calls[which], times) for which in order}
        rounds.append((found[0], found[1] / found[0]))
    low, middle, high = statistics.quantiles([ratio for _, ratio in rounds], n=4)
    return {
        "unguided_seconds": float(f"{statistics.median(s for s, _ in rounds):.3g}"),
        "ratio": {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]},
    }


def main():
    torch.set_num_threads(1)
    found = {"measured_on": describe(torch.device("cpu"), "float32", 1), "rounds": ROUNDS}
    found["load_before"] = (
        round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    )
    with torch.no_grad():
        for name, keep in (("kept_memory", True), ("plain", False)):
            keep_memory(keep)
            for which in ("digits", "fashion"):
                model = load_pretrained(which).model
                rows = {str(B): compare(model, B) for B in BATCHES}
                found.setdefault(name, {})[which] = rows
                ratios = {B: row["ratio"]["median"] for B, row in rows.items()}
                print(name, which, ratios, flush=True)
    found["load_after"] = (
        round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    )
    FILE.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"wrote runs/{FILE.name}")


if __name__ == "__main__":
    main()
