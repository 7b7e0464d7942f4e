// Chapter 03: noise becomes points, with the exact denoiser of points that are put down by
// hand; one path, and what the best guess is made of at any place.

import { button, canvas, choice, cloud, controls, curve, digits, dot, make, number, numbers, player, slider, words } from "./frame.js";
import { chain, qSample } from "./kernels/chain.js";
import { DataOracle } from "./kernels/oracle.js";
import { SampleNoise } from "./kernels/random.js";
import * as schedules from "./kernels/schedule.js";

const [T, B, REACH] = [100, 300, 3.3];
const SPREAD = [0.15, 0.15]; // deviation around points that are put down by hand

export function render({ model, el }) {
  const schedule = schedules.cosine(T);
  const sets = {
    curve: { x0: Float64Array.from(model.get("curve")), spread: model.get("spread") },
    two: { x0: Float64Array.from([-1, 0, 1, 0]), spread: SPREAD },
    yours: { x0: Float64Array.from([]), spread: SPREAD },
  };
  const at = { kind: "curve", frame: 60, seed: 2, one: 7, own: null };
  let data, exact, states, walk, start, noise;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const square = (width) => Math.min(width, 430) + 24;
  const left = canvas(canvases, { label: "", tall: square, draw: drawForward, drag: put });
  const right = canvas(canvases, { label: "", tall: square, draw: drawReverse, drag: probe });
  const film = controls(el);
  const box = controls(el);
  const play = player(film, {
    label: "step t",
    last: T,
    value: at.frame,
    text: (k) => String(T - k),
    change: (k) => {
      at.frame = k;
      update();
    },
  });
  const kinds = choice(box, {
    label: "Data",
    options: [["curve", "S-curve"], ["two", "two points"], ["yours", "yours"]],
    value: at.kind,
    change: (kind) => {
      at.kind = kind;
      begin();
    },
  });
  button(box, "Clear yours", () => {
    sets.yours.x0 = new Float64Array();
    at.kind = "yours";
    kinds.set("yours");
    begin();
  });
  slider(box, { label: "follow sample", min: 0, max: B - 1, value: at.one, change: (i) => {
    at.one = i;
    at.own = null;
    update();
  } });
  const across = slider(box, { label: "or look at x_t, across", min: -3, max: 3, step: 0.05, value: 0, text: (v) => v.toFixed(2), change: (v) => {
    at.own = [v, place()[1]];
    update();
  } });
  const up = slider(box, { label: "and up", min: -3, max: 3, step: 0.05, value: 0, text: (v) => v.toFixed(2), change: (v) => {
    at.own = [place()[0], v];
    update();
  } });
  number(box, { label: "seed", value: at.seed, change: (seed) => {
    at.seed = seed;
    begin();
  } });
  const show = numbers(el, {
    t: ["t"],
    snr: ["SNR"],
    effective: ["points that take part", "x_0"],
    guess: ["best guess of x₀", "prediction"],
  });

  const scale = (width, height) => (Math.min(width, height - 24) - 8) / (2 * REACH);
  const placer = (width, height) => {
    const s = scale(width, height);
    return (x, y) => [width / 2 + s * x, 24 + (height - 24) / 2 - s * y];
  };
  const back = (x, y, width, height) => {
    const s = scale(width, height);
    return [(x - width / 2) / s, (24 + (height - 24) / 2 - y) / s];
  };
  const t = () => T - at.frame;
  const place = () => at.own ?? [...states[at.frame].x.subarray(2 * at.one, 2 * at.one + 2)];

  function begin() {
    data = sets[at.kind];
    const N = data.x0.length / 2;
    noise = new SampleNoise(at.seed, B, 2);
    if (N) {
      exact = new DataOracle(schedule, data.x0, data.spread.map((s) => s * s));
      const denoise = (x, t) => exact.mean(x, t);
      walk = chain({ schedule, pairs: schedules.pairs(T), denoise, noise, sampler: "ancestral", variance: "small" });
    } else walk = null;
    states = [];
    // draws of the data, and the noise that each of them gets on its way
    const drawn = new SampleNoise(at.seed + 1, B, 2);
    const around = drawn.next();
    start = {
      x0: around.map((v, i) => (N ? data.x0[2 * ((i >> 1) % N) + (i & 1)] + data.spread[i & 1] * v : 0)),
      noise: drawn.next(),
    };
    update();
  }

  function upTo(frame) {
    while (walk && states.length <= frame) states.push(walk.next().value);
  }

  function frameOf(pen, width, height, ink, title, colour) {
    const s = scale(width, height) * REACH;
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.strokeRect(width / 2 - s, 24 + (height - 24) / 2 - s, 2 * s, 2 * s);
    words(pen, title, width / 2, 12, colour, "center", 15);
  }

  function drawForward(pen, width, height, ink) {
    const to = placer(width, height);
    frameOf(pen, width, height, ink, t() ? `forward: data with the noise of t = ${t()}` : "forward: the data, t = 0", ink.ink);
    cloud(pen, data.x0, to, ink.x_0, at.kind === "curve" ? 2 : 6, at.kind === "curve" ? 0.35 : 0.9);
    if (data.x0.length === 0) return words(pen, "tap here to put points", width / 2, height / 2, ink.x_0, "center", 16);
    const x = t() ? qSample(schedule, start.x0, t(), start.noise) : start.x0;
    cloud(pen, x, to, t() ? ink.x_t : ink.x_0, 2, 0.6);
  }

  function drawReverse(pen, width, height, ink) {
    const to = placer(width, height);
    frameOf(pen, width, height, ink, `reverse: samples at t = ${t()}`, ink.ink);
    if (!states.length) return;
    const [x, now] = [states[at.frame].x, Math.max(1, t())];
    cloud(pen, x, to, at.frame === T ? ink.prediction : ink.x_t, 2, 0.5);
    const path = states.slice(0, at.frame + 1).map((s) => to(s.x[2 * at.one], s.x[2 * at.one + 1]));
    curve(pen, path, ink.noise, 1.5);
    const here = place();
    const weights = exact.responsibilities(here, now);
    const most = Math.max(...weights);
    for (let i = 0; i < weights.length; i++) {
      const [px, py] = to(data.x0[2 * i], data.x0[2 * i + 1]);
      if (weights[i] > 0.01 * most) dot(pen, px, py, 2 + 5 * Math.sqrt(weights[i] / most), ink.x_0);
    }
    const mean = exact.mean(Float64Array.from(here), now);
    const [from, there] = [to(...here), to(mean[0], mean[1])];
    curve(pen, [from, there], ink.prediction, 2);
    dot(pen, ...there, 7, ink.prediction, ink.paper);
    dot(pen, ...from, 7, ink.noise, ink.paper);
    // their names outside, on the line through both
    const apart = Math.hypot(there[0] - from[0], there[1] - from[1]) || 1;
    const [a, b] = [(there[0] - from[0]) / apart, (there[1] - from[1]) / apart];
    const side = a < 0 ? "right" : "left";
    words(pen, "guess", there[0] + 12 * a, there[1] + 16 * b, ink.prediction, side, 14);
    words(pen, "x", from[0] - 14 * a, from[1] - 16 * b, ink.noise, side === "left" ? "right" : "left", 15);
  }

  function put(x, y, width, height, first) {
    if (!first) return;
    const [a, b] = back(x, y, width, height);
    if (Math.max(Math.abs(a), Math.abs(b)) > REACH) return false;
    if (sets.yours.x0.length < 120) sets.yours.x0 = Float64Array.from([...sets.yours.x0, a, b]);
    at.kind = "yours";
    kinds.set("yours");
    begin();
    return false;
  }

  function probe(x, y, width, height) {
    const [a, b] = back(x, y, width, height);
    at.own = [a, b].map((v) => Math.max(-3, Math.min(3, v)));
    update();
  }

  function update() {
    upTo(at.frame);
    if (walk) {
      const [here, now] = [place(), Math.max(1, t())];
      across.set(here[0]);
      up.set(here[1]);
      const mean = exact.mean(Float64Array.from(here), now);
      show({
        t: t(),
        snr: schedules.snr(schedule, now),
        effective: exact.effective(here, now),
        guess: `${digits(mean[0], 3)}, ${digits(mean[1], 3)}`,
      });
      left.say(`${data.x0.length / 2} data points, and ${B} draws of them with the noise of step ${t()}.`);
      right.say(`${B} samples of the reverse chain at step ${t()}, the path of sample ${at.one}, and the best guess of x_0.`);
    }
    left.redraw();
    right.redraw();
  }
  begin();
}

export default { render };
