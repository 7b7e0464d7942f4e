r"""Other sources: .npy files, parquet in the hub's layout, and names that lead nowhere."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import COLOUR, GREY, message
from PIL import Image

from ddpm_lite import data

SHARED = Path(__file__).parents[3] / "shared" / "data"


# Names that lead nowhere.


def test_a_wrong_name_gets_the_nearest_and_all_known(tmp_path, monkeypatch):
    (tmp_path / "photos" / "holiday").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for wrong, right in [
        ("photo", "photos"),
        (tmp_path / "phtos", tmp_path / "photos"),
        ("photos/holidays", Path("photos/holiday")),
        ("./photoz/holiday", "photos"),
        ("digit", "digits"),
        ("mnist", "ylecun/mnist"),
        ("cifar-10", "uoft-cs/cifar10"),
    ]:
        with pytest.raises(FileNotFoundError) as error:
            data.load(wrong)
        assert f"did you mean {right}?" in message(error), wrong
        assert "Known names are digits, clothes, ylecun/mnist" in message(error)
    with pytest.raises(FileNotFoundError, match=r"or folder zzzz\. Known names are"):
        data.load("zzzz")


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_no_name(name):
    with pytest.raises(ValueError, match="name must name a data set or a path, got"):
        data.load(name)


def test_folders_without_pictures(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(FileNotFoundError, match="is empty"):
        data.load(tmp_path)
    for name in ("a.txt", "b.txt", "c.arrow", "d"):
        (tmp_path / name).write_text("")
    with pytest.raises(FileNotFoundError, match="holds no pictures") as error:
        data.load(tmp_path)
    assert message(error).endswith("but 4 other files: .txt, .arrow, no ending")
    with pytest.raises(ValueError, match=r"a\.txt must be an \.npy file or a folder"):
        data.load(tmp_path / "a.txt")


# The hub's layout.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    r"""Make a folder of parquet, and see that nothing else is written."""
    datasets = pytest.importorskip("datasets", reason="the extra `data` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def make(columns, split="train"):
        folder = tmp_path / "pets"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(
            {name: values for name, (_, values) in columns.items()},
            features=datasets.Features({name: kind for name, (kind, _) in columns.items()}),
        )
        whole = table.with_format("arrow")[:]
        parquet.write_table(whole, folder / "data" / f"{split}-0-of-1.parquet")
        return folder

    make.datasets = datasets
    yield make
    assert not (tmp_path / "cache").exists()
    files = [p for p in (tmp_path / "pets").rglob("*") if p.is_file()]
    assert all(p.suffix == ".parquet" for p in files)


def encoded(arrays):
    found = []
    for array in arrays:
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        found.append({"bytes": file.getvalue(), "path": None})
    return found


def test_parquet_columns_are_found_by_their_type(hub, capfd):
    D = hub.datasets
    frames = [np.full((4, 5, 3), i, np.uint8) for i in range(6)]
    folder = hub(
        {
            "id": (D.Value("int64"), list(range(6))),
            "img": (D.Image(), encoded(frames)),
            "coarse": (D.ClassLabel(names=["x", "y"]), [0, 1, 0, 1, 0, 1]),
            "fine_label": (D.ClassLabel(names=["p", "q", "r"]), [2, 1, 0, 0, 1, 2]),
        }
    )
    loaded = data.load(folder)
    assert (loaded.x_0.permute(0, 2, 3, 1).numpy() == np.stack(frames)).all()
    assert loaded.y.tolist() == [2, 1, 0, 0, 1, 2] and loaded.classes == ("p", "q", "r")
    assert loaded.name == "pets" and loaded.fingerprint() == data.load(folder).fingerprint()
    part = data.load(str(folder), split="train[2:4]", size=2, channels=1)
    assert part.x_0.shape == (2, 1, 2, 2) and part.x_0[:, 0, 0, 0].tolist() == [2, 3]
    assert part.y.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r'Unknown split "test".*train'):
        data.load(folder, split="test")
    assert D.is_progress_bar_enabled() and capfd.readouterr().err == ""


def test_parquet_with_broken_rows_and_without_classes(hub):
    D = hub.datasets
    rows = encoded([GREY, GREY, GREY])
    rows[1]["bytes"] = rows[1]["bytes"][:70]
    label = D.ClassLabel(names=["a", "b"])
    folder = hub({"image": (D.Image(), [*rows, None]), "label": (label, [1, 1, 0, 0])})
    with pytest.raises(ValueError, match=r"2 of 4 .*row 1 \(.*row 3 \(0 bytes\)"):
        data.load(folder)
    kept = data.load(folder, skip_broken=True)
    assert kept.skipped == ("row 1", "row 3") and kept.y.tolist() == [1, 0]
    assert kept.shape == (1, 6, 8)
    folder = hub({"image": (D.Image(), rows[:1] * 2), "label": (label, [1, -1])})
    unknown = data.load(folder)
    assert unknown.y is None and unknown.classes == () and len(unknown) == 2


def test_parquet_without_a_column_of_pictures(hub):
    D = hub.datasets
    folder = hub({"text": (D.Value("string"), ["a"]), "n": (D.Value("int64"), [1])})
    with pytest.raises(ValueError, match=r"must have one column of pictures.*'text', 'n'"):
        data.load(folder)
    two = {"left": (D.Image(), encoded([GREY])), "right": (D.Image(), encoded([GREY]))}
    folder = hub(two)
    with pytest.raises(ValueError, match=r"got \['left', 'right'\]"):
        data.load(folder)
    folder = hub({**two, "image": (D.Image(), encoded([COLOUR]))})
    assert data.load(folder).shape == (3, 6, 8)


def test_the_hub_that_does_not_answer(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)

    def nobody(*words, **options):
        assert words == ("ylecun/mnsit",) and options["cache_dir"] is None
        raise ConnectionError("Couldn't reach\nthe Hub")

    monkeypatch.setattr(datasets, "load_dataset", nobody)
    with pytest.raises(ConnectionError, match=r"did you mean ylecun/mnist\?") as error:
        data.load("ylecun/mnsit")
    for text in ("does not give ylecun/mnsit: Couldn't reach the Hub", "data/train-00000"):
        assert text in message(error)


def test_without_datasets(monkeypatch, tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("ylecun/mnist", tmp_path):
        with pytest.raises(ImportError, match=r"pip install 'ddpm-lite\[data\]'"):
            data.load(name)


def real(name):
    pytest.importorskip("datasets", reason="the extra `data` is not installed")
    if not (SHARED / name).is_dir():
        pytest.skip(f"there is no ../shared/data/{name}")
    return SHARED / name


def test_mnist_as_everybody_knows_it():
    loaded = data.load(real("mnist"), split="test")
    assert loaded.x_0.shape == (10_000, 1, 28, 28) and loaded.classes == tuple("0123456789")
    assert loaded.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert float(loaded.x_0.double().mean()) / 255 == pytest.approx(0.1325, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "shape", "first"),
    [("fashion_mnist", (1, 28, 28), "Ankle boot"), ("cifar10", (3, 32, 32), "frog")],
)
def test_other_sets_as_everybody_knows_them(name, shape, first):
    loaded = data.load(real(name), split="train[:50]")
    assert loaded.x_0.shape == (50, *shape) and len(loaded.classes) == 10
    assert loaded.classes[loaded.y[0]] == first
