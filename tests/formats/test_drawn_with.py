r"""The chain that was chosen for a model travels with it, and holds unless one asks."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ddpm_lite import (
    Schedule,
    TrainConfig,
    Trainer,
    UNet,
    UNetConfig,
    guided,
    load_model,
    load_run,
    sample,
    save_model,
)
from ddpm_lite.data.pictures import PictureSet
from ddpm_lite.formats.chosen import chain_of, check_drawn_with, choice_of, in_words
from ddpm_lite.formats.weights import Pretrained
from ddpm_lite.training import experiment
from ddpm_lite.training.fit import fit
from ddpm_lite.training.presets import RunConfig
from ddpm_lite.training.starting import chain_of_run, like

STORED = Path(__file__).parent / "run_0.2.0"
TINY = UNetConfig(
    size=8, channels=1, width=4, multipliers=(1,), blocks=1, attention=(), groups=2, T=20
)
T, COSINE = 20, Schedule.cosine(20)
SMALL = {"sampler": "ancestral", "steps": 7, "variance": "small"}
SOLVER = {"sampler": "dpmpp_2m", "steps": 5, "spacing": "log_snr"}
NOISY = {"sampler": "ddim", "steps": 6, "spacing": "quadratic", "eta": 0.5}


def network(classes=0):
    torch.manual_seed(0)
    model = UNet(replace(TINY, classes=classes, zero_init=False))
    if classes:
        with torch.no_grad():  # classes are far apart
            model.class_embedding.weight.mul_(30)
    return model


def holding(chain, classes=0):
    return Pretrained(network(classes).eval(), COSINE, {"drawn_with": chain})


def drawn(found, **options):
    return found.sample(3, progress=False, **options)


# --- the rule


@pytest.mark.parametrize(
    ("asked", "stored", "expected"),
    [
        ({}, {}, {}),
        ({"steps": 4}, {}, {"steps": 4}),
        ({}, SMALL, SMALL),
        ({}, NOISY, NOISY),
        ({"sampler": None, "steps": None, "eta": None}, NOISY, NOISY),
        ({"steps": 4}, NOISY, NOISY | {"steps": 4}),
        ({"eta": 0}, NOISY, NOISY | {"eta": 0}),
        ({"variance": "large"}, SMALL, SMALL | {"variance": "large"}),
        ({"spacing": "trailing"}, SOLVER, SOLVER | {"spacing": "trailing"}),
        ({"sampler": "ddim"}, NOISY, NOISY),  # the one that is stored
        ({"sampler": "ddim", "steps": 4}, NOISY, NOISY | {"steps": 4}),
        ({"sampler": "heun"}, NOISY, {"sampler": "heun"}),
        ({"sampler": "heun", "steps": 4}, SOLVER, {"sampler": "heun", "steps": 4}),
        ({"sampler": "ddim"}, SMALL | {"guidance": 2}, {"sampler": "ddim"}),
        ({"steps": 4}, SMALL | {"guidance": 2}, SMALL | {"steps": 4, "guidance": 2}),
        ({"guidance": 1}, SMALL | {"guidance": 2}, SMALL | {"guidance": 1}),
        ({"steps": T}, NOISY, {"sampler": "ddim", "steps": T, "eta": 0.5}),
        ({"pairs": [(9, 0)]}, NOISY, {"sampler": "ddim", "eta": 0.5, "pairs": [(9, 0)]}),
        ({"clip": None, "seed": 3}, SMALL, SMALL | {"clip": None, "seed": 3}),
    ],
)
def test_what_is_not_asked_for_is_as_stored(asked, stored, expected):
    before = dict(stored)
    assert chain_of(asked, stored, COSINE) == expected
    assert stored == before
    again = chain_of(expected, stored, COSINE)  # so that it may be asked twice
    assert again == expected


@pytest.mark.parametrize(
    ("asked", "stored", "word", "words"),
    [
        ({}, {}, "default", "the default sampler"),
        ({"steps": 3}, {}, "default", "the default sampler"),
        ({"sampler": "heun"}, {}, "options", "as asked"),
        ({"sampler": None}, SMALL, "model", "as stored with the model"),
        ({"sampler": "ancestral"}, SMALL, "model", "as stored with the model"),
        ({"steps": 7}, SMALL, "model", "as stored with the model"),
        ({"steps": 3}, SMALL, "model", "as stored with the model but for steps"),
        (
            {"sampler": "ddim"},
            SMALL,
            "options",
            "as asked and not as stored with the model",
        ),
    ],
)
def test_whose_choice_it_was(asked, stored, word, words):
    assert choice_of(asked, stored) == (word, words)


def test_a_chain_in_words():
    assert in_words({"sampler": "heun", "steps": 9, "eta": None}) == "9 steps of heun"
    words = "6 steps of ddim (spacing quadratic, eta 0.5, guidance 2)"
    assert in_words(NOISY | {"guidance": 2}) == words


# --- drawing in Python


@pytest.mark.filterwarnings("ignore:q.x_T . x_0. is not yet N")  # solvers start at 19
@pytest.mark.parametrize("chain", [SMALL, SOLVER, NOISY], ids=lambda c: c["sampler"])
def test_a_loaded_model_draws_as_is_stored_with_it(tmp_path, chain):
    path = tmp_path / "a.safetensors"
    save_model(path, network(), COSINE, {"drawn_with": chain})
    found = load_model(path)
    assert found.drawn_with == found.config["drawn_with"] == chain
    by_hand = [(0, i) for i in range(3)]
    options = dict(seed=by_hand, progress=False)
    plain = sample(found.model, COSINE, (3, 1, 8, 8), **options, **chain)
    assert torch.equal(drawn(found), plain)
    assert torch.equal(drawn(found, **chain), plain)
    other = sample(found.model, COSINE, (3, 1, 8, 8), **options)
    assert not torch.equal(other, plain)
    shorter = sample(found.model, COSINE, (3, 1, 8, 8), **options, **chain | {"steps": 3})
    assert torch.equal(drawn(found, steps=3), shorter)
    heun = sample(found.model, COSINE, (3, 1, 8, 8), sampler="heun", steps=4, **options)
    assert torch.equal(drawn(found, sampler="heun", steps=4), heun)
    whole = {k: v for k, v in chain.items() if k != "spacing"}
    if chain["sampler"] != "dpmpp_2m":  # which starts below T
        whole = sample(found.model, COSINE, (3, 1, 8, 8), **options, **whole | {"steps": T})
        assert torch.equal(drawn(found, steps=T), whole)


def test_a_model_without_a_chain_draws_as_before():
    for config in ({}, {"drawn_with": {}}):
        found = Pretrained(network().eval(), COSINE, config)
        seeds = [(0, i) for i in range(3)]
        plain = sample(found.model, COSINE, (3, 1, 8, 8), seed=seeds, progress=False)
        assert torch.equal(drawn(found), plain)


def test_guidance_may_be_stored_and_is_for_classes():
    found = holding(SMALL | {"guidance": 3}, classes=2)
    y, seeds = torch.tensor([0, 1, 0]), [(0, i) for i in range(3)]
    options = dict(seed=seeds, progress=False)
    clear, shape = guided(found.model, 3), (3, 1, 8, 8)
    expected = sample(clear, COSINE, shape, y=y, **options, **SMALL)
    assert torch.equal(drawn(found), expected)
    plain = sample(found.model, COSINE, shape, y=y, **options, **SMALL)
    assert torch.equal(drawn(found, guidance=1), plain)
    assert not torch.equal(plain, expected)
    none = sample(found.model, COSINE, shape, **options, **SMALL)
    assert torch.equal(drawn(found, y=None), none)
    other = drawn(found, sampler="ddim", steps=4)  # nothing that is stored
    ddim = sample(found.model, COSINE, shape, y=y, sampler="ddim", steps=4, **options)
    assert torch.equal(other, ddim)
    with pytest.raises(ValueError, match="guidance needs classes, and this network has no"):
        check_drawn_with(SMALL | {"guidance": 3}, classes=0)


# --- damaged and impossible ones

WRONG = [
    ([1], r"drawn_with must be a dictionary like .*\"ancestral\".*, got \[1\]"),
    (None, "drawn_with must be a dictionary like .* got None"),
    ({"step": 3}, "drawn_with holds 'step': did you mean steps"),
    (SMALL | {"seed": 3}, "drawn_with holds 'seed': it takes sampler, steps, spacing"),
    ({"steps": 3}, "drawn_with lacks sampler: write it like"),
    ({"sampler": "ddim"}, "drawn_with lacks steps: write it like"),
    (
        SMALL | {"sampler": "euler"},
        "sampler must be one of ancestral, ddim, .* got 'euler'",
    ),
    (SMALL | {"steps": "7"}, "steps must be an integer >= 1, got '7'"),
    (SMALL | {"steps": True}, "steps must be an integer >= 1, got True"),
    (SMALL | {"steps": None}, "steps must be an integer >= 1, got None"),
    (SMALL | {"variance": "medium"}, "variance must be one of small, large, got 'medium'"),
    (SMALL | {"eta": 0.5}, "eta is for sampler='ddim', got eta=0.5 for 'ancestral'"),
    (NOISY | {"eta": 2}, r"eta must be a number in \[0, 1\], got 2"),
    (NOISY | {"variance": "small"}, "variance is for sampler='ancestral'"),
    (NOISY | {"spacing": "even"}, "spacing must be one of trailing, .* got 'even'"),
    (SMALL | {"guidance": "3"}, "guidance must be a number, got '3'"),
]
UNFIT = [
    (SMALL | {"steps": 21}, r"cannot be used: steps must be an integer in 1\.\.20, got 21"),
    (NOISY | {"steps": 20}, "spacing='quadratic' says which of 20 steps"),
    (NOISY | {"steps": 19}, "quadratic spacing cannot give 19 different steps of 20"),
    (SMALL | {"guidance": 2}, "guidance needs classes, and this network has none"),
]


def put(path, chain):
    r"""Change the chain in a weight file, as somebody may who edits it."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["ddpm_lite"])
    about["config"]["drawn_with"] = chain
    save_file(load_file(path), path, metadata={"ddpm_lite": json.dumps(about)})


@pytest.mark.parametrize(("chain", "words"), WRONG + UNFIT, ids=range(len(WRONG + UNFIT)))
def test_a_chain_that_none_is_is_refused_by_name(tmp_path, chain, words):
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=words) as told:
        save_model(path, network(), COSINE, {"drawn_with": chain})
    assert str(path) in str(told.value) and not list(tmp_path.iterdir())
    save_model(path, network(), COSINE)
    put(path, chain)
    with pytest.raises(ValueError, match=words) as told:
        load_model(path)
    assert str(path) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(("chain", "words"), WRONG, ids=range(len(WRONG)))
def test_the_settings_of_a_run_refuse_it_too(chain, words):
    with pytest.raises(ValueError, match=words):
        RunConfig(drawn_with=chain)


@pytest.mark.parametrize(("chain", "words"), UNFIT[:3], ids=range(3))
def test_a_chain_that_does_not_fit_is_refused_before_any_picture_is_read(chain, words):
    config = RunConfig(unet=TINY, drawn_with=chain, schedule="cosine", sample_steps=2)
    config = replace(config, data="nowhere")
    with pytest.raises(ValueError, match=words):
        experiment.prepare(config, "cpu")


# --- runs


def a_run(tmp_path, chain, steps=1, resume=False):
    train = TrainConfig(steps=steps, batch_size=2, sample_every=0, warmup_steps=0)
    trainer = Trainer(network(), COSINE, torch.zeros(4, 1, 8, 8), train)
    about = {} if chain is None else {"drawn_with": chain}
    fit(trainer, tmp_path / "run", about=about, progress=False, resume=resume)
    return tmp_path / "run"


def edit(run, **values):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_run_keeps_it_and_so_do_its_checkpoints(tmp_path):
    run = a_run(tmp_path, SMALL)
    found = load_run(run)
    assert found.drawn_with == SMALL
    file = run / "checkpoints" / "step_000000001" / "model.safetensors"
    assert load_model(file).drawn_with == SMALL
    a_run(tmp_path, None, steps=2, resume=True)
    found = load_run(run)
    assert found.config["step"] == 2 and found.drawn_with == SMALL
    assert torch.equal(drawn(found), drawn(found, **SMALL))


def test_what_somebody_wrote_into_config_json_holds_or_is_refused(tmp_path):
    run = a_run(tmp_path, SMALL)
    edit(run, drawn_with=NOISY)
    assert load_run(run).drawn_with == NOISY
    a_run(tmp_path, None, steps=2, resume=True)
    edit(run, drawn_with=NOISY | {"steps": 50})
    words = r"run.config.json: drawn_with cannot be used: steps must be .* 1\.\.20, got 50"
    with pytest.raises(ValueError, match=words):
        load_run(run)
    with pytest.raises(ValueError, match=words):  # before a step
        a_run(tmp_path, None, steps=3, resume=True)
    assert not (run / "checkpoints" / "step_000000003").exists()


def test_a_run_of_settings_with_a_chain_is_drawn_with_it_after_resume(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment, "report", lambda *_: None)
    train = TrainConfig(steps=1, batch_size=2, sample_every=0)
    config = RunConfig(unet=TINY, train=train, schedule="cosine", sample_steps=2)
    config = replace(config, data="digits", hold_out=9, drawn_with=SMALL)
    experiment.train(experiment.prepare(config, "cpu"), tmp_path / "run")
    told = []
    again = dict(device="cpu", tell=told.append)
    experiment.resume(tmp_path / "run", steps=2, **again)
    found = load_run(tmp_path / "run")
    assert found.config["step"] == 2 and found.drawn_with == SMALL
    assert torch.equal(drawn(found), drawn(found, **SMALL))
    assert not any("drawn_with" in line for line in told)
    edit(tmp_path / "run", drawn_with=NOISY)
    experiment.resume(tmp_path / "run", steps=3, **again)
    assert load_run(tmp_path / "run").drawn_with == NOISY
    line = next(line for line in told if line.startswith("drawn_with was"))
    assert repr(SMALL) in line and f"from here on is {NOISY!r}" in line


def test_a_run_of_version_0_2_0_draws_as_before():
    run = load_run(STORED)
    assert run.drawn_with == {} and "drawn_with" not in run.config
    assert RunConfig.from_dict(run.config).drawn_with == {}
    y, seeds = torch.arange(3), [(0, i) for i in range(3)]
    options = dict(y=y, seed=seeds, progress=False)
    plain = sample(run.model, run.schedule, (3, 1, 8, 8), **options)
    assert torch.equal(drawn(run), plain)


def test_settings_go_through_json():
    config = RunConfig(unet=TINY, sample_steps=2, drawn_with=NOISY)
    again = RunConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert again == config and again.drawn_with == NOISY
    assert RunConfig().as_dict()["drawn_with"] == {}
    with pytest.raises(ValueError, match=r"config.json holds 'drawn_wth': did you mean dr"):
        RunConfig.from_dict(config.as_dict() | {"drawn_wth": NOISY})


# --- what a run starts from


def test_guidance_goes_where_no_classes_are_learned():
    chain, pictures = SMALL | {"guidance": 2}, torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    y, names = torch.tensor([0, 1, 0, 1]), ("a", "b")
    labelled, plain = PictureSet(pictures, y, classes=names), PictureSet(pictures)
    config = RunConfig(unet=TINY, sample_steps=2, drawn_with=chain)
    dropping = replace(config, train=TrainConfig(drop_label=0.1))
    assert dropping.fitted_to(labelled).drawn_with == chain
    assert replace(config, init="x").fitted_to(labelled).drawn_with == chain
    assert config.fitted_to(labelled).drawn_with == SMALL  # it never sees "no class"
    assert dropping.fitted_to(plain).drawn_with == SMALL


def test_weights_to_start_from_bring_their_chain(tmp_path):
    path = str(tmp_path / "a.safetensors")
    save_model(path, network(), COSINE, {"drawn_with": SMALL})
    before = RunConfig(init=path, drawn_with=SOLVER)
    assert like(before).drawn_with == SMALL
    save_model(path, network(), COSINE)
    assert like(before).drawn_with == {}  # a preset's was chosen for another network


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"schedule": "linear"}, "schedule"),
        ({"unet": replace(TINY, T=5)}, "T"),
        ({"unet": replace(TINY, prediction="v")}, "prediction"),
        ({"schedule": "linear", "unet": replace(TINY, T=5)}, "schedule, T"),
        ({"schedule": "linear", "beta_end": 0.5}, "schedule, beta_end"),
    ],
    ids=range(5),
)
def test_a_chain_is_left_out_where_another_one_would_be_walked(change, what):
    preset = RunConfig(unet=TINY, schedule="cosine", sample_steps=2, drawn_with=SMALL)
    config, lines = chain_of_run(replace(preset, train=TrainConfig(steps=3)), preset, "x")
    words = "drawing   7 steps of ancestral (variance small), as stored with x"
    assert config.drawn_with == SMALL and lines == [f"{words}: sample and evaluate do so"]
    config, lines = chain_of_run(replace(preset, **change), preset, "x")
    why = f"{words}, is left out: it was chosen for another {what}"
    assert config.drawn_with == {} and lines == [why]
    assert chain_of_run(preset, replace(preset, drawn_with={}), "x")[1] == []
