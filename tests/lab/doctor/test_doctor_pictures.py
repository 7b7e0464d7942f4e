r"""Pictures that are others, in a wrong range, blank, black, repeated or out of reach."""

import numpy as np
from doctor_runs import (
    SPOILED,
    blocks,
    check_named,
    edit,
    every_fault,
    examined,
    other_data,
    wrong,
)


def another_folder(run):
    path = run.with_suffix(".npy")
    np.save(path, blocks(1000, seed=1))
    edit(run / "config.json", data=str(path))


def zero_to_one(run):
    other_data(run, blocks(1000) // 100)


def blank_pictures(run):
    pictures = blocks(1000)
    pictures[::4] = 100
    other_data(run, pictures)


def black_pictures(run):
    pictures = blocks(1000)
    pictures[np.arange(1000) % 5 > 1] //= 64
    other_data(run, pictures)


def repeated_pictures(run):
    other_data(run, blocks(100).repeat(10, 0))


@every_fault(
    (another_folder, "other pictures", set()),
    (zero_to_one, "data range", SPOILED | {"prediction"}),
    (blank_pictures, "constant pictures", SPOILED | {"duplicates"}),
    (black_pictures, "black pictures", SPOILED),
    (repeated_pictures, "duplicates", set()),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def test_pictures_that_are_refused_are_a_fault(run):
    other_data(run, blocks(1000))
    np.save(run.with_suffix(".npy"), blocks(1000) // 128)  # 0 and 1 alone
    (found,) = [f for f in examined(run) if f.level == "wrong"]
    assert found.what == "pictures" and "holds 0 and 1 alone" in found.words


def test_pictures_out_of_reach_are_no_fault(run):
    edit(run / "config.json", data=str(run / "nowhere"))
    findings = examined(run)
    assert wrong(findings) == []
    assert {f.what: f.level for f in findings}["pictures"] == "note"
    assert findings[-1].what == "samples"  # drawn all the same
