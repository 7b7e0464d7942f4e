r"""Settings as files hold them, which people and newer versions change."""

import difflib
import inspect
from dataclasses import is_dataclass
from typing import get_args, get_origin


def check_settings(kind, values, where, optional=()):
    r"""Return a dataclass from what a file holds for it; refuse what does not fit it.

    values: {field: value}, with lists for tuples, as JSON has them. where: the file or the
    part of it, for errors. optional: fields that may be missing. Raises ValueError for
    fields that are unknown or missing, values of another type or out of range.
    """
    types = {name: field.type for name, field in kind.__dataclass_fields__.items()}
    if not isinstance(values, dict):
        raise ValueError(f"{where} must hold {{name: value}}, got {values!r:.60}")
    for name in values:
        if name not in types:
            near = difflib.get_close_matches(name, types, 1)
            mean = (
                f"did you mean {near[0]}?" if near else "a newer version may have written"
            )
            advice = f"{mean} it" if not near else f"{mean} Mend it"
            raise ValueError(
                f"{where} holds {name!r}, which this version does not know: {advice}"
            )
    for name, of in types.items():
        if name not in values:
            if name in optional:
                continue
            raise ValueError(f"{where} lacks {name!r}: restore the file")
        if not is_dataclass(of) and not _of_type(values[name], of):
            of = inspect.formatannotation(of)
            raise ValueError(f"{where}: {name} must be {of}, got {values[name]!r:.60}")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def in_todays_names(train, where):
    r"""The settings of training in a file of version 0.3 or older, named as they are now.

    train: what the file holds, whatever it is. Raises ValueError where it holds a setting
    under both names, or one of another type.
    """
    if not isinstance(train, dict) or "decay_lr" not in train:
        return train
    rest = {name: value for name, value in train.items() if name != "decay_lr"}
    if "lr_schedule" in rest or not isinstance(train["decay_lr"], bool):
        raise ValueError(
            f"{where} holds decay_lr = {train['decay_lr']!r}, which is lr_schedule now: "
            "take it out, and write constant, cosine or linear there"
        )
    return rest | {"lr_schedule": "cosine" if train["decay_lr"] else "constant"}


def _of_type(value, kind):
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        many = inner[:1] * len(value) if isinstance(value, (list, tuple)) else ()
        fit = isinstance(value, (list, tuple)) and (
            inner[-1] is ... or len(value) == len(inner)
        )
        return fit and all(map(_of_type, value, many))
    if inner:
        return any(_of_type(value, one) for one in inner)
    if kind is float:
        kind = (int, float)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
