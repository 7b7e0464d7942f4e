r"""Values as bytes, between the grader and a submission's process, without pickle.

A message is JSON for the structure and safetensors for the numbers: reading it can give
numbers, texts, lists and tensors, and can run nothing.
"""

import json
import struct

import numpy as np
import torch
from safetensors.torch import load, save

from ..schedule import Schedule

LONGEST = 64 * 2**20  # bytes of one message
_HEAD = struct.Struct("<QQ")  # lengths of the JSON and of the tensors


def pack(value, functions=None):
    r"""Bytes of a value made of numbers, texts, lists, dicts, tensors and schedules.

    functions: a list that takes the functions found in value, in whose place their index
    travels; without it a function is refused. Raises TypeError for anything else, such
    as a module or a generator.
    """
    tensors = {}
    tree = json.dumps(_down(value, tensors, functions)).encode()
    blob = save(tensors) if tensors else b""
    return _HEAD.pack(len(tree), len(blob)) + tree + blob


def unpack(data, function=None):
    r"""The value of `pack`'s bytes; the functions in it become function(index).

    Raises ValueError for bytes that `pack` did not make.
    """
    try:
        n, m = _HEAD.unpack_from(data)
        if len(data) != _HEAD.size + n + m:
            raise ValueError("a message of another length than it says")
        tree, blob = data[_HEAD.size : _HEAD.size + n], data[_HEAD.size + n :]
        tensors = load(bytes(blob)) if m else {}
        return _up(json.loads(bytes(tree)), tensors, function)
    except Exception as error:  # whatever bad bytes do to the readers
        raise ValueError(f"not a message: {error}") from error


def send(socket, data):
    r"""Write a message to a socket, its length first."""
    socket.sendall(struct.pack("<Q", len(data)) + data)


def receive(socket, wait=None):
    r"""Read one message from a socket.

    wait: a function called before each read, which may set the socket's time limit.
    Raises EOFError when the other side has gone, ValueError for one that is too long.
    """
    (length,) = struct.unpack("<Q", _exactly(socket, 8, wait))
    if length > LONGEST:
        raise ValueError(f"a message of {length:,} bytes, at most {LONGEST:,} are taken")
    return _exactly(socket, length, wait)


def _exactly(socket, count, wait):
    data = bytearray()
    while len(data) < count:
        if wait is not None:
            wait()
        part = socket.recv(min(count - len(data), 2**20))
        if not part:
            raise EOFError("the other side has gone")
        data += part
    return bytes(data)


def _down(value, tensors, functions):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, Schedule):
        return {"schedule": _down(value.beta[1:], tensors, functions)}
    if isinstance(value, list):
        return [_down(v, tensors, functions) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_down(v, tensors, functions) for v in value]}
    if isinstance(value, dict):
        if not all(isinstance(key, (str, int)) for key in value):
            raise TypeError("a dict whose keys are not text or whole numbers")
        return {"dict": [[k, _down(v, tensors, functions)] for k, v in value.items()]}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    raise TypeError(
        f"a {type(value).__name__}, where numbers, texts or tensors can be sent"
    )


def _up(tree, tensors, function):
    if isinstance(tree, list):
        return [_up(v, tensors, function) for v in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, inside),) = tree.items()
    if kind == "tensor":
        return tensors[inside].clone()  # aligned, so that sums have the same bits
    if kind == "schedule":
        return Schedule.from_beta(_up(inside, tensors, function))
    if kind == "tuple":
        return tuple(_up(v, tensors, function) for v in inside)
    if kind == "dict":
        return {k: _up(v, tensors, function) for k, v in inside}
    if kind == "function" and function is not None:
        return function(inside)
    raise ValueError(f"unknown kind {kind!r}")
