r"""Classic slips, each as one replacement of text in one file of the package.

A mutant is (name, file, old text, new text); the old text must occur exactly once.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    r"""One slip. file: a module's path in the package, without its suffix."""

    name: str
    file: str
    old: str
    new: str


UNIFORM = "12**0.5 * (torch.rand({}) - 0.5)"  # right mean and variance, wrong law

MUTANTS = [
    # --- schedule
    Mutant(
        "alpha_bar_t for alpha_bar_{t-1} in the posterior variance",
        "schedule",
        "one_minus_alpha_bar[:-1] / one_minus_alpha_bar[1:]",
        "one_minus_alpha_bar[1:] / one_minus_alpha_bar[1:]",
    ),
    Mutant(
        "tables summed in float32",
        "schedule",
        "log_alpha_bar = torch.log1p(-beta).cumsum(0)",
        "log_alpha_bar = torch.log1p(-beta).float().cumsum(0).double()",
    ),
    Mutant(
        "1 - alpha_bar as a difference",
        "schedule",
        "torch.expm1(log_alpha_bar)",
        "(log_alpha_bar.exp() - 1)",
    ),
    Mutant(
        "tables rounded to float16 when gathered",
        "schedule",
        "    value = value.to(x.device,",
        "    value = value.half().to(x.device,",
    ),
    Mutant(
        "values gathered in the dtype of x, however low",
        "schedule",
        "torch.promote_types(x.dtype, torch.float32)",
        "x.dtype",
    ),
    Mutant(
        "tables read one step early",
        "schedule",
        "return spread(table[t.cpu()], x)",
        "return spread(table[(t.cpu() - 1).clamp(min=1)], x)",
    ),
    Mutant(
        "the flow of the step before",
        "schedule",
        "t = torch.arange(1, T + 1, dtype=torch.float64)",
        "t = torch.arange(T, dtype=torch.float64).clamp(min=0.5)",
    ),
    Mutant(
        "cosine without the square",
        "schedule",
        "math.sin(step) * (angle[:-1] + angle[1:]).sin() / angle[:-1].cos().square()",
        "1 - angle[1:].cos() / angle[:-1].cos()",
    ),
    Mutant(
        "linear schedule that stops one step short of beta_end",
        "schedule",
        "torch.linspace(beta_start, beta_end, T, dtype=torch.float64)",
        "torch.linspace(beta_start, beta_end, T + 1, dtype=torch.float64)[:-1]",
    ),
    Mutant(
        "prior gap without the mean",
        "schedule",
        "alpha_bar_T * (second_moment - 1)",
        "-alpha_bar_T",
    ),
    # --- process
    Mutant(
        "beta for sqrt(beta) in q_step",
        "process",
        "alpha_t.sqrt() * x_prev + beta_t.sqrt() * noise",
        "alpha_t.sqrt() * x_prev + beta_t * noise",
    ),
    Mutant(
        "sqrt dropped from alpha_bar in q_sample",
        "process",
        "return alpha_bar_t.sqrt(), at(",
        "return alpha_bar_t, at(",
    ),
    Mutant(
        "alpha_bar_{t-1} beside 1 - alpha_bar_t in q_sample",
        "process",
        "alpha_bar_t = at(schedule.alpha_bar, t, x)",
        "alpha_bar_t = at(schedule.alpha_bar, t - 1, x)",
    ),
    Mutant(
        "posterior weights swapped",
        "process",
        "spread(weight_x_0, x_t) * x_0 + spread(weight_x_t, x_t) * x_t",
        "spread(weight_x_t, x_t) * x_0 + spread(weight_x_0, x_t) * x_t",
    ),
    Mutant(
        "alpha_bar_t for alpha_bar_{t-1} in the posterior mean",
        "process",
        "weight_x_0 = schedule.alpha_bar[s].sqrt()",
        "weight_x_0 = schedule.alpha_bar[t].sqrt()",
    ),
    Mutant(
        "alpha for sqrt(alpha) in the posterior mean",
        "process",
        "weight_x_t = alpha_ts.sqrt()",
        "weight_x_t = alpha_ts",
    ),
    Mutant(
        "noise at the last step with the large variance",
        "process",
        "spread(beta_ts * (s > 0), x_t)",
        "spread(beta_ts, x_t)",
    ),
    Mutant(
        "beta of one step used for a jump over many",
        "process",
        "return beta_ts, log_ratio.exp()",
        "return schedule.beta[t], log_ratio.exp()",
    ),
    Mutant(
        "small variance that is the large one",
        "process",
        "return spread(beta_ts * share, x_t)",
        "return spread(beta_ts * share.clamp(min=1) * (s > 0), x_t)",
    ),
    Mutant(
        "clipping dropped",
        "process",
        "return value if clip is None else value.clamp(*clip)",
        "return value",
    ),
    Mutant(
        "sign of v", "process", "return a_t * x_t - s_t * v", "return a_t * x_t + s_t * v"
    ),
    Mutant("sign of the score", "process", "return -noise / s_t", "return noise / s_t"),
    Mutant(
        "variance for deviation in the score",
        "process",
        "return (a_t * x_0 - x_t) / s_t.square()",
        "return (a_t * x_0 - x_t) / s_t",
    ),
    # --- oracle
    Mutant(
        "mixture's gain without sqrt(alpha_bar)",
        "oracle",
        "gain = a_t * variances / (a_t",
        "gain = variances / (a_t",
    ),
    Mutant(
        "mixture's densities without their normalisation",
        "oracle",
        "(distance + variance_t.log()).sum(-1)",
        "distance.sum(-1)",
    ),
    Mutant(
        "exact reverse variance with a weight for its square",
        "oracle",
        "return small + weight_x_0.square() * variance",
        "return small + weight_x_0 * variance",
    ),
    # --- loss
    Mutant(
        "loss summed over an example",
        "loss",
        "return (predicted - target).square().flatten(1).mean(1)",
        "return (predicted - target).square().flatten(1).sum(1)",
    ),
    Mutant(
        "target v from the noise",
        "loss",
        "target = v_from_x_0(schedule, x_t, t, x_0)",
        "target = v_from_x_0(schedule, x_t, t, noise)",
    ),
    Mutant(
        "target of the flow turned round",
        "loss",
        '"flow": noise - x_0}',
        '"flow": x_0 - noise}',
    ),
    Mutant(
        "KL with its arguments swapped",
        "loss",
        "gaussian_kl(mean, posterior_variance, mean_pred, variance_pred)",
        "gaussian_kl(mean_pred, variance_pred, mean, posterior_variance)",
    ),
    Mutant(
        "half of the KL forgotten",
        "loss",
        "return 0.5 * (ratio - 1 - ratio.log() + distance)",
        "return ratio - 1 - ratio.log() + distance",
    ),
    Mutant(
        "prior KL without the mean",
        "loss",
        "mean = spread(schedule.alpha_bar[T].sqrt(), x_0) * x_0",
        "mean = torch.zeros_like(x_0)",
    ),
    Mutant(
        "decoder's bins of the wrong width",
        "loss",
        "half = 1 / (levels - 1)",
        "half = 1 / levels",
    ),
    # --- sampler and its noise
    Mutant(
        "variance for deviation in the ancestral step",
        "sampling/sampler",
        "variance).sqrt() * noise",
        "variance) * noise",
    ),
    Mutant(
        "DDIM's eta ignored",
        "sampling/sampler",
        "variance = eta**2 * beta_ts",
        "variance = beta_ts",
    ),
    Mutant(
        "DDIM's eta not squared",
        "sampling/sampler",
        "variance = eta**2 * beta_ts",
        "variance = eta * beta_ts",
    ),
    Mutant(
        "DDIM's direction not shortened by its noise",
        "sampling/sampler",
        "(one_minus_s - variance).sqrt()",
        "one_minus_s.sqrt()",
    ),
    Mutant(
        "one noise for every step", "sampling/sampler", "t, s, draw.next(),", "t, s, start,"
    ),
    Mutant(
        "DDIM's noise not derived again from the clipped x_0",
        "sampling/sampler",
        "noise_pred = derived if rederive else",
        "noise_pred = derived if noise_pred is None else",
    ),
    Mutant(
        "the first step for the one before",
        "sampling/sampler",
        "before, x_t = (t, x_0_pred),",
        "before, x_t = before or (t, x_0_pred),",
    ),
    Mutant(
        "small variance by default for the full chain too",
        "sampling/sampler",
        '"large" if len(pairs) == schedule.T else "small"',
        '"small"',
    ),
    Mutant("sampling in training mode", "denoiser", "model.eval()", "pass"),
    Mutant(
        "uniform noise in the sampler",
        "seeds",
        "torch.randn(self.block, *self.sample_shape, generator=g, dtype=self.dtype)",
        UNIFORM.format("self.block, *self.sample_shape, generator=g, dtype=self.dtype"),
    ),
    Mutant(
        "one stream of noise for all samples",
        "seeds",
        "[(seed, i) for i in range(B)]",
        "[(seed, 0) for i in range(B)]",
    ),
    Mutant(
        "every epoch in the same order",
        "seeds",
        "generator_for(SHUFFLE, seed, epoch)",
        "generator_for(SHUFFLE, seed, 0)",
    ),
    # --- trainer and EMA
    Mutant(
        "uniform noise in training",
        "training/batches",
        "torch.randn(shape, generator=generator, dtype=dtype)",
        UNIFORM.format("shape, generator=generator, dtype=dtype"),
    ),
    Mutant(
        "t never reaches T",
        "training/batches",
        "torch.randint(1, T + 1, (B,)",
        "torch.randint(1, T, (B,)",
    ),
    Mutant(
        "one t for the whole batch",
        "training/batches",
        "torch.randint(1, T + 1, (B,), generator=generator)",
        "torch.randint(1, T + 1, (1,), generator=generator).repeat(B)",
    ),
    Mutant(
        "times of the logit-normal law rounded down",
        "training/batches",
        "(T * share).ceil()",
        "(T * share).floor()",
    ),
    Mutant(
        "the law of t that was asked for forgotten",
        "training/batches",
        "drawn_steps(self.T, B, self.config.t_law, generator)",
        'drawn_steps(self.T, B, "uniform", generator)',
    ),
    Mutant(
        "the same t and noise at every step",
        "training/batches",
        "generator = generator_for(TRAIN, seed, step)",
        "generator = generator_for(TRAIN, seed)",
    ),
    Mutant(
        "gradients never set to zero",
        "training/trainer",
        "self.optimizer.zero_grad(set_to_none=True)",
        "pass",
    ),
    Mutant(
        "gradients not clipped",
        "training/trainer",
        "clip_grad_norm_(self.model.parameters(), limit)",
        "clip_grad_norm_(self.model.parameters(), math.inf)",
    ),
    Mutant(
        "warm-up of the learning rate dropped",
        "training/config",
        "min(1.0, step / max(1, self.warmup_steps))",
        "1.0",
    ),
    Mutant("EMA never applied", "training/trainer", "self.ema.update(self.model)", "pass"),
    Mutant(
        "EMA's decay and 1 - decay swapped",
        "training/ema",
        "average.lerp_(weight, 1 - decay)",
        "average.lerp_(weight, decay)",
    ),
    Mutant(
        "EMA without warm-up",
        "training/ema",
        "min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay",
        "self.decay",
    ),
    Mutant(
        "the same slip in one call for all tensors",
        "training/ema",
        "torch._foreach_lerp_(self.averages, weights, 1 - decay)",
        "torch._foreach_lerp_(self.averages, weights, decay)",
    ),
    Mutant("EMA's buffers not copied", "training/ema", "average.copy_(buffer)", "pass"),
    # --- pictures, labels and dropout in training; learned variance; runs
    Mutant(
        "dropout the same at every step",
        "training/trainer",
        "keys((len(layers), 1 + B), DROPOUT, seed, self.step)",
        "keys((len(layers), 1 + B), DROPOUT, seed, 0)",
    ),
    Mutant(
        "dropout by the place in a part of the batch",
        "training/trainer",
        "row[1:][part]",
        "row[1:][: part.stop - part.start]",
    ),
    Mutant("pictures turned upside down", "training/batches", "x_0.flip(3)", "x_0.flip(2)"),
    Mutant(
        "every label dropped",
        "training/batches",
        "dropped < self.config.drop_label",
        "dropped >= self.config.drop_label",
    ),
    Mutant(
        "seventeen grey levels scaled as 256",
        "training/batches",
        "2 * x_0.float() / (levels - 1) - 1",
        "2 * x_0.float() / 255 - 1",
    ),
    Mutant(
        "the parts of a batch counted as whole ones",
        "training/trainer",
        "losses.sum() * (self.world / self.config.batch_size)",
        "losses.mean()",
    ),
    Mutant(
        "small and large variance swapped",
        "process",
        "(low + (v + 1) / 2 * (high - low)).exp()",
        "(high + (v + 1) / 2 * (low - high)).exp()",
    ),
    Mutant(
        "the bound's gradient reaches the mean",
        "training/hybrid",
        "value.detach()",
        "value",
    ),
    # --- network and judges
    Mutant(
        "t = 1 and t = 2 look the same to the MLP",
        "models/mlp",
        "index = t - 1",
        "index = (t - 1).clamp(min=1)",
    ),
    Mutant(
        "energy distance that pairs a point with itself",
        "evaluation/metrics",
        "/ (N * (N - 1))",
        "/ (N * N)",
    ),
    Mutant(
        "Frechet distance with deviations for variances",
        "evaluation/metrics",
        "spread = cross.clamp(min=0).sqrt().sum()",
        "spread = cross.clamp(min=0).sum()",
    ),
    Mutant(
        "a kernel distance that pairs a point with itself",
        "evaluation/metrics",
        "(total(a, a) - float(sum(itself)))",
        "total(a, a)",
    ),
    Mutant(
        "a kernel distance whose product is not divided by d",
        "evaluation/metrics",
        "((p @ q.T / d + 1) ** 3",
        "((p @ q.T + 1) ** 3",
    ),
    # --- the chain that is stored with a model
    Mutant(
        "a stored chain that outdoes what is asked for",
        "formats/chosen",
        "return left | given",
        "return given | left",
    ),
    Mutant(
        "what is stored with one sampler for another one",
        "formats/chosen",
        "if not stored or given.get(",
        "if not stored or False and given.get(",
    ),
    # --- solvers of higher order, and spacings
    Mutant(
        "2M without its correction",
        "sampling/solvers",
        "return x_0_pred + spread(share, x_0_pred) * (x_0_pred - x_0_before)",
        "return x_0_pred",
    ),
    Mutant(
        "2M's ratio r upside down",
        "sampling/solvers",
        "r = (lambda_t - lambda_before) / (lambda_s - lambda_t)",
        "r = (lambda_s - lambda_t) / (lambda_t - lambda_before)",
    ),
    Mutant(
        "sign of lambda",
        "sampling/solvers",
        "(schedule.log_alpha_bar[t] - schedule.one_minus_alpha_bar[t].log()) / 2",
        "(schedule.one_minus_alpha_bar[t].log() - schedule.log_alpha_bar[t]) / 2",
    ),
    Mutant(
        "the whole logarithm of the signal-to-noise ratio for its half",
        "sampling/solvers",
        "schedule.one_minus_alpha_bar[t].log()) / 2",
        "schedule.one_minus_alpha_bar[t].log())",
    ),
    Mutant(
        "2M of second order at its last step",
        "sampling/solvers",
        "torch.where(s.cpu() > 0, 1 / (2 * r), 0.0)",
        "torch.where(s.cpu() > 0, 1 / (2 * r), 0.5)",
    ),
    Mutant(
        "noise at the last step of the SDE form",
        "sampling/solvers",
        "variance = -one_minus_s * torch.expm1(-2 * h)",
        "variance = -one_minus_s.clamp(min=1e-4) * torch.expm1(-2 * h)",
    ),
    Mutant(
        "the weight of the deterministic form in the SDE form",
        "sampling/solvers",
        "weight = -schedule.alpha_bar[s].sqrt() * torch.expm1(-2 * h)",
        "weight = -schedule.alpha_bar[s].sqrt() * torch.expm1(-h)",
    ),
    Mutant(
        "Heun with the second slope alone",
        "sampling/solvers",
        "(slope_t + slope_s) / 2",
        "slope_s",
    ),
    Mutant(
        "Heun that asks at t again",
        "sampling/solvers",
        "denoise(x_s, late)",
        "denoise(x_s, t)",
    ),
    Mutant(
        "a second network call at Heun's last step",
        "sampling/solvers",
        "if (s > 0).any():",
        "if True:",
    ),
    Mutant(
        "solvers that start at T, however large sigma is",
        "sampling/spacing",
        "return int(fits[-1]) + 1",
        "return schedule.T",
    ),
    Mutant(
        "quadratic spacing that is even",
        "sampling/spacing",
        'power = 1 if spacing == "linspace" else 2',
        "power = 1",
    ),
    Mutant(
        "the next noisier step for the nearest in log-SNR",
        "sampling/spacing",
        "np.searchsorted(halfway, wanted)",
        "np.searchsorted(ratio, wanted)",
    ),
    Mutant(
        "equal steps not noticed",
        "sampling/spacing",
        "if not _distinct(timesteps):",
        "if False:",
    ),
    # --- exchange with diffusers
    Mutant(
        "padding of another network on import",
        "formats/diffusers_unet",
        'down_padding="both" if padding else "right"',
        'down_padding="right" if padding else "both"',
    ),
    Mutant(
        "cosine first taken for sine first on import",
        "formats/diffusers_unet",
        "sine_first=not cosine_first",
        "sine_first=cosine_first",
    ),
    Mutant(
        "the older names of key and value swapped",
        "formats/diffusers_files",
        r"""key\.", r"\1.to_k."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_v.")""",
        r"""key\.", r"\1.to_v."),
    (r"(attentions\.\d+)\.value\.", r"\1.to_k.")""",
    ),
    Mutant(
        "no class before the classes",
        "formats/diffusers",
        "torch.cat([table, row])",
        "torch.cat([row, table])",
    ),
    Mutant(
        "sines and cosines in the other order on export",
        "formats/diffusers_unet",
        '"flip_sin_to_cos": not c.sine_first',
        '"flip_sin_to_cos": c.sine_first',
    ),
    # --- laboratory
    Mutant(
        "propagation without the noise of a step",
        "lab/exact",
        "covariance = A @ covariance @ A.mT + c @ c.mT",
        "covariance = A @ covariance @ A.mT",
    ),
    Mutant(
        "variances for deviations in the exact Frechet distance",
        "lab/exact",
        "(variance.sqrt() - data_variance.sqrt())",
        "(variance - data_variance)",
    ),
    Mutant(
        "loss floor without 1 - alpha_bar",
        "lab/exact",
        "snr = schedule.alpha_bar[t] / schedule.one_minus_alpha_bar[t]",
        "snr = schedule.alpha_bar[t]",
    ),
    Mutant(
        "as many steps as network calls for Heun",
        "sampling/solvers",
        '(calls + 1) // 2 if sampler == "heun" else calls',
        "calls",
    ),
    Mutant(
        "the ODE asks about X, and not about x_t",
        "sampling/ode",
        "x_t = X * schedule.alpha_bar[t].sqrt().to(X)",
        "x_t = X.clone()",
    ),
    Mutant(
        "probes added up and not averaged",
        "evaluation/likelihood",
        "return value, rates[-1].mean(0)",
        "return value, rates[-1].sum(0)",
    ),
    Mutant(
        "a density without its change of scale",
        "evaluation/likelihood",
        "Likelihood(start + scales + total,",
        "Likelihood(start + total,",
    ),
    Mutant(
        "the way up asked at its upper end",
        "sampling/inversion",
        "at_s = torch.full((len(x),), max(s, 1))",
        "at_s = torch.full((len(x),), t)",
    ),
    Mutant(
        "the noise of the code not scaled with it",
        "sampling/inversion",
        "one_minus_alpha_bar[then].sqrt() - a_then * sigma_now",
        "one_minus_alpha_bar[then].sqrt() - sigma_now",
    ),
    Mutant(
        "a pull with the deviation of the noise for its variance",
        "sampling/measurement",
        "+ self.deviation**2",
        "+ self.deviation",
    ),
    Mutant(
        "Tweedie's formula without the root",
        "sampling/measurement",
        "schedule.alpha_bar, t, x_t).sqrt()",
        "schedule.alpha_bar, t, x_t)",
    ),
    Mutant(
        "the length of a row for its square",
        "sampling/measurement",
        "return most\n",
        "return most**0.5\n",
    ),
    # --- latents
    Mutant(
        "latents decoded without undoing their scale",
        "models/autoencoder",
        "self.post_quant_conv(z / self.config.scaling_factor)",
        "self.post_quant_conv(z)",
    ),
    Mutant(
        "the variance of a latent for its deviation",
        "models/autoencoder",
        "draw = mean if noise is None else mean + (log_variance / 2).exp() * noise",
        "draw = mean if noise is None else mean + log_variance.exp() * noise",
    ),
    Mutant(
        "the scale of latents that were scaled before, alone",
        "training/autoencode",
        "factor = autoencoder.config.scaling_factor / float(",
        "factor = 1 / float(",
    ),
]
