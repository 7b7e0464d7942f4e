r"""Commands that run a program apart: no network, no files but those it is shown.

Linux only. bubblewrap does it where it is installed and allowed, else `unshare` of
util-linux; where neither may make namespaces, "none" leaves limits on time, memory and
file size, and what `confine` can do. `exercises/README.md` says what then remains open.

Whoever is root runs nobody's program as root: inside, the program is another user, one
for each that is started, who owns no file of this machine.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path

KINDS = ("bubblewrap", "namespaces", "none")
OPEN = (
    "Neither bubblewrap nor user namespaces are used: a submission runs with your rights. "
    "Time, memory and file size are limited; your files and the network are closed to it "
    "only where the kernel has Landlock. Grade notebooks that you do not trust where one "
    "of them works."
)
ROOT = (
    "YOU ARE ROOT, and without namespaces a submission is root too: it may do anything to "
    "this machine. Grade as a user without rights, or where bubblewrap works."
)

# Before all else: what the kernel ends first when memory is short is never the grader.
_FIRST = 'echo 1000 > /proc/self/oom_score_adj || :; exec "$@"'

# Makes a root of its own out of what it is shown, read-only, with an empty /tmp. It is
# built over /sys, which exists everywhere and from which nothing is shown. Arguments: the
# user to become or "", how many paths are shown, those paths, how many folders are hidden
# under an empty one, those folders, the last script, the command.
_SCRIPT = r"""
new=/sys
user=$1; shift
locked() { mount -o "remount,bind,ro,nosuid$2" "$1"; }
mount -t tmpfs -o size=64m,mode=755 tmpfs "$new"
mkdir -p "$new/proc" "$new/dev/shm" "$new/tmp" "$new/.old"
for place in tmp dev/shm; do
    mount -t tmpfs -o size=256m,mode=1777,nosuid,nodev tmpfs "$new/$place"
done
count=$1; shift
while [ "$count" -gt 0 ]; do
    if [ -d "$1" ]; then mkdir -p "$new$1"; else mkdir -p "$new${1%/*}"; : > "$new$1"; fi
    mount --rbind "$1" "$new$1"
    locked "$new$1" ""
    while read -r _ _ _ _ point _; do
        case $point in "$new$1"/*) locked "$(printf %b "$point")" "" ;; esac
    done < /proc/self/mountinfo
    count=$((count - 1)); shift
done
count=$1; shift
while [ "$count" -gt 0 ]; do
    mount -t tmpfs -o ro,mode=755 tmpfs "$new$1"
    count=$((count - 1)); shift
done
for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then ln -s "$(readlink "/$link")" "$new/$link"; fi
done
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
for device in null zero full random urandom; do
    : > "$new/dev/$device"
    mount --bind "/dev/$device" "$new/dev/$device"
    locked "$new/dev/$device" ",noexec"
done
ln -s /proc/self/fd "$new/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${stream%:*}" "$new/dev/${stream#*:}"
done
cd "$new"
pivot_root . .old
umount -l .old
rmdir .old
mount -o remount,bind,ro,nosuid,nodev /
cd /tmp
last=$1; shift
if [ -n "$user" ]; then
    exec setpriv --reuid "$user" --regid "$user" --clear-groups \
        unshare --user --map-root-user --mount sh -euc "$last" sh "$@"
fi
exec sh -euc "$last" sh "$@"
"""

# Gives up the rights that made the room: one more namespace may be made, in which the
# program is nobody, and none within that. From there all of /proc is made read-only, by
# Python, since `mount` works for a user called root alone.
_LAST = r"""
echo 1 > /proc/sys/user/max_user_namespaces
exec unshare --user --mount --map-user=65534 --map-group=65534 --keep-caps "$@"
"""
_LOCK = """
import ctypes, os, sys
READ_ONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
flags = READ_ONLY | NOSUID | NODEV | NOEXEC | REMOUNT | BIND
if ctypes.CDLL(None).mount(b"proc", b"/proc", None, flags, None):
    raise SystemExit("/proc cannot be made read-only")
os.execvp(sys.argv[1], sys.argv[1:])
"""


def isolation():
    r"""The best of `KINDS` that works on this machine, found by trying.

    Raises ValueError for root where only "none" is left: that must be asked for by name.
    """
    kinds = [kind for kind in KINDS[:-1] if works(kind)]
    if not kinds and _root():
        raise ValueError(
            "you are root, and neither bubblewrap nor namespaces work here, so that each "
            "submission would be root: grade as another user, install bubblewrap, or say "
            "--isolation none if you trust all notebooks"
        )
    return kinds[-1 if _root() else 0] if kinds else "none"  # ours locks root in better


def works(kind):
    r"""Whether a program can be run apart in this way, found by trying."""
    try:
        command = apart([sys.executable, "-I", "-c", ""], kind)
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def left_open(kind):
    r"""What a teacher must hear before anything runs in this way, "" for nothing."""
    if kind != "none":
        return ""
    return f"{OPEN}\n{ROOT}" if _root() else OPEN


def apart(command, kind, *, shown=(), hidden=()):
    r"""The command that runs `command` apart.

    kind: one of `KINDS`. shown: more paths that it may read. hidden: folders within what
    it may read that shall look empty. Python's own folders and the system's programs and
    libraries are shown anyway. It ends with the thread that started it. Raises ValueError
    for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"isolation must be one of {', '.join(KINDS)}, got {kind!r}")
    shown = _real([*system(), *map(str, shown)])
    inside = [p for p in map(Path, hidden) if set(map(str, p.parents)) & set(shown)]
    hidden = [str(path) for path in inside if path.is_dir()]
    if kind == "bubblewrap":
        command = _bubblewrap(command, shown, hidden)
    elif kind == "namespaces":
        command = _namespaces(command, shown, hidden)
    elif _root() and shutil.which("setpriv"):
        command = [*_dropped(), *command]  # root without a single right but its name
    if not shutil.which("setpriv"):
        return list(command)
    return [_found("setpriv"), "--pdeathsig", "KILL", "sh", "-c", _FIRST, "sh", *command]


def _bubblewrap(command, shown, hidden):
    links = [
        word
        for link in ("bin", "sbin", "lib", "lib64")
        if Path(f"/{link}").is_symlink()
        for word in ("--symlink", str(Path(f"/{link}").readlink()), f"/{link}")
    ]
    tmpfs = ("--perms", "1777", "--size", str(2**28), "--tmpfs")
    way = dict.fromkeys(str(q) for p in shown for q in reversed(Path(p).parents))
    return [
        *(_found("bwrap"), "--die-with-parent", "--new-session", *_rights()),
        *(*tmpfs, "/tmp"),
        *(w for p in way if p not in "/tmp" for w in ("--perms", "755", "--dir", p)),
        *(word for path in shown for word in ("--ro-bind", path, path)),
        *(word for path in hidden for word in ("--tmpfs", path, "--remount-ro", path)),
        *links,
        *("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", *tmpfs, "/dev/shm"),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"),
        *(_become(stranger()) if _root() else ()),
        *command,
    ]


def _rights():
    r"""bubblewrap's namespaces; for root without one of users, so that it can change."""
    if not _root():
        deeper = ["--disable-userns"] if "--disable-userns" in _help("bwrap") else []
        user = ("--unshare-user", *deeper, "--uid", "65534", "--gid", "65534")
        return ["--unshare-all", *user, "--cap-drop", "ALL"]
    parts = (f"--unshare-{part}" for part in ("pid", "net", "ipc", "uts", "cgroup-try"))
    kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
    caps = [word for cap in kept for word in ("--cap-add", cap)]
    return [*parts, "--cap-drop", "ALL", *caps]


def _namespaces(command, shown, hidden):
    user = [] if _root() else ["--user", "--map-root-user"]
    return [
        *(
            _found("unshare"),
            *user,
            "--net",
            "--ipc",
            "--uts",
            "--mount",
            "--pid",
            "--fork",
        ),
        *("--kill-child", "sh", "-euc", _SCRIPT, "sh", str(stranger()) if _root() else ""),
        *(str(len(shown)), *shown, str(len(hidden)), *hidden, _LAST),
        *(sys.executable, "-I", "-S", "-c", _LOCK, *_dropped(), *command),
    ]


def _become(user):
    ids = ("--reuid", str(user), "--regid", str(user), "--clear-groups")
    return ["setpriv", *ids, *_dropped()[1:]]


def _dropped():
    rights = (
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--ambient-caps=-all",
    )
    return ["setpriv", "--pdeathsig", "KILL", *rights]


def _root():
    return os.geteuid() == 0


def _found(program):
    r"""Where a program is, since a submission's process looks in other places."""
    return shutil.which(program) or program


_started = count()


def stranger():
    r"""The number of a user who owns nothing here, another one at each call.

    It lies at the end of the numbers that there are, which a container may have few of.
    """
    rows = Path("/proc/self/uid_map").read_text("ascii").splitlines()
    ranges = [map(int, row.split()) for row in rows]
    top = min(2**31, max(first + many for first, _, many in ranges))
    span = max(1, min(2**28, top // 4))
    return top - 1 - (os.getpid() * 2**10 + next(_started)) % span


@cache
def _help(program):
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def system():
    r"""What Python needs to run: its own folders, and the system's libraries."""
    python = Path(sys.executable)
    return _real(
        [
            "/usr",
            *("/etc/" + n for n in ("ld.so.cache", "fonts", "localtime", "nsswitch.conf")),
            *("/" + name for name in ("bin", "sbin", "lib", "lib64")),
            sys.prefix,
            sys.base_prefix,
            str(python.resolve().parent.parent),
            *(p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")),
        ]
    )


def _real(paths):
    r"""Those that exist, without links and without what lies within another one."""
    real = [p for p in map(Path, dict.fromkeys(paths)) if p.exists() and not p.is_symlink()]
    return [str(p) for p in real if not any(q in p.parents for q in real)]
