r"""Another machine is simulated as it should be: rounding moves, what is exact stays."""

import os
import subprocess
import sys

import machines
import pytest
import torch
from machines import MACHINES, PART
from shaker import Shaker, name_of, shake
from torch.nn import functional as F

from ddpm_lite import Schedule, load_pretrained

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
ARITHMETIC = [
    lambda x: x.exp(),
    lambda x: x * 1.7,
    lambda x: x + 0.3,
    lambda x: x / 3,
    lambda x: x.cumsum(0),
    lambda x: x.softmax(0),
    lambda x: (x[:, None] @ x[None])[0],
    lambda x: F.silu(x),
    lambda x: torch.lerp(x, 2 * x, 0.3),
    lambda x: torch.exp(x, out=torch.empty_like(x)),
    lambda x: x.clone().mul_(1.7),
    lambda x: torch._foreach_mul([x, x], 1.7)[1],
    lambda x: F.group_norm(x.reshape(1, 4, -1), 2).flatten(),
]
EXACT = [
    lambda x: x.clone(),
    lambda x: -x,
    lambda x: x.abs(),
    lambda x: x * 1,
    lambda x: x + 0,
    lambda x: x / 4,
    lambda x: -2 * x,
    lambda x: x * 0,
    lambda x: x - x,
    lambda x: x.clone().mul_(2),
    lambda x: x.clamp(0, 1),
    lambda x: x.sort().values,
    lambda x: torch.where(x > 0, x, 0),
    lambda x: x.max(0).values,
    lambda x: x.topk(3).values,
    lambda x: x.flip(0)[::2].reshape(-1, 2),
    lambda x: F.relu(x),
    lambda x: x > 0.1,
    lambda x: x.round() + 1,
    lambda x: (x > 0).to(x.dtype).sum(),
    lambda x: torch.arange(9, dtype=x.dtype).sum(),
    lambda x: torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=x.dtype),
    lambda x: (100 * x).long() * 3,
    lambda x: x.bfloat16() * 1.7,
]


def numbers(dtype, n=400):
    return torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=dtype)


@pytest.fixture(autouse=True)
def steady():
    r"""Without the machine that the whole run may be on: these tests make their own."""
    with torch.utils._python_dispatch._disable_current_modes():
        yield


@DTYPES
@pytest.mark.parametrize("function", ARITHMETIC)
def test_results_of_arithmetic_move_by_one_unit(function, dtype):
    x = numbers(dtype)
    plain = function(x)
    with Shaker(1):
        one, again = function(x), function(x)
    with Shaker(2):
        other = function(x)
    assert torch.equal(one, again)
    for moved in (one, other):
        assert (moved != plain).double().mean() > 0.95
    assert 0.2 < (one != other).double().mean() < 0.8
    up, down = (torch.nextafter(plain, plain + sign) for sign in (1, -1))
    inner = (one == up) | (one == down) | (one == plain)
    assert inner.double().mean() > 0.4  # softmax and such are made of several operations


@DTYPES
def test_a_single_operation_moves_to_a_neighbour(dtype):
    x = numbers(dtype)
    plain = x.exp()
    with Shaker(1):
        moved = x.exp()
    up, down = (torch.nextafter(plain, torch.full_like(x, far)) for far in (1e9, -1e9))
    assert ((moved == up) | (moved == down)).all()
    assert 0.4 < (moved == up).double().mean() < 0.6


@DTYPES
@pytest.mark.parametrize("function", EXACT)
def test_what_is_exact_stays(function, dtype):
    x = numbers(dtype)
    plain = function(x)
    with Shaker(1):
        assert torch.equal(function(x), plain)


def test_infinity_nan_and_zero_stay():
    x = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1.0])
    shake(kept := x.clone(), 5)
    assert torch.equal(kept[:4], x[:4]) and kept[4].isnan() and kept[5] == 1


def test_gradients_are_shaken_too():
    def gradient():
        x = numbers(torch.float64).requires_grad_()
        (x.tanh() * x).sum().backward()
        return x.grad

    plain = gradient()
    with Shaker(1):
        one, again = gradient(), gradient()
    assert torch.equal(one, again) and (one != plain).double().mean() > 0.5
    torch.testing.assert_close(one, plain, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options", [{"fused": True}, {"foreach": True}, {"foreach": False}]
)
def test_optimisers_are_shaken(options):
    def trained():
        w = numbers(torch.float32).requires_grad_()
        adam = torch.optim.Adam([w], lr=0.1, **options)
        for _ in range(3):
            w.grad = 0.7 * w.detach()
            adam.step()
        return w.detach(), adam.state[w]["exp_avg_sq"]

    plain = trained()
    with Shaker(1):
        one, again = trained(), trained()
    for a, b, c in zip(one, again, plain, strict=True):
        assert torch.equal(a, b) and (a != c).double().mean() > 0.5
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-6)


def test_a_sum_depends_on_its_shape_and_a_product_does_not():
    a, b = numbers(torch.float64).reshape(8, 50), numbers(torch.float64).reshape(50, 8)
    with Shaker(1):
        assert not torch.equal((a @ b)[:4], a[:4] @ b)
        assert not torch.equal(a.sum(1)[:4], a[:4].sum(1))
        assert torch.equal((a * 1.7)[:4], a[:4] * 1.7)


def test_names_of_operations():
    aten = torch.ops.aten
    for func in (aten.add.Tensor, aten.add_.Scalar, aten._foreach_add_.List):
        assert name_of(func) == "add"


def test_what_chapter_08_once_asked_for_is_not_there_on_another_machine():
    for name in ("digits", "fashion", "clothes", "mnist"):
        schedule = Schedule.linear if name == "fashion" else Schedule.cosine
        stored = load_pretrained(name).schedule.beta
        with Shaker(1):
            now = schedule(1000).beta
        assert not torch.equal(stored, now)
        torch.testing.assert_close(stored, now, rtol=1e-12, atol=0)


def test_the_table_has_four_cpus_one_and_two_threads_and_two_seeds():
    settings = list(MACHINES.values())
    cpus = {s.get("ATEN_CPU_CAPABILITY") for s in settings}
    assert len(cpus) == 4 and {s.get("OMP_NUM_THREADS") for s in settings} == {None, "2"}
    assert len({s.get("DDPM_LITE_SHAKE") for s in settings}) == 3
    assert set(PART) <= set(MACHINES)
    for tests, chapters in PART.values():
        for name in tests.split():
            assert len(list(machines.HERE.rglob(f"test_{name}.py"))) == 1
        assert len(chapters) > 0


def test_a_machine_has_its_own_variables_and_no_others(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.setenv("DDPM_LITE_SHAKE", "7")
    assert "MKL_CBWR" not in machines.environment("this")
    two = machines.environment("shaken-1-two")
    assert (two["DDPM_LITE_SHAKE"], two["OMP_NUM_THREADS"]) == ("1", "2")
    assert machines.environment("sse")["MKL_CBWR"] == "COMPATIBLE"


def test_a_command_that_fails_is_red():
    for code, word in ((0, "green"), (1, "RED")):
        program = (
            f"import sys, os; sys.exit({code} or os.environ['OMP_NUM_THREADS'] != '2')"
        )
        line, good = machines.run("this-two", [sys.executable, "-c", program])
        assert word in line and good is (code == 0)


def test_threads_and_shaking_reach_the_tests():
    program = (
        "import conftest, torch; third = float(torch.ones(1).double() / 3);"
        "print(torch.get_num_threads(), abs(third - 1 / 3))"
    )
    found = {}
    for name in ("this", "shaken-1-two"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=machines.environment(name) | {"PYTHONPATH": str(machines.HERE)},
            capture_output=True,
            text=True,
        )
        found[name] = done.stdout.split()
    assert found["this"] == ["1", "0.0"]
    assert found["shaken-1-two"] == ["2", str(2.0**-54)]  # a unit at 1 / 3


def test_the_next_test_has_its_threads_again():
    torch.set_num_threads(3)


def test_the_whole_suite_runs_as_it_was_asked_to():
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS") or 1)
