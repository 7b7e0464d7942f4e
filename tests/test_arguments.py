r"""Wrong arguments of every public function: one line says what was expected and came."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Constant, normal

import ddpm_lite
from ddpm_lite import (
    EMA,
    MLP,
    DataOracle,
    GaussianOracle,
    MixtureOracle,
    Schedule,
    TrainConfig,
    Trainer,
    UNet,
    UNetConfig,
    hybrid_loss,
    load_model,
    load_pretrained,
    load_results,
    load_run,
    sample,
    save_model,
    simple_loss,
    timestep_pairs,
    vlb_terms,
)
from ddpm_lite.commands.shared import Drawing
from ddpm_lite.models.unet import UNetConfig as Config
from ddpm_lite.seeds import SampleNoise
from ddpm_lite.training import min_snr_weight

SHORT = Schedule.cosine(10)
X, T_1 = normal(2, 2).float(), torch.tensor([1, 5])
STEPS = TrainConfig(steps=2, batch_size=2)
DIGIT = dict(size=8, channels=1, width=8, multipliers=(1, 2), groups=4, attention=())


def draw(**changes):
    shape = changes.pop("shape", (2, 2))
    options = dict(progress=False) | changes
    return sample(Constant(0.0), SHORT, shape, **options)


def train(model=None, data=X, schedule=SHORT, config=STEPS, y=None):
    return Trainer(model or MLP(T=10), schedule, data, config, y=y)


WRONG = {
    "sample": [
        (lambda: draw(seed=None), r"seed must be one int >= 0 or 2 of them, got None"),
        (lambda: draw(seed=1.5), r"seed must be one int .* got 1\.5"),
        (lambda: draw(seed=True), r"seed must be one int .* got True"),
        (lambda: draw(seed="0"), r"seed must be one int .* got '0'"),
        (lambda: draw(seed=-1), r"seed must be one int .* got -1"),
        (lambda: draw(seed=[1, None]), r"seed must be one int .* got \[1, None\]"),
        (lambda: draw(seed=[1, 2, 3]), r"seed must be one int .* got \[1, 2, 3\]"),
        (lambda: draw(clip=True), r"clip must be None or \(low, high\) .* got True; for"),
        (lambda: draw(clip=1), r"clip must be None or .* got 1;"),
        (lambda: draw(clip=(1, -1)), r"clip must be None or .* got \(1, -1\)"),
        (lambda: draw(clip=(0, 0)), r"clip must be None or .* got \(0, 0\)"),
        (lambda: draw(clip=("a", "b")), r"clip must be None or .* got \('a', 'b'\)"),
        (lambda: draw(clip="pictures"), r"clip must be None or .* got 'pictures'"),
        (lambda: draw(clip=(0, float("nan"))), r"clip must be None or .* nan"),
        (lambda: draw(shape=(0, 2)), r"shape must be \(B, \.\.\.\).* got \(0, 2\)"),
        (lambda: draw(shape=5), r"shape must be .* got 5"),
        (lambda: draw(shape=(2.0, 2)), r"shape must be .* got \(2\.0, 2\)"),
        (lambda: draw(shape=(True, 2)), r"shape must be .* got \(True, 2\)"),
        (lambda: draw(shape=None), r"shape must be .* got None"),
        (lambda: draw(steps="5"), r"steps must be an integer in 1\.\.10, got '5'"),
        (lambda: draw(steps=True), r"steps must be an integer in 1\.\.10, got True"),
        (lambda: draw(steps=2.0), r"steps must be an integer in 1\.\.10, got 2\.0"),
        (lambda: draw(pairs=5), r"pairs must be a list of \(t, s\) .* got 5"),
        (lambda: draw(pairs=[5, 0]), r"pairs must be a list of \(t, s\) .* got \[5, 0\]"),
        (lambda: draw(pairs=[(9, 4.5), (4.5, 0)]), r"s must be an integer >= 0, got 4\.5"),
        (lambda: draw(pairs=[("9", 0)]), r"t must be an integer >= 1, got '9'"),
        (lambda: draw(sampler=None), "sampler must be one of ancestral, .* got None"),
        (lambda: draw(sampler="ddim", eta="1"), "eta must be a number in .* got '1'"),
        (lambda: draw(sampler="ddim", rederive="no"), "rederive must be True or False"),
        (lambda: draw(variance=0.1), "variance must be one of small, large, got 0.1"),
        (lambda: draw(sampler=lambda *a: a[1][:1]), r"x_t, \(2, 2\), got \(1, 2\)"),
        (lambda: draw(sampler=lambda *a: None), "a step must return x_s .* got NoneType"),
        (
            lambda: draw(variance=lambda *a: 0.1),
            "the variance .* must be a tensor, got 0.1",
        ),
        (lambda: draw(x_T=[0.0]), "x_T must be a floating point tensor .* got list"),
        (
            lambda: draw(x_T=torch.ones(2, 2).long()),
            r"x_T must be a floating .* torch\.int64",
        ),
        (lambda: draw(x_T=torch.ones(2, 3)), r"x_T must have shape \(2, 2\), got \(2, 3\)"),
        (lambda: draw(x_T=X * float("nan")), "x_T must be finite, but example 0"),
        (lambda: draw(dtype=torch.float16), "dtype must be float32 or float64, got"),
        (lambda: sample("digits", SHORT, (2, 2)), "model must be called .* got a str"),
        (
            lambda: sample(load_pretrained("s_curve"), SHORT, (2, 2)),
            "got a Pretrained; give its .model",
        ),
        (lambda: sample(train(), SHORT, (2, 2)), "got a Trainer; give its .model"),
        (
            lambda: sample(Constant(0.0), 1000, (2, 2)),
            "schedule must be a Schedule, .* int",
        ),
        (lambda: sample(SHORT, Constant(0.0), (2, 2)), "model must be called .* Schedule"),
        (
            lambda: sample(UNet(**DIGIT, T=10), SHORT, (2, 2)),
            r"x_t must have shape \(B, 1, ",
        ),
    ],
    "timestep_pairs": [
        (lambda: timestep_pairs(1e3), r"T must be an integer >= 1, got 1000\.0"),
        (lambda: timestep_pairs(10, "5"), r"steps must be an integer in 1\.\.10, got '5'"),
        (lambda: timestep_pairs(10, 5, None), "spacing must be one of .* got None"),
        (lambda: timestep_pairs(None), "T must be an integer >= 1, got None"),
    ],
    "Schedule": [
        (lambda: Schedule.linear(T=1e3), r"T must be an integer >= 1, got 1000\.0"),
        (lambda: Schedule.linear(T=True), "T must be an integer >= 1, got True"),
        (lambda: Schedule.linear(10, "a"), r"beta_start must lie in \(0, 1\], got 'a'"),
        (lambda: Schedule.sigmoid(10, None), r"beta_start must lie in .* got None"),
        (lambda: Schedule.cosine("10"), "T must be an integer >= 1, got '10'"),
        (lambda: Schedule.cosine(10, s=None), "s must be a number >= 0, got None"),
        (lambda: Schedule.cosine(10, max_beta=[1]), r"max_beta must be a number .* \[1\]"),
        (lambda: Schedule.from_beta("abc"), "beta must be numbers, got 'abc'"),
        (lambda: Schedule.from_beta(None), "beta must be numbers, got None"),
        (lambda: Schedule.from_beta([0.1, "a"]), "beta must be numbers, got"),
        (lambda: Schedule.from_beta(0.1), r"beta must be T >= 1 numbers, got shape \(\)"),
        (lambda: SHORT.prior_gap("a"), "second_moment must be a number"),
        (lambda: SHORT.prior_gap(t=11), r"t must be an integer in 1\.\.10, got 11"),
    ],
    "simple_loss": [
        (lambda: simple_loss(None, SHORT, X, T_1, X), "model must be called .* NoneType"),
        (lambda: simple_loss(MLP(), SHORT, X, T_1, X), "knows T = 1000 .* has 10"),
        (lambda: simple_loss(Constant(0.0), None, X, T_1, X), "must be a Schedule"),
        (
            lambda: simple_loss(Constant(0.0), SHORT, X.long(), T_1, X),
            "x_0 must be a float",
        ),
        (
            lambda: simple_loss(Constant(0.0), SHORT, X, [1, 5], X),
            "t must be an int64 .*list",
        ),
        (lambda: simple_loss(lambda *_: 1, SHORT, X, T_1, X, prediction="v"), "got a int"),
    ],
    "vlb_terms": [
        (lambda: vlb_terms(Constant(0.0), SHORT, X, 5), "noise must be a list .* got 5"),
        (lambda: vlb_terms(Constant(0.0), SHORT, X, None), "noise must be a list .* None"),
        (lambda: vlb_terms(MLP(), SHORT, X, [X] * 10), "knows T = 1000 .* has 10"),
        (lambda: vlb_terms(Constant(0.0), SHORT, X, [X] * 10, clip=True), "clip must be"),
        (
            lambda: vlb_terms(Constant(0.0), SHORT, X.tolist(), [X] * 10),
            "x_0 must be a flo",
        ),
    ],
    "hybrid_loss": [
        (lambda: hybrid_loss(Constant(0.0), SHORT, X, T_1, X), "has no learned variance"),
        (lambda: hybrid_loss(MLP(), SHORT, X, T_1, X), "knows T = 1000 .* has 10"),
    ],
    "oracles": [
        (lambda: GaussianOracle(10, [0.0], 1), "must be a Schedule, .* got a int"),
        (lambda: GaussianOracle(SHORT, "a", 1), "mean must be numbers, got 'a'"),
        (lambda: GaussianOracle(SHORT, [0.0], "b"), "covariance must be numbers, got 'b'"),
        (lambda: MixtureOracle(SHORT, None, 1), "means must be numbers, got None"),
        (lambda: MixtureOracle(SHORT, [[0.0]], 1, ["a"]), "weights must be numbers"),
        (lambda: DataOracle(SHORT, "abc"), "x_0 must be numbers, got 'abc'"),
    ],
    "networks": [
        (lambda: MLP(T=10)(X, 1), "t must be an int64 tensor of shape .* got int"),
        (lambda: MLP(T=10)(X, T_1.float()), r"t must be an int64 .* got torch\.float32"),
        (lambda: MLP(T=10)(X, T_1[:1]), r"t must have shape \(2,\), got \(1,\)"),
        (
            lambda: UNet(**DIGIT)(torch.zeros(2, 1, 8, 8), [1, 2]),
            "t must be an .* got list",
        ),
        (lambda: MLP(T=1e2), r"T must be an integer >= 1, got 100\.0"),
        (lambda: MLP(dim=0), "dim must be an integer >= 1, got 0"),
        (lambda: MLP(depth=0), "depth must be an integer >= 1, got 0"),
        (lambda: MLP(width="a"), "width must be an integer >= 1, got 'a'"),
        (
            lambda: UNet("digits"),
            r"a UNetConfig, such as .*preset\('digits'\), got 'digits'",
        ),
        (lambda: UNet({"size": 8}), "config must be a UNetConfig"),
        (lambda: UNetConfig(clip=(-1, 1)), r"clip must be True or False, got \(-1, 1\)"),
        (lambda: UNetConfig(attention=("a",)), "heights must be an integer >= 1, got 'a'"),
        (lambda: UNetConfig(size=(8.0, 8)), "sizes and multipliers must be an integer"),
        (lambda: UNetConfig.preset("none"), "preset must be one of"),
        (lambda: EMA(None), "a NoneType has no weights to average"),
        (lambda: EMA(torch.nn.Identity()), "a Identity has no weights to average"),
        (lambda: TrainConfig(flip="no"), "flip must be True or False, got 'no'"),
        (lambda: EMA(MLP(), decay="a"), "ema_decay must be a number in .* got 'a'"),
    ],
    "Trainer": [
        (lambda: train(torch.nn.Identity()), "Identity has no weights to train"),
        (lambda: train(Constant(0.0)), "a Constant has no weights to train"),
        (lambda: train("mlp"), "model must be called as .* got a str"),
        (lambda: train(MLP()), "knows T = 1000 steps, and the schedule has 10"),
        (lambda: train(schedule=X), "schedule must be a Schedule, .* got a Tensor"),
        (lambda: train(MLP(T=10).half()), r"in float32 or float64, got torch\.float16"),
        (lambda: train(data=X.numpy()), "data must be a floating point .* got ndarray"),
        (
            lambda: train(data=X.long()),
            r"data must be a floating point .* got torch\.int64",
        ),
        (lambda: train(config={"steps": 2}), "config must be a TrainConfig, got a dict"),
        (lambda: train(y=torch.zeros(2).long()), r"no classes: \.classes is missing or 0"),
    ],
    "files": [
        (lambda: load_pretrained(5), "there is no pretrained model 5; there are"),
        (lambda: load_results(None), "there are no results None; there are"),
        (lambda: load_model("none.safetensors"), "no weight file at none.safetensors"),
        (lambda: load_run("nowhere"), "nowhere is not the folder of a run"),
        (
            lambda: save_model("w.pt", MLP(T=10), SHORT),
            "must end in .safetensors, got w.pt",
        ),
        (lambda: save_model("w.safetensors", MLP(), SHORT), "knows T = 1000 .* has 10"),
        (
            lambda: save_model("w.safetensors", Constant(0.0), SHORT),
            "Constant is not a torch",
        ),
    ],
}
CASES = [(name, i) for name, cases in WRONG.items() for i in range(len(cases))]


@pytest.mark.parametrize(("name", "i"), CASES)
def test_a_wrong_argument_is_told_in_one_line(name, i, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = WRONG[name][i]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert not list(Path().iterdir())


CONVERSIONS = [n for n in ddpm_lite.__all__ if "_from_" in n]


@pytest.mark.parametrize("name", ["q_step", "q_sample", "q_posterior", *CONVERSIONS])
def test_the_functions_of_q_take_floating_point_tensors_alone(name):
    f = getattr(ddpm_lite, name)
    order = (lambda a, t, b: (a, b, t)) if name == "q_posterior" else lambda *all: all
    f(SHORT, *order(X, T_1, X))
    for bad in (X.numpy(), X.tolist(), 1.0, None, X.long(), (127 * X).to(torch.uint8)):
        for given in ((bad, T_1, X), (X, T_1, bad)):
            with pytest.raises(TypeError, match="must be a floating point tensor, got"):
                f(SHORT, *order(*given))
    for t in ([1, 5], 1, np.array([1, 5]), T_1.float(), T_1.int()):
        with pytest.raises(TypeError, match="t must be an int64 tensor of shape"):
            f(SHORT, *order(X, t, X))
    for t in (T_1[:1], T_1 * 0, T_1 + 9):
        with pytest.raises(ValueError, match=r"t must (have shape|lie in)"):
            f(SHORT, *order(X, t, X))


def test_whole_numbers_of_numpy_and_torch_are_whole_numbers():
    five, ten = np.int64(5), np.int32(10)
    assert torch.equal(Schedule.linear(ten).beta, Schedule.linear(10).beta)
    assert timestep_pairs(ten, five) == timestep_pairs(10, 5)
    pairs = [(ten, five), (five, np.int64(0))]
    same = draw(seed=3, pairs=[(10, 5), (5, 0)])
    assert torch.equal(draw(seed=np.int64(3), pairs=pairs), same)
    assert torch.equal(draw(seed=torch.tensor(3), steps=np.int64(2)), draw(seed=3, steps=2))
    assert torch.equal(draw(seed=np.array([3, 4])), draw(seed=torch.tensor([3, 4])))
    assert draw(shape=(np.int64(2), 2)).shape == (2, 2)
    config = Config(**DIGIT | {"size": np.int64(8), "T": ten})
    assert type(config.size) is int and type(config.T) is int
    assert type(TrainConfig(steps=five).steps) is int
    assert MLP(T=ten).config["T"] == 10 and type(MLP(T=ten).config["T"]) is int
    save_all = UNet(config).config
    assert all(type(v) is not np.int64 for v in save_all.values())


# --- training: dtypes and labels


@pytest.mark.parametrize(
    "data", [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
@pytest.mark.parametrize("weights", [torch.float32, torch.float64], ids=str)
def test_data_and_weights_may_differ_in_dtype(data, weights):
    trainer = train(MLP(T=10, width=8).to(weights), normal(8, 2).to(data))
    record = trainer.update()
    assert record.losses.dtype == torch.promote_types(data, torch.float32)
    assert next(trainer.model.parameters()).dtype == weights


def test_the_loss_in_float64_is_that_of_float32_but_for_rounding():
    torch.manual_seed(0)
    model, x_0 = MLP(T=10, width=8), normal(8, 2).float()
    noise, t = normal(8, 2, seed=1).float(), torch.arange(1, 9)
    one = simple_loss(model, SHORT, x_0, t, noise)
    two = simple_loss(model, SHORT, x_0.double(), t, noise.double())
    torch.testing.assert_close(one.double(), two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("y", [[1, 2, 3], [0, 1, 3], [-1, 0, 1]])
def test_training_labels_are_counted_from_0(y):
    model = UNet(**DIGIT, classes=3, T=10)
    with pytest.raises(ValueError, match=r"lie in 0\.\.2 for 3 classes, got .*from 0"):
        train(model, torch.zeros(3, 1, 8, 8), y=torch.tensor(y))
    train(model, torch.zeros(3, 1, 8, 8), y=torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("y", [[0, 1, 2], torch.zeros(3), np.zeros(3, int)])
def test_training_labels_are_an_int64_tensor(y):
    with pytest.raises(TypeError, match="y must be an int64 tensor of shape"):
        train(UNet(**DIGIT, classes=3, T=10), torch.zeros(3, 1, 8, 8), y=y)


def test_data_outside_the_range_that_a_model_clips_to_warn():
    pictures = torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)
    train(UNet(**DIGIT, T=10), pictures)
    train(UNet(**DIGIT, T=10, clip=False), 3 * pictures)
    with pytest.warns(UserWarning, match=r"values from -3 to 3, .* cut to \[-1, 1\]"):
        train(UNet(**DIGIT, T=10), 3 * pictures)


# --- what is printed


def test_everything_prints_in_one_line():
    trainer = train(MLP(T=10, width=8), normal(8, 2).float())
    bound = vlb_terms(Constant(0.0), SHORT, X, [X] * 10)
    state = list(ddpm_lite.sample_path(Constant(0.0), SHORT, (2, 2)))[-1]
    for thing, words in (
        (trainer.update(), r"Record(step=1, loss="),
        (state, "State(t=0, x_t=(2, 2), calls=10)"),
        (load_pretrained("digits"), "Pretrained(UNet of "),
        (SHORT, "Schedule(T=10, beta="),
        (bound, "Bound("),
        (SHORT.prior_gap(), "PriorGap("),
        (trainer, "Trainer("),
        (trainer.ema, "EMA("),
        (GaussianOracle(SHORT, [0.0], 1), "GaussianOracle("),
    ):
        assert words in repr(thing) == str(thing), words
        assert "\n" not in repr(thing) and len(repr(thing)) < 200
        assert "tensor" not in repr(thing) and " object at 0x" not in repr(thing)


def test_drawings_say_what_their_sampler_does_not_use():
    for drawing, message in (
        (Drawing("ancestral", eta=0.7), "eta is for sampler='ddim', got eta=0.7"),
        (Drawing("ddim", variance="large"), "variance is for sampler='ancestral'"),
        (Drawing("ancestral", spacing="linspace"), "all 10 are taken here: leave it out"),
        (Drawing("ddim", steps=11), r"steps must be an integer in 1\.\.10, got 11"),
        (Drawing("ddim", steps=5, spacing="even"), "spacing must be one of"),
        (Drawing("euler"), "sampler must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            drawing.with_steps(SHORT)


def test_clip_and_prediction_that_were_set_later_travel(tmp_path):
    model = UNet(**DIGIT, T=10)
    model.clip, model.prediction = (0, 1), "v"
    save_model(tmp_path / "a.safetensors", model, Schedule.cosine(10))
    found = load_model(tmp_path / "a.safetensors").model
    assert (found.clip, found.prediction) == ((0, 1), "v")
    model.clip = None
    save_model(tmp_path / "b.safetensors", model, Schedule.cosine(10))
    assert load_model(tmp_path / "b.safetensors").model.clip is None


@pytest.mark.parametrize("rederive", [0, 1, np.False_, "no"])
def test_rederive_is_a_bool(rederive):
    with pytest.raises(ValueError, match="rederive must be True or False"):
        sample(
            UNet(**DIGIT, T=10),
            Schedule.cosine(10),
            (1, 1, 8, 8),
            sampler="ddim",
            rederive=rederive,
        )


def test_an_oracle_of_another_schedule_is_refused():
    oracle = GaussianOracle(Schedule.linear(100, 1e-3, 0.2), [0.0, 0.0], 1.0)
    with pytest.raises(ValueError, match="is exact for another schedule"):
        sample(oracle, Schedule.cosine(100), (4, 2))


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.int64])
def test_steps_of_numpy_are_whole_numbers(kind):
    for spacing in ("trailing", "leading", "linspace", "quadratic"):
        found = timestep_pairs(np.int16(1000), kind(40), spacing)
        assert found == timestep_pairs(1000, 40, spacing)


def test_numbers_of_numpy_can_be_written():
    config = TrainConfig(steps=1, lr=np.float32(0.5), ema_decay=np.float64(0.5))
    assert json.loads(json.dumps(config.as_dict()))["lr"] == 0.5


def test_weights_that_may_not_change_are_not_trained():
    model = UNet(**DIGIT, T=10).requires_grad_(False)
    config = TrainConfig(steps=1, batch_size=1)
    with pytest.raises(ValueError, match="none of the weights may change"):
        Trainer(model, Schedule.cosine(10), torch.zeros(2, 1, 8, 8), config)


def test_the_start_of_a_chain_is_not_changed():
    x_T = torch.ones(2, 2)
    model = lambda x_t, t: x_t.mul_(0.5)  # noqa: E731, in place
    sample(model, Schedule.cosine(10), (2, 2), x_T=x_T, prediction="noise", progress=False)
    assert (x_T == 1).all()


def test_large_seeds_are_streams_of_their_own():
    two = [SampleNoise(s, (2, 3), "cpu", torch.float32).next() for s in (2**32 + 5, 5)]
    assert not torch.equal(two[0][0], two[1][1])


@pytest.mark.parametrize("t", [0, -1, 11, 1.5])
def test_weights_at_a_t_that_is_not_there(t):
    with pytest.raises((ValueError, TypeError), match="t must"):
        min_snr_weight(Schedule.cosine(10), torch.tensor([t]), "v")
