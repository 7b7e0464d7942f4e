r"""Step for step against diffusers' schedulers, an implementation that we did not write.

Its t is ours minus one. Its tables are float32, with up to 2e-4 of relative error in
1 - alpha_bar at small t; so tables are compared as they are, and steps with our float64
tables put in, which leaves the formulas. Not compared, because it is wrong there: the
first log-variance, `linspace` spacing, and steps that do not divide 1000.
"""

import warnings

import pytest
import torch
from helpers import close, normal, some_schedules

from ddpm_lite import (
    q_sample,
    sample,
    timestep_pairs,
    v_from_noise,
    x_0_from_noise,
    x_0_from_v,
)
from ddpm_lite.process import predict_x_0
from ddpm_lite.sampling.sampler import ancestral_step, ddim_step
from ddpm_lite.seeds import SampleNoise

pytest.importorskip("diffusers")
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

SCHEDULES = some_schedules()
KINDS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
STEPS = [1, 2, 17, 500, 999, 1000]
EVERY_KIND = pytest.mark.parametrize("name", KINDS)


def theirs(scheduler, name, **settings):
    return scheduler(beta_schedule=KINDS[name], **settings)


def with_our_tables(scheduler, name, **settings):
    own, schedule = theirs(scheduler, name, **settings), SCHEDULES[name]
    own.betas, own.alphas = schedule.beta[1:].clone(), schedule.alpha[1:].clone()
    own.alphas_cumprod = schedule.alpha_bar[1:].clone()
    own.one = torch.ones((), dtype=torch.float64)
    own.final_alpha_cumprod = own.one
    return own


@EVERY_KIND
def test_tables(name):
    other = theirs(DDPMScheduler, name)
    close(other.betas.double(), SCHEDULES[name].beta[1:], rtol=1e-5)
    close(other.alphas_cumprod.double(), SCHEDULES[name].alpha_bar[1:], rtol=2e-5)


@EVERY_KIND
@pytest.mark.parametrize("sample_shape", [(2,), (3, 4, 4)])
def test_add_noise_and_velocity(name, sample_shape):
    t = torch.tensor(STEPS)
    x_0, noise = normal(6, *sample_shape), normal(6, *sample_shape, seed=1)
    schedule, exact = SCHEDULES[name], with_our_tables(DDPMScheduler, name)
    x_t = q_sample(schedule, x_0, t, noise)
    close(exact.add_noise(x_0, noise, t - 1), x_t, rtol=1e-9, atol=1e-12)
    v = exact.get_velocity(x_0, noise, t - 1)
    close(x_0_from_v(schedule, x_t, t, v), x_0, atol=1e-9)
    inner = slice(0, 5)  # at T of the cosine schedule the way by noise loses 5 digits
    close(v_from_noise(schedule, x_t, t, noise)[inner], v[inner], atol=1e-9)
    plain = theirs(DDPMScheduler, name).add_noise(x_0.float(), noise.float(), t - 1)
    close(plain, q_sample(schedule, x_0.float(), t, noise.float()), rtol=1e-4, atol=1e-4)


@EVERY_KIND
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [None, (-1, 1)])
@pytest.mark.parametrize("prediction", ["noise", "x_0", "v"])
def test_one_ancestral_step(name, variance, clip, prediction):
    names = dict(noise="epsilon", x_0="sample", v="v_prediction")
    exact = with_our_tables(
        DDPMScheduler,
        name,
        variance_type=f"fixed_{variance}",
        clip_sample=clip is not None,
        prediction_type=names[prediction],
    )
    schedule = SCHEDULES[name]
    for step in STEPS:
        x_t, answer = normal(2, 3, seed=step), normal(2, 3, seed=step + 1)
        generator = torch.Generator().manual_seed(step)
        theirs_x = exact.step(answer, step - 1, x_t, generator=generator)
        generator.manual_seed(step)
        noise = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        t = torch.full((2,), step)
        x_0_pred = predict_x_0(
            lambda x, t, answer=answer: answer, schedule, x_t, t, None, prediction, clip
        )
        close(x_0_pred, theirs_x.pred_original_sample, rtol=1e-9, atol=1e-9)
        x_s = ancestral_step(schedule, x_t, x_0_pred, t, t - 1, noise, variance=variance)
        close(x_s, theirs_x.prev_sample, rtol=1e-9, atol=1e-9)


@EVERY_KIND
def test_one_ancestral_step_with_their_own_float32_tables(name):
    other, schedule = theirs(DDPMScheduler, name, clip_sample=True), SCHEDULES[name]
    for step in (1, 100, 500, 900):
        x_t, answer = normal(2, 3, seed=step).float(), normal(2, 3, seed=step + 1).float()
        generator = torch.Generator().manual_seed(step)
        theirs_x = other.step(answer, step - 1, x_t, generator=generator).prev_sample
        noise = torch.randn(2, 3, generator=generator.manual_seed(step))
        t = torch.full((2,), step)
        x_0_pred = x_0_from_noise(schedule, x_t, t, answer).clamp(-1, 1)
        close(
            ancestral_step(schedule, x_t, x_0_pred, t, t - 1, noise), theirs_x, 1e-3, 1e-4
        )


@EVERY_KIND
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [10, 50, 1000])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("clip", [None, (-1, 1)])
def test_ddim(name, spacing, steps, eta, clip):
    exact = with_our_tables(
        DDIMScheduler, name, timestep_spacing=spacing, clip_sample=clip is not None
    )
    exact.set_timesteps(steps)
    schedule, jump = SCHEDULES[name], 1000 // steps
    pairs = timestep_pairs(1000, steps)
    if spacing == "leading":
        pairs = [(t - jump + 1, max(0, s - jump + 1)) for t, s in pairs]
    assert [t - 1 for t, _ in pairs] == exact.timesteps.tolist()
    for t, s in [pairs[0], pairs[len(pairs) // 2], pairs[-2], pairs[-1]]:
        x_t, answer, noise = (normal(2, 3, seed=t + k) for k in range(3))
        theirs_x = exact.step(
            answer, t - 1, x_t, eta=eta, use_clipped_model_output=True, variance_noise=noise
        ).prev_sample
        t, s = torch.full((2,), t), torch.full((2,), s)
        x_0_pred = x_0_from_noise(schedule, x_t, t, answer)
        x_0_pred = x_0_pred if clip is None else x_0_pred.clamp(*clip)
        x_s = ddim_step(schedule, x_t, x_0_pred, t, s, noise, eta=eta)
        scale = float(theirs_x.abs().max())
        close(x_s, theirs_x, rtol=1e-8, atol=1e-10 * max(1.0, scale))


# --- whole chains, with one stand-in for the network and the same noise


def stand_in(x, t):
    return 0.8 * torch.tanh(x.roll(1, -1)) + 0.3 * torch.sin(x + t[:, None] / 100)


def ours(name, pairs, **options):
    r"""(x_0, the noise that it started from and used) of one chain of `sample`."""
    settings = dict(prediction="noise", seed=6, pairs=pairs, progress=False) | options
    x_0 = sample(stand_in, SCHEDULES[name], (3, 4), **settings)
    noise = SampleNoise(6, (3, 4), "cpu", options["dtype"])
    return x_0, [noise.next() for _ in range(len(pairs) + 1)]


def answer(x, t):
    return stand_in(x, torch.full((len(x),), t))


@EVERY_KIND
@pytest.mark.parametrize("steps", [10, 50])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("rederive", [True, False])
def test_a_chain_of_ddim(name, steps, eta, rederive):
    exact = with_our_tables(
        DDIMScheduler, name, timestep_spacing="trailing", clip_sample=True
    )
    exact.set_timesteps(steps)
    pairs = timestep_pairs(1000, steps)
    x_0, (x, *noises) = ours(
        name,
        pairs,
        sampler="ddim",
        eta=eta,
        rederive=rederive,
        clip=(-1, 1),
        dtype=torch.float64,
    )
    for (t, _), noise in zip(pairs, noises, strict=True):
        options = dict(eta=eta, use_clipped_model_output=rederive, variance_noise=noise)
        x = exact.step(answer(x, t), t - 1, x, **options).prev_sample
    assert (x_0 - x).abs().max() <= 1e-12


def dpm(name, algorithm, pairs):
    r"""Their DPM-Solver++(2M) on our steps, with our float64 sigma put in.

    `final_sigmas_type` makes the last step, to sigma = 0, first order.
    """
    own = theirs(
        DPMSolverMultistepScheduler,
        name,
        algorithm_type=algorithm,
        solver_order=2,
        final_sigmas_type="zero",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, inside theirs
        own.set_timesteps(timesteps=[t - 1 for t, _ in pairs])
    stops = [*(t for t, _ in pairs), 0]
    schedule = SCHEDULES[name]
    sigmas = (schedule.one_minus_alpha_bar[stops] / schedule.alpha_bar[stops]).sqrt()
    close(own.sigmas.double(), sigmas, rtol=2e-4)
    own.sigmas = sigmas
    return own


SOLVER = pytest.mark.parametrize(
    ("sampler", "algorithm"),
    [("dpmpp_2m", "dpmsolver++"), ("dpmpp_2m_sde", "sde-dpmsolver++")],
)


@EVERY_KIND
@SOLVER
@pytest.mark.parametrize("steps", [10, 20])
def test_a_chain_of_2m_in_float64(name, sampler, algorithm, steps):
    # their `step` casts to float32, so we call the two updates that it is made of
    pairs = timestep_pairs(990, steps)
    own = dpm(name, algorithm, pairs)
    x_0, (x, *noises) = ours(name, pairs, sampler=sampler, dtype=torch.float64)
    guesses = []
    for i, ((t, s), noise) in enumerate(zip(pairs, noises, strict=True)):
        own._step_index = i
        guesses.append(own.convert_model_output(answer(x, t), sample=x))
        if i == 0 or s == 0:
            x = own.dpm_solver_first_order_update(guesses[-1], sample=x, noise=noise)
        else:
            x = own.multistep_dpm_solver_second_order_update(
                guesses[-2:], sample=x, noise=noise
            )
    assert (x_0 - x).abs().max() <= 1e-12 * max(1.0, float(x.abs().max()))


@EVERY_KIND
@SOLVER
def test_a_chain_of_2m_by_their_own_step_in_float32(name, sampler, algorithm):
    pairs = timestep_pairs(990, 10)
    own = dpm(name, algorithm, pairs)
    x_0, (x, *noises) = ours(name, pairs, sampler=sampler, dtype=torch.float32)
    for (t, _), noise in zip(pairs, noises, strict=True):
        x = own.step(answer(x, t), t - 1, x, variance_noise=noise).prev_sample
    assert (x_0 - x).abs().max() <= 1e-5 * max(1.0, float(x.abs().max()))
