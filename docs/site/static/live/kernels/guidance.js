// Guidance between two Gaussians in one dimension: p(x | c) = N(m, s^2), p(x) = N(0, 1).
// Every denoiser is then linear in x_t, so whatever a sampler makes is a Gaussian again.

import { posterior } from "./chain.js";

// The law that the formula promises: p(x | c)^gamma p(x)^(1 - gamma), made a law.
export function tilted(gamma, m, s) {
  const precision = gamma / s ** 2 + (1 - gamma);
  return { mean: (gamma * m) / s ** 2 / precision, deviation: precision ** -0.5 };
}

// E[x_0 | x_t] of N(m, s^2) as gain * x_t + rest.
function denoiser(schedule, t, m, s) {
  const a = Math.sqrt(schedule.alphaBar[t]);
  const gain = (a * s * s) / (a * a * s * s + schedule.oneMinus[t]);
  return { gain, rest: m * (1 - a * gain) };
}

// Mean and deviation of what a sampler draws with guidance gamma over all T steps.
// sampler: "ancestral", with the small variance, or "ddim".
export function sampled(schedule, gamma, m, s, sampler) {
  let [mean, variance] = [0, 1];
  for (let t = schedule.T; t > 0; t--) {
    const [c, free] = [denoiser(schedule, t, m, s), denoiser(schedule, t, 0, 1)];
    const gain = gamma * c.gain + (1 - gamma) * free.gain;
    const rest = gamma * c.rest + (1 - gamma) * free.rest;
    let [x0, xt, added] = [0, 0, 0];
    if (sampler === "ddim") {
      const ratio = Math.sqrt(schedule.oneMinus[t - 1] / schedule.oneMinus[t]);
      x0 = Math.sqrt(schedule.alphaBar[t - 1]) - ratio * Math.sqrt(schedule.alphaBar[t]);
      xt = ratio;
    } else ({ x0, xt, variance: added } = posterior(schedule, t, t - 1));
    const factor = x0 * gain + xt;
    mean = factor * mean + x0 * rest;
    variance = factor ** 2 * variance + added;
  }
  return { mean, deviation: Math.sqrt(variance) };
}
