r"""Commands that run a program apart: no network, no files but those it is shown.

Linux only. bubblewrap does it where it is installed and allowed, else `unshare` of
util-linux; where neither may make user namespaces, "none" leaves the limits on time,
memory and file size alone, and `exercises/README.md` says what then remains open.
"""

import subprocess
import sys
from pathlib import Path

KINDS = ("bubblewrap", "namespaces", "none")
OPEN = (
    "Neither bubblewrap nor user namespaces work here: a submission runs with your rights, "
    "limited in time, memory and file size only. It can read and write your files and use "
    "the network. Grade notebooks that you do not trust where one of them works."
)

# Makes a root of its own out of what it is shown, read-only, with an empty /tmp; then
# gives up the rights that made it. It is built over /sys, which exists everywhere and
# from which nothing is shown. Arguments: how many paths are shown, those paths, how many
# folders are hidden under an empty one, those folders, the command.
_SCRIPT = r"""
new=/sys
mount -t tmpfs -o size=64m tmpfs "$new"
mkdir -p "$new/proc" "$new/dev" "$new/tmp" "$new/.old"
mount -t tmpfs -o size=256m tmpfs "$new/tmp"
count=$1; shift
while [ "$count" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$new$1"; else mkdir -p "$new${1%/*}"; : > "$new$1"; fi
    mount --rbind "$1" "$new$1"
    mount -o remount,bind,ro,nosuid "$new$1"
    count=$((count - 1)); shift
done
count=$1; shift
while [ "$count" -gt 0 ]; do
    mount -t tmpfs -o ro tmpfs "$new$1"
    count=$((count - 1)); shift
done
for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$new/$link"; fi
done
mount -t proc proc "$new/proc"
for device in null zero urandom; do
    : > "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
done
cd "$new"
pivot_root . .old
umount -l .old
rmdir .old
mount -o remount,ro /
cd /tmp
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def isolation():
    r"""The best of `KINDS` that works on this machine, found by trying."""
    for kind in KINDS[:-1]:
        try:
            command = apart([sys.executable, "-I", "-c", ""], kind)
            subprocess.run(command, check=True, capture_output=True, timeout=30)
            return kind
        except (OSError, subprocess.SubprocessError):
            continue
    return "none"


def apart(command, kind, *, shown=(), hidden=()):
    r"""The command that runs `command` apart.

    kind: one of `KINDS`. shown: more paths that it may read. hidden: folders within what
    it may read that shall look empty. Python's own folders and the system's programs and
    libraries are shown anyway. Raises ValueError for an unknown kind.
    """
    shown = [*_system(), *map(str, shown)]
    inside = [p for p in map(Path, hidden) if set(map(str, p.parents)) & set(shown)]
    hidden = [str(path) for path in inside if path.is_dir()]
    if kind == "bubblewrap":
        return _bubblewrap(command, shown, hidden)
    if kind == "namespaces":
        return _namespaces(command, shown, hidden)
    if kind == "none":
        return list(command)
    raise ValueError(f"isolation must be one of {', '.join(KINDS)}, got {kind!r}")


def _bubblewrap(command, shown, hidden):
    links = [
        word
        for link in ("bin", "sbin", "lib", "lib64")
        if Path(f"/{link}").is_symlink()
        for word in ("--symlink", str(Path(f"/{link}").readlink()), f"/{link}")
    ]
    return [
        *("bwrap", "--unshare-all", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--size", str(2**28), "--tmpfs", "/tmp"),
        *(word for path in shown for word in ("--ro-bind", path, path)),
        *(word for path in hidden for word in ("--tmpfs", path, "--remount-ro", path)),
        *links,
        *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/"),
        *("--chdir", "/tmp", *command),
    ]


def _namespaces(command, shown, hidden):
    return [
        *("unshare", "--user", "--map-root-user", "--net", "--ipc", "--uts", "--mount"),
        *("--pid", "--fork", "--kill-child", "sh", "-euc", _SCRIPT, "sh"),
        *(str(len(shown)), *shown, str(len(hidden)), *hidden, *command),
    ]


def _system():
    r"""What Python needs to run: its own folders, and the system's libraries."""
    python = Path(sys.executable)
    needed = [
        "/usr",
        "/etc/ld.so.cache",
        *("/" + name for name in ("bin", "sbin", "lib", "lib64")),
        sys.prefix,
        sys.base_prefix,
        str(python.resolve().parent.parent),
    ]
    real = [
        p for p in map(Path, dict.fromkeys(needed)) if p.exists() and not p.is_symlink()
    ]
    inner = [p for p in real if any(q in p.parents for q in real)]
    return [str(p) for p in real if p not in inner]
