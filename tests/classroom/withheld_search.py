r"""Is an answer left in the grader's package? python tests/classroom/withheld_search.py 02

Takes every function, method and class, public or private, of the copy that submissions
get, calls it once with a check's inputs, in every order, up to five of them, and looks
whether the check passes. A `Schedule` made of the inputs and small numbers go in, too.
Arguments of the same types, dtypes and shapes are one form of a call. What fails in a form
by its type is not tried with the form's other orders, and a function that gave back another
type of thing than the answer in so many forms (`MISSES`), or has failed for `PATIENCE`
seconds in all, is tried no more; the last ones are named.
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
import traceback
import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # nothing is downloaded
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import torch  # noqa: E402
from slips import defined, solution  # noqa: E402

from ddpm_lite.classroom import lacking  # noqa: E402
from ddpm_lite.classroom.answer import Answer  # noqa: E402
from ddpm_lite.classroom.checking import judged  # noqa: E402
from ddpm_lite.classroom.exercise import CHAPTERS, Hint, exercises_of, find  # noqa: E402

PARAMETER = inspect.Parameter
MOST = 5  # arguments
SECONDS = 0.5  # of one call
WAITS = 60  # seconds by the clock, of one that only waits
MEMORY = 8 * 2**30
LEFT_OUT = ("commands", "bench", "classroom", "__main__")  # programs, and the checks' words
SKIPPED = ("data.pictures.from_hub",)  # downloads
NUMBERS = {"0": 0, "1": 1}
SEED = 3


class _TimeUp(BaseException):
    pass


def _time_up(*_):
    if ARMED:
        ARMED.clear()
        raise _TimeUp


def copy_of(lacks, folder, name, plant=None):
    r"""Write the package without these names as a package of another name; its modules.

    plant: the text of one module more, `planted`.
    """
    lacking.write(folder, lacks)
    Path(folder, "ddpm_lite").rename(Path(folder, name))
    if plant:
        Path(folder, name, "planted.py").write_text(plant, "utf-8")
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


def pool_of(args, Schedule, labels=None):
    r"""What may go in: {label: value}, the inputs, schedules made of them, numbers.

    labels: of the schedules to make, all if None.
    """
    pool = {f"input {i}": _copy(value) for i, value in enumerate(args)}
    for i, value in enumerate(args):
        if isinstance(value, torch.Tensor) and value.dim() == 1 and len(value) > 2:
            for make, table in (("from_alpha_bar", value[1:]), ("from_beta", value)):
                label = f"schedule {i} {make}"
                try:
                    if labels is None or label in labels:
                        pool[label] = getattr(Schedule, make)(table)
                except (ValueError, TypeError, RuntimeError):
                    continue
    return pool | NUMBERS


def _copy(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    return list(value) if type(value) is list else value


def likeness(value):
    r"""What values share that a function takes, or refuses, alike."""
    if isinstance(value, torch.Tensor):
        return "tensor", tuple(value.shape), value.dtype
    if isinstance(value, (list, tuple)):
        return type(value).__name__, len(value), *map(likeness, value[:1])
    return type(value).__name__


def takes(function):
    r"""(least, most, place of a schedule or None, has a self) of what a function takes."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    fixed = [p for p in parameters if p.kind in positional]
    own = bool(fixed) and fixed[0].name == "self"
    fixed = fixed[own:]
    most = (
        MOST if any(p.kind is PARAMETER.VAR_POSITIONAL for p in parameters) else len(fixed)
    )
    least = sum(p.default is p.empty for p in fixed)
    if any(p.kind is PARAMETER.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return None
    places = [i for i, p in enumerate(fixed) if p.name == "schedule"]
    return least, min(MOST, most), places[0] if places else None, own


def ways(what, pool):
    r"""{form: labels of the arguments, in every order that it has}.

    what: of `takes`. A method gets a schedule as its self, or a number that it may ignore.
    """
    least, most, place, own = what
    schedules = [x for x in pool if x.startswith("schedule")]
    others = [x for x in pool if x not in schedules]
    like, found = {x: likeness(value) for x, value in pool.items()}, {}
    for first in [*schedules, "0"] if own else [None]:
        for count in range(least, most + 1):
            if place is not None and place < count:
                made = (
                    (*rest[:place], one, *rest[place:])
                    for one in schedules
                    for rest in permutations(others, count - 1)
                )
            else:
                made = permutations(others, count)
            for labels in made:
                labels = labels if first is None else (first, *labels)
                found.setdefault(tuple(map(like.get, labels)), []).append(labels)
    return found


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
        seen.append((args, right(*args, **options)))
        raise Hint("one call is enough")

    noted.other = right.other
    judged(one, one.check, noted, SEED)
    return seen[0]


GAVE = defaultdict(Counter)  # the types of what each function gave back, in how many forms
MISSES = 25
PATIENCE = 0.4
SLOW = Counter()  # how often a function took too long; after three times no more
TRIES = 60  # orders of one form that fail by their values, before it is given up
BY_TYPE = (TypeError, AttributeError, NameError, ImportError, NotImplementedError)


ARMED = []  # not empty while a call may be ended


def called(function, args):
    r"""(what a function gives back, the error that it raised or None)."""
    try:
        try:
            ARMED.append(function)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, WAITS)
            value, error = function(*args), None
        finally:
            ARMED.clear()
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except (Exception, SystemExit, _TimeUp) as raised:
        value, error = None, raised
    if isinstance(error, _TimeUp):
        SLOW[function] += 1
    return value, error


def finds(one, first, functions, Schedule, counts, impatient):
    r"""Yields (name, labels) of the single calls that pass an exercise's check.

    first: of `first_call`. counts: {"ways", "calls", "checks"}, which grow. impatient: a
    list that takes the names of functions that were given up.
    """
    args, right = first
    pool, form, made = pool_of(args, Schedule), kind(right), {}
    for name, function in functions.items():
        what = takes(function)
        if what is None:
            continue
        if what not in made:
            made[what] = ways(what, pool)
        counts["ways"] += sum(map(len, made[what].values()))
        spent = [0.0]
        for orders in made[what].values():
            if GAVE[name].total() >= MISSES and form[0] not in GAVE[name]:
                break
            if spent[0] > PATIENCE or SLOW[function] > 2:
                impatient.append(name)
                break
            for labels in _that_fit(name, function, orders, pool, form, counts, spent):
                counts["checks"] += 1
                answer = _single(one, function, labels, Schedule)
                if judged(one, one.check, answer, SEED).passed:
                    yield name, labels


def _that_fit(name, function, orders, pool, form, counts, spent):
    r"""Yields those orders of one form of a call that give what an answer could be."""
    failed = 0
    for labels in orders:
        if failed == TRIES or spent[0] > PATIENCE or SLOW[function] > 2:
            return
        begun = process_time()
        value, error = called(function, [_copy(pool[label]) for label in labels])
        counts["calls"] += 1
        got = kind(value)
        GAVE[name][got[0]] += error is None
        fits = error is None and got == form
        spent[0] += (process_time() - begun) * (not fits)
        if fits:
            yield labels
        elif isinstance(error, BY_TYPE) or (error is None and got[0] != form[0]):
            return
        else:
            failed += 1


def _single(one, function, labels, Schedule):
    r"""The answer that calls a function once, with what the labels name."""

    def candidate(*args):
        pool = pool_of(args, Schedule, labels)
        value, error = called(function, [pool[label] for label in labels])
        if error is not None:
            raise Hint("it failed")
        return value

    return handed_in(one, candidate)


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
    memory = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, memory[1]))
    builtins.open = io.open = named
    try:
        yield
    finally:
        builtins.open = io.open = opened
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_AS, memory)


def search(numbers, lacks=None, rooms=None, plant=None, say=lambda _: None):
    r"""[(number, name, labels)] of what passes. lacks: what the copy is without.

    rooms: only modules whose names begin so. plant: of `copy_of`. say: takes a line for
    each find and each exercise.
    """
    warnings.simplefilter("ignore")
    found = []
    for chapter in sorted({number[:2] for number in numbers}):
        with tempfile.TemporaryDirectory() as folder:
            name = f"left_{chapter}{'_all' * (lacks is not None)}"
            missing = lacking.asked(chapter) if lacks is None else lacks
            modules = copy_of(missing, folder, name, plant)
            Schedule = sys.modules[f"{name}.schedule"].Schedule
            functions = callables(modules)
            if rooms:
                functions = {k: f for k, f in functions.items() if k.startswith(rooms)}
            ours = [find(number) for number in numbers if number[:2] == chapter]
            first = {one.number: first_call(one) for one in ours}
            for one in ours:
                begun, counts, impatient = process_time(), Counter(), []
                what = one, first[one.number], functions, Schedule, counts, impatient
                with harmless():
                    made = list(finds(*what))
                for called_as, labels in made:
                    found.append((one.number, called_as, labels))
                    say(f"{one.number}: {called_as}({', '.join(labels)}) passes")
                counted = ", ".join(f"{n:,} {what}" for what, n in counts.items())
                seconds = process_time() - begun
                counted = f"{len(functions)} functions, {counted}, {seconds:.1f} s"
                given_up = ", ".join(impatient) and f"; given up: {', '.join(impatient)}"
                say(f"{one.number}: {counted}{given_up}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="such as 02.3 or 02; all if none")
    parser.add_argument("--all", action="store_true", help="in the whole package")
    parser.add_argument("--rooms", nargs="+", default=[], help="modules, such as process")
    parser.add_argument("--plant", type=Path, help="a file to search as well")
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

    def say(line):
        os.write(out, f"{line}\n".encode())

    try:
        found = search(
            numbers,
            set() if options.all else None,
            tuple(f"{room}." for room in options.rooms),
            options.plant and options.plant.read_text("utf-8"),
            say,
        )
    except BaseException:
        say(traceback.format_exc())
        raise
    say(f"{len(numbers)} exercises, {len(found)} finds")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
