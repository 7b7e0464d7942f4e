// Chapter 08: the network of the digits draws, one call a step, beside its guesses. Stop,
// go back, and let other noise decide from there on.

import { button, canvas, controls, make, note, number, numbers, picture, player, slider, words, worker } from "./frame.js";

const [STEPS, SIDE, NONE] = [20, 8, 10];
const deviation = (values) => {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
};

export function render({ model, el }) {
  const file = new URL(model.get("file"), document.baseURI).href;
  const at = { frame: 0, seed: 3, y: NONE, fork: null, other: null };
  let rows = [[]]; // the chain, and the one that left it
  const network = worker((state) => {
    const row = rows.at(-1);
    row[state.k] ??= state; // the first of a branch is there, with its guess
    if (state.k === STEPS) {
      el.dataset.ready = "yes";
      said("Ready: go back, and give it other noise from there.");
    }
    if (following) play.bar.set((at.frame = state.k));
    update();
  });
  let following = true;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const large = canvas(canvases, { label: "", tall: (w) => Math.min(260, w / 2 + 24), draw: drawLarge });
  const line = make("div", { class: "live-canvases" });
  el.append(line);
  const small = canvas(line, { label: "", tall: (w) => 2 * (w / (STEPS + 1)) + 54, draw: drawSmall, drag: choose });
  const film = controls(el);
  const box = controls(el);
  const play = player(film, {
    label: "calls of the network",
    last: STEPS,
    change: (k) => {
      following = false;
      at.frame = k;
      update();
    },
    ms: 250,
  });
  const fork = button(box, "Other noise from here on", () => {
    at.fork = at.frame;
    at.other = (at.other ?? at.seed) + 1;
    rows = [rows[0], rows[0].slice(0, at.frame + 1)];
    run(at.frame);
  });
  const seed = number(box, { label: "seed", value: at.seed, change: (value) => {
    at.seed = value;
    begin();
  } });
  button(box, "Next seed", () => {
    seed.set(++at.seed);
    begin();
  });
  slider(box, {
    label: "class",
    min: 0, max: NONE, value: at.y,
    text: (y) => (y === NONE ? "none" : String(y)),
    change: (y) => {
      at.y = y;
      begin();
    },
  });
  const show = numbers(el, {
    t: ["t"],
    calls: ["calls"],
    state: ["deviation of x at t", "x_t"],
    guess: ["deviation of the guess", "prediction"],
  });
  const said = note(el);

  function begin() {
    rows = [[]];
    at.fork = at.other = null;
    run(0);
  }

  function run(from) {
    following = true;
    delete el.dataset.ready;
    said("Computing …");
    network.start({
      file,
      B: 1,
      size: SIDE * SIDE,
      seed: at.seed,
      other: at.other,
      fork: at.fork ?? undefined,
      y: at.y,
      steps: STEPS,
      sampler: "ancestral",
      variance: "small",
      clip: [-1, 1],
      from,
      start: from ? rows[0][from].x : null,
    });
    update();
  }

  const stateOf = (row, k) => row[k];
  const guessOf = (row, k) => row[Math.min(STEPS, k + 1)]?.x0;

  function drawLarge(pen, width, height, ink) {
    const size = Math.min(height - 24, (width - 12) / 2);
    const x = (width - 2 * size - 12) / 2;
    const row = rows.at(-1);
    const state = stateOf(row, at.frame);
    if (!state) return words(pen, "The network is on its way …", width / 2, height / 2, ink.ink, "center");
    words(pen, state.t ? `x at t = ${state.t}` : "x₀", x + size / 2, 11, ink.x_t, "center", 15);
    picture(pen, state.x, SIDE, x, 24, size);
    const guess = guessOf(row, at.frame);
    words(pen, "guess of x₀", x + 1.5 * size + 12, 11, ink.prediction, "center", 15);
    if (guess) picture(pen, guess, SIDE, x + size + 12, 24, size);
  }

  function drawSmall(pen, width, height, ink) {
    const cell = width / (STEPS + 1);
    const line = (row, y, title, colour) => {
      words(pen, title, 0, y + 10, colour, "left", 13);
      for (let k = 0; k <= STEPS; k++) {
        const guess = guessOf(row, k);
        if (guess) picture(pen, guess, SIDE, k * cell, y + 20, cell - 1);
      }
      const frame = row === rows.at(-1) ? ink.noise : ink.line;
      pen.strokeStyle = frame;
      pen.lineWidth = 2;
      pen.strokeRect(at.frame * cell, y + 20, cell - 1, cell - 1);
    };
    line(rows[0], 0, `guesses, seed ${at.seed}`, ink.prediction);
    if (rows[1]) line(rows[1], cell + 24, `the same up to call ${at.fork}, then the noise of seed ${at.other}`, ink.noise);
  }

  function choose(x, y, width) {
    const k = Math.max(0, Math.min(STEPS, Math.floor((x / width) * (STEPS + 1))));
    play.stop();
    play.go(k);
  }

  function update() {
    const row = rows.at(-1);
    const [state, guess] = [stateOf(row, at.frame), guessOf(row, at.frame)];
    fork.disabled = !(rows[0][STEPS] && at.frame < STEPS);
    show({
      t: state ? state.t : "…",
      calls: at.frame,
      state: state ? deviation(state.x) : "…",
      guess: guess ? deviation(guess) : "…",
    });
    large.say(state ? `A digit at step ${state.t}, and the network's guess of it.` : "A digit is being drawn.");
    small.say(`The network's guesses at each of ${STEPS} calls, from left to right.`);
    large.redraw();
    small.redraw();
  }
  begin();
}

export default { render };
