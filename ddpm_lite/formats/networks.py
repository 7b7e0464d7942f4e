r"""Which network is in a file: those of this package, and anybody else's `nn.Module`.

A file names a class and never imports it. A network of one's own is found because the
process has registered it, or because somebody names it: load_run(run, network=Net), or
--network mynet:Net on a command line.
"""

import difflib
import importlib
import importlib.util
import inspect
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ..checks import short
from ..denoiser import check_bare, check_prediction, clip_of, evaluating, first_weight
from ..models.mlp import MLP
from ..models.unet import UNet
from ..models.unet1d import UNet1d
from .wrapped import DiffusersUNet

BUILT_IN = {"MLP": MLP, "UNet": UNet, "UNet1d": UNet1d}
SAYS = ("prediction", "clip", "T", "classes", "learned_variance")
_MANY = 1e7  # weights: fewer take less time than torch's meta device to get ready
# {name: class}: what `register_network` was given in this process, and our wrapper
_REGISTERED = {"DiffusersUNet": DiffusersUNet}


class NotGiven(ValueError):
    r"""A file is of a network of one's own, whose class nobody has given."""


def register_network(network):
    r"""Let files of this class of network be loaded in this process: a decorator.

    network: a class, which is returned as it is. A class that is defined again, as by a
    cell of a notebook that is run twice, takes the place of the first one. Raises TypeError
    or ValueError where the class cannot be a network, and ValueError where another class
    of that name is registered.
    """
    check_class(network)
    name, before = network.__name__, _REGISTERED.get(network.__name__)
    if before is not None and spelled(before) != spelled(network):
        raise ValueError(
            f"{spelled(before)} is registered as {name}, and {spelled(network)} has the "
            "same name: give one of the two classes another name"
        )
    _REGISTERED[name] = network
    return network


def network_named(text):
    r"""The class that somebody names as "mynet:Net", or "mynet.py:Net" by its file.

    The module is imported: from the current folder, or as one that is installed. Raises
    ValueError that says what is not there, what is there instead, or with which words the
    module itself failed.
    """
    module, colon, name = str(text).rpartition(":")
    if not colon or not module or not name:
        raise ValueError(
            f"a network is named as module:Class, such as mynet:Net; got {text!r}"
        )
    home = _imported(module, name)
    found = home
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        classes = [n for n, v in vars(home).items() if _is_network(v)]
        near = difflib.get_close_matches(name, classes, 1)
        there = f"it has {', '.join(classes)}" if classes else "it has no network at all"
        said = f"did you mean {module}:{near[0]}?" if near else there
        raise ValueError(f"there is no {name} in {home.__file__ or module}: {said}")
    try:
        check_class(found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text}: {error}") from error
    return found


def spelled(network):
    r"""A class as files and command lines name it, "module:Class"."""
    return f"{network.__module__}:{network.__qualname__}"


def is_built_in(model):
    r"""Whether a network is one of this package, which every file of it knows."""
    return BUILT_IN.get(type(model).__name__) is type(model)


def check_class(network):
    r"""Refuse a class that cannot be a network: ValueError, TypeError for no class."""
    if not isinstance(network, type):
        raise TypeError(f"a network is a class, Net and not Net(); got {short(network)}")
    name = network.__name__
    if not issubclass(network, nn.Module):
        raise ValueError(
            f"{name} is not a torch.nn.Module: write class {name}(torch.nn.Module)"
        )
    if network.forward is nn.Module.forward:
        raise ValueError(f"{name} has no forward: add def forward(self, x_t, t)")
    if not _takes(network.forward, 3):
        raise ValueError(
            f"{name}.forward must take x_t and t, and y where there are classes: write def "
            f"forward(self, x_t, t), or (self, x_t, t, y=None); it is "
            f"{inspect.signature(network.forward)}"
        )
    if name in BUILT_IN and BUILT_IN[name] is not network:
        raise ValueError(
            f"{name} is a network of this package: give the class {spelled(network)} "
            "another name"
        )


def check_network(model):
    r"""Refuse a network that a file could not hold: what it lacks, and the line to add.

    It needs `prediction`, and `config`, a dictionary of plain values with which
    type(model)(**config) is a network of the same tensors; that is tried, and without
    memory where they are large. Raises ValueError.
    """
    if is_built_in(model):
        return
    check_bare(model)
    check_class(type(model))
    name = type(model).__name__
    check_says(model)
    settings = plain_settings(model)
    own, many = model.state_dict(), sum(p.numel() for p in model.parameters())
    other = build(type(model), settings, light=many > _MANY).state_dict()
    for key in [*own, *other]:
        here, there = (tuple(t[key].shape) if key in t else None for t in (own, other))
        if here != there:
            here, there = ("missing" if s is None else s for s in (here, there))
            raise ValueError(
                f"the config of this {name} builds another network, in which {key} is "
                f"{there}; here it is {here}: let config hold the arguments that "
                f"{name}(...) was called with, {_arguments_of(type(model))}"
            )


def check_says(model):
    r"""Refuse a network whose attributes, those of `denoiser`, are missing or no such.

    Raises ValueError that names the attribute, and the line to add.
    """
    name = type(model).__name__
    if getattr(model, "prediction", None) is None:
        raise ValueError(
            f"a {name} does not say what it predicts: add the line "
            'self.prediction = "noise" to it, or "x_0" or "v"'
        )
    check_prediction(model.prediction)
    clip_of(model)
    for what, low in (("classes", 0), ("T", 1)):
        value = getattr(model, what, None)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (whole and value >= low):
            raise ValueError(
                f"{name}.{what} must be a whole number of at least {low}, or not be there; "
                f"got {value!r:.60}"
            )
    if getattr(model, "classes", None) and not _takes(model.forward, 3):
        raise ValueError(
            f"a {name} has classes, and its forward takes no labels: write def "
            "forward(self, x_t, t, y=None)"
        )
    if not isinstance(getattr(model, "learned_variance", False), bool):
        raise ValueError(f"{name}.learned_variance must be True or False")


def plain_settings(model):
    r"""The `config` of a network as JSON has it: {name: plain value}.

    Raises ValueError where it is missing, holds what JSON cannot, or lacks an argument of
    the class.
    """
    kind, settings = type(model), getattr(model, "config", None)
    if not isinstance(settings, dict):
        what = "does not say" if settings is None else "must say in a dictionary"
        raise ValueError(
            f"a {kind.__name__} {what} how it is built: add the line self.config = "
            f"{_arguments_of(kind)} to its __init__"
        )
    for name, value in settings.items():
        try:
            json.dumps({name: value}, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(
                f"config of {kind.__name__} holds {name} = {short(value)}, and a file "
                "holds numbers, texts, True, False, None, lists and dictionaries of them"
            ) from None
    lacking = [name for name in arguments(kind) if name not in settings]
    if lacking and not takes_any(kind):
        raise ValueError(
            f"config of {kind.__name__} lacks {', '.join(lacking)}, which its __init__ "
            f"takes: write self.config = {_arguments_of(kind)}"
        )
    return json.loads(json.dumps(settings))


def arguments(network):
    r"""Names of what a class's constructor takes, but for *args and **kwargs."""
    known = inspect.signature(network).parameters.values()
    return [p.name for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def takes_any(network):
    r"""Whether a class's constructor takes **kwargs, whatever their names are."""
    known = inspect.signature(network).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in known)


def build(network, settings, light=False):
    r"""network(**settings), without a change to torch's random numbers.

    light: on the meta device, without memory, if that is possible. Raises ValueError, and
    says what the class itself says.
    """
    with torch.random.fork_rng(devices=[]):
        if light:
            try:
                with torch.device("meta"):
                    return network(**settings)
            except Exception:  # such as of a class that reads its own numbers
                pass
        try:
            return network(**settings)
        except Exception as error:
            given = ", ".join(f"{name}={value!r:.40}" for name, value in settings.items())
            raise ValueError(
                f"{network.__name__}({given}) cannot be built: {_in_words(error)}"
            ) from error


def check_answers(model, shape, T):
    r"""Ask a network of one's own once, so that it fails before there is work to lose.

    shape: of one example. T: of its schedule. Raises ValueError where it fails, or answers
    in another shape than that of x_t, or twice the channels where the variance is learned.
    """
    if is_built_in(model):
        return
    weight, name = first_weight(model), type(model).__name__
    x_t = torch.zeros(2, *shape, dtype=weight.dtype, device=weight.device)
    t = torch.tensor([1, T], device=weight.device)
    classes = getattr(model, "classes", None)
    y = [torch.tensor([0, classes], device=weight.device)] if classes else []
    call = f"{name}(x_t, t{', y' if y else ''})"
    try:
        with torch.random.fork_rng(), torch.no_grad(), evaluating(model):
            answer = model(x_t, t, *y)
    except Exception as error:
        labels = f" and labels 0 and {classes} (no class)" if y else ""
        raise ValueError(
            f"{call} fails for x_t of shape {tuple(x_t.shape)}, t = 1 and {T}{labels}: "
            f"{_in_words(error)}"
        ) from error
    wanted, why = tuple(x_t.shape), ""
    if getattr(model, "learned_variance", False):
        wanted = (2, 2 * shape[0], *shape[1:])
        why = ", twice the channels, as it says learned_variance = True"
    got = tuple(answer.shape) if isinstance(answer, torch.Tensor) else short(answer)
    if got != wanted:
        raise ValueError(
            f"{call} must answer with a tensor of shape {wanted}, like x_t{why}; got {got}"
        )


def class_of(name, home, network, where, load):
    r"""The class of a network that a file names, which nothing is imported for.

    name, home: what the file says, such as "Net" and "mynet:Net". network: a class or
    "module:Class", as somebody gave it; else one of this package, or a registered one.
    where: the file. load: how it is opened in Python, for errors. Raises ValueError for a
    network of another name, and NotGiven, which says what to type, where nobody has given
    the class.
    """
    if network is not None:
        kind = network_named(network) if isinstance(network, str) else network
        check_class(kind)
        if kind.__name__ != name:
            raise ValueError(
                f"{where} holds a {name} ({home}), and the network given is a "
                f"{kind.__name__} ({spelled(kind)}): give the class that was trained"
            )
        return kind
    if name in BUILT_IN:
        return BUILT_IN[name]
    kind, (module, _, path) = _REGISTERED.get(name), home.rpartition(":")
    if kind is not None:
        if "__main__" in (module, kind.__module__) or spelled(kind) == home:
            return kind
        raise ValueError(
            f"{where} holds a network {home}, and {spelled(kind)} is registered: if that "
            f"is the same network, say so, {load[:-1]}, network={name})"
        )
    said = f"{where} holds a network of your own, {home}: "
    shown = f"{load[:-1]}, network={name})"
    if module == "__main__" or "<locals>" in path:
        place = "inside a function" if "<locals>" in path else "in a notebook or a script"
        raise NotGiven(
            f"{said}it was defined {place}, so give the class itself, {shown}; for a "
            f"command write it into a file mynet.py and add --network mynet:{name}"
        )
    raise NotGiven(
        f"{said}say where it is. On a command line add --network {home}. In Python: "
        f"from {module} import {path.partition('.')[0]}; {shown}"
    )


def _imported(module, name):
    r"""A module by its name, or by its file; what is wrong with it becomes ValueError."""
    by_file = module.endswith(".py")
    folder, stem = Path.cwd(), module
    if by_file:
        path = Path(module).expanduser().absolute()
        folder, stem = path.parent, path.stem
        if not path.is_file():
            raise ValueError(f"there is no file {module}{_near_files(path)}")
        there = getattr(sys.modules.get(stem), "__file__", None)
        if stem in sys.modules and (not there or Path(there).resolve() != path.resolve()):
            raise ValueError(
                f"{module} cannot be imported: there is another module {stem} already; "
                "give the file another name"
            )
    elif not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(
            f"{module!r} is no name of a module: name it as mynet:{name}, or by its file, "
            f"mynet.py:{name}"
        )
    try:
        with _looked_for_in(folder):
            return importlib.import_module(stem)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{stem}.".startswith(f"{error.name}."):
            raise ValueError(f"{module} cannot be imported: {_in_words(error)}") from error
        raise ValueError(
            f"there is no module {module} in {folder}, and none is installed"
            f"{_near_files(folder / f'{stem}.py')}"
        ) from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"{module} cannot be imported: {_in_words(error)}") from error


def _near_files(path):
    names = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1)
    return "".join(f": did you mean {name}?" for name in near)


@contextmanager
def _looked_for_in(folder):
    r"""Let modules of a folder be imported, as Python does for a script that lies there."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _in_words(error):
    r"""An error of somebody else's code in one line, with its kind and its place."""
    text = " ".join(str(error).split())
    where, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        inside = f"{Path(torch.__file__).parent}", f"{Path(__file__).parents[1]}", "<frozen"
        if not file.startswith(inside):
            where = f" (line {trace.tb_lineno} of {Path(file).name})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {text[:300]}{where}"


def _is_network(value):
    return (
        isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__.partition(".")[0] != "torch"
    )


def _takes(function, number):
    r"""Whether a function can be called with so many values, one after the other."""
    try:
        inspect.signature(function).bind(*range(number))
    except TypeError:
        return False
    return True


def _arguments_of(network):
    return f"dict({', '.join(f'{name}={name}' for name in arguments(network))})"
