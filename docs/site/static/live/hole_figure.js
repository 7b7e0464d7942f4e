// Chapter 15: paint a hole into a digit, and watch the network fill it, as often as you
// like, with the digit's own class or with another one.

import { button, canvas, choice, controls, make, note, number, numbers, picture, player, slider, words, worker } from "./frame.js";

const [STEPS, SIDE, NONE, KEPT] = [20, 8, 10, 8];
const SIZE = SIDE * SIDE;
const HOLES = {
  left: (row, column) => column < 4,
  lower: (row) => row > 4,
  middle: (row, column) => row > 1 && row < 6 && column > 1 && column < 6,
};

export function render({ model, el }) {
  const file = new URL(model.get("file"), document.baseURI).href;
  const digits = model.get("digits").map((grey) => grey.map((v) => v / 8 - 1)); // 17 levels
  const at = { digit: 3, y: NONE, seed: 0, resample: 1, frame: 0, row: 3, column: 3 };
  const known = new Array(SIZE).fill(true);
  let film = [];
  let ends = []; // what came out so far, newest last
  let following = true;
  const network = worker((state) => {
    film[state.k] = state;
    if (state.k === STEPS) {
      ends = [...ends, { x: state.x, seed: at.seed }].slice(-KEPT);
      el.dataset.ready = "yes";
      said(`Filled with seed ${at.seed}.`);
    }
    if (following) play.bar.set((at.frame = state.k));
    update();
  });

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const tall = (w) => Math.min(260, w) + 24;
  const given = canvas(canvases, { label: "", tall, draw: drawGiven, drag: paint });
  const filled = canvas(canvases, { label: "", tall, draw: drawFilled });
  const line = make("div", { class: "live-canvases" });
  el.append(line);
  const row = canvas(line, { label: "", tall: (w) => Math.min(90, w / KEPT) + 22, draw: drawRow });
  const first = controls(el);
  button(first, "Fill the hole", () => begin());
  button(first, "Next seed", () => {
    seed.set(++at.seed);
    begin();
  });
  const seed = number(first, { label: "seed", value: at.seed, change: (value) => {
    at.seed = value;
    begin();
  } });
  choice(first, {
    label: "A hole:",
    options: Object.keys(HOLES).map((name) => [name, name]),
    value: "left",
    change: cut,
  });
  const second = controls(el);
  slider(second, { label: "digit", min: 0, max: 9, value: at.digit, change: (digit) => {
    at.digit = digit;
    forget();
  } });
  slider(second, {
    label: "drawn as a",
    min: 0, max: NONE, value: at.y,
    text: (y) => (y === NONE ? "no class" : String(y)),
    change: (y) => {
      at.y = y;
      forget();
    },
  });
  slider(second, { label: "each step is made", min: 1, max: 5, value: 1, text: (n) => (n > 1 ? `${n} times` : "once"), change: (n) => {
    at.resample = n;
    forget();
  } });
  const third = controls(el);
  const play = player(third, {
    label: "steps made",
    last: STEPS,
    change: (k) => {
      following = false;
      at.frame = k;
      update();
    },
    ms: 200,
  });
  const keys = controls(el);
  for (const name of ["row", "column"])
    slider(keys, { label: `pixel, ${name}`, min: 1, max: SIDE, value: at[name] + 1, change: (n) => {
      at[name] = n - 1;
      given.redraw();
    } });
  button(keys, "Cut or restore it", () => {
    const place = at.row * SIDE + at.column;
    known[place] = !known[place];
    forget();
  });
  const show = numbers(el, {
    missing: ["pixels missing", "noise"],
    t: ["t"],
    hole: ["mean grey in the hole", "prediction"],
    apart: ["known part, off by at most"],
  });
  const said = note(el);

  function cut(name) {
    for (let i = 0; i < SIZE; i++) known[i] = !HOLES[name](Math.floor(i / SIDE), i % SIDE);
    forget();
  }

  // What was filled belongs to another question now.
  function forget() {
    network.stop();
    [film, ends] = [[], []];
    delete el.dataset.ready;
    play.bar.set((at.frame = 0));
    said(known.includes(false) ? "Now fill the hole." : "There is no hole yet: paint one.");
    update();
  }

  function begin() {
    if (!known.includes(false)) return said("There is no hole yet: paint one.");
    film = [];
    following = true;
    delete el.dataset.ready;
    said("Computing …");
    network.start({
      file,
      B: 1,
      size: SIZE,
      seed: at.seed,
      y: at.y,
      steps: STEPS,
      sampler: "ancestral",
      variance: "small",
      clip: [-1, 1],
      held: { known: [...known], x0: digits[at.digit], resample: at.resample },
    });
    update();
  }

  const room = (width, height) => {
    const size = Math.min(height - 24, width);
    return { size, left: (width - size) / 2, cell: size / SIDE };
  };

  function drawGiven(pen, width, height, ink) {
    const { size, left, cell } = room(width, height);
    words(pen, "the digit, with a hole", width / 2, 11, ink.x_0, "center", 15);
    picture(pen, digits[at.digit], SIDE, left, 24, size);
    for (let i = 0; i < SIZE; i++) {
      const [x, y] = [left + (i % SIDE) * cell, 24 + Math.floor(i / SIDE) * cell];
      if (known[i]) continue;
      pen.fillStyle = ink.noise;
      pen.fillRect(x, y, cell + 0.5, cell + 0.5);
    }
    pen.strokeStyle = ink.paper;
    pen.lineWidth = 3;
    pen.strokeRect(left + at.column * cell, 24 + at.row * cell, cell, cell);
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 1;
    pen.strokeRect(left + at.column * cell, 24 + at.row * cell, cell, cell);
  }

  function drawFilled(pen, width, height, ink) {
    const { size, left } = room(width, height);
    const state = film[at.frame];
    const title = state ? (state.t ? `x at t = ${state.t}` : "filled") : "here it will be filled";
    words(pen, title, width / 2, 11, ink.prediction, "center", 15);
    if (state) return picture(pen, state.x, SIDE, left, 24, size);
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.strokeRect(left + 0.5, 24.5, size - 1, size - 1);
  }

  function drawRow(pen, width, height, ink) {
    const cell = Math.min(90, width / KEPT);
    words(pen, ends.length ? "filled so far, by seed" : "", 0, 10, ink.prediction, "left", 13);
    ends.forEach(({ x }, k) => picture(pen, x, SIDE, k * cell, 22, cell - 3));
  }

  let cutting = true;
  function paint(x, y, width, height, first) {
    const { left, cell } = room(width, height);
    const [column, row] = [Math.floor((x - left) / cell), Math.floor((y - 24) / cell)];
    if (column < 0 || row < 0 || column >= SIDE || row >= SIDE) return !first;
    if (first) cutting = known[row * SIDE + column];
    if (known[row * SIDE + column] !== cutting) return;
    known[row * SIDE + column] = !cutting;
    Object.assign(at, { row, column });
    forget();
  }

  function update() {
    const state = film[at.frame];
    const hole = known.flatMap((one, i) => (one ? [] : [i]));
    const off = (values) => values.reduce((most, v, i) => (known[i] ? Math.max(most, Math.abs(v - digits[at.digit][i])) : most), 0);
    show({
      missing: hole.length,
      t: state ? state.t : "…",
      hole: state && hole.length ? hole.reduce((sum, i) => sum + state.x[i], 0) / hole.length : "…",
      apart: state ? off([...state.x]) : "…",
    });
    given.say(`A handwritten ${at.digit} of 8 by 8 pixels, ${hole.length} of which are missing.`);
    filled.say(state ? `The same at step ${state.t}: the known part with noise, and what the network draws.` : "Not filled yet.");
    row.say(`${ends.length} ways in which the hole was filled.`);
    for (const one of [given, filled, row]) one.redraw();
  }
  cut("left");
}

export default { render };
