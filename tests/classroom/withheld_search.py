r"""Is an answer left in the grader's package? python tests/classroom/withheld_search.py 02

Takes every function, method and class, public or private, of the copy that submissions
get, calls it once with a check's inputs, in every order, up to five of them, and looks
whether the check passes. A `Schedule` made of the inputs and small numbers go in, too.
"""

import argparse
import builtins
import importlib
import inspect
import io
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import warnings
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # nothing is downloaded
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import torch  # noqa: E402
from slips import defined, solution  # noqa: E402

from ddpm_lite.classroom import lacking  # noqa: E402
from ddpm_lite.classroom.answer import Answer  # noqa: E402
from ddpm_lite.classroom.checking import judged  # noqa: E402
from ddpm_lite.classroom.exercise import CHAPTERS, exercises_of, find  # noqa: E402

MOST = 5  # arguments
SECONDS = 0.5  # of one call
LEFT_OUT = ("commands", "bench", "classroom", "__main__")  # programs, and the checks' words
SKIPPED = ("data.pictures.from_hub",)  # downloads
NUMBERS = {"0": 0, "1": 1}
SEED = 3


class _TimeUp(BaseException):
    pass


def _time_up(*_):
    raise _TimeUp


def copy_of(lacks, folder, name):
    r"""Write the package without these names as a package of another name; its modules."""
    lacking.write(folder, lacks)
    Path(folder, "ddpm_lite").rename(Path(folder, name))
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        package, found = importlib.import_module(name), []
        for info in pkgutil.walk_packages(package.__path__, f"{name}.", lambda _: None):
            if info.name.split(".")[1] not in LEFT_OUT:
                try:
                    found.append(importlib.import_module(info.name))
                except (ImportError, AttributeError):  # of what is gone, or not installed
                    continue
        return found
    finally:
        sys.path.remove(str(folder))


def callables(modules):
    r"""{name: function} of all that can be called in these modules."""
    found = {}
    for module in modules:
        inner = module.__name__.partition(".")[2]
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value):
                found[f"{inner}.{name}"] = value
                for own, part in vars(value).items():
                    if isinstance(part, property):
                        found[f"{inner}.{name}.{own}"] = part.fget
                    elif isinstance(part, (classmethod, staticmethod)):
                        found[f"{inner}.{name}.{own}"] = getattr(value, own)
                    elif inspect.isfunction(part):
                        found[f"{inner}.{name}.{own}"] = part
            elif callable(value):
                found[f"{inner}.{name}"] = value
    return {name: value for name, value in found.items() if name not in SKIPPED}


def pool_of(args, Schedule):
    r"""What may go in: {label: value}, the inputs, schedules made of them, numbers."""
    pool = {f"input {i}": _copy(value) for i, value in enumerate(args)}
    for i, value in enumerate(args):
        if isinstance(value, torch.Tensor) and value.dim() == 1 and len(value) > 2:
            for make, table in (("from_alpha_bar", value[1:]), ("from_beta", value)):
                try:
                    pool[f"schedule {i} {make}"] = getattr(Schedule, make)(table)
                except (ValueError, TypeError, RuntimeError):
                    continue
    return pool | NUMBERS


def _copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def ways(function, labels):
    r"""Yields the labels of the arguments, in every order that the parameters allow."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    fixed = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    least = sum(p.default is p.empty for p in fixed)
    schedules = [x for x in labels if x.startswith("schedule")]
    others = [x for x in labels if x not in schedules]
    takes = [i for i, p in enumerate(fixed) if p.name == "schedule"]
    for count in range(least, min(MOST, MOST if open_ended else len(fixed)) + 1):
        if count and fixed and fixed[0].name == "self" and schedules:
            for one in schedules:
                yield from ((one, *rest) for rest in permutations(others, count - 1))
        if takes and takes[0] < count:
            for one in schedules:
                for rest in permutations(others, count - 1):
                    yield (*rest[: takes[0]], one, *rest[takes[0] :])
        else:
            yield from permutations(others, count)


def kind(value):
    r"""The form of an answer, in which another must be to pass."""
    if isinstance(value, torch.Tensor) and value.numel() > 1:
        return "tensor", tuple(value.shape), value.dtype
    if isinstance(value, (int, float, torch.Tensor)) and not isinstance(value, bool):
        return ("number",)
    if isinstance(value, (list, tuple)):
        return "several", len(value)
    return (type(value).__name__,)


def handed_in(one, function=None):
    r"""The solution as an answer, or another function with the rest of the solution."""
    first, *others = defined(*solution(one.number), one.names)
    return Answer(function or first, dict(zip(one.also, others, strict=True)))


def first_call(one):
    r"""(arguments, value) of the first call that the check makes of the solution."""
    seen, right = [], handed_in(one)

    def noted(*args, **options):
        value = right(*args, **options)
        seen.append((args, value))
        return value

    noted.other = right.other
    assert judged(one, one.check, noted, SEED).passed
    return seen[0]


SLOW = {}  # functions that took too long, and how often; after three times no more


def called(function, pool, labels):
    r"""What a function gives back, None if it fails or takes too long."""
    if SLOW.get(function, 0) > 2:
        return None
    try:
        return _timed(function, pool, labels)
    except _TimeUp:
        _stop()
        SLOW[function] = SLOW.get(function, 0) + 1
        return None


def _timed(function, pool, labels):
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)  # of what only waits
    try:
        return function(*(_copy(pool[label]) for label in labels))
    except (Exception, SystemExit):
        return None
    finally:
        _stop()


def _stop():
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def finds(one, first, functions, Schedule):
    r"""Yields (name, labels) of the single calls that pass an exercise's check.

    first: of `first_call`.
    """
    args, right = first
    pool, form = pool_of(args, Schedule), kind(right)
    for name, function in functions.items():
        for labels in ways(function, pool):
            if kind(called(function, pool, labels)) != form:
                continue

            def candidate(*args, function=function, labels=labels):
                return function(*(pool_of(args, Schedule)[label] for label in labels))

            if judged(one, one.check, handed_in(one, candidate), SEED).passed:
                yield name, labels


@contextmanager
def harmless():
    r"""Let what is called write no file, read no keyboard and wait for nothing for long."""
    opened = builtins.open

    def named(file, *args, **options):  # a number would be this process' own stdout
        if isinstance(file, int):
            raise TypeError("a file has a name")
        return opened(file, *args, **options)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for which in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(which, _time_up)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    builtins.open = io.open = named
    try:
        yield
    finally:
        builtins.open = io.open = opened
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def search(numbers, lacks=None, rooms=None):
    r"""[(number, name, labels)] of what passes. lacks: what the copy is without.

    rooms: only modules whose names begin so.
    """
    warnings.simplefilter("ignore")
    found = []
    for chapter in sorted({number[:2] for number in numbers}):
        with tempfile.TemporaryDirectory() as folder:
            name = f"left_{chapter}{'_all' * (lacks is not None)}"
            missing = lacking.asked(chapter) if lacks is None else lacks
            modules = copy_of(missing, folder, name)
            Schedule = sys.modules[f"{name}.schedule"].Schedule
            functions = callables(modules)
            if rooms:
                functions = {k: f for k, f in functions.items() if k.startswith(rooms)}
            ours = [find(number) for number in numbers if number[:2] == chapter]
            first = {one.number: first_call(one) for one in ours}
            with harmless():
                for one in ours:
                    made = finds(one, first[one.number], functions, Schedule)
                    found += [(one.number, *what) for what in made]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="such as 02.3 or 02; all if none")
    parser.add_argument("--all", action="store_true", help="in the whole package")
    parser.add_argument("--rooms", nargs="+", default=[], help="modules, such as process")
    options = parser.parse_args()
    numbers = []
    for text in options.numbers or CHAPTERS:
        numbers += [text] if "." in text else list(exercises_of(text))
    torch.set_num_threads(1)
    out = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(null, 1)
    os.dup2(null, 2)
    rooms = tuple(f"{room}." for room in options.rooms)
    found = search(numbers, set() if options.all else None, rooms)
    for number, name, labels in found:
        os.write(out, f"{number}: {name}({', '.join(labels)}) passes\n".encode())
    for function in SLOW:
        os.write(out, f"takes too long: {function.__qualname__}\n".encode())
    os.write(out, f"{len(numbers)} exercises, {len(found)} finds\n".encode())
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
