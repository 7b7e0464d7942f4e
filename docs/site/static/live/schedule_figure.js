// Chapter 02: what a schedule does to a picture, and how much of it is left at T.

import { canvas, choice, controls, curve, dot, make, note, numbers, picture, slider, words } from "./frame.js";
import * as schedules from "./kernels/schedule.js";
import { qSample } from "./kernels/chain.js";
import { SampleNoise } from "./kernels/random.js";

const KINDS = {
  linear: { T: 1000, end: 0.02, made: (T, end) => schedules.linear(T, Math.min(1e-4, end), end) },
  sigmoid: { T: 100, end: 0.005, made: (T, end) => schedules.sigmoid(T, 1e-5, end) },
  cosine: { T: 1000, made: (T) => schedules.cosine(T) },
  yours: { T: 1000 },
};
const LENGTHS = [10, 20, 50, 100, 200, 500, 1000];
const STOPS = 5; // handles of the reader's own curve

// alpha_bar on straight lines between the handles; it falls, and stays above 0.
function drawn(T, heights) {
  const values = [];
  for (let t = 1; t <= T; t++) {
    const place = (t / T) * STOPS;
    const k = Math.min(STOPS - 1, Math.floor(place));
    const [from, to] = [k ? heights[k - 1] : 1, heights[k]];
    values.push(from + (to - from) * (place - k));
  }
  return schedules.fromAlphaBar(values);
}

export function render({ model, el }) {
  const pictures = model.get("pictures"); // {name: {side, grey, mean}}
  const at = { kind: "linear", T: 1000, end: 0.02, t: 300, shown: Object.keys(pictures)[0] };
  const heights = [0.75, 0.45, 0.2, 0.06, 0.01]; // of alpha_bar
  const noise = Object.fromEntries(
    Object.entries(pictures).map(([name, { side }]) => [name, new SampleNoise(0, 1, side * side).next()]),
  );
  const clean = Object.fromEntries(
    Object.entries(pictures).map(([name, { grey }]) => [name, Float64Array.from(grey, (v) => v / 127.5 - 1)]),
  );
  let schedule;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const pad = { left: 12, right: 16, top: 14, bottom: 30 };
  const plot = canvas(canvases, { label: "", tall: 250, grow: 3, least: 290, draw: drawCurves, drag });
  const shown = canvas(canvases, { label: "", tall: (w) => Math.min(250, (w - 12) / 2 + 40), grow: 2, least: 270, draw: drawPictures });
  const box = controls(el);
  choice(box, {
    label: "Schedule",
    options: [["linear", "linear"], ["sigmoid", "the lecture's"], ["cosine", "cosine"], ["yours", "yours"]],
    value: at.kind,
    change: (kind) => {
      const share = at.t / at.T;
      Object.assign(at, { kind, T: KINDS[kind].T, end: KINDS[kind].end });
      at.t = Math.max(1, Math.round(share * at.T));
      length.set(LENGTHS.indexOf(at.T));
      if (at.end) end.set(Math.log10(at.end));
      update();
    },
  });
  choice(box, {
    label: "Picture",
    options: Object.keys(pictures).map((name) => [name, name]),
    value: at.shown,
    change: (name) => {
      at.shown = name;
      update();
    },
  });
  const time = slider(box, { label: "step t", min: 1, max: at.T, value: at.t, change: (t) => {
    at.t = t;
    update();
  } });
  const length = slider(box, {
    label: "number of steps T",
    min: 0,
    max: LENGTHS.length - 1,
    value: LENGTHS.indexOf(at.T),
    text: (k) => String(LENGTHS[k]),
    change: (k) => {
      const share = at.t / at.T;
      at.T = LENGTHS[k];
      at.t = Math.max(1, Math.round(share * at.T));
      update();
    },
  });
  const end = slider(box, {
    label: "last noise variance β at T",
    min: -3, max: -0.1, step: 0.01, value: Math.log10(at.end),
    text: () => String(Number(at.end?.toPrecision(3))),
    change: (log) => {
      at.end = Number((10 ** log).toPrecision(3));
      end.set(log);
      update();
    },
  });
  const handles = heights.map((height, k) =>
    slider(box, {
      label: `ᾱ at t/T = ${((k + 1) / STOPS).toFixed(1)}`,
      min: 0.0001, max: 0.9999, step: 0.0001, value: height,
      text: (v) => v.toFixed(4),
      change: (v) => lift(k, v),
    }),
  );
  const show = numbers(el, {
    signal: ["signal √ᾱₜ", "x_0"],
    noise: ["noise √(1−ᾱₜ)", "noise"],
    snr: ["SNR of a pixel"],
    mean: ["SNR of the picture's mean"],
    left: ["ᾱ at T"],
    gap: ["L_T, nats per dimension"],
  });
  const say = note(el);

  // A handle goes to a height; the others give way, so that the curve falls.
  function lift(k, value) {
    heights[k] = Math.min(1 - 0.001 * (k + 1), Math.max(1e-5 * (STOPS - k), value));
    for (let i = k + 1; i < STOPS; i++) heights[i] = Math.min(heights[i], heights[i - 1] * 0.98);
    for (let i = k - 1; i >= 0; i--) heights[i] = Math.max(heights[i], Math.min(heights[i + 1] / 0.98, (heights[i + 1] + 1) / 2));
    update();
  }

  const toX = (share, width) => pad.left + share * (width - pad.left - pad.right);
  const toY = (value, height) => height - pad.bottom - value * (height - pad.top - pad.bottom);

  function drawCurves(pen, width, height, ink) {
    const [bottom, top] = [toY(0, height), toY(1, height)];
    curve(pen, [[toX(0, width), top], [toX(0, width), bottom], [toX(1, width), bottom]], ink.line, 1);
    words(pen, "0", toX(0, width), bottom + 15, ink.ink, "center", 13);
    words(pen, `t = T = ${at.T}`, toX(1, width) + 12, bottom + 15, ink.ink, "right", 13);
    const line = (of) =>
      Array.from({ length: at.T + 1 }, (_, t) => [toX(t / at.T, width), toY(of(t), height)]);
    const [signal, rest] = [(t) => Math.sqrt(schedule.alphaBar[t]), (t) => Math.sqrt(schedule.oneMinus[t])];
    curve(pen, line(rest), ink.noise, 2);
    curve(pen, line(signal), ink.x_0, 2.5);
    const x = toX(at.t / at.T, width);
    curve(pen, [[x, bottom], [x, top]], ink.x_t, 1.5, [4, 4]);
    dot(pen, x, toY(rest(at.t), height), 5, ink.noise);
    dot(pen, x, toY(signal(at.t), height), 6, ink.x_0);
    words(pen, `t = ${at.t}`, Math.min(Math.max(x, 34), width - 34), top - 6, ink.x_t, "center", 13);
    // Each name beside its curve, on the side that the curve leaves free.
    const middle = Math.round(0.55 * at.T);
    for (const [text, value, falls, colour] of [
      ["signal √ᾱ", signal(middle), true, ink.x_0],
      ["noise √(1−ᾱ)", rest(middle), false, ink.noise],
    ]) {
      const below = value > 0.5;
      const y = toY(value, height) + (below ? 18 : -16);
      words(pen, text, toX(0.55, width), y, colour, below === falls ? "right" : "left");
    }
    if (at.kind === "yours")
      heights.forEach((h, k) => dot(pen, toX((k + 1) / STOPS, width), toY(Math.sqrt(h), height), 9, ink.paper, ink.x_0));
    else if (at.end)
      dot(pen, toX(1, width), toY(signal(at.T), height), 9, ink.paper, ink.x_0);
  }

  function drawPictures(pen, width, height, ink) {
    const { side } = pictures[at.shown];
    const size = Math.min((width - 12) / 2, height - 40);
    const gap = width - 2 * size;
    const x_t = qSample(schedule, clean[at.shown], at.t, noise[at.shown]);
    [[clean[at.shown], "x₀", ink.x_0, 0], [x_t, `x at t = ${at.t}`, ink.x_t, size + gap]].forEach(
      ([values, title, colour, x]) => {
        words(pen, title, x + size / 2, 14, colour, "center", 15);
        picture(pen, values, side, x, 30, size);
      },
    );
  }

  let held = null;
  function drag(x, y, width, height, first) {
    const share = (x - pad.left) / (width - pad.left - pad.right);
    const value = (height - pad.bottom - y) / (height - pad.top - pad.bottom);
    if (first) {
      held = "t";
      const close = (k, of) => Math.abs(toX(k, width) - x) < 24 && Math.abs(toY(of, height) - y) < 24;
      heights.forEach((h, k) => {
        if (at.kind === "yours" && close((k + 1) / STOPS, Math.sqrt(h))) held = k;
      });
      if (at.kind !== "yours" && at.end && close(1, Math.sqrt(schedule.alphaBar[at.T]))) held = "end";
    }
    if (held === "t") at.t = Math.min(at.T, Math.max(1, Math.round(share * at.T)));
    else if (held === "end") pull(Math.min(0.999, Math.max(1e-4, value)));
    else return lift(held, Math.min(1, Math.max(0, value)) ** 2);
    update();
  }

  // The last beta with which so much signal is left at T.
  function pull(signal) {
    let [low, high] = [-3, -0.1];
    for (let i = 0; i < 30; i++) {
      const middle = (low + high) / 2;
      const left = KINDS[at.kind].made(at.T, 10 ** middle).alphaBar[at.T];
      if (left > signal ** 2) low = middle;
      else high = middle;
    }
    at.end = Number((10 ** low).toPrecision(3));
    end.set(low);
  }

  function update() {
    schedule = at.kind === "yours" ? drawn(at.T, heights) : KINDS[at.kind].made(at.T, at.end);
    time.set(at.t, { max: at.T });
    end.hide(!at.end);
    handles.forEach((handle, k) => {
      handle.hide(at.kind !== "yours");
      handle.set(heights[k]);
    });
    const gap = schedules.priorGap(schedule);
    const ratio = schedules.snr(schedule, at.t);
    show({
      signal: Math.sqrt(schedule.alphaBar[at.t]),
      noise: Math.sqrt(schedule.oneMinus[at.t]),
      snr: ratio,
      mean: ratio * pictures[at.shown].mean,
      left: schedule.alphaBar[at.T],
      gap,
    });
    const left = Math.round(100 * Math.sqrt(schedule.alphaBar[at.T]));
    say(gap > 1e-3
      ? `At T the factor in front of x₀ is still ${left} %, while sampling starts from pure noise: L_T is above 0.001.`
      : "At T almost nothing is left of x₀: sampling may start from pure noise.");
    plot.say(`Signal and noise against t for the ${at.kind} schedule with ${at.T} steps; t = ${at.t} is marked.`);
    shown.say(`A ${at.shown}, and the same with the noise of step ${at.t}.`);
    plot.redraw();
    shown.redraw();
  }
  update();
}

export default { render };
