r"""Values as bytes, between the grader and a submission's process, without pickle.

A message is JSON for the structure and, behind it, the bytes of the tensors in the order
in which the structure names them: reading it can give numbers, texts, lists and tensors,
and can run nothing. Whoever wrote it, it costs its reader a few times the bytes that it
has: each number is there once, and how much there is of anything is counted first.
"""

import json
import math
import struct

import numpy as np
import torch

from ..schedule import Schedule

LONGEST = 8 * 2**20  # bytes of one message; the largest of a check has 3
LONGEST_CELLS = 2**27  # bytes of a notebook's cells, which the grader alone sends
STRUCTURE = 2**20  # bytes of its JSON
THINGS = 100_000  # values, keys and brackets in it, at most
NUMBERS = 2**20  # in all tensors together
LONGEST_TEXT = 4000  # characters; longer ones are cut when they arrive
DEPTH = 30  # of lists within lists
_HEAD = struct.Struct("<QQ")  # lengths of the JSON and of the tensors
_BITS = 64  # of a whole number
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex64, torch.complex128),
    )
}


def pack(value, functions=None):
    r"""Bytes of a value made of numbers, texts, lists, dicts, tensors and schedules.

    functions: a list that takes the functions found in value, in whose place their index
    travels; without it a function is refused. Raises TypeError for anything else, such
    as a module or a generator, ValueError for more than `unpack` takes.
    """
    blob = []
    tree = json.dumps(_down(value, blob, functions)).encode()
    blob = b"".join(blob)
    _weigh(tree, len(blob))
    return _HEAD.pack(len(tree), len(blob)) + tree + blob


def unpack(data, function=None, grad=False):
    r"""The value of `pack`'s bytes; the functions in it become function(index).

    grad: whether tensors that required a gradient do so again; what they were made from
    stays behind. Raises ValueError for bytes that `pack` did not make.
    """
    try:
        n, m = _HEAD.unpack_from(data)
        if len(data) != _HEAD.size + n + m:
            raise ValueError("another length than it says")
        tree = bytes(memoryview(data)[_HEAD.size : _HEAD.size + n])
        _weigh(tree, m)
        numbers = _Numbers(bytearray(memoryview(data)[_HEAD.size + n :]), grad)
        value = _up(json.loads(tree), numbers, function, DEPTH)
        if numbers.at != m:
            raise ValueError("numbers that belong to no tensor")
    except Exception as error:  # whatever bad bytes do to the readers
        raise ValueError(f"not a message: {clean(error, 200)}") from error
    return value


def send(socket, data):
    r"""Write a message to a socket, its length first."""
    socket.sendall(struct.pack("<Q", len(data)) + data)


def receive(socket, wait=None, longest=None):
    r"""Read one message from a socket.

    wait: a function called before each read, which may set the socket's time limit.
    longest: in bytes, `LONGEST` if None. Raises EOFError when the other side has gone,
    ValueError for one that is too long.
    """
    (length,) = struct.unpack("<Q", _exactly(socket, 8, wait))
    longest = LONGEST if longest is None else longest
    if length > longest:
        raise ValueError(f"a message of {length:,} bytes, at most {longest:,} are taken")
    return _exactly(socket, length, wait)


def clean(text, longest=LONGEST_TEXT):
    r"""A text that any file and any screen can hold: cut, without control characters.

    Lines and tabs stay. Half characters (surrogates), and marks that turn the direction
    of what follows, become U+FFFD.
    """
    text = str(text)
    text = text if len(text) <= longest else text[:longest] + " ..."
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else "\ufffd" for c in text)


def _weigh(tree, blob):
    r"""Refuse a message by what it would cost, before anything is made of it."""
    things = 1 + sum(tree.count(mark) for mark in (b",", b":", b"[", b"{"))
    for count, most, what in (
        (len(tree) + blob, LONGEST, "bytes"),
        (len(tree), STRUCTURE, "bytes beside its tensors"),
        (things, THINGS, "values"),
    ):
        if count > most:
            raise ValueError(f"{count:,} {what}, where {most:,} can be sent")


def _exactly(socket, count, wait):
    data = bytearray()
    while len(data) < count:
        if wait is not None:
            wait()
        part = socket.recv(min(count - len(data), 2**20))
        if not part:
            raise EOFError("the other side has gone")
        data += part
    return data


def _down(value, blob, functions):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return _plain(value)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor):
        return {"tensor": _tensor_down(value, blob)}
    if isinstance(value, Schedule):
        return {"schedule": _down(value.beta[1:], blob, functions)}
    if isinstance(value, list):
        return [_down(v, blob, functions) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_down(v, blob, functions) for v in value]}
    if isinstance(value, dict):
        if not all(isinstance(key, (str, int)) for key in value):
            raise TypeError("a dict whose keys are not text or whole numbers")
        return {"dict": [[k, _down(v, blob, functions)] for k, v in value.items()]}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    raise TypeError(
        f"a {type(value).__name__}, where numbers, texts or tensors can be sent"
    )


def _plain(value):
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f"a whole number of more than {_BITS} bits")
    return value


def _tensor_down(value, blob):
    r"""What says a tensor's form; its bytes are added to blob."""
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in _DTYPES or value.layout != torch.strided:
        raise TypeError(f"a tensor of {dtype}, {value.layout}, which cannot be sent")
    shape = list(value.shape)
    _count(shape)
    flat = torch.empty(value.numel(), dtype=value.dtype)
    flat.copy_(value.detach().reshape(-1))
    blob.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return [dtype, shape, True] if value.requires_grad else [dtype, shape]


def _count(shape):
    r"""How many numbers a tensor of this shape has. Raises ValueError for too many."""
    if not all(type(n) is int and 0 <= n <= NUMBERS for n in shape) or len(shape) > 8:
        raise ValueError(f"a tensor of shape {tuple(shape)}, which cannot be sent")
    count = math.prod(shape)
    if count > NUMBERS:
        raise ValueError(f"{count:,} numbers, where {NUMBERS:,} can be sent")
    return count


class _Numbers:
    r"""The bytes of a message's tensors, which are taken one after the other."""

    def __init__(self, blob, grad=False):
        self.blob, self.at, self.count, self.grad = blob, 0, 0, grad

    def take(self, form):
        r"""The next tensor; form: [dtype, shape], and True where it requires a gradient."""
        name, shape, *grad = form
        if grad not in ([], [True]):
            raise ValueError("a tensor of no form")
        dtype, count = _DTYPES[name], _count(shape)
        self.count += count
        if self.count > NUMBERS:
            raise ValueError(f"more than {NUMBERS:,} numbers")
        size = count * dtype.itemsize
        if self.at + size > len(self.blob):
            raise ValueError("a tensor without its numbers")
        made = torch.empty(count, dtype=dtype)  # aligned, so that sums have the same bits
        if count:
            raw = torch.frombuffer(self.blob, dtype=torch.uint8, count=size, offset=self.at)
            if dtype == torch.bool:
                made = raw != 0
            else:
                made.view(torch.uint8).copy_(raw)
        self.at += size
        return made.reshape(shape).requires_grad_(bool(grad and self.grad))


def _up(tree, numbers, function, depth):
    if depth == 0:
        raise ValueError(f"lists within lists, more than {DEPTH} deep")
    if isinstance(tree, list):
        return [_up(v, numbers, function, depth - 1) for v in tree]
    if isinstance(tree, str):
        return clean(tree)
    if not isinstance(tree, dict):
        return _plain(tree)
    if len(tree) != 1:
        raise ValueError("a thing of no kind")
    ((kind, inside),) = tree.items()
    if kind == "tensor":
        return numbers.take(inside)
    if kind == "schedule":
        return Schedule.from_beta(_up(inside, numbers, function, depth - 1))
    if kind in ("tuple", "dict") and not isinstance(inside, list):
        raise ValueError(f"a {kind} that is no list")
    if kind == "tuple":
        return tuple(_up(v, numbers, function, depth - 1) for v in inside)
    if kind == "dict":
        pairs = ((_key(k), _up(v, numbers, function, depth - 1)) for k, v in inside)
        return dict(pairs)
    if kind == "function" and function is not None:
        return function(inside)
    raise ValueError(f"unknown kind {kind[:20]!r}")


def _key(key):
    if not isinstance(key, (str, int)):
        raise ValueError("a key that is neither text nor a whole number")
    return clean(key) if isinstance(key, str) else _plain(key)
