r"""Sums of what updates report, against a plain loop; and the file that they go to."""

import json
import math

import pytest
import torch
from helpers import full_disk, normal

from ddpm_lite.training.instruments import BANDS, Instruments, Log, read_log
from ddpm_lite.training.trainer import Record

CPU = torch.device("cpu")


def records(T, n=7, B=11, seed=0, dtype=torch.float32):
    r"""Records as a trainer gives them, with all the numbers that matter."""
    generator = torch.Generator().manual_seed(seed)
    for step in range(1, n + 1):
        t = torch.randint(1, T + 1, (B,), generator=generator)
        losses = normal(B, seed=100 * seed + step).square().to(dtype)
        norm = normal(1, seed=1000 + 100 * seed + step).abs()[0].float()
        yield Record(step, t, losses, losses.mean(), norm)


def by_hand(found, T, grad_clip):
    r"""What the instruments are to say, from lists of numbers."""
    pairs = [
        (int(t), float(loss)) for r in found for t, loss in zip(r.t, r.losses, strict=True)
    ]
    norms = [float(r.grad_norm) for r in found]
    bands = []
    for b in range(10):
        inside = [loss for t, loss in pairs if b / 10 <= (t - 1) / T < (b + 1) / 10]
        bands.append(sum(inside) / len(inside) if inside else None)
    return {
        "loss": sum(loss for _, loss in pairs) / len(pairs),
        "loss_bands": bands,
        "grad_norm": sum(norms) / len(norms),
        "grad_norm_max": max(norms),
        "clipped": sum(norm > grad_clip for norm in norms) / len(norms),
    }


def same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if name == "loss_bands":
            for a, e in zip(actual[name], value, strict=True):
                assert (a is None) if e is None else a == pytest.approx(e, rel=1e-5)
        else:
            assert actual[name] == pytest.approx(value, rel=1e-5)
    assert json.loads(json.dumps(actual)) == actual


@pytest.mark.parametrize("grad_clip", [0.5, 1.0, None])
@pytest.mark.parametrize("T", [1, 4, 10, 15, 1000])
def test_means_and_bands_against_a_plain_loop(T, grad_clip):
    instruments = Instruments(T, CPU, grad_clip)
    for seed in (0, 1):  # reading sets all to zero
        found = list(records(T, seed=seed))
        for record in found:
            instruments.add(record)
        expected = by_hand(found, T, math.inf if grad_clip is None else grad_clip)
        same(instruments.read(), expected)
    assert instruments.bands.abs().sum() == instruments.norms.abs().sum() == 0


def test_both_ends_of_t_have_a_band_of_their_own():
    instruments = Instruments(1000, CPU, 1.0)
    t = torch.tensor([1, 100, 101, 900, 901, 1000])
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    instruments.add(Record(1, t, losses, losses.mean(), torch.tensor(1.0)))
    bands = instruments.read()["loss_bands"]
    assert len(bands) == BANDS == 10
    assert bands == [1.5, 3.0, None, None, None, None, None, None, 4.0, 5.5]


def test_sums_are_float32_whatever_the_loss_is():
    instruments = Instruments(10, CPU, 1.0)
    found = list(records(10, dtype=torch.bfloat16))
    for record in found:
        instruments.add(record)
    assert instruments.bands.dtype == torch.float32
    same(instruments.read(), by_hand(found, 10, 1.0))


def test_a_step_that_float16_left_out_does_not_spoil_the_norms():
    instruments = Instruments(10, CPU, 1.0)
    found = list(records(10))
    for record in found:
        instruments.add(record)
    odd = Record(8, found[0].t, found[0].losses, found[0].loss, torch.tensor(math.inf))
    instruments.add(odd)
    expected = by_hand([*found, odd], 10, 1.0) | {
        k: v for k, v in by_hand(found, 10, 1.0).items() if "norm" in k or k == "clipped"
    }
    same(instruments.read(), expected)
    instruments.add(odd)
    assert instruments.read()["grad_norm"] == 0


def test_a_checkpoint_between_two_lines_holds_the_sums():
    straight, stopped = (Instruments(10, CPU, 1.0) for _ in range(2))
    found = list(records(10))
    for record in found:
        straight.add(record)
    for record in found[:3]:
        stopped.add(record)
    state = {name: v.clone() for name, v in stopped.state().items()}
    resumed = Instruments(10, CPU, 1.0)
    resumed.restore(state)
    for record in found[3:]:
        resumed.add(record)
    assert resumed.read() == straight.read()  # bit for bit


def test_a_log_goes_on_and_can_be_cut_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_log(path) == []
    log, lengths = Log(path), []
    for step in range(3):
        log.write({"step": step, "loss": 0.1 * step, "bands": [None, 1.0]})
        lengths.append(log.to_disk())
        assert path.stat().st_size == log.length() == lengths[-1]  # at once
    log.close()
    lines = read_log(path)
    assert [line["step"] for line in lines] == [0, 1, 2] and lines[2]["loss"] == 0.1 * 2
    log = Log(path, lengths[0])
    assert path.stat().st_size == lengths[0]
    log.write({"step": 7})
    log.close()
    assert [line["step"] for line in read_log(path)] == [0, 7]
    Log(path).close()  # all of it stays
    assert [line["step"] for line in read_log(path)] == [0, 7]
    Log(path, 0).close()
    assert read_log(path) == [] and path.stat().st_size == 0


def test_a_log_drops_half_a_line(tmp_path):
    path = tmp_path / "timing.jsonl"
    path.write_bytes(b'{"step": 1}\n{"ste')
    log = Log(path)
    log.write({"step": 2})
    log.close()
    assert read_log(path) == [{"step": 1}, {"step": 2}]
    path.write_bytes(b'{"st')
    Log(path).close()
    assert path.read_bytes() == b""


def test_a_log_on_a_full_disk(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = Log(path)
    log.write({"step": 1})
    with full_disk(20), pytest.raises(OSError, match=f"cannot write {path}: .*too large"):
        log.write({"step": 2, "note": "x" * 100})
    log.close()
    Log(path).close()
    assert read_log(path) == [{"step": 1}]
