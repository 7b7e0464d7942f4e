r"""What a process can do against itself where nothing else keeps it apart.

Landlock shuts it out of files, network and other processes. Any user may use it, without
namespaces, where Linux has it (5.13; network since 6.7, signals since 6.12). It does not
hide that files exist, and does not stop who owns a file from changing its rights. It
holds for the thread that asks and all that it starts: this module needs the standard
library alone, and comes before any other thread is there.
"""

import ctypes
import os
import signal
import stat

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on all machines
_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # rights on files that a version knows
_WRITE, _READ, _RUN, _LIST, _TRUNCATE = 1 << 1, 1 << 2, 1 << 0, 1 << 3, 1 << 14
_SPECIAL = (1 << 6) | (1 << 11) | (1 << 15)  # make or command devices
_OF_A_FILE = _WRITE | _READ | _RUN | _TRUNCATE
_NO_NEW_PRIVILEGES, _SUBREAPER, _PARENT_DEATH_SIGNAL = 38, 36, 1
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class _Rules(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "net", "scope")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def confine(readable, writable):
    r"""Leave this process these files alone, no new connections and no other processes.

    readable, writable: paths, of what is in them too; those that do not exist are left
    out. What the kernel does not know stays open. Returns the version of Landlock, 0
    where there is none.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return 0
    every = (1 << _BITS.get(version, 16)) - 1
    rules = _Rules(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _checked(libc.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    for paths, allowed in (
        (readable, _READ | _RUN | _LIST),
        (DEVICES, _READ | _WRITE),
        (writable, every & ~_SPECIAL),
    ):
        for path in paths:
            _allow(libc, ruleset, path, allowed & every)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT, ruleset, 0))
    os.close(ruleset)
    return version


def _allow(libc, ruleset, path, allowed):
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        allowed &= _OF_A_FILE
    rule = _Beneath(allowed, fd)
    _checked(libc.syscall(_ADD, ruleset, 1, ctypes.byref(rule), 0))
    os.close(fd)


def _checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock: " + os.strerror(ctypes.get_errno()))
    return result


def stay_above():
    r"""Split in two: this process goes on in a child, and stays to be asked who descends.

    Whatever the child starts and leaves behind becomes a child of the process that stays,
    so that it can be found and ended; that one never ends by itself.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    above = os.getpid()
    if os.fork() == 0:
        libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != above:
            os._exit(1)
        return
    os.closerange(3, 2**16)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()
