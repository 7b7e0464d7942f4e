// The U-Net of ddpm_lite, for square pictures of one size; one picture at a time.
// A feature map is a Float32Array of C * side * side numbers with its `side`.

import { sinusoidal } from "./mlp.js";

const silu = (v) => v / (1 + Math.exp(-v));
const map = (C, side) => Object.assign(new Float32Array(C * side * side), { side });

// Convolution 3 by 3. pad: rows of zeros above and left of the picture, 1 or 0; below and
// right there are as many as are needed.
function conv3(h, weight, bias, stride = 1, pad = 1) {
  const [O, C] = weight.shape;
  const { side } = h;
  const wide = side + 2;
  const padded = new Float32Array(C * wide * wide);
  for (let c = 0; c < C; c++)
    for (let y = 0; y < side; y++) {
      const from = (c * side + y) * side;
      padded.set(h.subarray(from, from + side), (c * wide + y + pad) * wide + pad);
    }
  const small = side / stride;
  const out = map(O, small);
  const sums = new Float64Array(small * small);
  for (let o = 0; o < O; o++) {
    sums.fill(bias[o]);
    for (let c = 0; c < C; c++) {
      const k = (o * C + c) * 9;
      const [a, b, d, e, f, g, p, q, r] = weight.subarray(k, k + 9);
      for (let y = 0, n = 0; y < small; y++) {
        let i = (c * wide + y * stride) * wide;
        for (let x = 0; x < small; x++, n++, i += stride) {
          const [j, l] = [i + wide, i + 2 * wide];
          sums[n] +=
            a * padded[i] + b * padded[i + 1] + d * padded[i + 2] +
            e * padded[j] + f * padded[j + 1] + g * padded[j + 2] +
            p * padded[l] + q * padded[l + 1] + r * padded[l + 2];
        }
      }
    }
    out.set(sums, o * small * small);
  }
  return out;
}

// A linear map of the channels of every pixel; a convolution 1 by 1.
function mix(h, weight, bias) {
  const [O, C] = weight.shape;
  const size = h.side ** 2;
  const out = map(O, h.side);
  for (let o = 0; o < O; o++)
    for (let n = 0; n < size; n++) {
      let sum = bias[o];
      for (let c = 0; c < C; c++) sum += weight[o * C + c] * h[c * size + n];
      out[o * size + n] = sum;
    }
  return out;
}

function linear(x, weight, bias) {
  const [O, C] = weight.shape;
  const out = new Float64Array(O);
  for (let o = 0; o < O; o++) {
    let sum = bias[o];
    for (let c = 0; c < C; c++) sum += weight[o * C + c] * x[c];
    out[o] = sum;
  }
  return out;
}

function groupNorm(h, groups, weight, bias, eps, after = (v) => v) {
  const size = h.side ** 2;
  const [C, per] = [h.length / size, h.length / groups];
  const out = map(C, h.side);
  for (let g = 0; g < groups; g++) {
    let [sum, square] = [0, 0];
    for (let i = g * per; i < (g + 1) * per; i++) sum += h[i];
    const mean = sum / per;
    for (let i = g * per; i < (g + 1) * per; i++) square += (h[i] - mean) ** 2;
    const scale = 1 / Math.sqrt(square / per + eps);
    for (let i = g * per; i < (g + 1) * per; i++) {
      const c = Math.floor(i / size);
      out[i] = after((h[i] - mean) * scale * weight[c] + bias[c]);
    }
  }
  return out;
}

function joined(a, b) {
  const out = map((a.length + b.length) / a.side ** 2, a.side);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function enlarged(h) {
  const { side } = h;
  const out = map(h.length / side ** 2, 2 * side);
  const rows = h.length / side; // of all channels, one below the other
  for (let row = 0; row < 2 * rows; row++)
    for (let x = 0; x < 2 * side; x++)
      out[row * 2 * side + x] = h[(row >> 1) * side + (x >> 1)];
  return out;
}

function attention(h, p, name, c) {
  const size = h.side ** 2;
  const C = h.length / size;
  const width = c.head_width ?? C;
  const normed = groupNorm(h, c.groups, p(`${name}.group_norm.weight`), p(`${name}.group_norm.bias`), c.eps);
  const [q, k, v] = ["to_q", "to_k", "to_v"].map((part) =>
    mix(normed, p(`${name}.${part}.weight`), p(`${name}.${part}.bias`)),
  );
  const mixed = map(C, h.side);
  const weights = new Float64Array(size);
  for (let first = 0; first < C; first += width)
    for (let n = 0; n < size; n++) {
      let most = -Infinity;
      for (let m = 0; m < size; m++) {
        let dot = 0;
        for (let i = first; i < first + width; i++) dot += q[i * size + n] * k[i * size + m];
        weights[m] = dot / Math.sqrt(width);
        most = Math.max(most, weights[m]);
      }
      let sum = 0;
      for (let m = 0; m < size; m++) sum += weights[m] = Math.exp(weights[m] - most);
      for (let i = first; i < first + width; i++) {
        let value = 0;
        for (let m = 0; m < size; m++) value += weights[m] * v[i * size + m];
        mixed[i * size + n] = value / sum;
      }
    }
  const out = mix(mixed, p(`${name}.to_out.0.weight`), p(`${name}.to_out.0.bias`));
  for (let i = 0; i < out.length; i++) out[i] += h[i];
  return out;
}

// tensors, settings: of the file. Returns noise(x, t, y): x a flat picture, y its class,
// or nothing for none.
export function buildUNet(tensors, c) {
  if (c.scale_shift || c.learned_variance) throw new Error("such a U-Net is not built here");
  const p = (name) => tensors[`model.${name}`];
  const has = (name) => `model.${name}` in tensors;
  const norm = (h, name) =>
    groupNorm(h, c.groups, p(`${name}.weight`), p(`${name}.bias`), c.eps, silu);
  const conv = (h, name, ...how) => conv3(h, p(`${name}.weight`), p(`${name}.bias`), ...how);

  function block(h, emb, name) {
    let out = conv(norm(h, `${name}.norm1`), `${name}.conv1`);
    const size = h.side ** 2;
    const shift = linear(emb, p(`${name}.time_emb_proj.weight`), p(`${name}.time_emb_proj.bias`));
    for (let i = 0; i < out.length; i++) out[i] += shift[Math.floor(i / size)];
    out = conv(norm(out, `${name}.norm2`), `${name}.conv2`);
    const cut = `${name}.conv_shortcut`;
    const same = has(`${cut}.weight`) ? mix(h, p(`${cut}.weight`), p(`${cut}.bias`)) : h;
    for (let i = 0; i < out.length; i++) out[i] += same[i];
    return out;
  }
  const attend = (h, name) => (has(`${name}.to_q.weight`) ? attention(h, p, name, c) : h);

  return (x, t, y = c.classes) => {
    const wave = sinusoidal(t - c.t_shift, c.width);
    let emb = linear(wave, p("time_embedding.linear_1.weight"), p("time_embedding.linear_1.bias"));
    emb = linear(emb.map(silu), p("time_embedding.linear_2.weight"), p("time_embedding.linear_2.bias"));
    if (c.classes) {
      const table = p("class_embedding.weight");
      emb = emb.map((v, i) => v + table[y * emb.length + i]);
    }
    emb = emb.map(silu); // every block would compute the same
    let h = conv(Object.assign(Float32Array.from(x), { side: c.size }), "conv_in");
    const skips = [h];
    const last = c.multipliers.length - 1;
    for (let i = 0; i <= last; i++) {
      for (let k = 0; k < c.blocks; k++) {
        h = block(h, emb, `down_blocks.${i}.resnets.${k}`);
        skips.push((h = attend(h, `down_blocks.${i}.attentions.${k}`)));
      }
      if (i < last) {
        const pad = c.down_padding === "right" ? 0 : 1;
        skips.push((h = conv(h, `down_blocks.${i}.downsamplers.0.conv`, 2, pad)));
      }
    }
    h = block(h, emb, "mid_block.resnets.0");
    h = block(attend(h, "mid_block.attentions.0"), emb, "mid_block.resnets.1");
    for (let i = 0; i <= last; i++) {
      for (let k = 0; k <= c.blocks; k++) {
        h = block(joined(h, skips.pop()), emb, `up_blocks.${i}.resnets.${k}`);
        h = attend(h, `up_blocks.${i}.attentions.${k}`);
      }
      if (i < last) h = conv(enlarged(h), `up_blocks.${i}.upsamplers.0.conv`);
    }
    return Float64Array.from(conv(norm(h, "conv_norm_out"), "conv_out"));
  };
}
