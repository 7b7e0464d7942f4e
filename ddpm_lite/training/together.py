r"""The processes of torchrun: how they join, and how they end."""

import atexit
import os
import sys

import torch
from torch import distributed


def join():
    r"""Join the processes that torchrun has started, if it has. Returns a device's name.

    "auto" where there is one process; else this process' own card, or "cpu": `leave` then
    ends it.
    """
    if "RANK" not in os.environ or distributed.is_initialized():
        return "auto"
    card = torch.cuda.is_available()
    distributed.init_process_group("nccl" if card else "gloo")
    atexit.register(_close)
    if not card:
        return "cpu"
    device = f"cuda:{os.environ['LOCAL_RANK']}"
    torch.cuda.set_device(device)
    return device


def leave(status):
    r"""End this process with a status, if `join` made it one of several.

    DistributedDataParallel keeps a group's threads, after `destroy_process_group` too. One
    that lets go of its last tensor while the interpreter ends aborts the process
    ("terminate called without an active exception"): the interpreter's end is left out.
    """
    if not distributed.is_initialized():
        return
    _close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _close():
    if distributed.is_initialized():
        distributed.destroy_process_group()
