// Chapter 09: samplers side by side from one noise, with a number of calls to choose, and
// the exact end of the deterministic path beside.

import { canvas, choice, controls, curve, dot, make, number, numbers, slider, words } from "./frame.js";
import { chain } from "./kernels/chain.js";
import { Mixture } from "./kernels/mixture.js";
import { SampleNoise } from "./kernels/random.js";
import * as schedules from "./kernels/schedule.js";

const T = 1000;
const MOST = { lambda: 38, t: 100 }; // calls; more steps even in lambda would meet
const NAMES = {
  ddim: ["DDIM", "x_t", []],
  dpmpp_2m: ["2M", "noise", []],
  heun: ["Heun", "prediction", [8, 4]],
  ancestral: ["ancestral", "extra", []],
};

export function render({ model, el }) {
  const law = new Mixture(model.get("law"));
  const schedule = schedules.linear(T);
  const sigma = (t) => Math.sqrt(1 / schedules.snr(schedule, t));
  const at = { share: 0.35, calls: 10, seed: 3, even: "lambda" };
  let paths, exact, start;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const plot = canvas(canvases, { label: "", tall: 340, draw, drag });
  const box = controls(el);
  const calls = slider(box, { label: "calls of the denoiser", min: 2, max: MOST.lambda, value: at.calls, change: (n) => {
    at.calls = n;
    update();
  } });
  choice(box, {
    label: "Steps even in",
    options: [["lambda", "λ"], ["t", "t"]],
    value: at.even,
    change: (even) => {
      at.even = even;
      at.calls = Math.min(at.calls, MOST[even]);
      calls.set(at.calls, { max: MOST[even] });
      update();
    },
  });
  const share = slider(box, {
    label: "the noise, as a quantile",
    min: 0.005, max: 0.995, step: 0.005, value: at.share,
    text: (p) => p.toFixed(3),
    change: (p) => {
      at.share = p;
      update();
    },
  });
  number(box, { label: "seed of ancestral", value: at.seed, change: (seed) => {
    at.seed = seed;
    update();
  } });
  const show = numbers(el, {
    exact: ["exact end", "x_0"],
    ...Object.fromEntries(Object.entries(NAMES).map(([name, [title, colour]]) => [name, [name === "ancestral" ? "ancestral ends at" : `${title}, error`, colour]])),
  });

  // As in the chapter, t = 0 stands at the right; x_t on the way up is at most 3.2.
  const pad = { left: 16, right: 96, top: 12, bottom: 30 };
  const toX = (t, width) => pad.left + (1 - t / T) * (width - pad.left - pad.right);
  const toY = (x, height) => pad.top + ((3.2 - x) / 6.4) * (height - pad.top - pad.bottom);

  function draw(pen, width, height, ink) {
    const bottom = toY(-3.2, height);
    curve(pen, [[toX(T, width), bottom], [toX(0, width), bottom]], ink.line, 1);
    words(pen, "t = 1000", toX(T, width), bottom + 16, ink.ink, "left", 13);
    words(pen, "0", toX(0, width), bottom + 16, ink.ink, "center", 13);
    const heap = []; // the law of the data, at the end
    for (let x = -3.2; x <= 3.2; x += 0.02) heap.push([toX(0, width) + 52 * law.density(x, 0), toY(x, height)]);
    curve(pen, heap, ink.x_0, 2);
    words(pen, "data", width - 4, toY(2.4, height), ink.x_0, "right", 14);
    curve(pen, exact.map(([t, x]) => [toX(t, width), toY(x, height)]), ink.x_0, 5);
    for (const [name, [, colour, dash]] of Object.entries(NAMES)) {
      const points = paths[name].map(({ t, x }) => [toX(t, width), toY(x[0], height)]);
      curve(pen, points, ink[colour], 2, dash);
      if (at.calls <= 25) for (const [x, y] of points) dot(pen, x, y, 3, ink[colour]);
      dot(pen, ...points.at(-1), 6, ink[colour], ink.paper);
    }
    dot(pen, toX(T, width), toY(start, height), 7, ink.noise, ink.paper);
    words(pen, "one noise", toX(T, width) + 14, toY(start, height) - 14, ink.noise);
  }

  function drag(x, y, width, height) {
    const noise = 3.2 - ((y - pad.top) / (height - pad.top - pad.bottom)) * 6.4;
    const a = Math.sqrt(schedule.alphaBar[T]);
    at.share = Math.min(0.995, Math.max(0.005, law.below(noise / a, sigma(T))));
    update();
  }

  function update() {
    share.set(at.share);
    const way = (t) => Math.sqrt(schedule.alphaBar[t]) * law.quantile(at.share, t ? sigma(t) : 0);
    exact = [];
    for (let t = T; t >= 0; t -= 10) exact.push([t, way(t)]);
    start = way(T);
    const denoise = (x, t) => law.mean(schedule, x, t);
    paths = {};
    for (const sampler of Object.keys(NAMES)) {
      const steps = sampler === "heun" ? Math.floor((at.calls + 1) / 2) : at.calls;
      const options = { schedule, denoise, sampler, variance: "small" };
      options.noise = new SampleNoise(at.seed, 1, 1);
      options.start = Float64Array.of(start);
      options.pairs =
        at.even === "t" ? schedules.pairs(T, steps) : schedules.evenPairs(schedule, steps);
      paths[sampler] = [...chain(options)];
    }
    const end = way(0);
    const values = { exact: end };
    for (const name of Object.keys(NAMES)) {
      const x = paths[name].at(-1).x[0];
      values[name] = name === "ancestral" ? x : Math.abs(x - end);
    }
    show(values);
    plot.say(`Paths of four samplers with ${at.calls} calls from one noise, and the exact path, which ends at ${end.toFixed(2)}.`);
    plot.redraw();
  }
  update();
}

export default { render };
