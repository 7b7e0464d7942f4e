// One process in two coordinates: z = (1 - tau) x_0 + tau eps, the flow, and x = z / c,
// which keeps the variance. Steps are lists of tau from 1 down to 0.

const length = (tau) => Math.hypot(1 - tau, tau);

// [1, ..., 0] in so many steps, even in tau or in the angle whose tangent is tau / (1 - tau).
export function times(count, even = "tau") {
  return Array.from({ length: count + 1 }, (_, k) => {
    const share = 1 - k / count;
    if (even === "tau" || share === 0 || share === 1) return share;
    const angle = (share * Math.PI) / 2;
    return Math.sin(angle) / (Math.sin(angle) + Math.cos(angle));
  });
}

// E[x_0 | x] for every number of x, which belong to tau.
function guess(law, x, tau) {
  const c = length(tau);
  return law.mean({ alphaBar: [((1 - tau) / c) ** 2], oneMinus: [(tau / c) ** 2] }, x, 0);
}

// Euler's steps on the flow: every z on the way, from noise.
export function euler(law, taus, noise) {
  const path = [noise];
  for (let k = 0; k + 1 < taus.length; k++) {
    const [tau, next, z] = [taus[k], taus[k + 1], path[k]];
    const x0 = guess(law, z.map((value) => value / length(tau)), tau);
    path.push(z.map((value, i) => value + (next - tau) * ((value - x0[i]) / tau)));
  }
  return path;
}

// DDIM's steps on the chain that keeps the variance: every x on the way, from noise.
export function ddim(law, taus, noise) {
  const path = [noise];
  for (let k = 0; k + 1 < taus.length; k++) {
    const [[a, s], [b, r]] = [taus[k], taus[k + 1]].map((tau) => [(1 - tau) / length(tau), tau / length(tau)]);
    const x = path[k];
    const x0 = guess(law, x, taus[k]);
    path.push(x.map((value, i) => b * x0[i] + (r * (value - a * x0[i])) / s));
  }
  return path;
}

// Where the exact flow leads the noise of this quantile, at tau, in z and in x.
export function exact(law, share, tau) {
  if (tau === 1) throw new Error("at tau = 1 it is the noise itself");
  const z = (1 - tau) * law.quantile(share, tau / (1 - tau));
  return { z, x: z / length(tau) };
}

// The deviation of Euler's ends over all noise, by the trapezoidal rule; where the ends
// leap from one peak to another, the noises stand closer together.
export function deviation(law, taus) {
  const evenly = (from, to, parts) =>
    Array.from({ length: parts }, (_, i) => from + ((to - from) * i) / parts);
  const ends = (noise) => [...euler(law, taus, Float64Array.from(noise)).at(-1)];
  const coarse = [...evenly(-8, 8, 1600), 8];
  const there = ends(coarse);
  const leap = (i) => Math.abs(there[i + 1] - there[i]) > 0.05;
  const noise = coarse.flatMap((z, i) =>
    i + 1 < coarse.length && leap(i) ? evenly(z, coarse[i + 1], 64) : [z],
  );
  const x = ends(noise);
  const weights = noise.map((z, i) => {
    const room = (noise[i + 1] ?? z) - (noise[i - 1] ?? z);
    return room * Math.exp(-(z * z) / 2);
  });
  const sum = weights.reduce((a, b) => a + b);
  const mean = weights.reduce((total, w, i) => total + w * x[i], 0) / sum;
  return Math.sqrt(weights.reduce((total, w, i) => total + w * (x[i] - mean) ** 2, 0) / sum);
}
