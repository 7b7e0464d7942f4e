r"""Exact noise predictors, for data whose law is known.

The best noise prediction is E[noise | x_t] (chapter 03). Where q(x_0) is a Gaussian, a
mixture of Gaussians or a finite set, it can be written down, so schedule and sampler
can be tried before any network exists, and a network can be held against it.

Every oracle is called like a network, `oracle(x_t, t)` with x_t (B, *shape) and t int64
(B,) in 1..T, and returns E[noise | x_t], like x_t. `oracle.x_0_moments(x_t, t)` gives
mean and variance of x_0 given x_t, both like x_t. A bad t raises as in `q_sample`.
"""

import torch

from .checks import (
    check_covariance,
    check_data,
    check_schedule,
    check_t,
    check_table,
    check_variance,
    check_weights,
)
from .process import noise_from_x_0, q_posterior
from .schedule import at


class Oracle:
    r"""The denoiser's contract, with E[noise | x_t] derived from E[x_0 | x_t].

    Calling it takes x_t (B, *shape) and t int64 (B,) in 1..T and returns a tensor like
    x_t. Ho et al. 2020, Eq. 4, whose expectation given x_t is linear.
    """

    prediction = "noise"
    learned_variance = False
    clip, classes = None, 0

    def __init__(self, schedule, sample_shape):
        self.schedule, self.T = check_schedule(schedule), schedule.T
        self.sample_shape = tuple(sample_shape)

    def __repr__(self):
        return f"{type(self).__name__}(T={self.T}, shape={self.sample_shape})"

    def __call__(self, x_t, t):
        x_0_mean, _ = self.x_0_moments(x_t, t)
        return noise_from_x_0(self.schedule, x_t, t, x_0_mean)

    def reverse_variance(self, x_t, t, s):
        r"""Variance of each dimension of x_s given x_t: the right sigma_t^2.

        Pass it to `sample` as `variance=`. t, s: int64 (B,), 0 <= s < t.
        Returns a tensor like x_t: the posterior variance of Eq. 7 plus the variance of
        its mean, by the law of total variance. At s = 0 this is Var(x_0 | x_t).
        """
        _, variance = self.x_0_moments(x_t, t)
        weight_x_0, small = q_posterior(
            self.schedule, torch.ones_like(x_t), torch.zeros_like(x_t), t, s
        )
        return small + weight_x_0.square() * variance

    def _check(self, x_t, t):
        if tuple(x_t.shape[1:]) != self.sample_shape:
            raise ValueError(
                f"this oracle knows data of shape {self.sample_shape}, got x_t of shape "
                f"{tuple(x_t.shape)}"
            )
        check_t(t, x_t, self.schedule.T)
        alpha_bar_t = at(self.schedule.alpha_bar, t, x_t.flatten(1))  # (B, 1)
        one_minus_t = at(self.schedule.one_minus_alpha_bar, t, x_t.flatten(1))
        return x_t.flatten(1), alpha_bar_t.sqrt(), one_minus_t


class GaussianOracle(Oracle):
    r"""The exact denoiser of data from one Gaussian.

    mean: (*shape,). covariance: (D, D) with D the product of shape, symmetric and
    positive semi-definite; or (*shape,), or one number >= 0, for independent dimensions.
    Raises ValueError for another shape or a negative variance.
    Conditioning of jointly Gaussian vectors, Bishop 2006, Eq. 2.81 and 2.82.
    """

    def __init__(self, schedule, mean, covariance):
        mean = check_table("mean", mean)
        super().__init__(schedule, mean.shape)
        covariance = check_table("covariance", covariance)
        if covariance.dim() == 0 or covariance.shape == mean.shape:
            covariance = covariance.expand(mean.shape).flatten().diag()
        check_covariance(covariance, mean.numel())
        self.mean = mean.flatten()
        self.eigenvalues, self.axes = torch.linalg.eigh(covariance)
        check_variance("covariance's eigenvalues", self.eigenvalues + 1e-10)
        self.eigenvalues = self.eigenvalues.clamp(min=0)  # what rounding left below

    def x_0_moments(self, x_t, t):
        r"""Mean and variance of x_0 given x_t, both like x_t."""
        x, a_t, one_minus_t = self._check(x_t, t)
        mean, axes, eigenvalues = (
            v.to(x) for v in (self.mean, self.axes, self.eigenvalues)
        )
        precision = 1 / (a_t.square() * eigenvalues + one_minus_t)  # (B, D)
        z = (x - a_t * mean) @ axes
        x_0_mean = mean + (a_t * eigenvalues * precision * z) @ axes.T
        variance = (eigenvalues * one_minus_t * precision) @ axes.T.square()
        return x_0_mean.reshape(x_t.shape), variance.reshape(x_t.shape)


class MixtureOracle(Oracle):
    r"""The exact denoiser of a mixture of K Gaussians with independent dimensions.

    means: (K, *shape). variances: broadcasts to means, all >= 0. weights: (K,) > 0 that
    sum to 1; equal if None. Raises ValueError for other shapes or values.
    Bayes' rule over the component, Bishop 2006, Eq. 9.13.
    """

    def __init__(self, schedule, means, variances, weights=None):
        means = check_table("means", means)
        super().__init__(schedule, means.shape[1:])
        variances = check_table("variances", variances).expand(means.shape)
        weights = [1 / len(means)] * len(means) if weights is None else weights
        weights = check_table("weights", weights)
        check_variance("variances", variances)
        check_weights(weights, len(means))
        self.means, self.variances = means.flatten(1), variances.flatten(1)
        self.log_weights = weights.log()

    def responsibilities(self, x_t, t):
        r"""Probability of each component given x_t, (B, K)."""
        x, a_t, one_minus_t = self._check(x_t, t)
        a_t, one_minus_t = a_t[:, None], one_minus_t[:, None]  # (B, 1, 1)
        variance_t = a_t.square() * self.variances.to(x) + one_minus_t  # (B, K, D)
        distance = (x[:, None] - a_t * self.means.to(x)).square() / variance_t
        log_density = -0.5 * (distance + variance_t.log()).sum(-1)
        return (log_density + self.log_weights.to(x)).softmax(-1)

    def x_0_moments(self, x_t, t):
        r"""Mean and variance of x_0 given x_t, both like x_t."""
        x, a_t, one_minus_t = self._check(x_t, t)
        a_t, one_minus_t = a_t[:, None], one_minus_t[:, None]  # (B, 1, 1)
        means, variances = self.means.to(x), self.variances.to(x)
        gain = a_t * variances / (a_t.square() * variances + one_minus_t)  # (B, K, D)
        component_mean = means + gain * (x[:, None] - a_t * means)
        component_variance = variances * (1 - a_t * gain)
        r = self.responsibilities(x_t, t)[..., None]  # (B, K, 1)
        x_0_mean = (r * component_mean).sum(1)
        spread = (component_mean - x_0_mean[:, None]).square()
        variance = (r * (component_variance + spread)).sum(1)
        return x_0_mean.reshape(x_t.shape), variance.reshape(x_t.shape)


class DataOracle(Oracle):
    r"""The exact denoiser of a finite data set, each example equally likely.

    x_0: (N, *shape). variance: Gaussian noise on every example, a number or (*shape,)
    >= 0; 0 is the training set itself, which such a denoiser only looks up.
    Distances are one matrix product, so that thousands of pictures are affordable.
    Raises ValueError for x_0 that is not finite and for a negative variance.
    Bayes' rule over the example; Karras et al. 2022 (arXiv 2206.00364), appendix B.3.
    """

    def __init__(self, schedule, x_0, variance=0.0):
        x_0 = check_table("x_0", x_0)
        super().__init__(schedule, x_0.shape[1:])
        variance = check_table("variance", variance).expand(x_0.shape[1:])
        check_data(x_0, "x_0")
        check_variance("variance", variance)
        self.x_0, self.variance = x_0.flatten(1), variance.flatten()

    def responsibilities(self, x_t, t):
        r"""Probability of each example given x_t, (B, N)."""
        x, a_t, one_minus_t = self._check(x_t, t)
        x_0 = self.x_0.to(x)
        precision = 1 / (a_t.square() * self.variance.to(x) + one_minus_t)  # (B, D)
        inner = (x * precision) @ x_0.T
        square = precision @ x_0.square().T
        return (a_t * inner - 0.5 * a_t.square() * square).softmax(-1)

    def x_0_moments(self, x_t, t):
        r"""Mean and variance of x_0 given x_t, both like x_t."""
        x, a_t, one_minus_t = self._check(x_t, t)
        x_0, variance = self.x_0.to(x), self.variance.to(x)
        gain = a_t * variance / (a_t.square() * variance + one_minus_t)  # (B, D)
        r = self.responsibilities(x_t, t)
        example_mean = r @ x_0
        example_variance = (r @ x_0.square() - example_mean.square()).clamp(min=0)
        x_0_mean = example_mean + gain * (x - a_t * example_mean)
        shrink = 1 - a_t * gain
        variance = variance * shrink + shrink.square() * example_variance
        return x_0_mean.reshape(x_t.shape), variance.reshape(x_t.shape)
