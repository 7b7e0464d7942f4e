r"""How many threads: a user's number stands, neighbours get room, and it is said."""

import os
import re
import subprocess
import sys
import types
from itertools import pairwise

import psutil
import pytest
import torch

from ddpm_lite.commands import main as commands
from ddpm_lite.lab.doctor import installation
from ddpm_lite.training import threads
from ddpm_lite.training.threads import CALM, EVERY, Load, Threads, following


class Machine:
    r"""A load that a test sets: `busy` cores of others, `now` a clock."""

    def __init__(self, cores=2, busy=0.0):
        self.cores, self.busy, self.now, self.asked = cores, busy, 0.0, -10.0

    def seconds(self):
        return self.now - self.asked

    def others(self):
        self.asked = self.now
        return self.busy


@pytest.fixture
def machine(monkeypatch):
    r"""make(cores, busy) -> (Threads that has begun, Machine); torch is put back after."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()

    def make(cores, busy=0.0):
        torch.set_num_threads(cores)
        monkeypatch.setattr(threads, "cores", lambda: cores)
        load = Machine(cores, busy)
        found = Threads(load=lambda: load, clock=lambda: load.now).begin()
        assert torch.get_num_threads() == found.now
        return found, load

    yield make
    torch.set_num_threads(before)


def looks(found, machine, seconds):
    r"""The number of threads after each look of so many seconds."""
    seen = []
    for _ in range(int(seconds / EVERY)):
        machine.now += EVERY
        found.look()
        assert torch.get_num_threads() == found.now
        seen.append(found.now)
    return seen


@pytest.mark.parametrize(
    ("cores", "busy", "expected"),
    [
        (2, 0.0, 2),
        (2, 0.3, 2),  # less than a third of a core is nobody
        (2, 0.5, 1),  # what one busy neighbour gets beside two threads that spin
        (2, 1.0, 1),
        (2, 2.0, 1),  # one thread at least
        (8, 1.0, 7),
        (8, 3.2, 5),
        (8, 30.0, 1),
    ],
)
def test_neighbours_at_the_start_are_made_room_for(machine, cores, busy, expected):
    found, _ = machine(cores, busy)
    assert found.now == expected
    if expected < cores:
        assert f"others keep {busy:.1f} of {cores} cores busy" in found.summary()


def test_a_neighbour_that_comes_and_goes_is_followed(machine):
    found, load = machine(2)
    assert looks(found, load, 10) == [2] * 5
    load.busy = 0.5
    assert looks(found, load, 2) == [1]
    load.busy = 1.0
    assert looks(found, load, 20) == [1] * 10
    load.busy = 0.0
    seen = looks(found, load, 1.5 * CALM + 2 * EVERY)
    assert seen[: int(CALM / EVERY)] == [1] * int(CALM / EVERY) and seen[-1] == 2


def test_a_pause_of_a_neighbour_is_no_leave(machine):
    found, load = machine(2, 1.0)
    for _ in range(5):
        load.busy = 0.0
        assert set(looks(found, load, CALM - EVERY)) == {1}
        load.busy = 1.0
        assert looks(found, load, EVERY) == [1]


def test_between_the_two_limits_nothing_changes(machine):
    found, load = machine(2)
    load.busy = 0.3
    assert set(looks(found, load, 60)) == {2}
    load.busy = 1.0
    looks(found, load, EVERY)
    load.busy = 0.3
    assert set(looks(found, load, 60)) == {1}


def test_neighbours_fit_on_cores_that_torch_does_not_use(machine):
    found, load = machine(4)  # as on four cores with two hyper-threads each
    load.cores, load.busy = 8, 3.0
    assert looks(found, load, 10) == [4] * 5
    load.busy = 6.0
    assert looks(found, load, EVERY) == [2]


def test_at_the_end_torch_has_what_it_had(machine):
    found, load = machine(2)
    load.busy = 1.0
    assert looks(found, load, EVERY) == [1]
    found.end()
    assert torch.get_num_threads() == 2
    Threads(load=Machine).end()  # never begun: nothing to put back
    assert torch.get_num_threads() == 2


def test_cores_come_back_one_at_a_time(machine):
    found, load = machine(4, 3.0)
    load.busy = 0.0
    seen = looks(found, load, 8 * CALM)
    assert seen[0] == 1 and seen[-1] == 4
    assert {b - a for a, b in pairwise(seen)} == {0, 1}


def test_the_load_is_read_now_and_then_only(machine):
    found, load = machine(2)
    load.busy = 1.0
    load.now += EVERY / 2
    assert not found.look() and found.now == 2
    load.now += EVERY
    assert found.look() and found.now == 1


@pytest.mark.parametrize("name", threads.VARIABLES)
def test_a_users_variable_stands(machine, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    found, load = machine(2, 2.0)
    assert set(looks(found, load, 20)) == {2}
    assert found.summary() == f"2 threads, as {name}=2 says"


@pytest.mark.parametrize("value", ["", "abc", "0", "-1"])
def test_a_variable_without_a_number_is_none(machine, monkeypatch, value):
    found, load = machine(2)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    found.begin()
    load.busy = 1.0
    assert looks(found, load, EVERY) == [1]


def test_the_variable_that_torch_follows_is_named(machine, monkeypatch):
    found, _ = machine(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert found.choose().fixed == "OMP_NUM_THREADS=1"
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    assert found.choose().fixed == "MKL_NUM_THREADS=2"


def test_a_number_on_the_command_line_stands_over_both(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    found, load = machine(2, 2.0)
    assert found.begin(3).now == 3 == torch.get_num_threads()
    assert set(looks(found, load, 20)) == {3}
    assert found.summary() == "3 threads, as --threads says"
    for number in (0, 4):
        with pytest.raises(ValueError, match=r"--threads must be an integer in 1\.\.3"):
            found.begin(number)


def test_without_psutil_it_says_that_it_sees_nobody(machine):
    torch.set_num_threads(2)

    def missing():
        raise ImportError

    found = Threads(load=missing).choose()
    assert not found.look() and "without psutil" in found.summary()


def test_a_container_with_fewer_cores_gets_fewer_threads(monkeypatch, machine):
    machine(4)
    monkeypatch.setattr(threads, "cores", lambda: 2)
    assert Threads(load=Machine).choose().now == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)],
)
def test_a_containers_quota_is_read(monkeypatch, tmp_path, text, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    assert threads.cores(tmp_path / "none") == 4
    (tmp_path / "cpu.max").write_text(f"{text}\n", "ascii")
    assert threads.cores(tmp_path / "cpu.max") == expected


def fake(monkeypatch, idle, own, counted=1.0, seconds=10.0, many=2):
    r"""A Load between whose two readings cores were idle, and this process worked."""
    moment, kind = [0], types.SimpleNamespace

    class Times(tuple):
        idle = property(lambda self: self[0])

    def times(percpu):
        n = moment[0]
        return [Times((n * i, n * (counted * seconds - i))) for i in idle]

    monkeypatch.setattr(psutil, "cpu_times", times)
    clock = kind(
        perf_counter=lambda: moment[0] * seconds, process_time=lambda: moment[0] * own
    )
    monkeypatch.setattr(threads, "time", clock)
    monkeypatch.setattr(
        psutil, "Process", lambda: kind(cpu_affinity=lambda: list(range(many)))
    )
    load = Load()
    moment[0] = 1
    return load


@pytest.mark.parametrize(
    ("idle", "own", "expected"),
    [
        ((10.0, 10.0), 0.0, 0.0),
        ((0.0, 0.0), 20.0, 0.0),  # two threads of ours
        ((0.0, 0.0), 15.0, 0.5),  # beside one that gets half a core
        ((0.0, 10.0), 0.0, 1.0),
        ((0.0, 0.0), 0.0, 2.0),
    ],
)
def test_the_load_of_others_is_what_is_neither_idle_nor_ours(
    monkeypatch, idle, own, expected
):
    assert fake(monkeypatch, idle, own).others() == pytest.approx(expected, abs=1e-9)


def test_only_cores_that_may_be_used_count(monkeypatch):
    load = fake(monkeypatch, (10.0, 10.0, 0.0, 0.0), 0.0)
    assert load.others() == 0.0


def test_a_system_that_counts_no_time_shows_nobody(monkeypatch):
    assert fake(monkeypatch, (0.0, 0.0), 0.0, counted=0.0).others() == 0.0


def test_modules_are_followed_and_changes_said(machine, capsys):
    found, load = machine(2)
    module = torch.nn.Linear(2, 2)
    with following(found, module):
        module(torch.ones(1, 2))
        load.busy, load.now = 1.0, 60.0
        module(torch.ones(1, 2))
    assert found.now == 1
    said = capsys.readouterr().err
    assert "from here on 1 thread: others keep 1.0 of 2 cores busy" in said
    load.busy, load.now = 0.0, 120.0
    module(torch.ones(1, 2))
    assert load.asked == 60.0  # nobody looks any more
    with following(None, module):
        module(torch.ones(1, 2))


def test_modules_elsewhere_are_left_alone(machine):
    found, load = machine(2, 0.0)
    load.now = 60.0
    module = torch.nn.Linear(2, 2, device="meta")
    with following(found, module):
        module(torch.ones(1, 2, device="meta"))
    assert load.asked == 0.0


def test_commands_take_and_say_it(capsys, monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert commands.main(["train", "digits", "--dry-run", "--threads", "1"]) == 0
        assert torch.get_num_threads() == 2
        assert "threads   1 thread, as --threads says" in capsys.readouterr().out
        assert commands.main(["train", "digits", "--dry-run", "--threads", "0"]) == 1
        assert "--threads must be" in capsys.readouterr().err
    finally:
        torch.set_num_threads(before)


def test_doctor_sends_nobody_to_more_threads_than_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = installation.device()
    assert found.level == "ok" and "1 thread, as OMP_NUM_THREADS=1 says" in found.words
    monkeypatch.setattr(installation, "cores", lambda: 0)
    found = installation.device()
    assert found.level == "note" and "Set it to 0 at most, or unset it" in found.words


@pytest.mark.parametrize("own", [None, "1"])
def test_a_process_of_its_own_leaves_the_users_variable_alone(own):
    code = "from ddpm_lite.training.threads import Threads; t = Threads().begin();"
    code += "import os, torch; own = os.environ.get('OMP_NUM_THREADS');"
    code += "print(t.summary(), own, torch.get_num_threads())"
    environment = {k: v for k, v in os.environ.items() if k not in threads.VARIABLES}
    environment |= {"OMP_NUM_THREADS": own} if own else {}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    if own:
        assert done.stdout == "1 thread, as OMP_NUM_THREADS=1 says 1 1\n"
    else:
        many = int(re.search(r"None (\d+)\n$", done.stdout)[1])
        assert 1 <= many <= threads.cores()
