r"""Where a network runs, and in which precision: chosen once, and said aloud."""

import ctypes
import platform

import torch

from ..checks import check_name

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
WIDE = 32  # channels, below which a CPU gains little from bfloat16 or loses, measured
LARGE = 28  # height of pictures, from which three quarters of so many channels gain too


def choose_device(requested="auto"):
    r"""The torch.device to run on: CUDA if there is one, else Apple's MPS, else the CPU.

    requested: "auto", "cpu", "cuda", "cuda:1" or "mps". Raises ValueError for a device that
    this machine does not have.
    """
    if requested == "auto":
        mps = torch.backends.mps.is_available()
        requested = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        torch.zeros(1, device=requested)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(
            f"device {requested!r} cannot be used here ({why}); try cpu"
        ) from error
    return torch.device(requested)


def choose_precision(device, requested="auto", model=None):
    r"""Name the dtype that the network runs in: "float32", "bfloat16" or "float16".

    device: a torch.device. requested: "auto" takes bfloat16 on a CUDA card that computes in
    it, float16 (with a loss scaler) on an older one; on a CPU that computes in it,
    bfloat16 if `model` is a U-Net of at least 32 channels, or 24 for pictures of 28 pixels
    or more, where it was 1.4 times as fast; float32 elsewhere. Only the network is
    affected: noise, targets and loss are float32 always. Raises ValueError for another
    name, and for float16 anywhere but on CUDA.
    """
    check_name("precision", requested, "auto", *PRECISIONS)
    if requested == "auto":
        if device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported(False) else "float16"
        inner = getattr(model, "model", model)  # of one with guidance
        config = getattr(inner, "unet_config", None)
        width, height = (getattr(config, name, 0) for name in ("width", "height"))
        wide = width >= WIDE or (height >= LARGE and 4 * width >= 3 * WIDE)
        fast = device.type == "cpu" and wide and cpu_computes_bfloat16()
        return "bfloat16" if fast else "float32"
    if requested == "float16" and device.type != "cuda":
        raise ValueError(
            f"float16 needs CUDA's loss scaler, not {device.type}: use bfloat16 or float32"
        )
    return requested


def cpu_computes_bfloat16():
    r"""Whether this CPU has instructions for bfloat16; without them it is far slower."""
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def autocast(device, precision):
    r"""A context in which networks run in a precision, one of the names above.

    device: a torch.device. Answers come in that precision; float32 changes nothing.
    """
    half = precision != "float32"
    return torch.autocast(device.type, PRECISIONS[precision], enabled=half)


def keep_memory(keep=True):
    r"""Let this process keep the memory of large tensors for the next ones, or not again.

    glibc gives it back to the system and asks for new, which comes page by page, zeroed:
    85,000 pages in a training step of the 32-pixel network at batch 32, and 4 to 10 % of
    its time. It is a setting of the whole process, so only the command line makes it.
    Returns whether there was a glibc to set.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = ctypes.CDLL(None), -1, -3  # malloc.h
    libc.mallopt(M_MMAP_THRESHOLD, 2**30 if keep else 2**25)  # 2**25: where it ends by
    libc.mallopt(M_TRIM_THRESHOLD, -1 if keep else 2**26)  # itself; -1: never
    if not keep:
        libc.malloc_trim(0)
    return True


def describe(device, precision, threads=None):
    r"""Device and precision in words, such as "cpu (2 threads), network in float32".

    threads: how many compute on the CPU; as many as torch uses now if None.
    """
    threads = threads or torch.get_num_threads()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        many = f"{threads} thread{'s' if threads > 1 else ''}"
        name = many if device.type == "cpu" else "Apple"
    return f"{device} ({name}), network in {precision}, all else in float32"
