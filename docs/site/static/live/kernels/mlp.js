// The network of chapter 05 with sinusoidal embedding, as ddpm_lite's MLP.

const silu = (v) => v / (1 + Math.exp(-v));

export function sinusoidal(index, width) {
  const half = width / 2;
  const out = new Float64Array(width);
  for (let k = 0; k < half; k++) {
    const angle = index * 10000 ** (-k / (half - 1));
    out[k] = Math.sin(angle);
    out[half + k] = Math.cos(angle);
  }
  return out;
}

function affine(weight, bias, x) {
  const [rows, columns] = weight.shape;
  const out = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = bias[i];
    for (let j = 0; j < columns; j++) sum += weight[i * columns + j] * x[j];
    out[i] = sum;
  }
  return out;
}

// tensors, settings: of the file. Returns noise(x, t), x a flat batch of points.
export function buildMLP(tensors, { dim, width, depth }) {
  const of = (name) => tensors[`model.${name}`];
  const layers = Array.from({ length: depth }, (_, k) => ({
    weight: of(`hidden.${k}.weight`),
    bias: of(`hidden.${k}.bias`),
    timeWeight: of(`time.${k}.weight`),
    timeBias: of(`time.${k}.bias`),
  }));
  const [outWeight, outBias] = [of("out.weight"), of("out.bias")];
  return (x, t) => {
    const wave = sinusoidal(t - 1, width);
    const times = layers.map((l) => affine(l.timeWeight, l.timeBias, wave));
    const out = new Float64Array(x.length);
    for (let b = 0; b < x.length; b += dim) {
      let h = x.subarray(b, b + dim);
      layers.forEach((layer, k) => {
        h = affine(layer.weight, layer.bias, h);
        for (let i = 0; i < width; i++) h[i] = silu(h[i] + times[k][i]);
      });
      out.set(affine(outWeight, outBias, h), b);
    }
    return out;
  };
}

// A noise predictor as a predictor of x_0 (Ho et al. 2020, Eq. 15).
export function asDenoiser(noise, schedule) {
  return (x, t) => {
    const [a, s] = [Math.sqrt(schedule.alphaBar[t]), Math.sqrt(schedule.oneMinus[t])];
    const predicted = noise(x, t);
    return x.map((value, i) => (value - s * predicted[i]) / a);
  };
}
