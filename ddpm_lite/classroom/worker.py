r"""The process that holds one submission: runs its cells, then calls its functions.

It is started by `grade`, in a package that lacks what the exercises ask for, and knows
no checks and no grades: it gets inputs and gives back plain numbers.
"""

import contextlib
import json
import os
import socket

import torch

from . import wire
from .answer import message_of
from .cells import main_module, run_cells
from .withheld import refuse_others


def main(fd, memory, seconds, processes):
    r"""Serve requests on the socket fd until it closes.

    memory: bytes of address space. seconds: of processor time, all in all. processes: how
    many it may have with all threads, 0 for no limit, where others share the count.
    """
    import resource  # which Windows does not have

    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 64 * 2**20),
        (resource.RLIMIT_CORE, 0),
        *([(resource.RLIMIT_NPROC, processes)] if processes else []),
    ):
        resource.setrlimit(what, (limit, limit))
    refuse_others()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    connection = socket.socket(fileno=fd)
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # torch.compile changes nothing: no compiler
    names = vars(main_module())
    with contextlib.suppress(EOFError):
        notebook = json.loads(wire.receive(connection, longest=wire.LONGEST_CELLS))
        wire.send(connection, _packed({"errors": run_cells(*notebook, names)}))
        while True:
            request = wire.receive(connection)
            head = wire.unpack(request, lambda index: _asking(connection, index))
            reply = call(names, head["name"], head["args"], head["options"])
            wire.send(connection, _packed(reply))


def call(names, name, args, options):
    r"""Call the submission's function, and say in a dict how that ended."""
    function = names.get(name)
    if not callable(function):
        return {"missing": sorted(k for k, v in names.items() if _own(v))}
    try:
        return {"value": function(*args, **options)}
    except NotImplementedError:
        return {"unsolved": True}
    except BaseException as error:
        return {"raised": message_of(error)[:2000]}


def _packed(reply):
    try:
        return wire.pack(reply)
    except (TypeError, ValueError, RecursionError) as error:
        return wire.pack({"raised": f"your function gave back {error}"})


def _asking(connection, index):
    def called(*args, **options):
        asked = {"ask": index, "args": args, "options": options}
        wire.send(connection, wire.pack(asked))
        reply = wire.unpack(wire.receive(connection), grad=True)
        if "raised" in reply:
            raise ValueError(reply["raised"])
        return reply["value"]

    return called


def _own(value):
    return callable(value) and getattr(value, "__module__", None) == "__main__"
