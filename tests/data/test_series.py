r"""Files of series: what is read, on which scale, and what is refused in words."""

import numpy as np
import pytest
import torch

from ddpm_lite import data
from ddpm_lite.data.series import SeriesSet, in_units, is_plain, load_series, scaled

RNG = np.random.default_rng(0)
X = 3 + 2 * RNG.standard_normal((40, 16))
TWO = np.stack([X, 1e6 + 1e-2 * X[::-1]], axis=1)


def saved(folder, array, name="x.npy"):
    np.save(folder / name, array)
    return folder / name


def test_rows_become_series_of_one_channel_with_mean_0_and_deviation_1(tmp_path):
    found = data.load(saved(tmp_path, X))
    assert type(found) is SeriesSet and found.shape == (1, 16) and len(found) == 40
    assert found.x_0.dtype == torch.float32 and found.levels is None
    assert abs(float(found.x_0.double().mean())) < 1e-5
    assert abs(float(found.x_0.double().std(correction=0)) - 1) < 1e-5
    assert found.told[0] == "read as 40 series of length 16, one channel"
    assert "mean 0 and deviation 1" in found.told[1]


def test_each_channel_has_its_own_scale_and_units_come_back(tmp_path):
    found = load_series(saved(tmp_path, TWO))
    flat = found.x_0.double().transpose(0, 1).flatten(1)
    assert flat.mean(1).abs().max() < 1e-5 and (flat.std(1) - 1).abs().max() < 2e-3
    back = in_units(found.x_0.double(), found.scale)
    away = np.abs(back.numpy() - TWO).max((0, 2))
    assert away[0] < 1e-6 * 10 and away[1] < 1e-8 * 10  # float32 of up to 5 deviations
    assert (scaled(back, found.scale) - found.x_0).abs().max() < 1e-6


def test_the_scale_is_rounded_so_that_every_machine_finds_the_same(tmp_path):
    exact = load_series(saved(tmp_path, TWO))
    near = load_series(saved(tmp_path, TWO * (1 + 1e-15)))
    assert exact.scale == near.scale
    assert exact.scale["mean"][1] == pytest.approx(TWO[:, 1].mean(), abs=2e-7)
    assert exact.scale["std"][1] == pytest.approx(TWO[:, 1].std(), rel=1e-5)


def test_a_scale_of_others_is_taken_over(tmp_path):
    own = load_series(saved(tmp_path, X))
    other = load_series(saved(tmp_path, 5 * X + 1, "y.npy"))
    same = other.scaled_as(own.scale)
    want = (5 * X + 1 - own.scale["mean"][0]) / own.scale["std"][0]
    assert np.abs(same.x_0[:, 0].numpy() - want).max() < 1e-5
    assert own.scaled_as(own.scale) is own and own.scaled_as(None) is own


def test_npz_with_classes_csv_and_whole_numbers(tmp_path):
    np.savez(tmp_path / "xy.npz", x=X, y=np.arange(40) % 3 + 5)
    found = load_series(tmp_path / "xy.npz")
    assert found.classes == ("5", "6", "7")
    assert found.y.tolist() == [i % 3 for i in range(40)]
    assert load_series(tmp_path / "xy.npz", labels=False).y is None
    np.savetxt(tmp_path / "x.csv", X, delimiter=",", fmt="%.17g")
    assert load_series(tmp_path / "x.csv").x_0.equal(found.x_0)
    whole = (1000 * X).astype(np.int16)
    found = load_series(saved(tmp_path, whole))
    assert found.told[1] == "int16 became floats, in the same units"
    assert np.abs(in_units(found.x_0, found.scale)[:, 0].numpy() - whole).max() < 1e-2


def test_labels_as_text_are_names_of_classes(tmp_path):
    names = np.array(["walk", "run", "sit", "run"] * 10)
    np.savez(tmp_path / "xy.npz", x=X, y=names)
    found = load_series(tmp_path / "xy.npz")
    assert found.classes == ("run", "sit", "walk")
    assert [found.classes[i] for i in found.y.tolist()] == names.tolist()
    np.savez(tmp_path / "xy.npz", x=X, y=names.astype(object))
    with pytest.raises(ValueError, match=r"if it is y, text, save y=y.astype\(str\)"):
        load_series(tmp_path / "xy.npz")
    names[3] = ""
    np.savez(tmp_path / "xy.npz", x=X, y=names)
    with pytest.raises(ValueError, match=r"y in .* has no name for series 3: give it one"):
        load_series(tmp_path / "xy.npz")


@pytest.mark.parametrize(
    ("top", "told"),
    [
        ("a,b,c\n", "line 1, 'a' ..., is a header and left out"),
        (
            '# of Monday\n\n"t, in s",b,c\n',
            "line 3, 't, in s' ..., is a header and left out",
        ),
        ("\ufeffa,b,c\n", "line 1, 'a' ..., is a header and left out"),
        ("0,1,2\n", "its first row is 0, 1, 2 ...: if that is a header, delete it"),
        ("", None),
    ],
    ids=["words", "comment", "mark", "numbers", "none"],
)
def test_a_header_of_a_csv_is_left_out_and_said(tmp_path, top, told):
    path = tmp_path / "x.csv"
    path.write_text(f"{top}1,2,4\n3,5,5\n2,2,7\n", "utf-8")
    found = load_series(path)
    assert len(found) == 3 + (top[:1] == "0") and found.told[1:-1] == (
        (told,) if told else ()
    )
    back = in_units(found.x_0.double(), found.scale)[-3:, 0]
    assert (back - torch.tensor([[1.0, 2, 4], [3, 5, 5], [2, 2, 7]])).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1;2\n3;4\n", "semicolons part its numbers: replace them by commas$"),
        ("1,5;2\n3;4\n", "semicolons .* by commas, after its decimal commas by points$"),
        ("1\t2\n3\t4\n", "tabs part its numbers: replace them by commas$"),
        (
            "t,1\n2,3\n",
            "line 1 holds 't', and all must be numbers: if this line is a header",
        ),
        (",1\n0,3\n", "line 1 holds '', and all must be numbers: if this line is a header"),
        ("a,b\n1,2\n1,x\n", "line 3 holds 'x', and all must be numbers$"),
        ("1,2\n1,2,3\n", "line 2 holds 3 numbers, and line 1 2$"),
        ("# none\n", "there is no line of numbers in it"),
        ("a,b\n", "line 1 holds 'a', and all must be numbers"),
    ],
    ids="semicolons decimal tabs mixed index word long none header".split(),
)
def test_what_is_wrong_with_a_csv_is_said_by_its_line(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"x.csv cannot be read: {message}"):
        load_series(tmp_path / "x.csv")


def test_series_without_the_preset_are_told_how_to_be_read(tmp_path):
    y = np.arange(40) % 2
    np.save(tmp_path / "int16.npy", (100 * X).astype(np.int16))
    np.save(tmp_path / "uint8.npy", np.abs(X).astype(np.uint8) + 5)
    np.savez(tmp_path / "xy.npz", x=X, y=y)
    np.savetxt(tmp_path / "a b.csv", X, delimiter=",")
    for name in ("int16.npy", "uint8.npy", "xy.npz", "a b.csv"):
        words = "if these are series: ddpm-lite train series --data "
        with pytest.raises(ValueError, match=f"{words}'?{tmp_path}/{name}"):
            data.load(tmp_path / name)
        assert load_series(tmp_path / name).shape == (1, 16)


def test_the_middle_is_cut_out_where_a_size_is_asked_for(tmp_path):
    path = saved(tmp_path, X)
    whole, cut = load_series(path), load_series(path, size=11)
    assert cut.told[1] == "the middle 11 of 16 numbers are cut out (--size)"
    back = in_units(cut.x_0.double(), cut.scale)[:, 0].numpy()
    assert np.abs(back - X[:, 2:13]).max() < 1e-5
    assert load_series(path, size=16).told == whole.told


def test_a_split_keeps_labels_order_and_scale(tmp_path):
    np.savez(tmp_path / "xy.npz", x=X, y=np.arange(40))
    whole = load_series(tmp_path / "xy.npz")
    train, aside = whole.split(10)
    assert (len(train), len(aside)) == (30, 10) and train.scale == aside.scale
    both = torch.cat([train.y, aside.y])
    assert both.sort().values.equal(torch.arange(40)) and train.y.equal(train.y.sort()[0])
    for part in (train, aside):
        assert part.x_0.equal(whole.to_float(part.y))
    assert len(whole.split(0.25)[1]) == 10
    with pytest.raises(ValueError, match="leave one of xy's 40 series on either side"):
        whole.split(40)
    marks = {s.fingerprint() for s in (whole, train, aside)}
    assert len(marks) == 3 and whole.fingerprint() == whole.fingerprint()


def broken(i, value):
    array = X.copy()
    array[i, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (X[0], r"got one of \(16,\): cut a long recording into windows"),
        (X[:1], "two series or more, got 1"),
        (X[:0], r"must hold N series, \(N, L\) or \(N, C, L\), got \(0, 16\)"),
        (X.reshape(2, 2, 2, 80), r"must hold N series, .* got \(2, 2, 2, 80\)"),
        (X.reshape(10, 16, 4), r"more channels than numbers: .* a.transpose\(0, 2, 1\)"),
        (broken(7, np.nan), "NaN or infinity in 1 of 40 series, first in series 7"),
        (broken(0, np.inf), "NaN or infinity in 1 of 40 series, first in series 0"),
        (np.stack([X, 0 * X + 4], 1), r"channel 1 does not vary \(all are near 4\)"),
        (X > 3, "must hold numbers, floats or whole, got bool"),
    ],
    ids=["one", "few", "none", "four", "last", "nan", "inf", "constant", "bool"],
)
def test_what_cannot_be_learned_is_refused_in_words(tmp_path, array, message):
    with pytest.raises(ValueError, match=message):
        load_series(saved(tmp_path, array))


def test_files_that_are_none_are_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\.csv file, and there is no such file"):
        load_series(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", a=X, b=X)
    with pytest.raises(ValueError, match="must hold one array, or x and y, got a, b"):
        load_series(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=X, y=X)
    words = r"must hold 40 whole numbers, or names .*, got float64 .* y=y.astype\(str\)"
    with pytest.raises(ValueError, match=words):
        load_series(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="length 16, which are shorter than 17"):
        load_series(saved(tmp_path, X), size=17)


def test_only_what_can_be_nothing_else_is_read_as_series_unasked(tmp_path):
    assert is_plain(saved(tmp_path, X))
    assert not is_plain(saved(tmp_path, TWO)) and not is_plain(tmp_path / "no.npy")
    assert not is_plain(saved(tmp_path, X.astype(np.uint8)))
    for array in (TWO, X):
        path = saved(tmp_path, array)
        words = r"\(if these are series: ddpm-lite train series --data .*x.npy\): if "
        with pytest.raises(ValueError, match=words):
            data.load(path, size=16, channels=1)
