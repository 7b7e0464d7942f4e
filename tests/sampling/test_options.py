r"""Every option of `sample` with every sampler: it changes the result, or is refused."""

import warnings
from functools import partial

import pytest
import torch
from helpers import Constant, normal

from ddpm_lite import MixtureOracle, Schedule, sample, vlb_terms
from ddpm_lite.sampling.asked import SAMPLERS
from ddpm_lite.sampling.sampler import ancestral_step
from ddpm_lite.sampling.spacing import SPACINGS

SCHEDULE = Schedule.cosine(60)
ORACLE = MixtureOracle(SCHEDULE, normal(3, 2), 0.1)


def label(sampler):
    return getattr(sampler, "__name__", sampler)  # an address is another in each process


def own(schedule, x_t, x_0_pred, t, s, noise):
    return ancestral_step(schedule, x_t, x_0_pred, t, s, noise)


def drawn(sampler, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a chain that starts below T
        given = dict(sampler=sampler, steps=5, clip=(-1, 1), progress=False)
        given |= {"steps": None} if "pairs" in options else {}
        return sample(ORACLE, SCHEDULE, (16, 2), **given | options)


OPTIONS = [
    dict(steps=6),
    *[dict(spacing=name) for name in SPACINGS if name != "trailing"],
    dict(pairs=[(35, 9), (9, 2), (2, 0)]),
    dict(seed=1),
    dict(seed=list(range(16))),
    dict(variance="small"),
    dict(variance="large"),
    dict(variance=lambda x_t, t, s: (s > 0)[:, None] * 0.1),
    dict(eta=0.0),
    dict(eta=0.7),
    dict(rederive=True),
    dict(rederive=False),
    dict(clip=None),
    dict(clip=(-0.5, 1)),
    dict(x_T=torch.ones(16, 2)),
    dict(dtype=torch.float64),
]
# What is the same as leaving it out, because it is the default of this one sampler.
DEFAULTS = [
    ("ancestral", "variance", "small"),
    ("ddim", "eta", 0.0),
    ("ddim", "rederive", True),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options))
@pytest.mark.parametrize("sampler", [*SAMPLERS, own], ids=label)
def test_an_option_changes_what_is_drawn_or_is_refused(sampler, options):
    ((name, value),) = options.items()
    home = {"variance": "ancestral", "eta": "ddim", "rederive": "ddim"}.get(name, sampler)
    if sampler != home:
        with pytest.raises(ValueError, match=rf"{name} is for sampler='{home}', got") as e:
            drawn(sampler, **options)
        assert "\n" not in str(e.value)
        return
    changed = not torch.equal(drawn(sampler, **options), drawn(sampler))
    assert changed != ((sampler, name, value) in DEFAULTS)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("sampler", ["ancestral", "ddim", own], ids=label)
def test_a_spacing_where_all_steps_are_taken_is_refused(sampler, spacing):
    for steps in (None, 60):
        with pytest.raises(ValueError, match="all 60 are taken here: leave it out"):
            drawn(sampler, steps=steps, spacing=spacing)


def test_more_steps_than_there_are_are_refused():
    for sampler in SAMPLERS:
        with pytest.raises(ValueError, match=r"steps must be an integer in 1\.\.\d+, got"):
            drawn(sampler, steps=61)


def test_the_default_spacing_may_be_said():
    assert torch.equal(drawn("ddim", spacing="trailing"), drawn("ddim"))


@pytest.mark.parametrize("prediction", ["x_0", "v"])
def test_prediction_changes_what_a_bare_function_draws(prediction):
    def said(kind):
        return sample(
            lambda x, t: 0.1 * x,
            SCHEDULE,
            (2, 2),
            sampler="ddim",
            steps=5,
            prediction=kind,
            progress=False,
        )

    assert not torch.equal(said(prediction), said("noise"))
    with pytest.raises(ValueError, match="the model predicts 'noise', but prediction="):
        drawn("ddim", prediction=prediction)


# --- clip and T travel with the model


class Told(Constant):
    r"""A denoiser that answers a constant x_0, and says what clip, T and classes it has."""

    def __init__(self, value=3.0, **facts):
        super().__init__(value, "x_0")
        vars(self).update(facts)


QUIET = dict(sampler="ddim", steps=3, progress=False)


def test_the_clip_is_the_models_own_unless_given():
    def largest(model, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(sample(model, SCHEDULE, (1, 2), **QUIET, **options).max())

    assert largest(Told(clip=(-1, 1))) == 1 and largest(Told(clip=(-1, 2))) == 2
    assert largest(Told(clip=(-1, 1)), clip=(-1, 2)) == 2
    for unclipped in (Told(), Told(clip=None)):  # a bare function, and points
        assert largest(unclipped) == 3
    assert largest(Told(clip=(-1, 1)), clip=None) == 3


def test_the_bound_clips_as_the_model_says():
    x_0, noise = torch.zeros(1, 2), [torch.ones(1, 2)] * SCHEDULE.T
    own, one, free = (
        vlb_terms(model, SCHEDULE, x_0, noise, **options).nats
        for model, options in (
            (Told(clip=(-1, 1)), {}),
            (Told(1.0), {}),
            (Told(clip=(-1, 1)), {"clip": None}),
        )
    )
    assert torch.equal(own, one) and (free > own).all()


@pytest.mark.parametrize(("value", "far"), [(4.9, False), (-5.1, True), (1890.0, True)])
def test_samples_far_outside_the_models_range_warn(value, far):
    model = Told(value, clip=(-1, 1))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        sample(model, SCHEDULE, (1, 2), clip=None, **QUIET)
    told = [str(w.message) for w in seen if "the model's data lie in [-1, 1]" in str(w)]
    assert bool(told) is far and all("leave clip out" in text for text in told)


def test_samples_of_a_model_without_a_range_are_compared_with_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (Told(1e6), Told(1e6, clip=None)):
            sample(model, SCHEDULE, (1, 2), **QUIET)


def test_a_schedule_of_another_length_is_refused():
    for T in (1, 59, 61, 1000):
        with pytest.raises(
            ValueError, match=rf"knows T = {T} steps, and .* has 60: .*pairs="
        ):
            sample(Told(T=T), SCHEDULE, (1, 2), **QUIET)
        with pytest.raises(ValueError, match=rf"knows T = {T} steps, and .* has 60"):
            vlb_terms(Told(T=T), SCHEDULE, torch.zeros(1, 2), [torch.ones(1, 2)] * 60)
    sample(Told(T=60), SCHEDULE, (1, 2), **QUIET)
    other = MixtureOracle(Schedule.cosine(20), normal(3, 2), 0.1)
    with pytest.raises(ValueError, match="knows T = 20 steps"):
        sample(other, SCHEDULE, (1, 2), **QUIET)


# --- what comes back from the network, and in which dtype


class Weighted(torch.nn.Module):
    prediction, learned_variance = "x_0", False

    def __init__(self, dtype):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2, dtype=dtype)

    def forward(self, x_t, t):
        assert x_t.dtype == self.layer.weight.dtype
        return self.layer(x_t)


@pytest.mark.parametrize("asked", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "own", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
def test_a_network_is_asked_in_the_dtype_of_its_weights(own, asked):
    assert sample(Weighted(own), SCHEDULE, (2, 2), dtype=asked, **QUIET).dtype == asked


def test_a_model_on_another_device_than_x_is_named():
    model = Weighted(torch.float32).to("meta")
    bound = partial(vlb_terms, model, SCHEDULE, torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"x_t is on cpu, and the weights .* on meta"):
        bound([torch.ones(1, 2)] * 60)


class Output:
    def __init__(self, sample):
        self.sample = sample


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (
            lambda x: (x,),
            r"got a tuple: wrap it, such as lambda x_t, t: model\(x_t, t\)\[0\]",
        ),
        (lambda x: {"x": x}, "got a dict: wrap it"),
        (lambda x: None, "got a NoneType: wrap it"),
        (lambda x: x.numpy(), "got a ndarray: wrap it"),
        (Output, r"got a Output: wrap it, such as .* model\(x_t, t - 1\)\.sample, for"),
    ],
)
def test_an_answer_that_is_no_tensor(wrap, message):
    with pytest.raises(TypeError, match=message) as error:
        sample(lambda x, t: wrap(x), SCHEDULE, (2, 2), prediction="x_0", **QUIET)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_learned_variance_needs_twice_the_channels(channels):
    class Learned(Constant):
        learned_variance = True

        def __call__(self, x_t, t):
            return torch.zeros(len(x_t), channels, 2, 2)

    with pytest.raises(ValueError, match=r"twice the channels .* \(1, 4, 2, 2\); got"):
        sample(Learned(0.0), SCHEDULE, (1, 2, 2, 2), **QUIET)


# --- labels


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.arange(1, 4), ValueError, r'1 of 3 are 3, which means "no class": count'),
        (torch.tensor([0, 1, 4]), ValueError, r"must lie in 0\.\.2, or be 3 for no class"),
        (torch.tensor([0, -1, 1]), ValueError, r"must lie in 0\.\.2, .* from -1 to 1"),
        (torch.zeros(2).long(), ValueError, r"y must have shape \(3,\), got \(2,\)"),
        (torch.zeros(3, 1).long(), ValueError, r"y must have shape \(3,\), got \(3, 1\)"),
        (torch.zeros(3), TypeError, r"y must be an int64 tensor .* got torch\.float32"),
        ([0, 1, 2], TypeError, r"y must be an int64 tensor .* got list"),
        (2, TypeError, r"y must be an int64 tensor .* got int"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_the_chain(y, kind, message):
    model = Told(classes=3)
    with pytest.raises(kind, match=message) as error:
        sample(model, SCHEDULE, (3, 2), y=y, **QUIET)
    assert model.calls == 0 and "\n" not in str(error.value)


def test_labels_for_a_model_without_classes():
    for model in (Told(classes=0), ORACLE):
        with pytest.raises(ValueError, match="the model has no classes: leave y out"):
            sample(model, SCHEDULE, (3, 2), y=torch.zeros(3).long(), **QUIET)


def test_all_of_no_class_may_be_said():
    class Taker(Told):
        def __call__(self, x_t, t, y):
            return torch.zeros_like(x_t)

    for y in (torch.full((3,), 3), torch.tensor([0, 2, 1])):
        sample(Taker(classes=3), SCHEDULE, (3, 2), y=y, **QUIET)
