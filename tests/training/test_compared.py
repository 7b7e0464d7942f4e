r"""What samples are compared with: seen by fingerprint, unseen by what is not."""

from dataclasses import replace

import numpy as np
import pytest
from picture_runs import SMALL, a_set

from ddpm_lite.data.marks import fingerprint
from ddpm_lite.training import compared, experiment


@pytest.fixture
def run(tmp_path):
    r"""A RunConfig on 60 pictures, 6 set aside, and what its config.json would hold."""
    save(tmp_path / "own.npy", a_set(60))
    config = replace(SMALL, data=str(tmp_path / "own.npy"), hold_out=6)
    prepared = experiment.prepare(config, "cpu")
    return prepared.config, {"described": prepared.described}


def save(path, pictures):
    np.save(path, pictures.x_0[:, 0].numpy())


def said(found):
    return " | ".join(found.told)


def test_a_run_is_compared_with_what_it_set_aside(run):
    found = compared.find(*run)
    train, aside = experiment.load_pictures(run[0])
    assert found.train.x_0.equal(train.x_0) and found.unseen.x_0.equal(aside.x_0)
    assert "with 6 pictures of own, set aside" in said(found)
    assert "training pictures: the 54 of own" in said(found)
    about = found.about()
    assert about["training"] == {"name": "own", "pictures": 54}
    assert about["unseen"] == {"name": "own", "pictures": 6}


def test_other_pictures_are_compared_with_wholly(run, tmp_path):
    other = a_set(50, seed=9)
    save(tmp_path / "test.npy", other)
    found = compared.find(*run, data=str(tmp_path / "test.npy"))
    assert found.unseen.x_0.equal(other.x_0) and len(found.train) == 54
    assert "with 50 pictures of test" in said(found) and "54 of own" in said(found)


@pytest.mark.parametrize("change", ["gone", "one more", "order"])
def test_what_was_trained_on_is_known_by_its_fingerprint(run, tmp_path, change):
    config, stored = run
    save(tmp_path / "test.npy", a_set(50, seed=9))
    own = tmp_path / "own.npy"
    pictures = np.load(own)
    if change == "gone":
        own.unlink()
    else:
        changed = [*pictures, pictures[0] // 2] if change == "one more" else pictures[::-1]
        np.save(own, np.stack([*changed]))
    found = compared.find(config, stored, data=str(tmp_path / "test.npy"))
    assert found.train is None and len(found.unseen) == 50
    words = "cannot be read: there is no file" if change == "gone" else "others now"
    assert words in said(found) and "none beside" in said(found)
    if change == "gone":
        with pytest.raises(ValueError, match=r"no file .*; or name other pictures, --data"):
            compared.find(config, stored)
    else:
        found = compared.find(config, stored)
        assert found.train is None and len(found.unseen) == 60 + (change == "one more")
        assert "own has changed since" in said(found)
        assert "which of them it has seen is not known" in said(found)


def test_pictures_that_were_trained_on_are_left_out(run, tmp_path):
    own = a_set(60)
    train, aside = experiment.load_pictures(run[0])
    # the run's own pictures, all of them
    found = compared.find(*run, data=run[0].data)
    assert found.unseen.x_0.equal(aside.x_0) and "54 more are left out" in said(found)
    # some of them among others
    mixed = np.concatenate([a_set(30, 9).x_0, own.x_0])[:, 0]
    np.save(tmp_path / "mixed.npy", mixed)
    found = compared.find(*run, data=str(tmp_path / "mixed.npy"))
    assert len(found.unseen) == 36 and "36 pictures of mixed; 54 more" in said(found)
    # them alone
    save(tmp_path / "same.npy", train)
    found = compared.find(*run, data=str(tmp_path / "same.npy"))
    assert found.unseen is None and len(found.train) == 54
    assert "these are the pictures it was trained on" in said(found)


def test_pictures_that_have_moved_are_found_again(run, tmp_path):
    config, stored = run
    (tmp_path / "own.npy").rename(tmp_path / "moved.npy")
    found = compared.find(config, stored, data=str(tmp_path / "moved.npy"))
    assert len(found.train) == 54 and len(found.unseen) == 6


def test_a_run_that_set_nothing_aside(tmp_path):
    save(tmp_path / "own.npy", a_set(60))
    config = replace(SMALL, data=str(tmp_path / "own.npy"), hold_out=0)
    stored = {"described": experiment.prepare(config, "cpu").described}
    found = compared.find(config, stored)
    assert found.unseen is None and len(found.train) == 60 and "--data" in said(found)
    save(tmp_path / "test.npy", a_set(50, seed=9))
    found = compared.find(config, stored, data=str(tmp_path / "test.npy"))
    assert len(found.unseen) == 50 and len(found.train) == 60


def test_pictures_that_were_set_aside_and_have_changed(run, tmp_path):
    config, stored = run
    _, aside = experiment.load_pictures(config)
    whole = np.load(config.data)
    (i,) = (i for i, x in enumerate(whole) if (x == aside.x_0[0, 0].numpy()).all())
    whole[i] //= 2
    np.save(config.data, whole)
    found = compared.find(config, stored)
    assert len(found.train) == 54 and len(found.unseen) == 6
    assert "6 pictures of own, which are not those that the run set aside" in said(found)
    del stored["described"]["held_out_fingerprint"]  # as an older version wrote it
    assert "with 6 pictures of own, set aside" in said(compared.find(config, stored))


@pytest.mark.parametrize("hold_out", [0, 6])
def test_a_run_that_saw_every_so_many_pictures_is_known(tmp_path, hold_out):
    save(tmp_path / "many.npy", a_set(8300))
    config = replace(SMALL, data=str(tmp_path / "many.npy"), hold_out=hold_out)
    pictures, _ = experiment.load_pictures(config)
    old = {"described": {"fingerprint": fingerprint(pictures.x_0, stride=2)}}
    assert len(compared.find(config, old).train) == 8300 - hold_out


def test_a_model_whose_pictures_nobody_knows(run, tmp_path):
    save(tmp_path / "test.npy", a_set(50, seed=9))
    bare = replace(run[0], data="")
    with pytest.raises(ValueError, match=r"names no pictures of its own .* with --data"):
        compared.find(bare, {})
    found = compared.find(bare, {}, data=str(tmp_path / "test.npy"))
    assert found.train is None and len(found.unseen) == 50
    assert "which pictures it was trained on is not known" in said(found)
    # a name alone is no proof
    found = compared.find(run[0], {}, data=str(tmp_path / "test.npy"))
    assert found.train is None


def test_the_fingerprint_of_a_run_made_in_python_is_in_its_checkpoint(run, tmp_path):
    config, stored = run
    folder = tmp_path / "run" / "checkpoints" / "step_000000001"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text("{}")
    mark = stored["described"]["fingerprint"]
    (folder / "state.json").write_text(f'{{"data": "{mark}"}}')
    found = compared.find(config, {}, run=str(tmp_path / "run"))
    assert len(found.train) == 54
    assert compared.find(config, {}, run=str(tmp_path)).train is None


def test_the_mix_of_classes_is_stored_or_counted(run):
    config = replace(run[0], unet=replace(run[0].unet, classes=3))
    stored = {"described": {"class_counts": [5, 0, 1]}}
    assert compared._counts(config, stored, None) == (5, 0, 1)
    assert compared._counts(config, {}, None) is None
    assert compared._counts(run[0], stored, None) is None  # no classes


def test_equal_pictures_are_found_at_other_grey_levels():
    few = a_set(5)
    coarse = replace(few, x_0=few.x_0 // 16, levels=16)
    fine = replace(few, x_0=coarse.x_0 * 17)
    assert compared._without(fine, coarse) == (None, 5)
