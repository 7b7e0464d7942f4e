r"""The doctor: a healthy run has no fault, and each fault that is seeded is named."""

import json
import math
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from helpers import close, normal
from PIL import Image
from safetensors.torch import load_file, save_file

from ddpm_lite import Schedule, UNet, UNetConfig
from ddpm_lite.formats.checkpoint import load_model, save_model
from ddpm_lite.lab import doctor
from ddpm_lite.oracle import GaussianOracle
from ddpm_lite.process import q_sample
from ddpm_lite.training import experiment
from ddpm_lite.training.fit import fit
from ddpm_lite.training.presets import RunConfig
from ddpm_lite.training.trainer import TrainConfig

NETWORK = UNetConfig.preset("digits", width=16, multipliers=(1,), attention=())
TRAINING = TrainConfig(
    steps=120,
    batch_size=32,
    lr=6e-3,
    warmup_steps=20,
    decay_lr=True,
    ema_decay=0.98,
    save_every=60,
    sample_every=0,
    log_every=10,
)


def blocks(n, seed=0):
    r"""Pictures of 4 x 4 blocks, each dark or bright, with noise: uint8 (n, 8, 8)."""
    generator = np.random.default_rng(seed)
    grey = 28 + 200 * generator.integers(0, 2, (n, 4, 4)).repeat(2, 1).repeat(2, 2)
    return (grey + generator.integers(-20, 21, (n, 8, 8))).astype(np.uint8)


def train(run, pictures, hold_out, **settings):
    r"""Train on an .npy for a few seconds, as the command would; returns the folder."""
    path = run.with_suffix(".npy")
    np.save(path, pictures)
    config = RunConfig(
        data=str(path), hold_out=hold_out, unet=NETWORK, train=replace(TRAINING, **settings)
    )
    prepared = experiment.prepare(config, "cpu")
    about = prepared.config.as_dict() | {"described": prepared.described}
    about["versions"] = experiment.versions()
    aside = (prepared.held_out.x_0, None)
    fit(prepared.trainer, run, about=about, held_out=aside, progress=False)
    return run


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    r"""A run of 120 steps on 800 pictures, 200 set aside."""
    return train(tmp_path_factory.mktemp("doctor") / "healthy", blocks(1000), 200)


@pytest.fixture
def run(healthy, tmp_path):
    r"""A copy of the healthy run, to be broken."""
    return shutil.copytree(healthy, tmp_path / "run")


def examined(run):
    return doctor.examine(run, draws=128, samples=12)


def wrong(findings):
    return [finding.what for finding in findings if finding.level == "wrong"]


def newest(run):
    return run / "checkpoints" / (run / "newest").read_text()


def edit(path, **changes):
    r"""Set entries of a JSON file; a name with a dot is an entry of an entry."""
    values = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        inner = values
        for key in outer:
            inner = inner[key]
        inner[last] = value
    path.write_text(json.dumps(values))


def edit_log(run, change):
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "loss" in line:
            change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def rewrite(run, ema=None, live=None, schedule=None, **settings):
    r"""Write the newest checkpoint again with changed weights, settings or schedule."""
    path = newest(run) / "model.safetensors"
    found = load_model(path)
    model = UNet(replace(found.model.unet_config, **settings))
    weights = found.model.state_dict()
    model.load_state_dict(ema(weights) if ema else weights)
    save_model(path, model, schedule or found.schedule)
    state = load_file(newest(run) / "state.safetensors")
    if live:
        own = {name: value for name, value in state.items() if name.startswith("model.")}
        own = live({name.removeprefix("model."): value for name, value in own.items()})
        state |= {f"model.{name}": value for name, value in own.items()}
    save_file(state, newest(run) / "state.safetensors")
    for name, value in settings.items():
        edit(run / "config.json", **{f"unet__{name}": value})


def first_weights(run):
    config = json.loads((run / "config.json").read_text())
    own = {k: config[k] for k in RunConfig.__dataclass_fields__}
    return experiment.build(RunConfig.from_dict(own))[0].state_dict()


def other_data(run, pictures):
    r"""Let the run's .npy hold other pictures, and let the run seem trained on them."""
    path = run.with_suffix(".npy")
    np.save(path, pictures)
    edit(run / "config.json", data=str(path))
    config = json.loads((run / "config.json").read_text())
    own = {k: config[k] for k in RunConfig.__dataclass_fields__}
    loaded, _ = experiment.load_pictures(RunConfig.from_dict(own))
    edit(newest(run) / "state.json", data=doctor.fingerprint(loaded.x_0))


# --- faults: what is done to a healthy run


def cut_short(run):
    path = newest(run) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def one_file_lost(run):
    (newest(run) / "model.safetensors").unlink()


def checkpoint_not_copied(run):
    shutil.rmtree(newest(run))


def no_checkpoint(run):
    shutil.rmtree(run / "checkpoints")


def config_lost(run):
    (run / "config.json").unlink()


def config_of_another_version(run):
    edit(run / "config.json", unet__depth=3)


def log_cut_short(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 130, "lo')


def nan_in_adam(run):
    path = newest(run) / "state.safetensors"
    state = load_file(path)
    state["adam.exp_avg.conv_in.weight"][0, 0, 0, 0] = math.nan
    save_file(state, path)


def never_updated(run):
    first = first_weights(run)
    rewrite(run, lambda _: first, lambda _: first)


def average_never_updated(run):
    first = first_weights(run)
    rewrite(run, lambda _: first)


def average_without_warm_up(run):
    first = first_weights(run)
    share = 0.99**120  # of a decay 0.99
    rewrite(run, lambda own: {k: v.lerp(first[k], share) for k, v in own.items()})
    edit(newest(run) / "state.json", ema_initial_share=share)
    edit(run / "config.json", train__ema_decay=0.99)


def average_behind(run):
    first = first_weights(run)
    rewrite(run, lambda own: {k: v.lerp(first[k], 0.25) for k, v in own.items()})


def another_schedule_in_config(run):
    edit(run / "config.json", schedule="cosine")


def another_network_in_config(run):
    edit(run / "config.json", unet__width=32)


def other_channels_in_config(run):
    edit(run / "config.json", unet__channels=3)


def short_chain(run):
    rewrite(run, schedule=Schedule.linear(100), T=100)


def another_folder(run):
    path = run.with_suffix(".npy")
    np.save(path, blocks(1000, seed=1))
    edit(run / "config.json", data=str(path))


def zero_to_one(run):
    other_data(run, blocks(1000) // 128)


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


def loss_was_nan(run):
    (run / "bad_batch_step_000000130.safetensors").write_bytes(b"")


def loss_rises(run):
    edit_log(run, lambda line: line.update(loss=line["loss"] + line["step"] / 100))


def warm_up_too_long(run):
    edit(run / "config.json", train__warmup_steps=5000)


def gradient_explodes(run):
    edit_log(run, lambda line: line.update(grad_norm=math.exp(line["step"] / 10)))


def gradient_clipped(run):
    edit_log(run, lambda line: line.update(grad_norm=30.0, clipped=1.0))


def half_precision_overflows(run):
    edit(run / "config.json", train__precision="float16")
    edit(newest(run) / "state.json", scaler={"scale": 2.0**-20})


def hardly_trained(run):
    first = first_weights(run)

    def back(own):
        return {k: v.lerp(first[k], 0.7) for k, v in own.items()}

    rewrite(run, back, back)


def one_sampling_step(run):
    edit(run / "config.json", sample_steps=1)


def says_v_predicts_noise(run):
    rewrite(run, prediction="v")


def answer_scaled(run):
    def scaled(own):
        return own | {k: 0.8 * v for k, v in own.items() if k.startswith("conv_out")}

    rewrite(run, scaled, scaled)


def answer_shifted(run):
    def shifted(own):
        return own | {"conv_out.bias": own["conv_out.bias"] + 0.15}

    rewrite(run, shifted, shifted)


def answer_negated(run):
    def negated(own):
        return own | {k: -v for k, v in own.items() if k.startswith("conv_out")}

    rewrite(run, negated, negated)


def copies(run):
    (run / "memorisation.json").write_text('{"samples": 200, "copying_share": 0.9}')


# what is done, what must be named first, and what may follow from it
SPOILED = {"loss", "noisy samples", "washed-out samples", "black samples", "noise at t = T"}
FAULTS = [
    (cut_short, "checkpoint", SPOILED),  # the one before is looked at, of half the run
    (one_file_lost, "checkpoint", SPOILED),
    (checkpoint_not_copied, "newest checkpoint", SPOILED),
    (no_checkpoint, "checkpoint", set()),
    (config_lost, "config.json", set()),
    (config_of_another_version, "config.json", set()),
    (log_cut_short, "metrics", set()),
    (nan_in_adam, "weights not finite", set()),
    (never_updated, "not trained", set()),
    (average_never_updated, "EMA", set()),
    (average_without_warm_up, "EMA horizon", {"EMA lag"} | SPOILED),
    (average_behind, "EMA lag", SPOILED),
    (another_schedule_in_config, "schedule", set()),
    (another_network_in_config, "network settings", set()),
    (other_channels_in_config, "network settings", {"other pictures"}),
    (short_chain, "prior gap", SPOILED | {"saturated samples"}),
    (another_folder, "other pictures", set()),
    (zero_to_one, "data range", SPOILED | {"prediction"}),
    (blank_pictures, "constant pictures", SPOILED | {"duplicates"}),
    (black_pictures, "black pictures", SPOILED),
    (repeated_pictures, "duplicates", set()),
    (loss_was_nan, "loss not finite", set()),
    (loss_rises, "loss rises", set()),
    (warm_up_too_long, "warm-up", set()),
    (gradient_explodes, "gradient explodes", set()),
    (gradient_clipped, "gradient clipped", set()),
    (half_precision_overflows, "precision", set()),
    (hardly_trained, "loss", SPOILED),
    (says_v_predicts_noise, "prediction", SPOILED),
    (one_sampling_step, "sampler", set()),
    (answer_scaled, "loss", SPOILED),
    (answer_shifted, "black samples", set()),
    (copies, "copies", set()),
]


def test_a_healthy_run_has_no_fault(healthy):
    findings = examined(healthy)
    assert wrong(findings) == [], doctor.table(findings)
    order = [finding.what for finding in findings]
    asked = ["prior gap", "prediction", "loss", "memorised", "sampler", "noise at t = T"]
    assert [what for what in order if what in asked] == asked
    assert order[-1] == "samples"
    json.dumps([asdict(finding) for finding in findings], allow_nan=False)


def test_it_says_the_same_again_and_writes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    one, other = ([f for f in examined(run) if f.what != "disk"] for _ in range(2))
    assert one == other
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize(
    ("fault", "name", "follows"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS]
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    fault(run)
    findings = examined(run)
    named = wrong(findings)
    assert named[:1] == [name], doctor.table(findings)
    assert set(named) <= {name} | follows, doctor.table(findings)
    words = next(f.words for f in findings if f.what == name and f.level == "wrong")
    assert words.count(" ") > 8  # a sentence, not a code


def test_an_answer_of_the_wrong_sign_is_seen_at_the_end_of_the_chain(run):
    answer_negated(run)
    found = {f.what: f for f in examined(run)}
    assert found["noise at t = T"].level == "wrong"
    assert found["noise at t = T"].numbers["correlation"] < -0.9


def test_a_network_with_classes_and_learned_variance_can_be_asked(tmp_path):
    for name in ("one", "other"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i, picture in enumerate(blocks(20, seed=len(name))):
            Image.fromarray(picture).save(tmp_path / "pictures" / name / f"{i}.png")
    unet = replace(NETWORK, prediction="v", learned_variance=True)
    config = RunConfig(data=str(tmp_path / "pictures"), hold_out=0, unet=unet)
    config = replace(config, train=replace(TRAINING, steps=1, flip=True, drop_label=0.1))
    prepared = experiment.prepare(config, "cpu")
    assert prepared.config.unet.classes == 2 and prepared.held_out is None
    fit(prepared.trainer, tmp_path / "run", about=prepared.config.as_dict(), progress=False)
    findings = examined(tmp_path / "run")
    levels = {f.what: f.level for f in findings}
    assert levels["loss"] == "wrong" and levels["few pictures"] == "note"
    assert levels["prediction"] == "ok"  # it answers nothing yet


def test_pictures_learned_by_heart_are_named(tmp_path):
    run = train(tmp_path / "few", blocks(12), 8, steps=80, batch_size=16)
    findings = examined(run)
    assert wrong(findings)[0] == "memorised", doctor.table(findings)
    assert "few pictures" in [finding.what for finding in findings]


def test_pictures_out_of_reach_are_no_fault(run):
    edit(run / "config.json", data=str(run / "nowhere"))
    findings = examined(run)
    assert wrong(findings) == []
    assert {f.what: f.level for f in findings}["pictures"] == "note"
    assert findings[-1].what == "samples"  # drawn all the same


def test_a_run_without_settings_of_pictures_is_looked_at_as_far_as_it_goes(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({"train": config["train"]}))
    levels = {f.what: f.level for f in examined(run)}
    assert "wrong" not in levels.values()
    assert levels["config.json"] == "note" and levels["loss curve"] == "ok"


def test_notes_are_no_faults(run):
    shutil.copytree(newest(run), newest(run).with_suffix(".part"))
    edit(run / "config.json", train__steps=1000, train__ema_decay=0.9999)
    levels = {f.what: f.level for f in examined(run)}
    assert "wrong" not in levels.values()
    for what in ("half a checkpoint", "not finished", "EMA horizon"):
        assert levels[what] == "note"


def test_an_x_0_that_is_not_cut_is_noted_beside_the_noise_that_comes_of_it(run):
    edit(run / "config.json", clip=False)
    findings = examined(run)
    assert wrong(findings) == ["noisy samples"]
    assert {f.what: f.level for f in findings}["sampler"] == "note"


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        doctor.diagnose(tmp_path / "nothing")


# --- the bounds


def test_the_linear_ceiling_is_the_gaussian_oracles_expected_loss():
    x_0, schedule = normal(700, 1, 8, 8) @ normal(8, 8, seed=1) * 0.3, Schedule.cosine(20)
    t = torch.arange(1, 21)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    covariance = flat.T @ flat / len(flat)
    oracle = GaussianOracle(schedule, x_0.mean(0), covariance)
    _, variance = oracle.x_0_moments(normal(20, 1, 8, 8), t)
    a = schedule.alpha_bar[t]
    by_oracle = a / (1 - a) * variance.flatten(1).mean(1)
    close(doctor.linear_ceiling(schedule, x_0, t), by_oracle, rtol=1e-8, atol=1e-12)


def test_the_oracles_loss_on_draws_agrees_with_the_ceiling():
    x_0, schedule = normal(640, 1, 4, 4) * torch.linspace(0.1, 1, 4), Schedule.cosine(20)
    oracle = GaussianOracle(
        schedule, x_0.mean(0), torch.cov(x_0.flatten(1).T, correction=0)
    )
    t = torch.full((640,), 8)
    errors = []
    for seed in range(30):
        noise = normal(640, 1, 4, 4, seed=seed + 1)
        told = oracle(q_sample(schedule, x_0, t, noise), t)
        errors.append((told - noise).square().mean())
    errors = torch.stack(errors)
    ceiling = float(doctor.linear_ceiling(schedule, x_0, t[:1]))
    assert abs(float(errors.mean()) - ceiling) < 4 * float(errors.std()) / 30**0.5
    assert 0.2 < ceiling < 0.8


def test_along_waves_the_ceiling_is_exact_where_a_shift_changes_nothing():
    # every circular shift of one picture: the waves are the covariance's eigenvectors
    first, schedule, t = normal(1, 1, 6, 8), Schedule.linear(50), torch.tensor([1, 9, 50])
    shifts = [first.roll((i, j), (2, 3)) for i in range(6) for j in range(8)]
    x_0 = torch.cat(shifts)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    values = torch.linalg.eigvalsh(flat.T @ flat / len(flat)).clamp(min=0)
    a = schedule.alpha_bar[t, None]
    by_hand = (a * values / (a * values + 1 - a)).mean(1)
    close(doctor.linear_ceiling(schedule, x_0, t), by_hand, rtol=1e-9)


def test_along_waves_the_ceiling_is_never_below_that_of_the_eigenvectors():
    x_0 = normal(300, 3, 4, 8) @ normal(8, 8, seed=1)
    schedule, t = Schedule.linear(50), torch.arange(1, 51)
    flat = x_0.flatten(1) - x_0.flatten(1).mean(0)
    values = torch.linalg.eigvalsh(flat.T @ flat / len(flat)).clamp(min=0)
    assert abs(float(doctor._variances(x_0).sum() / values.sum()) - 1) < 1e-9
    a = schedule.alpha_bar[t, None]
    best = (a * values / (a * values + 1 - a)).mean(1)
    ceiling = doctor.linear_ceiling(schedule, x_0, t)
    assert (ceiling > best - 1e-12).all() and (ceiling > 1.02 * best).any()


# --- what samples look like


def as_pictures(n=200):
    grey = torch.from_numpy(blocks(n)).float()[:, None] / 127.5 - 1
    return grey.expand(n, 3, 8, 8)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda x: x[:16], ""),
        (lambda x: normal(16, 3, 8, 8).float().clamp(-1, 1), "noisy samples"),
        (lambda x: 0.05 * x[:16] - 0.95, "black samples"),
        (lambda x: 0.5 * x[:16], "washed-out samples"),
        (lambda x: 0.4 * x[:16] + 0.6, "washed-out samples"),
        (lambda x: x[:1].expand(16, 3, 8, 8), "samples all alike"),
        (lambda x: x[:16].sign(), "saturated samples"),
    ],
)
def test_samples_get_the_name_that_a_person_would_give_them(change, name):
    x = as_pictures()
    got, why = doctor.name_of(doctor.looks(change(x)), doctor.looks(x))
    assert got == name and bool(why) == bool(name)


def test_looks_are_what_they_say():
    x = torch.tensor([[0.0, 1.0], [0.0, -1.0]]).reshape(2, 1, 1, 2)
    found = doctor.looks(x)
    assert found["brightness"] == 0 and found["saturated"] == 0.5
    assert found["roughness"] == 1  # one step between neighbours in each
    assert abs(found["contrast"] - 0.5**0.5) < 1e-6  # deviation of 0 and 1 about 1 / 2
    assert abs(found["variety"] - 2**0.5 / 2) < 1e-6  # of 0, 0 and of 1, -1


# --- the installation


def test_this_installation_has_no_fault():
    findings = doctor.diagnose()
    assert wrong(findings) == [], doctor.table(findings)
    assert len(findings) == 8


def faulty_posterior(monkeypatch):
    right = doctor.q_posterior
    monkeypatch.setattr(
        doctor, "q_posterior", lambda *a: (right(*a)[0] * 1.001, right(*a)[1])
    )


def faulty_oracle(monkeypatch):
    class Wrong(GaussianOracle):
        def x_0_moments(self, x_t, t):
            mean, variance = super().x_0_moments(x_t, t)
            return 0.9 * mean, variance

    monkeypatch.setattr(doctor, "GaussianOracle", Wrong)


def faulty_table(monkeypatch):
    table = replace(Schedule.linear(), alpha_bar=torch.full((1001,), math.nan))
    monkeypatch.setattr(doctor.Schedule, "sigmoid", lambda: table)


def no_temporary_folder(monkeypatch):
    monkeypatch.setattr(doctor.tempfile, "tempdir", "/nowhere/at/all")


def old_torch(monkeypatch):
    right = doctor.metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda n: "1.13.1" if n == "torch" else right(n)
    )


def card_without_cuda(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "nvidia-smi")
    monkeypatch.setattr(doctor, "choose_device", lambda: torch.device("cpu"))


def wrong_convolutions(monkeypatch):
    right = UNet.forward

    def forward(self, x_t, t, y=None):
        out = right(self, x_t, t, y)
        return out if x_t.dtype == torch.float64 else 1.05 * out

    monkeypatch.setattr(UNet, "forward", forward)


def model_cut_short(monkeypatch):
    def broken(name):
        raise ValueError(f"{name}.safetensors is not a whole safetensors file")

    monkeypatch.setattr(doctor, "load_pretrained", broken)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (faulty_posterior, "_mathematics"),
        (faulty_oracle, "_mathematics"),
        (faulty_table, "_mathematics"),
        (old_torch, "_versions"),
        (card_without_cuda, "_device"),
        (wrong_convolutions, "_network_on_device"),
        (model_cut_short, "_shipped"),
        (no_temporary_folder, "_temporary"),
    ],
)
def test_a_fault_of_the_installation_is_found(monkeypatch, fault, check):
    assert getattr(doctor, check)().level != "wrong"
    fault(monkeypatch)
    assert getattr(doctor, check)().level == "wrong"


def test_a_full_disk_is_found(monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((10**9, "ok"), (10**8, "note"), (10**7, "wrong")):
        monkeypatch.setattr(
            doctor.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free)
        )
        assert doctor._disk(tmp_path, 10**8 + 1).level == level


@pytest.mark.parametrize(
    ("version", "ranges", "fits"),
    [
        ("2.13.0+cpu", "<3,>=2.11", True),
        ("2.9.1", "<3,>=2.11", False),
        ("3.0", "<3,>=2.11", False),
        ("3.11.7", ">=3.11", True),
        ("3.10.12", ">=3.11", False),
        ("2.12.0a0+git1", ">=2.11", True),
        ("1.0.0", "==1.0", True),
        ("1.0.1", "!=1.0.1", False),
        ("10.4", ">10.4", False),
        ("0.1", "", True),
    ],
)
def test_versions_are_compared_number_by_number(version, ranges, fits):
    assert doctor.version_fits(version, ranges) is fits


def test_the_table_puts_wrong_ones_first_and_a_verdict_last():
    findings = [
        doctor.Finding("ok", "one", "All is well. " * 20),
        doctor.Finding("wrong", "second thing", "It is not so."),
        doctor.Finding("note", "three", "As it is."),
        doctor.Finding("wrong", "four", "Nor this."),
    ]
    lines = doctor.table(findings).splitlines()
    assert lines[0].startswith("wrong  second thing  It is not so.")
    assert lines[1].startswith("wrong  four          Nor this.")
    assert lines[2].startswith("note   three         As it is.")
    assert lines[3].startswith("ok     one           All") and lines[4].startswith(" " * 21)
    assert lines[-1] == "2 wrong, 1 to note, 1 in order; mend first: second thing"
    assert max(len(line) for line in lines) <= 100
    assert doctor.table([findings[0]]).endswith("0 wrong, 0 to note, 1 in order")


@pytest.mark.parametrize("computes", [True, False])
def test_the_device_tells_which_networks_run_in_bfloat16(monkeypatch, computes):
    monkeypatch.setattr(doctor, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(doctor, "cpu_computes_bfloat16", lambda: computes)
    assert (
        "32 channels or more would run in bfloat16" in doctor._device().words
    ) is computes
