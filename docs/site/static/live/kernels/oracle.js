// The exact denoiser of a finite set of points, each with Gaussian noise or without, as
// ddpm_lite.oracle.DataOracle. Points and batches are flat Float64Arrays.

export class DataOracle {
  // x0: N points of D numbers each. variance: D numbers >= 0.
  constructor(schedule, x0, variance) {
    Object.assign(this, { schedule, x0, variance, D: variance.length });
    this.N = x0.length / this.D;
    this.weights = new Float64Array(this.N);
  }

  // The probability of each point given one x_t, which begins at x[from].
  responsibilities(x, t, from = 0) {
    const { x0, variance, D, N, weights } = this;
    const a = Math.sqrt(this.schedule.alphaBar[t]);
    const rest = this.schedule.oneMinus[t];
    let most = -Infinity;
    for (let i = 0; i < N; i++) {
      let log = 0;
      for (let d = 0; d < D; d++) {
        const m = a * x0[i * D + d];
        log += (x[from + d] * m - 0.5 * m * m) / (a * a * variance[d] + rest);
      }
      weights[i] = log;
      if (log > most) most = log;
    }
    let sum = 0;
    for (let i = 0; i < N; i++) sum += weights[i] = Math.exp(weights[i] - most);
    for (let i = 0; i < N; i++) weights[i] /= sum;
    return weights;
  }

  // E[x_0 | x_t] for every x_t of a batch.
  mean(x, t) {
    const { x0, variance, D, N } = this;
    const a = Math.sqrt(this.schedule.alphaBar[t]);
    const rest = this.schedule.oneMinus[t];
    const out = new Float64Array(x.length);
    for (let b = 0; b < x.length; b += D) {
      const w = this.responsibilities(x, t, b);
      for (let d = 0; d < D; d++) {
        let mean = 0;
        for (let i = 0; i < N; i++) mean += w[i] * x0[i * D + d];
        const gain = (a * variance[d]) / (a * a * variance[d] + rest);
        out[b + d] = mean + gain * (x[b + d] - a * mean);
      }
    }
    return out;
  }

  // How many points take part in the mean: e to the entropy of the weights.
  effective(x, t) {
    let entropy = 0;
    for (const w of this.responsibilities(x, t)) if (w > 0) entropy -= w * Math.log(w);
    return Math.exp(entropy);
  }
}
