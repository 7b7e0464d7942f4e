r"""What the benchmark found, as tables to be read and as one picture."""

import json
from pathlib import Path

from .. import figure
from ..formats.checkpoint import write_text
from .contestants import BEST

LINES = {  # of contestants; a colour of the book, or one by itself
    "ours": "prediction",
    "ours, by default": "#005C44",
    "ours, bare loop": "x_t",
    "diffusers": "noise",
    BEST: "#8A4B00",
    "diffusers, channels_last": "extra",
    "denoising_diffusion_pytorch": "x_0",
    "ours, compiled": "#56B4E9",
    "diffusers, compiled": "#E69F00",
}


def write(results, folder):
    r"""Write bench.json and bench.png into a folder. Returns both paths."""
    folder = Path(folder)
    picture = figure.save(draw(results), folder / "bench.png")
    file = folder / "bench.json"
    write_text(file, json.dumps(results, indent=1) + "\n")
    return file, picture


def page(results):
    r"""All tables: a number is a median, [slowest, fastest] stand behind it."""
    parts = [
        _where,
        _rows,
        _over,
        _neighbours,
        _ceilings,
        _ladders,
        _overheads,
        _memory,
        _start,
        _growth,
    ]
    texts = [list(part(results)) for part in parts]
    return "\n\n".join("\n".join(t) for t in texts if len(t) > 1)  # with any numbers


def summary(results):
    r"""The speeds over diffusers' in Markdown: a table, and what a neighbour costs."""
    told, places = results["measured_on"], {}
    for row in results["rows"]:
        place = row["preset"], row["batch"], row["work"]
        places.setdefault(place, {})[row["library"]] = row
    yield (
        f"| {told['instructions']}, {told['cores']} cores | float32 "
        "| by default | by default, over its best |"
    )
    yield "|---|---|---|---|"
    for (preset, batch, work), rows in places.items():
        ours, default = rows.get("ours", {}), rows.get("ours, by default", {})
        if "over_diffusers" in ours and "over_diffusers" in default:
            yield (
                f"| `{preset}`, {work}, batch {batch} | {_times(ours, 'over_diffusers')} "
                f"| {_times(default, 'over_diffusers')}, {default['precision']} "
                f"| {_times(default, 'over_best')} |"
            )
    yield from _limits(places)
    beside = [row for row in results.get("neighbours", ()) if not row["said"]]
    if beside:
        told = (f"{row['slow_down']['median']:.2f} (`{row['preset']}`)" for row in beside)
        yield ""
        yield (
            "Beside a program that keeps one core busy, a step of `ddpm-lite train` takes "
            f"{' and '.join(told)} times what it takes alone."
        )


def _limits(places):
    # what is left to be won: a network whose convolutions alone take time
    for (preset, batch, work), rows in places.items():
        mine, theirs = rows.get("ours, by default", {}), rows.get(BEST, {})
        if work == "forward" and "over_best" in mine and mine["precision"] != "float32":
            yield ""
            yield (
                f"`{preset}`, batch {batch}: in {mine['precision']} the forward pass, of "
                f"which sampling consists, runs at {_share(mine)} of the rate that this "
                "machine reaches in the network's 3 x 3 convolutions alone, diffusers at "
                f"its best at {_share(theirs)}. If all else took no time, the last column "
                f"would say {1 / theirs['share_of_conv']['median']:.2f}."
            )


def _share(row):
    return f"{row['share_of_conv']['median']:.0%}".replace("%", " %")


def _times(row, key):
    return f"{row[key]['median']:.2f}" if key in row else "not measured"


def first_look(place, library, rate):
    r"""A line about a first call, which is not counted. rate: pictures in a second."""
    return f"{place}, a first pass: {library}, {rate:.4g} pictures/s"


def row_in_short(place, row):
    r"""A line about a row of results, as soon as it is known."""
    told = f"{place}, {row['work']}: {row['library']}, "
    told += f"{_told(row['pictures_per_second'])} pictures/s"
    names = {"over_diffusers": "diffusers", "over_best": "its best setting"}
    over = [f"{_told(row[key])} x {name}" for key, name in names.items() if key in row]
    return "; ".join([told, *over])


def slow_down(row):
    r"""A line about a training step beside a busy program."""
    if row["said"]:
        return f"{row['preset']:13} {row['said']}"
    return (
        f"{row['preset']:13} {row['batch']:5} {_told(row['slow_down'])} x, a step from "
        f"{_told(row['quiet'])} s to {_told(row['loaded'])} s"
    )


def _where(results):
    told, options = results["measured_on"], results["options"]
    yield f"{told['device']}, {told['cores']} cores, {told['instructions']}"
    yield f"torch {told['torch']}, Python {told['python']}, {told['system']}"
    ends = told["load_at_the_start"], told["load_at_the_end"]
    yield f"load {ends[0]} at the start, {ends[1]} at the end; {results['seconds']} s"
    yield f"{options['rounds']} rounds in turns, medians, [slowest, fastest]"
    for name, version in results["peers"].items():
        yield f"{name}: {version}"


def _rows(results):
    yield (
        f"{'preset':13} batch {'work':9} {'library':28} {'weights':>10}  pictures/s"
        f"{'ours is':>32}  GFLOP/s, of matrix, of 3x3 convolutions"
    )
    for row in results["rows"]:
        shares = [v["median"] for k, v in row.items() if k.startswith("share_of")]
        share = "".join(f"{value:7.0%}" for value in shares)
        gflops = f"{row['gflops']['median']:7.4g}" if "gflops" in row else ""
        chain = f"{row['steps']} steps, {_told(row['seconds'])} s" if "steps" in row else ""
        yield (
            f"{row['preset']:13} {row['batch']:5} {row['work']:9} {row['library']:28} "
            f"{row['parameters']:10,}  {_told(row['pictures_per_second']):26} "
            f"{_told(row['ratio']) + ' x':24} {gflops}{share}{chain} {row.get('said', '')}"
        ).rstrip()


def _over(results):
    yield "this package's speed over diffusers', and over diffusers at its best:"
    for row in results["rows"]:
        if "over_diffusers" in row:
            best = f"{_told(row['over_best'])} x" if "over_best" in row else ""
            yield (
                f"{row['preset']:13} {row['batch']:5} {row['work']:9} {row['library']:16} "
                f"{row['precision']:8} {_told(row['over_diffusers']) + ' x':26} {best}"
            ).rstrip()


def _neighbours(results):
    yield "slow-down of a step of `ddpm-lite train` beside a program that takes one core:"
    yield from map(slow_down, results.get("neighbours", ()))


def _ceilings(results):
    yield "what this machine can do, GFLOP/s, measured between the rows of training:"
    for row in results["ceilings"]:
        rates = ", ".join(f"{k} {_told(v)}" for k, v in row["gflops"].items())
        yield f"{row['preset']:13} {row['batch']:5} {rates or 'no time'}"


def _ladders(results):
    yield "settings of the training loop on our network, each on top of those before:"
    before = None
    for row in results["ladders"]:
        told = row["said"]
        if "ratio" in row:
            told = f"{_told(row['pictures_per_second']):26} {_told(row['ratio'])} x"
            told += f", first call {row['first_call_seconds']} s {row['said']}"
            told += _earned(row, before) if "compile" in row["rung"] else ""
            before = before if row["said"] else row
        yield f"{row['preset']:13} {row['batch']:5} {row['rung']:18} {told}"


def _earned(row, before):
    # after how many steps what the first call took is saved
    seconds, earlier = (
        r["batch"] / r["pictures_per_second"]["median"] for r in (row, before)
    )
    if seconds >= earlier:
        return ", never earned back"
    steps = row["first_call_seconds"] / (earlier - seconds)
    return f", earned back after {steps:,.0f} steps"


def _overheads(results):
    yield "the average of the weights, its share of our training step:"
    for row in results["rows"]:
        if "ema_share" in row:
            share = ", ".join(f"{k} {v:.1%}" for k, v in row["ema_share"].items())
            yield f"{row['preset']:13} {row['batch']:5} {share}"
    if results["overheads"]:
        yield "fit, with data, EMA and logs, over a bare loop on the same network (time):"
    for row in results["overheads"]:
        told = row["said"] or f"{_told(row['fit_over_bare'])} x, of {row['steps']} steps"
        yield f"{row['preset']:13} {row['batch']:5} {told}"


def _memory(results):
    yield "peak memory of two training steps in a process of their own:"
    for row in results["memory"]:
        told = row.get("said")
        if told is None:
            told = f"{row['peak_gb']:.3f} GB, {row['above_start_gb']:.3f} GB of it above "
            told += f"the start ({row['found']})"
        yield f"{row['preset']:13} {row['batch']:5} {row['library']:10} {told}"


def _start(results):
    yield "start-up of a new process, seconds: torch, the library over it, a first picture:"
    for name, laps in results["start_up"].items():
        yield f"{name:10} " + ", ".join(f"{k} {_told(v)}" for k, v in laps.items())


def _growth(results):
    yield "growth, seconds: of a step by batch, of a step by size at batch 4, of a chain"
    for preset, kinds in results["growth"].items():
        for kind, points in kinds.items():
            told = ", ".join(f"{p[kind]}: {p['seconds']['median']:.3g}" for p in points)
            yield f"{preset:13} {kind:6} {told}"
            if kind != "steps":
                gb = ", ".join(f"{p[kind]}: {p['counted_gb']:.3g}" for p in points)
                yield f"{'':20} counted GB of a training step: {gb}"
            if kind == "size":
                told = (f"{p[kind]}: {p['attention_share']:.1%}" for p in points)
                yield f"{'':20} operations between pairs of pixels: {', '.join(told)}"


def _told(three):
    return f"{three['median']:.4g} [{three['low']:.4g}, {three['high']:.4g}]"


def draw(results):
    r"""Three panels, one for each kind of work; where they were measured, three more.

    Those are the ladder, growth in time, and growth in memory.
    """
    more = bool(results["ladders"])
    picture, axes = figure.canvas(1 + more, 3, width=13, height=4 + 4 * more)
    speeds = axes[0] if more else axes
    for axis, work in zip(speeds, ("training", "forward", "sampling"), strict=True):
        _bars(axis, [row for row in results["rows"] if row["work"] == work], work)
    if more:
        _rungs(axes[1, 0], results["ladders"])
        _curves(axes[1, 1], results["growth"], "seconds")
        _curves(axes[1, 2], results["growth"], "counted_gb")
    handles = speeds[0].get_legend_handles_labels()
    picture.legend(*handles, loc="outside lower center", ncols=4, fontsize=8)
    told = results["measured_on"]
    picture.suptitle(f"{told['device']}; torch {told['torch']}")
    return picture


def _bars(axis, rows, work):
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    places = list(dict.fromkeys((row["preset"], row["batch"]) for row in rows))
    for row in rows:
        i = libraries.index(row["library"])
        y = places.index((row["preset"], row["batch"])) + 0.8 * i / len(libraries)
        low, middle, high = (row["ratio"][k] for k in ("low", "median", "high"))
        colour = LINES[row["library"]]
        colour = figure.COLOURS.get(colour, colour)
        first = row["library"] not in [text.get_label() for text in axis.containers]
        axis.barh(
            y,
            1 / middle,
            0.7 / len(libraries),
            xerr=[[1 / middle - 1 / high], [1 / low - 1 / middle]],
            color=colour,
            label=row["library"] if first else None,
        )
    axis.set_yticks([i + 0.3 for i in range(len(places))], [f"{p}, {b}" for p, b in places])
    axis.set(title=f"{work}: speed, ours = 1", xlabel="pictures/s over ours")
    axis.invert_yaxis()


def _rungs(axis, rungs):
    colours = list(figure.COLOURS.values())
    names = list(dict.fromkeys(row["rung"] for row in rungs))
    for i, preset in enumerate(dict.fromkeys(row["preset"] for row in rungs)):
        mine = [row for row in rungs if row["preset"] == preset and "ratio" in row]
        x = [row["ratio"]["median"] for row in mine]
        y = [names.index(row["rung"]) for row in mine]
        axis.plot(x, y, "o-", color=colours[i % len(colours)], label=preset)
    axis.set_yticks(range(len(names)), names)
    axis.set(title="settings, one on top of the other", xlabel="speed over eager float32")
    axis.invert_yaxis()
    if rungs:
        axis.legend(fontsize=7)


def _curves(axis, growth, what):
    colours = list(figure.COLOURS.values())
    styles = {"batch": "-", "size": "--", "steps": ":"}
    for i, (preset, kinds) in enumerate(growth.items()):
        for kind, points in kinds.items():
            values = [point.get(what) for point in points]
            if None in values:
                continue
            y = [v["median"] if what == "seconds" else v for v in values]
            colour = colours[i % len(colours)]
            x = [point[kind] for point in points]
            label = f"{preset}, {kind}"
            axis.loglog(x, y, styles[kind], marker="o", color=colour, label=label)
    title = "seconds of a step or a chain" if what == "seconds" else "counted memory, GB"
    axis.set(title=title, xlabel="batch, multiple of the size, or steps")
    if growth:
        axis.set_ylim(top=axis.get_ylim()[1] * 30)  # room for the legend
        axis.legend(fontsize=7, loc="upper left", ncols=2, handlelength=3.2)
