// Chapter 03: the exact denoiser of a training set only looks pictures up.

import { bytes } from "./bytes.js";
import { canvas, controls, make, note, number, numbers, picture, player, slider, words } from "./frame.js";
import { chain } from "./kernels/chain.js";
import { DataOracle } from "./kernels/oracle.js";
import { SampleNoise } from "./kernels/random.js";
import * as schedules from "./kernels/schedule.js";

const [T, STEPS, SIDE] = [1000, 100, 8];
const SIZE = SIDE * SIDE;

export async function render({ model, el }) {
  const file = model.get("digits"); // one byte a pixel
  const grey = new Uint8Array(await bytes(typeof file === "string" ? new URL(file, document.baseURI).href : file));
  const train = Float64Array.from(grey, (value) => value / 127.5 - 1);
  const schedule = schedules.linear(T);
  const exact = new DataOracle(schedule, train, new Array(SIZE).fill(0));
  const pairs = schedules.pairs(T, STEPS);
  const at = { frame: 70, seed: 3 };
  let states, walk;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const plot = canvas(canvases, { label: "", tall: (w) => Math.min(230, (w - 24) / 3) + 42, draw });
  const film = controls(el);
  const box = controls(el);
  player(film, {
    label: "step t",
    last: STEPS,
    value: at.frame,
    text: (k) => String(k < STEPS ? pairs[k][0] : 0),
    change: (k) => {
      at.frame = k;
      update();
    },
  });
  const seed = number(box, { label: "seed", value: at.seed, change: (value) => {
    at.seed = value;
    begin();
  } });
  const next = slider(box, { label: "or move through seeds", min: 0, max: 40, value: at.seed, change: (value) => {
    at.seed = value;
    seed.set(value);
    begin();
  } });
  const show = numbers(el, {
    t: ["t"],
    effective: ["training pictures that take part", "prediction"],
    share: ["weight of the nearest, %", "x_0"],
    distance: ["distance of x at t from it"],
  });
  const said = note(el);

  function begin() {
    const noise = new SampleNoise(at.seed, 1, SIZE);
    const denoise = (x, t) => exact.mean(x, t);
    walk = chain({ schedule, pairs, denoise, noise, sampler: "ancestral", variance: "small" });
    states = [];
    next.set(Math.min(40, at.seed));
    update();
  }

  // The step at which a state is looked at: t, or 1 for the end.
  const seen = () => Math.max(1, states[at.frame].t);

  function nearest(weights) {
    let best = 0;
    for (let i = 1; i < weights.length; i++) if (weights[i] > weights[best]) best = i;
    return best;
  }

  function draw(pen, width, height, ink) {
    const size = Math.min(230, (width - 24) / 3);
    const gap = (width - 3 * size) / 2;
    const { x, t } = states[at.frame];
    const best = nearest(exact.responsibilities(x, seen()));
    const shown = [
      [x, t ? "x at t" : "x₀", ink.x_t],
      [exact.mean(x, seen()), "best guess", ink.prediction],
      [train.subarray(best * SIZE, (best + 1) * SIZE), "nearest", ink.x_0],
    ];
    shown.forEach(([values, title, colour], i) => {
      words(pen, title, i * (size + gap) + size / 2, 14, colour, "center", 15);
      picture(pen, values, SIDE, i * (size + gap), 32, size);
    });
  }

  function update() {
    while (states.length <= at.frame) states.push(walk.next().value);
    const { x, t } = states[at.frame];
    const weights = exact.responsibilities(x, seen());
    const best = nearest(weights);
    const share = 100 * weights[best];
    let square = 0;
    for (let i = 0; i < SIZE; i++) square += (x[i] - train[best * SIZE + i]) ** 2;
    show({ t, effective: exact.effective(x, seen()), share, distance: Math.sqrt(square) });
    said(t ? `The guess is an average of ${train.length / SIZE} training pictures.` : "What comes out is a training picture.");
    plot.say(`A state at step ${t}, the best guess for the training set, and the training digit that counts most in it.`);
    plot.redraw();
  }
  begin();
}

export default { render };
