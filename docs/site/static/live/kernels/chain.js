// One jump of the forward process, steps of the reverse one, and whole chains. Every
// x is a flat Float64Array.

import { lambda, transition } from "./schedule.js";

export function qSample(schedule, x0, t, noise) {
  const [a, s] = [Math.sqrt(schedule.alphaBar[t]), Math.sqrt(schedule.oneMinus[t])];
  return x0.map((value, i) => a * value + s * noise[i]);
}

// Mean of q(x_s | x_t, x_0) as weights of x_0 and x_t, and its variance.
export function posterior(schedule, t, s) {
  const { beta, alpha } = transition(schedule, t, s);
  const [before, now] = [schedule.oneMinus[s], schedule.oneMinus[t]];
  return {
    x0: (Math.sqrt(schedule.alphaBar[s]) * beta) / now,
    xt: (Math.sqrt(alpha) * before) / now,
    variance: (beta * before) / now,
  };
}

export function ancestralStep(schedule, x, x0, t, s, noise, variance = "small") {
  const q = posterior(schedule, t, s);
  const large = s > 0 ? transition(schedule, t, s).beta : 0;
  const deviation = Math.sqrt(variance === "large" ? large : q.variance);
  return x.map((value, i) => q.x0 * x0[i] + q.xt * value + deviation * noise[i]);
}

export function ddimStep(schedule, x, x0, t, s) {
  const [a, std] = [Math.sqrt(schedule.alphaBar[t]), Math.sqrt(schedule.oneMinus[t])];
  const [b, rest] = [Math.sqrt(schedule.alphaBar[s]), Math.sqrt(schedule.oneMinus[s])];
  return x.map((value, i) => b * x0[i] + (rest * (value - a * x0[i])) / std);
}

// DPM-Solver++(2M). before: {t, x0} of the step before, or nothing.
export function dpmpp2mStep(schedule, x, x0, t, s, before) {
  if (s === 0) return x0.slice();
  const h = lambda(schedule, s) - lambda(schedule, t);
  const r = before ? (lambda(schedule, t) - lambda(schedule, before.t)) / h : Infinity;
  const shrink = Math.sqrt(schedule.oneMinus[s] / schedule.oneMinus[t]);
  const weight = -Math.sqrt(schedule.alphaBar[s]) * Math.expm1(-h);
  return x.map((value, i) => {
    const D = before ? x0[i] + (x0[i] - before.x0[i]) / (2 * r) : x0[i];
    return shrink * value + weight * D;
  });
}

export function heunStep(schedule, x, x0, t, s, denoise) {
  if (s === 0) return x0.slice();
  const [a, b] = [Math.sqrt(schedule.alphaBar[t]), Math.sqrt(schedule.alphaBar[s])];
  const sigma = [t, s].map((k) => Math.sqrt(schedule.oneMinus[k] / schedule.alphaBar[k]));
  const slope = x.map((value, i) => (value - a * x0[i]) / (a * sigma[0]));
  const euler = x.map((value, i) => b * (value / a + (sigma[1] - sigma[0]) * slope[i]));
  const late = denoise(euler, s);
  return x.map((value, i) => {
    const there = (euler[i] - b * late[i]) / (b * sigma[1]);
    return b * (value / a + ((sigma[1] - sigma[0]) * (slope[i] + there)) / 2);
  });
}

// A chain, state by state: {t, x, x0, calls}, the first at the largest t, without x0.
// denoise: (x, t) -> x_0 predicted. noise: an object whose next() gives x_T and the noise
// of every step. sampler: "ancestral", "ddim", "dpmpp_2m" or "heun". held: of an ancestral
// chain that fills a hole, {known, x0, resample, noise}, as in ddpm_lite's `inpaint`.
export function* chain({ schedule, pairs, denoise, noise, start, sampler, variance, clip, held }) {
  let calls = 0;
  const ask = (x, t) => {
    calls++;
    const x0 = denoise(x, t);
    return clip ? x0.map((value) => Math.min(clip[1], Math.max(clip[0], value))) : x0;
  };
  const first = noise ? noise.next() : null; // drawn even where it is not used
  let x = start ?? first;
  let before = null;
  yield { t: pairs[0][0], x, x0: null, calls };
  for (const [t, s] of pairs) {
    const x0 = ask(x, t);
    const fresh = noise ? noise.next() : null;
    let after;
    if (sampler === "ddim") after = ddimStep(schedule, x, x0, t, s);
    else if (sampler === "dpmpp_2m") after = dpmpp2mStep(schedule, x, x0, t, s, before);
    else if (sampler === "heun") after = heunStep(schedule, x, x0, t, s, ask);
    else after = ancestralStep(schedule, x, x0, t, s, fresh, variance);
    if (held) after = fill(schedule, after, t, s, held, ask, variance);
    before = { t, x0 };
    x = after;
    yield { t: s, x, x0, calls };
  }
}

// Known numbers of x_s become x_0 with the noise of s. Each resampling goes back to t first.
function fill(schedule, x, t, s, { known, x0, resample = 1, noise }, ask, variance) {
  const replaced = (values) => {
    const own = qSample(schedule, x0, s, noise.next());
    return values.map((value, i) => (known[i] ? own[i] : value));
  };
  const { alpha, beta } = transition(schedule, t, s);
  let filled = replaced(x);
  for (let r = 1; r < resample; r++) {
    const fresh = noise.next();
    const back = filled.map((value, i) => Math.sqrt(alpha) * value + Math.sqrt(beta) * fresh[i]);
    const guess = ask(back, t);
    filled = replaced(ancestralStep(schedule, back, guess, t, s, noise.next(), variance));
  }
  return filled;
}
