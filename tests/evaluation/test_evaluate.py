r"""The measures of pictures in one table, the judges judged, and FID from a file."""

import json

import pytest
import torch
from helpers import close, normal

from ddpm_lite import data
from ddpm_lite.evaluation import evaluate, inception, metrics
from ddpm_lite.training import device, experiment


@pytest.fixture(scope="module")
def digits():
    return data.digits("train")[0], data.digits("held_out")[0]


# --- samples whose faults are known


def test_the_fitted_gaussian_has_the_pictures_moments():
    train = 0.3 * normal(50, 1, 2, 2) + torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 2, 2)
    train[:, 0, 1, 1] += train[:, 0, 0, 0]  # correlated
    drawn = evaluate.fitted_gaussian(train, 40_000)
    assert drawn.shape == (40_000, 1, 2, 2) and drawn.dtype == train.dtype
    S, flat = torch.cov(train.flatten(1).T), drawn.flatten(1)
    error = (S.diagonal() / 40_000).sqrt()
    assert ((flat.mean(0) - train.flatten(1).mean(0)).abs() <= 5 * error).all()
    # the variance of a covariance of Gaussians is (S_ii S_jj + S_ij^2) / n
    error = ((S.diagonal()[:, None] * S.diagonal() + S**2) / 40_000).sqrt()
    assert ((torch.cov(flat.T) - S).abs() <= 5 * error).all()
    assert not torch.equal(drawn, evaluate.fitted_gaussian(train, 40_000, seed=1))


def test_the_memoriser_copies_with_replacement():
    train = normal(30, 1, 2, 2)
    drawn = evaluate.memoriser(train, 3000)
    index, apart = metrics.nearest(drawn, train)
    assert apart.eq(0).all()
    counts = index.flatten().bincount(minlength=30)
    # chi square with 29 degrees of freedom: mean 29, deviation 7.6
    assert float(((counts - 100) ** 2 / 100).sum()) < 29 + 5 * 7.6


# --- the table


def test_measures_are_those_of_metrics(digits):
    train, held_out = digits[0][:300], digits[1][:120]
    new = train[:80].flip(-1)
    table = evaluate.measures(new, train, held_out, levels=17, trees=20)
    new_numbers = {name: numbers["generated"] for name, numbers in table.items()}
    precision, recall = metrics.precision_recall(held_out, new)
    assert list(new_numbers) == [
        "fd_pixels_80",
        "fd_pixels_80_ratio",
        "precision",
        "recall",
        "nearer_to_training",
        "copying_share",
        "detectability",
    ]
    assert new_numbers["fd_pixels_80"] == metrics.frechet_distance(new, held_out)
    assert (new_numbers["precision"], new_numbers["recall"]) == (precision, recall)
    assert new_numbers["copying_share"] == metrics.copying_share(new, train, held_out)
    nearer = metrics.nearer_to_training(new, train, held_out)
    assert new_numbers["nearer_to_training"] == nearer
    assert new_numbers["detectability"] == metrics.detectability(held_out, new, 17, 20)
    real = {name: numbers["training"] for name, numbers in table.items()}
    assert real["fd_pixels_80_ratio"] == 1 and real["copying_share"] == 1
    ratio = new_numbers["fd_pixels_80"] / real["fd_pixels_80"]
    assert new_numbers["fd_pixels_80_ratio"] == pytest.approx(ratio, rel=1e-12)
    assert ratio > 1.5 and new_numbers["copying_share"] < 0.5


def test_the_training_column_is_n_training_pictures(digits, monkeypatch):
    train, held_out = digits[0][:200], digits[1][:60]
    seen = []

    def watched(x, y):
        seen.append(x)
        return 1.0

    monkeypatch.setattr(metrics, "frechet_distance", watched)
    monkeypatch.setattr(metrics, "detectability", lambda *a, **k: 0.5)
    for seed in (0, 0, 1):
        evaluate.measures(held_out[:50], train, held_out, seed=seed)
    chosen = seen[1::2]
    assert [len(x) for x in chosen] == [50] * 3
    index, apart = metrics.nearest(chosen[0], train)
    assert apart.eq(0).all() and len(index.unique()) == 50
    assert torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[0], chosen[2])


def test_samples_that_cannot_be_judged(digits):
    train, held_out = digits[0][:30], digits[1][:10]
    for n in (3, 31):
        with pytest.raises(ValueError, match=rf"4 to N samples .* got {n} samples, N = 30"):
            evaluate.measures(digits[0][:n], train, held_out)
    with pytest.raises(ValueError, match=r"4 held-out ones, got 5 samples, N = 30 and 3"):
        evaluate.measures(train[:5], train, held_out[:3])
    with pytest.raises(ValueError, match=r"at least 600 pictures, got 30"):
        evaluate.judges_judged(train, held_out)


def test_each_fault_is_seen_by_the_judge_that_looks_for_it(digits):
    table = evaluate.judges_judged(*digits, levels=17, trees=40)
    gaussian, memoriser, repeated, real = table.values()
    assert list(table) == ["gaussian", "memoriser", "repeated", "real"]
    assert next(iter(gaussian)) == "fd_pixels_719"
    # pixels' means and covariances cannot see a Gaussian: it is no worse than a copier
    assert gaussian["fd_pixels_719"] < memoriser["fd_pixels_719"]
    assert gaussian["precision"] < 0.3 and gaussian["detectability"] > 0.9
    # copies look real to all but those that look for copies
    assert memoriser["copying_share"] == repeated["copying_share"] == 1
    assert memoriser["nearer_to_training"] > 0.65  # (1 + 359 / 719) / 2 = 0.75
    assert memoriser["precision"] > 0.8 and memoriser["detectability"] < 0.7
    # missing kinds of pictures are missed by recall
    assert repeated["recall"] < real["recall"] - 0.15
    # real pictures are found real
    assert abs(real["copying_share"]) < 0.2 and abs(real["nearer_to_training"] - 0.5) < 0.1
    assert abs(real["detectability"] - 0.5) < 0.1 and real["precision"] > 0.85
    assert real["fd_pixels_719"] < min(k["fd_pixels_719"] for k in (memoriser, repeated))


# --- FID


def test_fid_compares_the_features_of_the_file_that_is_named(tmp_path, monkeypatch):
    network = inception.Inception()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("conv.weight"):  # of a size that lets the signal through
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
            tensor.mul_((2 / tensor[0].numel()) ** 0.5)
    save(network, tmp_path / "weights.safetensors")
    generated, real = normal(3, 1, 8, 8).tanh().float(), normal(2, 1, 8, 8, seed=1).tanh()
    compared = []
    # the distance itself takes seconds in 2048 dimensions; the next test has it
    monkeypatch.setattr(metrics, "frechet_distance", lambda x, y: compared.append((x, y)))
    evaluate.fid(generated, real, tmp_path / "weights.safetensors", 2, levels=None)
    ((x, y),) = compared
    assert x.shape == (3, 2048) and y.shape == (2, 2048)
    close(x, inception.features(network, generated), rtol=1e-4, atol=1e-4)
    close(y[1:], inception.features(network, real[1:]), rtol=1e-4, atol=1e-4)
    assert (y[0] - y[1]).abs().max() > 0.01


def save(network, path):
    from safetensors.torch import save_file

    state = network.state_dict().items()
    save_file({k: v for k, v in state if not k.endswith("num_batches_tracked")}, path)


@pytest.fixture
def flat_features(monkeypatch):
    r"""Inception replaced by the pixels themselves, to see what fid hands to it."""
    handed = []

    def features(network, pictures, batch_size):
        handed.append(pictures)
        return pictures.flatten(1)

    monkeypatch.setattr(inception, "load", lambda path: torch.nn.Identity())
    monkeypatch.setattr(inception, "features", features)
    return handed


def test_fid_is_labelled_and_is_of_8_bit_pictures(flat_features):
    generated, real = normal(9, 1, 2, 2).tanh(), normal(7, 1, 2, 2, seed=1).tanh()
    label = evaluate.labelled_fid(
        generated, real, "some/where/w.pth", "7 invented pictures", "ddim", 50
    )
    value = label.pop("fid_9")
    assert label == {
        "reference": "7 invented pictures",
        "n_reference": 7,
        "sampler": "ddim",
        "steps": 50,
        "levels": 256,
        "weights": "w.pth",
    }
    for x, handed in zip((generated, real), flat_features, strict=True):
        close(handed, ((x + 1) * 127.5).round() / 127.5 - 1, atol=1e-12)
    assert value == metrics.frechet_distance(*flat_features)
    raw = evaluate.fid(generated, real, "w.pth", levels=None)
    assert raw == metrics.frechet_distance(generated, real) != value


def test_fid_refuses_before_it_works(flat_features, tmp_path):
    good = normal(4, 1, 2, 2).tanh()
    with pytest.raises(ValueError, match=r"real must lie in \[-1, 1\], got values from"):
        evaluate.fid(good, 127.5 * (good + 1), "w.pth")
    with pytest.raises(ValueError, match=r"generated must be floating .* torch.uint8"):
        evaluate.fid(good.to(torch.uint8), good, "w.pth")
    with pytest.raises(ValueError, match=r"at least 2 pictures .* got 1 generated and 4"):
        evaluate.fid(good[:1], good, "w.pth")
    assert flat_features == []


def test_fid_without_weights(tmp_path):
    x = normal(2, 1, 2, 2).tanh()
    with pytest.raises(FileNotFoundError, match=r"no Inception weights at .*none.pth"):
        evaluate.fid(x, x, tmp_path / "none.pth")


def test_the_command_line_takes_every_sampler_and_spacing(tmp_path, capsys):
    from ddpm_lite.commands import main as cli

    common = ["sample", "digits", "--num", "2", "--device", "cpu", "--json"]
    for sampler, spacing, calls in (
        ("heun", "quadratic", 5),
        ("dpmpp_2m", "log_snr", 3),
        ("dpmpp_2m_sde", "linspace", 3),
    ):
        more = [
            "--sampler",
            sampler,
            "--spacing",
            spacing,
            "--out",
            f"{tmp_path}/{sampler}",
        ]
        assert cli.main([*common, *more, "--steps", "3"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["steps"], result["calls"]) == (3, calls)
        assert (tmp_path / sampler / "grid.png").exists()
    more = ["--sampler", "dpmpp_2m", "--out", f"{tmp_path}/25"]
    assert cli.main([*common, *more]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 25
    bad = ("--sampler", "euler"), ("--spacing", "even"), ("--precision", "half")
    for option, value in bad:
        assert cli.main([*common, option, value, "--out", f"{tmp_path}/no"]) == 1
        assert f"{option[2:]} must be one of" in capsys.readouterr().err


def test_the_precision_of_the_network_when_sampling(tmp_path, capsys, monkeypatch):
    from ddpm_lite.commands import main as cli

    ask = ["sample", "digits", "--num", "2", "--steps", "3", "--device", "cpu", "--json"]
    grids, devices = {}, {}
    for precision in ("auto", "float32", "bfloat16"):
        out = tmp_path / precision
        assert cli.main([*ask, "--precision", precision, "--out", str(out)]) == 0
        devices[precision] = json.loads(capsys.readouterr().out)["device"]
        grids[precision] = (out / "00000.png").read_bytes()
    assert grids["auto"] == grids["float32"] != grids["bfloat16"]  # it is narrow
    assert "in float32," in devices["auto"] and "in bfloat16," in devices["bfloat16"]
    monkeypatch.setattr(device, "WIDE", 24)
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    assert cli.main([*ask, "--out", str(tmp_path / "wide")]) == 0
    assert (tmp_path / "wide" / "00000.png").read_bytes() == grids["bfloat16"]
    model, schedule, config, _ = cli._load("digits", None, "cpu")
    draw = dict(sampler="ddim", steps=25, progress=False)
    exact, half = (
        experiment.draw(model, schedule, config, 4, precision=precision, **draw)
        for precision in ("float32", "bfloat16")
    )
    assert 0 < (exact - half).abs().mean() < 0.02  # 2.5 grey levels of 255


def test_a_run_that_goes_on_in_another_precision_says_so(tmp_path, monkeypatch, capsys):
    from ddpm_lite.commands import main as cli

    monkeypatch.setattr(device, "WIDE", 24)
    ask = ["train", "digits", "--out", f"{tmp_path}/run", "--batch-size", "4", "--json"]
    ask += ["--sample-every", "0", "--device", "cpu", "--steps", "1"]
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: True)
    assert cli.main(ask) == 0
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (about["precision"], about["train"]["precision"]) == ("bfloat16", "auto")
    monkeypatch.setattr(device, "cpu_computes_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="ran in bfloat16 so far, .* runs in float32"):
        assert cli.main(["resume", f"{tmp_path}/run", "--steps", "2", "--json"]) == 0
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert about["precision"] == "float32"
    capsys.readouterr()
