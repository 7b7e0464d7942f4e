// Chapter 12: guidance between two Gaussians. What the formula promises, and what two
// samplers make of it.

import { canvas, controls, curve, make, numbers, slider, words } from "./frame.js";
import { sampled, tilted } from "./kernels/guidance.js";
import { linear } from "./kernels/schedule.js";

const REACH = [-1.2, 2];

export function render({ model, el }) {
  const { mean, deviation } = model.get("law");
  const schedule = linear(1000);
  const at = { gamma: 1 };
  let laws;
  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const plot = canvas(canvases, { label: "", tall: 280, draw, drag });
  const box = controls(el);
  const gamma = slider(box, {
    label: "guidance γ = 1 + w",
    min: 0, max: 7, step: 0.1, value: at.gamma,
    text: (g) => g.toFixed(1),
    change: (g) => {
      at.gamma = g;
      update();
    },
  });
  const both = (title, colour) => ({ [`${title}Mean`]: [`${title}: mean`, colour], [`${title}Deviation`]: ["deviation", colour] });
  const show = numbers(el, { ...both("tilted", "x_0"), ...both("ancestral", "extra"), ...both("DDIM", "prediction") });

  const toX = (x, width) => ((x - REACH[0]) / (REACH[1] - REACH[0])) * width;

  function draw(pen, width, height, ink) {
    const bottom = height - 26;
    const top = 1.25 * Math.max(...Object.values(laws).map((l) => 1 / l.deviation).filter((v) => v < 12));
    const of = (l, x) => Math.exp(-((x - l.mean) ** 2) / (2 * l.deviation ** 2)) / l.deviation;
    const bell = (l) => {
      const points = [];
      const fine = Math.min(0.01, l.deviation / 8);
      for (let x = REACH[0]; x <= REACH[1]; x += fine) points.push([toX(x, width), Math.max(-9, bottom - (of(l, x) / top) * (bottom - 10))]);
      return points;
    };
    curve(pen, [[0, bottom], [width, bottom]], ink.line, 1);
    for (const x of [-1, 0, 1]) words(pen, String(x), toX(x, width), bottom + 14, ink.ink, "center", 13);
    curve(pen, bell({ mean: 0, deviation: 1 }), ink.x_t, 1.5, [5, 4]);
    curve(pen, bell({ mean, deviation }), ink.x_t, 1.5, [2, 4]);
    words(pen, "p(x)", toX(-0.75, width), bottom - (of({ mean: 0, deviation: 1 }, -0.75) / top) * (bottom - 10) - 14, ink.x_t);
    words(pen, "p(x | c)", toX(0.32, width), bottom - (of({ mean, deviation }, 0.42) / top) * (bottom - 10) - 12, ink.x_t, "right");
    curve(pen, bell(laws.tilted), ink.x_0, 2.5);
    curve(pen, bell(laws.ancestral), ink.extra, 2.5);
    curve(pen, bell(laws.DDIM), ink.prediction, 2.5);
    ["tilted", "ancestral", "DDIM"].forEach((name, i) =>
      words(pen, name === "tilted" ? "the tilted law" : `${name} draws`, 4, 16 + 20 * i, ink[["x_0", "extra", "prediction"][i]]),
    );
  }

  function drag(x, y, width) {
    at.gamma = Math.round(70 * Math.min(1, Math.max(0, x / width))) / 10;
    gamma.set(at.gamma);
    update();
  }

  function update() {
    laws = {
      tilted: tilted(at.gamma, mean, deviation),
      ancestral: sampled(schedule, at.gamma, mean, deviation, "ancestral"),
      DDIM: sampled(schedule, at.gamma, mean, deviation, "ddim"),
    };
    show(Object.fromEntries(Object.entries(laws).flatMap(([name, law]) => [[`${name}Mean`, law.mean], [`${name}Deviation`, law.deviation]])));
    plot.say(`Three bells with guidance ${at.gamma}: the tilted law with deviation ${laws.tilted.deviation.toFixed(3)}, DDIM's with ${laws.DDIM.deviation.toFixed(3)}.`);
    plot.redraw();
  }
  update();
}

export default { render };
