// Chapter 05: the trained network beside the exact denoiser, step by step, same noise.

import { button, canvas, choice, cloud, controls, curve, make, note, number, numbers, player, words, worker } from "./frame.js";
import { thickness } from "./kernels/curve.js";

const [T, B, REACH] = [100, 500, 2.6];

export function render({ model, el }) {
  const scale = model.get("scale");
  const law = { x0: Float64Array.from(model.get("curve")), variance: scale.map((s) => (0.1 / s) ** 2) };
  const file = new URL(model.get("file"), document.baseURI).href;
  const at = { frame: 0, seed: 2, variance: "small", guess: false };
  const states = { network: [], exact: [] };
  const workers = Object.fromEntries(
    Object.keys(states).map((name) => [
      name,
      worker((state) => {
        states[name][state.k] = state;
        if (state.k === T) say();
        if (state.k === at.frame || state.k === T) update();
      }),
    ]),
  );

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const square = (width) => Math.min(width, 400) + 24;
  const panels = [["network", "the trained network", "prediction"], ["exact", "the exact denoiser", "x_0"]].map(
    ([name, title, colour]) =>
      canvas(canvases, {
        label: title,
        tall: square,
        draw: (pen, width, height, ink) => draw(pen, width, height, ink, name, title, ink[colour]),
      }),
  );
  const film = controls(el);
  const box = controls(el);
  const play = player(film, {
    label: "step t",
    last: T,
    text: (k) => String(T - k),
    change: (k) => {
      at.frame = k;
      update();
    },
  });
  choice(box, {
    label: "Show",
    options: [["x", "x at t"], ["guess", "guess of x₀"]],
    value: "x",
    change: (what) => {
      at.guess = what === "guess";
      update();
    },
  });
  choice(box, {
    label: "Variance",
    options: [["small", "small"], ["large", "large"]],
    value: at.variance,
    change: (variance) => {
      at.variance = variance;
      begin();
    },
  });
  number(box, { label: "seed", value: at.seed, change: (seed) => {
    at.seed = seed;
    begin();
  } });
  const show = numbers(el, {
    t: ["t"],
    apart: ["mean distance between the two"],
    network: ["network's S: thicker by, %", "prediction"],
    exact: ["exact denoiser's S: thicker by, %", "x_0"],
  });
  const said = note(el);

  function begin() {
    for (const name of Object.keys(states)) {
      states[name] = [];
      workers[name].start({
        file,
        law: name === "exact" ? law : null,
        B,
        size: 2,
        seed: at.seed,
        steps: T,
        sampler: "ancestral",
        variance: at.variance,
      });
    }
    said("Computing …");
    update();
  }

  // What is shown of a state: x_t, or the guess that is made of it.
  function points(name) {
    const own = states[name];
    const guess = own[Math.min(T, at.frame + 1)]?.x0;
    return at.guess ? guess : own[at.frame]?.x;
  }

  function draw(pen, width, height, ink, name, title, colour) {
    const s = (Math.min(width, height - 24) - 8) / (2 * REACH);
    const to = (x, y) => [width / 2 + s * x, 24 + (height - 24) / 2 - s * y];
    pen.save();
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    const [x, y] = to(-REACH, REACH);
    pen.strokeRect(x, y, 2 * REACH * s, 2 * REACH * s);
    pen.beginPath();
    pen.rect(x, y, 2 * REACH * s, 2 * REACH * s);
    pen.clip();
    const middle = [];
    for (let i = 0; i < law.x0.length; i += 2) middle.push(to(law.x0[i], law.x0[i + 1]));
    curve(pen, middle, ink.line, 1);
    const shown = points(name);
    if (shown) cloud(pen, shown, to, at.guess || at.frame === T ? colour : ink.x_t, 2, 0.6);
    pen.restore();
    words(pen, title, width / 2, 12, colour, "center", 15);
  }

  function say() {
    const ends = Object.keys(states).map((name) => states[name][T]);
    if (!ends.every(Boolean)) return;
    said("Ready. With 500 points a thickness is uncertain by 3 %.");
    el.dataset.ready = "yes";
  }

  function update() {
    const [a, b] = [points("network"), points("exact")];
    let sum = 0;
    if (a && b) for (let i = 0; i < a.length; i += 2) sum += Math.hypot(a[i] - b[i], a[i + 1] - b[i + 1]);
    const thick = (name) => {
      const end = states[name][T];
      if (!end) return "…";
      return (end.thicker ??= 100 * (thickness(end.x, scale) / 0.1 - 1));
    };
    const ready = states.network[T] && states.exact[T];
    if (!ready) delete el.dataset.ready;
    show({
      t: T - at.frame,
      apart: a && b ? (2 * sum) / a.length : "…",
      network: thick("network"),
      exact: thick("exact"),
    });
    panels[0].say(`${B} samples of the trained network at step ${T - at.frame}.`);
    panels[1].say(`${B} samples of the exact denoiser from the same noise at step ${T - at.frame}.`);
    for (const panel of panels) panel.redraw();
  }
  begin();
}

export default { render };
