// A mixture of Gaussians on a line: its exact denoiser, and the map of quantiles, which is
// where the deterministic path of chapter 09 leads.

export class Mixture {
  constructor({ means, weights, width }) {
    Object.assign(this, { means, weights, width });
  }

  // E[x_0 | x_t] for every number of x.
  mean(schedule, x, t) {
    const a = Math.sqrt(schedule.alphaBar[t]);
    const variance = a * a * this.width ** 2 + schedule.oneMinus[t];
    const gain = (a * this.width ** 2) / variance;
    return x.map((value) => {
      const logs = this.means.map(
        (m, k) => Math.log(this.weights[k]) - (value - a * m) ** 2 / (2 * variance),
      );
      const most = Math.max(...logs);
      const shares = logs.map((log) => Math.exp(log - most));
      const sum = shares.reduce((p, q) => p + q);
      return this.means.reduce(
        (total, m, k) => total + (shares[k] / sum) * (m + gain * (value - a * m)),
        0,
      );
    });
  }

  // The density of x_0 + sigma noise at X, and the probability of lying below X.
  density(X, sigma) {
    const v = this.width ** 2 + sigma ** 2;
    return this.means.reduce(
      (sum, m, k) => sum + (this.weights[k] * Math.exp(-((X - m) ** 2) / (2 * v))) / Math.sqrt(2 * Math.PI * v),
      0,
    );
  }

  below(X, sigma) {
    const deviation = Math.hypot(this.width, sigma);
    return this.means.reduce((sum, m, k) => sum + this.weights[k] * normal((X - m) / deviation), 0);
  }

  quantile(p, sigma) {
    const reach = 8 * Math.hypot(this.width, sigma) + Math.max(...this.means.map(Math.abs));
    let [low, high] = [-reach, reach];
    for (let i = 0; i < 80; i++) {
      const middle = (low + high) / 2;
      if (this.below(middle, sigma) < p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }
}

// The standard normal's cumulative probability: a series near 0, a continued fraction far out.
export function normal(z) {
  const far = Math.abs(z);
  if (far > 38) return z > 0 ? 1 : 0;
  const density = Math.exp(-(z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (far < 5) {
    let [term, sum] = [z, z];
    for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (z * z) / n;
    return 0.5 + density * sum;
  }
  let fraction = far;
  for (let n = 40; n > 0; n--) fraction = far + n / fraction;
  return z > 0 ? 1 - density / fraction : density / fraction;
}
