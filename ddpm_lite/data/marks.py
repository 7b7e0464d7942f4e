r"""What data is known by: a hash of all examples and labels."""

import hashlib

import torch


def fingerprint(data, y=None, stride=1):
    r"""A short name of data and labels: 16 hexadecimal digits of a hash.

    data: (N, *shape), y: (N,) or None. All examples are read, in blocks, so that data may
    lie on a disk; or with a stride above 1 every so many of them.
    """
    read = hashlib.sha256(f"{tuple(data.shape)} {data.dtype}".encode())
    for part in (*data[::stride].split(1024), *(() if y is None else (y,))):
        read.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return read.hexdigest()[:16]


def is_of(stored, data, y=None, own=None):
    r"""Whether a fingerprint that a file holds is that of data and labels.

    own: their fingerprint, where it is known. Version 0.2.0 read about 4,096 examples
    alone, evenly spaced: files that it wrote are still known by these.
    """
    if stored == (own or fingerprint(data, y)):
        return True
    stride = len(data) // 4096
    return stride > 1 and stored == fingerprint(data, y, stride)
