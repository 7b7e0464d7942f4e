r"""Files: what of this run can be read?

A run is config.json, metrics.jsonl, folders of checkpoints and the file `newest`, which is
written last. So a process that is killed leaves whole files, and what is broken was cut
short while it was copied, or on a full disk. Each function reads one of them and returns
(case, findings), the case with what was read.
"""

from dataclasses import replace

from safetensors import SafetensorError, safe_open

from ...formats.checkpoint import checkpoints, read_json
from ...formats.networks import NotGiven
from ...formats.weights import load_model
from ...training.config import TrainConfig
from ...training.instruments import read_log
from ...training.presets import RunConfig
from ...training.stored import in_todays_names
from .findings import UNREADABLE, Finding, one_line
from .installation import disk


def read_settings(case):
    r"""Is config.json there, with settings that this version knows? (case, findings)."""
    try:
        about = read_json(case.run / "config.json")
    except (ValueError, OSError) as error:
        words = (
            f"{one_line(error)}. It is written when a run starts, and resume needs it: "
            "take it from a copy, or start the run again."
        )
        return case, [Finding("wrong", "config.json", words)]
    case = replace(case, about=about)
    try:
        train = in_todays_names(about.get("train"), "config.json")
        train = TrainConfig(**train) if "train" in about else None
        own = {k: about[k] for k in RunConfig.__dataclass_fields__ if k in about}
        known = {"unet", "own"} & set(about)
        config = RunConfig.from_dict(own) if known else None
    except UNREADABLE as error:
        version = about.get("versions", {}).get("ddpm-lite", "unknown")
        words = (
            "config.json holds a setting that this version refuses: "
            f"{one_line(error)}. Mend it, or use the version that wrote it, {version}."
        )
        return case, [Finding("wrong", "config.json", words)]
    if config is None:
        words = (
            "config.json has no settings of a run on pictures, so data, loss and samples "
            "are not looked at."
        )
        return replace(case, train=train), [Finding("note", "config.json", words)]
    words = "All settings in config.json are such as this version knows."
    case = replace(case, config=config, train=train)
    return case, [Finding("ok", "config.json", words)]


def read_metrics(case):
    r"""Is every line of metrics.jsonl whole? (case, findings)."""
    path = case.run / "metrics.jsonl"
    try:
        lines = read_log(path)
    except ValueError as error:
        words = (
            f"A line of {path.name} is not whole: {one_line(error)}. Resume cuts it off."
        )
        return case, [Finding("wrong", "metrics", words)]
    return replace(case, lines=[line for line in lines if "step" in line]), []


def read_checkpoint(case):
    r"""Are the checkpoints whole, and which is the newest? (case, findings)."""
    folders = {folder.name: folder for folder in checkpoints(case.run)}
    if not folders:
        words = "There is none: it was not written, or removed. Start the run again."
        return case, [Finding("wrong", "checkpoint", words)]
    opened, broken = _open_all(folders, case.network)
    named = _named_newest(case.run)
    findings = [*_newest(named, folders), *_broken(opened, broken)]
    if not opened:
        return case, findings
    name = named if named in opened else max(opened)
    if not broken:
        words = f"{len(opened)} are whole, the newest is {name}."
        findings.append(Finding("ok", "checkpoint", words, {"whole": len(opened)}))
    for part in (case.run / "checkpoints").glob("*.part"):
        words = f"{part.name} was left by a process that ended while writing: remove it."
        findings.append(Finding("note", "half a checkpoint", words))
    size = sum(file.stat().st_size for file in folders[name].iterdir())
    findings.append(disk(case.run, 3 * size))
    loaded, state = opened[name]
    config = case.config and case.config.with_network(type(loaded.model))
    case = replace(case, folder=folders[name], state=state, model=loaded.model)
    case = replace(case, config=config)
    return replace(case, schedule=loaded.schedule), findings


def state_tensors(folder, prefix="model."):
    r"""Tensors that training goes on from, {name without its prefix: tensor}.

    folder: of a checkpoint. prefix: "model." for the weights that train, "adam." for the
    averages of Adam. Raises OSError or SafetensorError where the file is not whole.
    """
    with safe_open(folder / "state.safetensors", framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def _open_all(folders, network):
    r"""({name: (EMA, state)} of checkpoints that are whole, {name: why not} of others)."""
    opened, broken = {}, {}
    for name, folder in folders.items():
        try:
            loaded = load_model(folder / "model.safetensors", network)
            state_tensors(folder)
            opened[name] = loaded, read_json(folder / "state.json")
        except NotGiven:
            raise
        except (*UNREADABLE, SafetensorError) as error:
            broken[name] = one_line(error)
    return opened, broken


def _named_newest(run):
    newest = run / "newest"
    return newest.read_text("utf-8").strip() if newest.is_file() else "nothing"


def _newest(named, folders):
    if named not in folders:
        words = (
            f"The file newest names {named}, and the last one there is {max(folders)}. "
            "Copy the checkpoint again, or write the name of the last into that file."
        )
        yield Finding("wrong", "newest checkpoint", words)


def _broken(opened, broken):
    if broken:
        listed = "; ".join(f"{name}: {why}" for name, why in broken.items())
        advice = "None is left: start the run again."
        if opened:
            advice = f"Remove it, write {max(opened)} into the file newest, and resume."
        words = f"Not whole: {listed}. {advice}"
        yield Finding("wrong", "checkpoint", words, {"broken": len(broken)})
