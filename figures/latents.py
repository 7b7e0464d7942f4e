r"""Pixels against latents on clothes: `python figures/latents.py PART --data FOLDER`.

PART: autoencoder trains the one that is shipped (ddpm_lite/autoencoders/clothes), four
minutes of one core; pca fits its linear rival, half a minute; compare trains one small
U-Net on pixels and one on latents, the same processor time each, for three seeds, and
measures both, 20 minutes; picture draws what they drew, in figures/latents.png. --data
FOLDER: Fashion-MNIST in the hub's layout. The first three write their share of
figures/runs/latents.json, for chapter 16.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lite import Schedule, TrainConfig, Trainer, UNet, UNetConfig, data, figure, sample
from ddpm_lite.evaluation.classifier import load_judge, look
from ddpm_lite.evaluation.metrics import frechet_distance
from ddpm_lite.formats.autoencoders import load_autoencoder, save_autoencoder
from ddpm_lite.formats.checkpoint import write_text
from ddpm_lite.models.autoencoder import AutoencoderConfig
from ddpm_lite.seeds import WEIGHTS, seeded
from ddpm_lite.training.autoencode import encode_all, scale_latents, train_autoencoder
from ddpm_lite.training.cost import cost
from ddpm_lite.training.facts import versions

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "figures" / "runs" / "latents.json"
SHIPPED = ROOT / "ddpm_lite" / "autoencoders" / "clothes"
KEPT = ROOT / "runs" / "latents"
UPDATES, WIDTHS, GROUPS = 1400, (8, 16, 32), 4
TRAINED_ON, N, SEEDS, SECONDS = 20_000, 300, (0, 1, 2), 150.0
CHAIN = dict(sampler="dpmpp_2m", steps=20, spacing="log_snr")
COMMON = dict(dropout=0.0, groups=8, prediction="v")
NETWORKS = {
    "pixels": UNetConfig(
        size=28,
        channels=1,
        width=8,
        multipliers=(1, 2, 4),
        blocks=1,
        attention=(7,),
        **COMMON,
    ),
    "latents": UNetConfig(
        size=7,
        channels=4,
        width=32,
        multipliers=(1,),
        blocks=1,
        attention=(7,),
        clip=False,
        **COMMON,
    ),
}


def autoencoder_part(folder):
    r"""Train, scale and ship the autoencoder. Returns what to write down."""
    pictures = data.load(folder, split="train")
    config = AutoencoderConfig(block_out_channels=WIDTHS, norm_num_groups=GROUPS)
    start, losses = time.process_time(), []
    pairs = train_autoencoder(pictures, config, UPDATES)
    for _ in range(UPDATES):
        model, loss = next(pairs)
        losses.append(float(loss))
        if len(losses) % 100 == 0:
            recent = sum(losses[-100:]) / 100
            print(len(losses), round(recent, 2), flush=True)
    seconds = time.process_time() - start
    model.eval()
    few = pictures.to_float(torch.arange(2000))
    with torch.no_grad():
        mean, log_variance = model.moments(few)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        scale_latents(model, mean + (log_variance / 2).exp() * noise)
    save_autoencoder(SHIPPED, model, size=28, half=True)
    return {
        "updates": UPDATES,
        "processor_seconds": round(seconds),
        "loss": [round(sum(losses[i : i + 100]) / 100, 3) for i in range(0, UPDATES, 100)],
    }


def pca_part(folder, k=196):
    r"""The linear rival of the autoencoder, fitted to all training pictures."""
    unseen, judge = data.clothes("held_out")[0], load_judge("clothes")[0]
    pictures = data.load(folder, split="train")
    seen = pictures.to_float(torch.arange(len(pictures))).double().flatten(1)
    centre, flat = seen.mean(0), unseen.double().flatten(1)
    axes = torch.linalg.eigh((seen - centre).T.cov()).eigenvectors[:, -k:]
    x = (centre + (flat - centre) @ axes @ axes.T).reshape(unseen.shape).float()
    features, labels = look(judge, unseen)
    through, seen_as = look(judge, x.clamp(-1, 1))
    return {
        "fitted_to": len(seen),
        "numbers": k,
        "error": float((x - unseen).square().mean((1, 2, 3)).mean().sqrt()),
        "kept_class": float((seen_as == labels).double().mean()),
        "frechet": frechet_distance(through, features),
        "variance": float(seen.var(0).mean()),
    }


def trained(which, x, seed):
    r"""One U-Net after SECONDS of processor time. Returns it, its schedule and how long."""
    schedule = Schedule.cosine(1000)
    with seeded(torch.device("cpu"), WEIGHTS, seed):
        network = UNet(NETWORKS[which])
    config = TrainConfig(
        batch_size=32,
        lr=1e-3,
        warmup_steps=30,
        ema_decay=0.98,
        antithetic=True,
        seed=seed,
        precision="float32",
    )
    trainer = Trainer(network.train(), schedule, x, config)
    start = time.process_time()
    while time.process_time() - start < SECONDS:
        trainer.update()
    seconds = time.process_time() - start
    return trainer.ema.model.eval(), schedule, trainer.step, seconds


def counted(function, x):
    r"""Millions of multiplications, each with its addition, of one call."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        function(x)
    return counter.get_total_flops() / 2e6


def compare_part(folder, write):
    r"""Train and measure both for every seed; write(rows so far) after each."""
    splits = (f"train[:{TRAINED_ON}]", "test")
    pictures, test = (data.load(folder, split=split) for split in splits)
    autoencoder, judge = load_autoencoder("clothes"), load_judge("clothes")[0]
    x_0 = {"pixels": pictures.to_float(torch.arange(TRAINED_ON))}
    start = time.process_time()
    x_0["latents"] = encode_all(autoencoder, pictures)
    result = {
        "trained_on": TRAINED_ON,
        "num": N,
        "seconds_each": SECONDS,
        "chain": CHAIN,
        "encoding_seconds": round(time.process_time() - start),
        "latent_deviation": round(float(x_0["latents"].std()), 4),
        "mmac_per_evaluation": {k: cost(v).flops / 2e6 for k, v in NETWORKS.items()},
        "mmac_of_encoding": counted(autoencoder.encode, x_0["pixels"][:1]),
        "mmac_of_decoding": counted(autoencoder.decode, x_0["latents"][:1]),
        "parameters": {k: cost(v).parameters for k, v in NETWORKS.items()},
    }
    held_out = look(judge, test.to_float(torch.arange(2000)))[0]

    def distance(x):
        return frechet_distance(look(judge, x.clamp(-1, 1))[0], held_out)

    with torch.no_grad():
        chosen = [torch.arange(k * N, (k + 1) * N) for k in range(3)]
        real = [x_0["pixels"][i] for i in chosen]
        decoded = [autoencoder.decode(x_0["latents"][i]) for i in chosen]
    result["real"] = [distance(x) for x in real]
    result["autoencoded"] = [distance(x) for x in decoded]
    rows = []
    for seed in SEEDS:
        for which in NETWORKS:
            network, schedule, steps, seconds = trained(which, x_0[which], seed)
            shape = NETWORKS[which].sample_shape
            start = time.process_time()
            x = sample(network, schedule, (N, *shape), seed=seed, progress=False, **CHAIN)
            with torch.no_grad():
                x = autoencoder.decode(x) if which == "latents" else x
            row = {
                "which": which,
                "seed": seed,
                "updates": steps,
                "seconds": round(seconds, 1),
            }
            row["sampling_seconds"] = round(time.process_time() - start, 1)
            row["frechet"] = distance(x)
            rows.append(row)
            print(row, flush=True)
            write(result | {"rows": rows})
            KEPT.mkdir(parents=True, exist_ok=True)
            torch.save(x, KEPT / f"{which}_{seed}.pt")


def picture_part():
    r"""Twenty pictures of each network with the first seed, nothing picked out."""
    both = [torch.load(KEPT / f"{which}_0.pt")[:20].clamp(-1, 1) for which in NETWORKS]
    labels = ["pixels", "", "latents", ""]
    sheet = figure.image_grid(torch.cat(both), columns=10, labels=labels)
    sheet.savefig(ROOT / "figures" / "latents.png", dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("autoencoder", "pca", "compare", "picture"))
    parser.add_argument("--data", default="", help="folder of Fashion-MNIST")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def write(found):
        before = json.loads(RESULT.read_text("utf-8")) if RESULT.is_file() else {}
        command = f"python figures/latents.py {arguments.part} --data FOLDER"
        found = {"command": command} | found | {"versions": versions()}
        write_text(RESULT, json.dumps(before | {arguments.part: found}, indent=1) + "\n")

    if arguments.part == "picture":
        picture_part()
    elif arguments.part == "autoencoder":
        write(autoencoder_part(arguments.data))
    elif arguments.part == "pca":
        write(pca_part(arguments.data))
    else:
        compare_part(arguments.data, write)


if __name__ == "__main__":
    main()
