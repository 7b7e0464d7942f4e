r"""A folder is read as what it is, or an error names both ways to read it."""

import os
import re
import unicodedata
import zlib

import numpy as np
import pytest
from picture_files import COLOUR, GREY, message, save
from PIL import Image

from ddpm_lite import data, figure
from ddpm_lite.data import folders, listing


def fill(folder, *names):
    r"""Write a picture, or what else the ending asks for, under each of the names."""
    for name in names:
        if name.lower().endswith((".png", ".jpg")):
            save(folder / name, COLOUR ^ np.uint8(zlib.crc32(name.encode()) % 256))
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
    return folder


def linked(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system lets nobody make links")


def classes_of(folder, **options):
    r"""{class: number of pictures}, or how many pictures there are without classes."""
    found = data.load(folder, **options)
    if found.y is None:
        assert found.classes == ()
        return len(found)
    return {name: int((found.y == i).sum()) for i, name in enumerate(found.classes)}


# Classes.


CLEAR = [
    (["cat/1.png", "cat/2.png", "dog/3.png"], {"cat": 2, "dog": 1}),
    (["all/cat/1.png", "all/dog/2.png"], {"cat": 1, "dog": 1}),
    (["a/b/cat/1.png", "a/b/dog/2.png"], {"cat": 1, "dog": 1}),
    (["cat/1.png", "dog/2.png", "notes/a.txt", "b.csv"], {"cat": 1, "dog": 1}),
    (["1.png", "2.PNG", "3.JPG"], 3),
    (["cat/1.png", "cat/2.png"], 2),
    (["more/1.png", "2.png"], 2),
    (["a/1.png", "a/b/2.png", "3.png"], 3),
]


@pytest.mark.parametrize(("names", "expected"), CLEAR)
def test_what_is_clear_is_read(tmp_path, names, expected):
    assert classes_of(fill(tmp_path, *names)) == expected


TWO_WAYS = [
    (["cat/1.png", "dog/2.png", "stray.png"], {"cat": 1, "dog": 1}, "stray.png"),
    (["all/cat/1.png", "all/dog/2.png", "b.png"], {"cat": 1, "dog": 1}, "b.png"),
    (["all/cat/1.png", "all/dog/2.png", "all/b.png"], {"cat": 1, "dog": 1}, "all/b.png"),
    (["cat/1.png", "dog/2020/2.png"], {"cat": 1, "dog": 1}, "dog/2020/2.png"),
    (["cat/a/1.png", "dog/a/2.png"], {"cat": 1, "dog": 1}, "cat/a/1.png"),
]


@pytest.mark.parametrize(("names", "classes", "reason"), TWO_WAYS)
def test_what_is_not_clear_is_an_error_that_names_both(tmp_path, names, classes, reason):
    fill(tmp_path, *names)
    with pytest.raises(ValueError, match="can be read in two ways") as error:
        data.load(tmp_path)
    for text in (*classes, reason, "--folders classes", "--no-labels"):
        assert text in message(error)
    assert classes_of(tmp_path, folders="classes") == classes
    assert classes_of(tmp_path, labels=False) == len(names)
    assert classes_of(tmp_path, folders="plain") == len(names)


def test_without_labels_there_are_no_classes_anywhere(tmp_path):
    fill(tmp_path, "cat/1.png", "dog/2.png")
    assert classes_of(tmp_path, labels=False) == 2
    assert data.load("digits", labels=False).y is None


def test_two_folders_are_needed_for_classes(tmp_path):
    fill(tmp_path, "cat/1.png", "2.png")
    with pytest.raises(ValueError, match="no two folders with pictures to be classes"):
        data.load(tmp_path, folders="classes")
    with pytest.raises(ValueError, match="no folders named train, test or the like"):
        data.load(tmp_path, folders="splits")
    with pytest.raises(ValueError, match="folders must be one of auto, classes, splits, p"):
        data.load(tmp_path, folders="nested")
    with pytest.raises(ValueError, match="folders='splits' is for a folder of pictures"):
        data.load("digits", folders="splits")


# Splits.


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(n, "train") for n in ("train", "Train", "TRAINING", "trn", "training_set")],
        *[(n, "train") for n in ("train2017", "train-images", "TrainData", "train_1")],
        *[(n, "test") for n in ("test", "Testing", "test1", "testset", "tst")],
        *[
            (n, "validation")
            for n in ("val", "valid", "Validation", "dev", "eval", "val2017")
        ],
        *[(n, "held_out") for n in ("held_out", "heldout", "holdout", "hold-out")],
        *[(n, None) for n in ("trains", "cat", "tests", "valley", "device", "evaluate")],
        *[
            (n, None)
            for n in ("", "strain", "attest", "latest", "contest", "freight_train")
        ],
    ],
)
def test_the_usual_names_of_splits(name, split):
    assert folders.split_of(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("training", "testing"),
        ("trn", "tst"),
        ("seg_train", "seg_test"),
        ("all/TRAIN", "all/TEST"),
        ("images-train", "images-val"),
    ],
)
def test_splits_are_splits_and_no_classes(tmp_path, train, test):
    fill(tmp_path, *[f"{train}/{c}/{i}.png" for c in ("cat", "dog") for i in (1, 2)])
    fill(tmp_path, f"{test}/dog/3.png")
    split = "validation" if test.endswith("val") else "test"
    assert classes_of(tmp_path) == {"cat": 2, "dog": 2}
    assert classes_of(tmp_path, split=split) == {"cat": 0, "dog": 1}
    assert classes_of(tmp_path, folders="plain") == 5
    told = " ".join(data.load(tmp_path).told)
    assert f"the split train is the folder {train.split('/')[-1]}; beside it lies " in told
    assert f"{test.split('/')[-1]} (1, for --held-out-split {split})" in told


def test_a_split_goes_by_its_usual_names_and_by_its_own(tmp_path):
    fill(tmp_path, "Training/1.png", "dev/2.png", "dev/3.png", "test1/4.png")
    for split, number in {"train": 1, "training": 1, "val": 2, "DEV": 2, "test": 1}.items():
        assert len(data.load(tmp_path, split=split)) == number
    with pytest.raises(ValueError, match="no split held_out, but Training, dev, test1: pa"):
        data.load(tmp_path, split="held_out")


def test_flat_splits_have_no_classes_and_one_alone_is_read(tmp_path):
    assert classes_of(fill(tmp_path, "train/1.png", "train/2.png")) == 2
    assert classes_of(fill(tmp_path, "test/1.png")) == 2
    fill(tmp_path / "other", "test/1.png")
    with pytest.raises(ValueError, match="has no split train, but test"):
        data.load(tmp_path / "other")
    with pytest.raises(ValueError, match=r"has no splits: leave 'test' out \(split=, --s"):
        data.load(tmp_path / "train", split="test")


@pytest.mark.parametrize(
    ("names", "first", "second"),
    [
        (["train/1.png", "test/2.png", "cat/3.png"], "splits", "classes"),
        (["car/1.png", "train/2.png"], "splits", "classes"),
        (["train/1.png", "test/2.png", "3.png"], "splits", "classes"),
        (["train/1.png", "2.png"], "splits", "plain"),
        (["cat/train/1.png", "cat/test/2.png", "dog/train/3.png"], "classes", "plain"),
    ],
)
def test_splits_among_others_are_an_error_that_names_both(tmp_path, names, first, second):
    fill(tmp_path, *names)
    with pytest.raises(ValueError, match="can be read in two ways") as error:
        data.load(tmp_path)
    assert f"--folders {first}" in message(error)
    assert f"--folders {second}" in message(error)
    for choice in (first, second):
        assert len(data.load(tmp_path, folders=choice)) >= 1
    with pytest.raises(ValueError, match="can be read in two ways"):
        data.load(tmp_path, labels=False)


@pytest.mark.parametrize(
    ("train", "other"),
    [
        ("DIV2K_train_HR", "DIV2K_valid_HR"),
        ("train_32x32", "valid_32x32"),
        ("ISIC_2019_Training_Input", "ISIC_2019_Test_Input"),
        ("train_10k", "test_2k"),
        ("train-clean", "test-clean"),
        ("1_train", "2_test"),
        ("x_train_1", "x_test_1"),
        ("trainHR", "testHR"),
        ("seg_train", "seg_held_out"),
        ("tr", "te"),
        ("imagesTr", "imagesTs"),
    ],
)
def test_a_word_in_names_that_are_else_alike_says_the_split(tmp_path, train, other):
    fill(tmp_path, f"{train}/1.png", f"{train}/2.png", f"{other}/3.png")
    assert classes_of(tmp_path) == 2
    assert f"beside it lies {other} (1, for --held-out-" in " ".join(
        data.load(tmp_path).told
    )


@pytest.mark.parametrize(
    "names",
    [
        ["trainA", "trainB", "testA", "testB"],
        ["imagesTr", "imagesTs", "labelsTr"],
        ["seg_train", "seg_test", "seg_pred"],
        ["cat_train", "dog_test"],
        ["train_val", "test"],
        ["training shoes", "test tubes"],
    ],
)
def test_words_for_splits_in_other_names_are_an_error_that_names_both(tmp_path, names):
    fill(tmp_path, *[f"{name}/1.png" for name in names])
    with pytest.raises(ValueError, match=r"as the splits .*; or as the classes "):
        data.load(tmp_path)
    assert len(classes_of(tmp_path, folders="classes")) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["images", "masks"],
        ["JPEGImages", "SegmentationClass"],
        ["images", "Annotations", "labels"],
        ["thumbnails128x128", "images1024x1024"],
        ["64x64", "128x128"],
        ["fold_1", "fold_2"],
        ["part1", "part2"],
        ["part_A", "part_B"],
        ["HR", "LR"],
    ],
)
@pytest.mark.parametrize("around", ["", "train/"])
def test_what_lies_beside_pictures_and_parts_are_hardly_classes(tmp_path, names, around):
    fill(tmp_path, *[f"{around}{name}/1.png" for name in names], "train/test.txt")
    with pytest.raises(ValueError, match=r"in two ways: as the classes .*name one of the"):
        data.load(tmp_path)
    assert len(classes_of(tmp_path, folders="classes")) == len(names)
    assert classes_of(tmp_path, labels=False) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["training shoes", "boots"],
        ["steam train", "toy train"],
        ["test tubes", "flasks"],
        ["masks", "gloves"],
        ["tr", "us", "va"],
        ["a", "b"],
        ["0", "1"],
    ],
)
def test_words_for_splits_do_not_keep_classes_from_being_some(tmp_path, names):
    fill(tmp_path, *[f"{name}/1.png" for name in names])
    assert classes_of(tmp_path) == dict.fromkeys(names, 1)


def test_what_a_system_adds_is_left_out_and_told(tmp_path):
    fill(tmp_path, "cat/1.png", "dog/2.png", "__MACOSX/cat/1.png", "cat/@eaDir/1.png/a.jpg")
    assert classes_of(tmp_path) == {"cat": 1, "dog": 1}
    told = data.load(tmp_path).told[-1]
    assert told.endswith("2 added by a system (__MACOSX, cat/@eaDir)")


def test_two_folders_for_one_split_are_an_error(tmp_path):
    fill(tmp_path, "train/1.png", "Training/2.png", "test/3.png")
    with pytest.raises(ValueError, match="2 folders for the split train: Training, train"):
        data.load(tmp_path)
    assert len(data.load(tmp_path, folders="plain")) == 3


def test_the_classes_of_splits_are_those_of_the_training_split(tmp_path):
    fill(tmp_path, "train/b/1.png", "train/c/2.png", "test/b/3.png", "val/c/x/4.png")
    assert classes_of(tmp_path, split="test") == {"b": 1, "c": 0}
    assert classes_of(tmp_path, split="val") == {"b": 0, "c": 1}
    fill(tmp_path, "test/a/5.png")
    with pytest.raises(ValueError, match="test has classes that train has not: a; train h"):
        data.load(tmp_path, split="test")
    assert classes_of(tmp_path, split="test", labels=False) == 2
    assert classes_of(tmp_path) == {"b": 1, "c": 1}


# What is left out.


def test_all_endings_of_pictures_are_read(tmp_path):
    for (
        ending
    ) in "jfif jpe jpg tga jp2 j2k bmp dib gif ico pcx ppm pnm sgi tif webp".split():
        folder = tmp_path / ending
        save(folder / f"a.{ending}", np.full((16, 16, 3), 90, np.uint8))
        save(folder / f"b.{ending.upper()}", np.full((16, 16, 3), 90, np.uint8))
        assert len(data.load(folder)) == 2, ending
    known = listing.endings()
    assert {".png", ".qoi", ".avif", ".heic", ".jxl"} <= known
    assert not known & {".pdf", ".eps", ".mpg", ".h5", ".txt", ".npy", ""}


def test_what_is_left_out_is_told_and_counted(tmp_path):
    fill(tmp_path, "cat/1.png", "dog/2.png", "a.txt", "cat/b.TXT", "c.eps", "LICENSE")
    fill(tmp_path, ".hidden.png", ".git/x.png", "bird/c.txt")
    first, empty, left = data.load(tmp_path).told
    assert first == "2 pictures in 2 classes: cat (1), dog (1)"
    assert empty == "folders without pictures: bird"
    assert left.startswith("MORE LEFT OUT (5) THAN READ: 1 .eps, 3 .txt, 2 hidden (.git, ")
    assert left.endswith(".hidden.png), 1 no ending (LICENSE)")
    fill(tmp_path, *[f"cat/{i}.png" for i in range(9)])
    assert data.load(tmp_path).told[-1].startswith("left out: 1 .eps")


def test_a_pipe_is_left_out_and_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    fill(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert "1 no files (2.png)" in " ".join(data.load(tmp_path).told)


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    fill(tmp_path, "cat/1.png", "dog/2.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        ValueError, match=r"1 folders in .* listed: dog \(Permission denied"
    ):
        data.load(tmp_path)
    assert data.load(tmp_path, skip_broken=True).skipped == ("dog",)


# Links.


def test_links_are_followed_and_loops_are_not(tmp_path):
    save(tmp_path / "real" / "1.png", GREY)
    folder = tmp_path / "folder"
    linked(folder / "cats", tmp_path / "real")
    linked(folder / "loop", folder)
    linked(tmp_path / "real" / "up", tmp_path)
    found = data.load(folder)
    assert len(found) == 1
    assert "2 leading back to a folder above (cats/up, loop)" in found.told[-1]
    linked(folder / "gone.png", tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"1 of 2 pictures of folder cannot .*: gone\.png"):
        data.load(folder)


@pytest.mark.parametrize("first", ["cat", "feline"])
def test_two_names_for_one_folder_are_not_two_classes(tmp_path, first):
    names = [first, *({"cat", "feline"} - {first})]
    fill(tmp_path, f"{names[0]}/1.png", "dog/2.png")
    linked(tmp_path / names[1], tmp_path / names[0])
    with pytest.raises(ValueError, match=r"are one file of .*, in two classes") as error:
        data.load(tmp_path)
    assert "cat/1.png" in message(error) and "feline/1.png" in message(error)
    found = data.load(tmp_path, labels=False)
    assert len(found) == 2 and "1 second names of pictures" in found.told[-1]


def test_two_names_for_a_file(tmp_path):
    fill(tmp_path, "cat/b.png", "dog/2.png")
    linked(tmp_path / "cat" / "a.png", tmp_path / "cat" / "b.png")
    assert classes_of(tmp_path) == {"cat": 1, "dog": 1}
    linked(tmp_path / "dog" / "a.png", tmp_path / "cat" / "b.png")
    with pytest.raises(ValueError, match=r"cat/b\.png and dog/a\.png are one file"):
        data.load(tmp_path)


def test_a_picture_is_not_trained_on_and_set_aside(tmp_path):
    fill(tmp_path, "train/1.png", "test/2.png")
    linked(tmp_path / "val", tmp_path / "test")
    assert len(data.load(tmp_path, split="val")) == 1
    linked(tmp_path / "test" / "3.png", tmp_path / "train" / "1.png")
    with pytest.raises(ValueError, match=r"train/1\.png and test/3\.png are one file of"):
        data.load(tmp_path)


def test_a_farm_of_links_is_a_folder_like_any_other(tmp_path):
    fill(tmp_path / "store", *[f"{i}.png" for i in range(4)])
    for i in range(4):
        linked(
            tmp_path / "set" / "abcd"[i % 2] / f"{i}.png", tmp_path / "store" / f"{i}.png"
        )
    assert classes_of(tmp_path / "set") == {"a": 2, "b": 2}


def test_folders_that_link_to_each_other_end(tmp_path):
    for name in "abcdefghij":
        fill(tmp_path, f"{name}/1.png")
        for other in set("abcdefghij") - {name}:
            linked(tmp_path / name / other, tmp_path / other)
    assert classes_of(tmp_path, labels=False) == 10


# Parquet and pictures in one folder.


def test_parquet_and_pictures_are_an_error_that_names_both(tmp_path):
    fill(tmp_path, "cat/1.png", "dog/2.png", "metadata.parquet")
    with pytest.raises(
        ValueError, match=r"as 2 pictures, such as cat/1\.png, or as parquet,"
    ):
        data.load(tmp_path)
    assert classes_of(tmp_path, folders="classes") == {"cat": 1, "dog": 1}


# What this package drew.


def drawn(n):
    return np.random.default_rng(n).uniform(-1, 1, (n, 3, 6, 8))


def test_pictures_that_were_drawn_here_are_left_out(tmp_path):
    fill(tmp_path, "cat/1.png", "dog/2.png")
    before = data.load(tmp_path)
    figure.save_pictures(drawn(4), tmp_path / "new.png")
    figure.save_pictures(drawn(4), tmp_path / "samples" / "grid.png")
    for i in range(3):
        figure.save_pictures(drawn(1), tmp_path / "samples" / f"{i:05}.png", 1, least=1)
    figure.save(figure.strip([drawn(9)[:, 0, 0, :2]], "a"), tmp_path / "cat" / "curve.png")
    after = data.load(tmp_path)
    assert after.fingerprint() == before.fingerprint() and after.classes == before.classes
    assert "3 drawn by ddpm-lite (samples/00000.png, " in after.told[-1]
    assert "3 grids and figures of ddpm-lite (cat/curve.png, new.png, " in after.told[-1]
    alone = data.load(tmp_path / "samples")  # which is what its user has named
    assert (
        len(alone) == 3 and alone.told[1] == "ddpm-lite drew all of these pictures itself"
    )
    (tmp_path / "samples" / "00000.png").rename(tmp_path / "grids.png")
    fill(tmp_path / "only", "a.txt")
    figure.save_pictures(drawn(2), tmp_path / "only" / "grid.png")
    with pytest.raises(FileNotFoundError, match="no pictures to train on, but 1 grids and"):
        data.load(tmp_path / "only")


@pytest.mark.parametrize("place", ["", "cat/", "runs/one/"])
def test_what_a_run_wrote_is_left_out_wherever_it_lies(tmp_path, place):
    fill(tmp_path, "cat/1.png", "dog/2.png")
    before = data.load(tmp_path).fingerprint()
    for name in ("config.json", "metrics.jsonl", "lock", "newest", "checkpoints/step_1/a"):
        fill(tmp_path, f"{place}{name}")
    fill(tmp_path, *[f"{place}{name}" for name in ("samples/step_1.png", "curves.png")])
    found = data.load(tmp_path)
    assert found.fingerprint() == before
    assert f"written by a run of ddpm-lite ({place}checkpoints, {place}cu" in found.told[-1]
    assert len(data.load(tmp_path / f"{place}samples")) == 1


def test_samples_of_a_user_are_no_output(tmp_path):
    fill(tmp_path, "samples/1.png", "checkpoints/2.png", "config.json")
    assert classes_of(tmp_path) == {"samples": 1, "checkpoints": 1}


# Names.


def test_the_same_letters_in_two_ways_are_one_class(tmp_path):
    one, two = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    for i, name in enumerate((one, two)):
        found = data.load(fill(tmp_path / str(i), f"{name}/1.png", "Zof/2.png"))
        assert found.classes == ("Zof", one)
    letters = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
    for i, name in enumerate(letters):
        save(tmp_path / f"order{i}" / "f.png", COLOUR)  # after e, and before the one letter
        save(tmp_path / f"order{i}" / name, COLOUR // 2)
    one, other = (data.load(tmp_path / f"order{i}").fingerprint() for i in (0, 1))
    assert one == other
    fill(tmp_path / "0", f"{two}/1.png")
    if len(os.listdir(tmp_path / "0")) == 3:  # macOS has one folder for both
        with pytest.raises(ValueError, match="folders whose names look the same"):
            data.load(tmp_path / "0")


@pytest.mark.parametrize("name", [b"\xff.png", b"a\nb.png", b"\x1b[31m.png"])
def test_no_name_is_printed_as_it_is(tmp_path, name):
    fill(tmp_path, "1.png")
    try:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"no picture")
    except OSError:
        pytest.skip("this file system refuses such a name")
    with pytest.raises(ValueError, match="1 of 2 pictures") as error:
        data.load(tmp_path)
    assert message(error).isprintable()
    kept = data.load(tmp_path, skip_broken=True)
    assert all(name.isprintable() for name in (*kept.skipped, *kept.told))
    assert re.search(r"\\udcff|\\n|\\x1b", kept.skipped[0])


def test_the_order_of_names_is_that_of_0_2_0(tmp_path):
    for i, name in enumerate(["a/1.png", "a-b/1.png", "a/10.png", "a/9.png", "B/1.png"]):
        Image.fromarray(np.full((4, 4), 50 + i, np.uint8)).save(fill(tmp_path, name) / name)
    found = data.load(tmp_path)
    assert found.x_0[:, 0, 0, 0].tolist() == [54, 51, 50, 52, 53]
    assert found.classes == ("B", "a", "a-b")
