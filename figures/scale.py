r"""Does one picture of a step predict two processes? `python figures/scale.py`.

Two processes of this machine, one thread each, speak through gloo. Three questions, for
chapter 17. Is the average of the gradients of two halves the gradient of the batch, in
float64, and what do unequal halves give? How long does an all-reduce take, as a line
latency + bytes / bandwidth? And does "one process alone, plus that line" predict a step
of two? One process alone and two together are timed in turns, and the load is recorded.
Writes figures/runs/scale.json. --quick: few rounds.
"""

import argparse
import json
import os
import socket
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed, multiprocessing

from ddpm_lite import Schedule, UNet, UNetConfig, simple_loss
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.seeds import generator_for
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
SIZES = (2**16, 2**18, 2**20, 2**22)  # numbers of float32 in an all-reduce
STEPS = {"digits": 32, "small-32": 2}  # pictures for each process
_DATA, _WEIGHTS = 170, 171


def batch(config, count, dtype=torch.float32):
    r"""Noise in the place of pictures, t and noise, the same in both processes."""
    g = generator_for(_DATA, count)
    shape = (count, *config.sample_shape)
    x_0, noise = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(2))
    return x_0, torch.randint(1, 1001, (count,), generator=g), noise


def network(config, dtype=torch.float32):
    r"""The network with the same weights in both processes, none of them zero."""
    torch.manual_seed(_WEIGHTS)
    return UNet(config).to(dtype)


def gradient(model, schedule, x_0, t, noise):
    r"""The gradient of the mean loss as one long vector."""
    model.zero_grad(set_to_none=True)
    simple_loss(model, schedule, x_0, t, noise).mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def exactness(rank):
    r"""How far the average of two shards is from the whole, equal and unequal shards."""
    config = UNetConfig(**vars(UNetConfig.preset("digits")) | {"zero_init": False})
    model, schedule = network(config, torch.float64), Schedule.cosine(1000)
    whole = batch(config, 16, torch.float64)
    exact = gradient(model, schedule, *whole)
    found = {}
    for name, cut in (("equal", 8), ("unequal", 12)):
        mine = slice(0, cut) if rank == 0 else slice(cut, 16)
        share = gradient(model, schedule, *(part[mine] for part in whole))
        distributed.all_reduce(share)
        found[name] = float((share / 2 - exact).norm() / exact.norm())
    return found | {"weights": exact.numel()}


def exchanges(rounds):
    r"""Seconds of all-reduces of several sizes, and the line through their medians."""
    seconds = {}
    for size in SIZES:
        x, times = torch.ones(size), []
        for _ in range(rounds):
            distributed.barrier()
            start = time.perf_counter()
            distributed.all_reduce(x)
            times.append(time.perf_counter() - start)
            x.fill_(1)
        seconds[4 * size] = times[1:]
    medians = [statistics.median(times) for times in seconds.values()]
    # weights 1/seconds: each size counts by its relative error
    slope, start = np.polyfit(list(seconds), medians, 1, w=[1 / s for s in medians])
    return seconds, float(start), float(slope)


def steps(rank, name, rounds, exchange):
    r"""Ratios of the predicted time of a step of two processes to the measured one."""
    config, count = UNetConfig.preset(name), STEPS[name]
    model, schedule = network(config), Schedule.linear()
    adam = torch.optim.Adam(model.parameters(), lr=1e-6)
    mine = [part[rank * count : (rank + 1) * count] for part in batch(config, 2 * count)]
    weights = sum(p.numel() for p in model.parameters())

    def step(together):
        start = time.perf_counter()
        flat = gradient(model, schedule, *mine)
        if together:
            distributed.all_reduce(flat)
            pieces = (flat / 2).split([p.numel() for p in model.parameters()])
            for p, piece in zip(model.parameters(), pieces, strict=True):
                p.grad.copy_(piece.view_as(p))
        adam.step()
        return time.perf_counter() - start

    rows = []
    for _ in range(rounds + 1):
        distributed.barrier()
        alone = step(False) if rank == 0 else 0.0  # the other one waits
        distributed.barrier()
        rows.append((alone, step(True)))
    start, slope = exchange
    predicted = start + slope * 4 * weights
    ratios = [(alone + predicted) / both for alone, both in rows[1:]]
    ways = [100 * predicted / (alone + predicted) for alone, _ in rows[1:]]
    return {
        "weights": weights,
        "pictures": count,
        "ratio": spread(ratios),
        "percent_exchange": spread(ways),
    }


def spread(values):
    r"""Median and quartiles, three digits."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {
        k: float(f"{v:.3g}")
        for k, v in zip(("median", "low", "high"), (middle, low, high), strict=True)
    }


def work(rank, port, rounds, path):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    load = os.getloadavg()[0]
    found = exactness(rank)
    seconds, start, slope = exchanges(2 * rounds)
    rows = {name: steps(rank, name, rounds, (start, slope)) for name in STEPS}
    if rank == 0:
        result = {
            "command": "python figures/scale.py",
            "processes": 2,
            "rounds": rounds,
            "cores": os.cpu_count(),
            "load": {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)},
            "gradient_off": found,
            "line": {"latency": start, "seconds_per_byte": slope},
            "all_reduce": {
                str(size): spread([(start + slope * size) / s for s in times])
                for size, times in seconds.items()
            },
            "steps": rows,
            "versions": versions(),
        }
        write_text(Path(path), json.dumps(result, indent=1) + "\n")
        print(json.dumps(result, indent=1))
    distributed.barrier()
    distributed.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--out", default=ROOT / "figures" / "runs" / "scale.json")
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rounds = 3 if arguments.quick else 30
    multiprocessing.spawn(work, (port, rounds, str(arguments.out)), nprocs=2)


if __name__ == "__main__":
    main()
