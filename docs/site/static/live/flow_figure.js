// Chapter 14: one process in two coordinates, on a mixture of one's own. Euler's steps on
// the flow and DDIM's on the chain that keeps the variance, from the same noise.

import { canvas, choice, controls, curve, dot, make, numbers, slider, words } from "./frame.js";
import { ddim, deviation, euler, exact, times } from "./kernels/flow.js";
import { Mixture } from "./kernels/mixture.js";

const NORMAL = new Mixture({ means: [0], weights: [1], width: 1 });
const SHARES = [0.02, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.98];
const REACH = 3.2;

export function render({ model, el }) {
  const at = { steps: 4, even: "tau", share: 0.35, ...model.get("law") };
  let law, taus, ways, own;

  const canvases = make("div", { class: "live-canvases" });
  el.append(canvases);
  const plots = ["z", "x"].map((name) =>
    canvas(canvases, { label: "", ratio: 0.75, draw: (...pen) => draw(name, ...pen), drag }),
  );
  const box = controls(el);
  const change = (name) => (value) => {
    at[name] = value;
    update();
  };
  slider(box, { label: "steps", min: 1, max: 32, value: at.steps, change: change("steps") });
  choice(box, {
    label: "Steps even in",
    options: [["tau", "τ"], ["angle", "the angle"]],
    value: at.even,
    change: change("even"),
  });
  const share = slider(box, {
    label: "the noise, as a quantile",
    min: 0.005, max: 0.995, step: 0.005, value: at.share,
    text: (p) => p.toFixed(3),
    change: change("share"),
  });
  const shape = controls(el);
  slider(shape, { label: "distance of the peaks", min: 0, max: 4, step: 0.1, value: at.apart, change: change("apart") });
  slider(shape, { label: "share of the upper peak", min: 0.05, max: 0.95, step: 0.05, value: at.upper, text: (v) => v.toFixed(2), change: change("upper") });
  slider(shape, { label: "width of a peak", min: 0.1, max: 1, step: 0.05, value: at.width, text: (v) => v.toFixed(2), change: change("width") });
  const show = numbers(el, {
    euler: ["Euler on the flow ends at", "prediction"],
    ddim: ["DDIM ends at", "prediction"],
    apart: ["apart by"],
    exact: ["exact end", "x_0"],
    deviation: ["deviation of all ends", "prediction"],
    data: ["of the data", "x_0"],
  });

  // As everywhere in the book's films, noise stands at the left and data at the right.
  const pad = { left: 12, right: 70, top: 28, bottom: 28 };
  const toX = (tau, width) => pad.left + (1 - tau) * (width - pad.left - pad.right);
  const toY = (v, height) => pad.top + ((REACH - v) / (2 * REACH)) * (height - pad.top - pad.bottom);

  function draw(name, pen, width, height, ink) {
    const bottom = height - pad.bottom;
    curve(pen, [[toX(1, width), bottom], [toX(0, width), bottom]], ink.line, 1);
    words(pen, "τ = 1, noise", toX(1, width), bottom + 15, ink.ink, "left", 13);
    words(pen, "0", toX(0, width), bottom + 15, ink.ink, "center", 13);
    words(pen, name === "z" ? "the flow's coordinate z" : "the chain's coordinate x = z / c", pad.left, 12, ink.ink, "left", 15);
    const heap = [];
    for (let v = -REACH; v <= REACH; v += 0.02) heap.push([toX(0, width) + 40 * law.density(v, 0), toY(v, height)]);
    curve(pen, heap, ink.x_0, 2);
    words(pen, "data", width - 2, toY(2.7, height), ink.x_0, "right");
    for (const way of ways) {
      const points = way.map((one) => [toX(one.tau, width), toY(one[name], height)]);
      curve(pen, points, ink.x_0, way === ways.at(-1) ? 5 : 1);
    }
    const points = own[name].map((v, k) => [toX(taus[k], width), toY(v[0], height)]);
    curve(pen, points, ink.prediction, 2);
    for (const [x, y] of points) dot(pen, x, y, at.steps > 16 ? 2.5 : 4, ink.prediction);
    dot(pen, ...points.at(-1), 6, ink.prediction, ink.paper);
    dot(pen, ...points[0], 7, ink.noise, ink.paper);
  }

  function drag(x, y, width, height) {
    const noise = REACH - ((y - pad.top) / (height - pad.top - pad.bottom)) * 2 * REACH;
    at.share = Math.min(0.995, Math.max(0.005, NORMAL.below(noise, 0)));
    update();
  }

  function way(p) {
    const noise = NORMAL.quantile(p, 0);
    const points = [{ tau: 1, z: noise, x: noise }];
    for (let k = 59; k >= 0; k--) points.push({ tau: k / 60, ...exact(law, p, k / 60) });
    return points;
  }

  function update() {
    share.set(at.share);
    const { apart, upper, width } = at;
    law = new Mixture({ means: [-apart / 2, apart / 2], weights: [1 - upper, upper], width });
    taus = times(at.steps, at.even);
    ways = [...SHARES, at.share].map(way);
    const start = Float64Array.of(NORMAL.quantile(at.share, 0));
    own = { z: euler(law, taus, start), x: ddim(law, taus, start) };
    const [z, x] = [own.z.at(-1)[0], own.x.at(-1)[0]];
    const end = law.quantile(at.share, 0);
    show({
      euler: z,
      ddim: x,
      apart: Math.abs(z - x),
      exact: end,
      deviation: deviation(law, taus),
      data: Math.sqrt(width ** 2 + upper * (1 - upper) * apart ** 2),
    });
    const said = `${at.steps} steps from one noise end at ${z.toFixed(2)}, the exact path at ${end.toFixed(2)}.`;
    plots[0].say(`Paths of the flow from noise to two peaks. ${said}`);
    plots[1].say(`The same paths, rescaled to keep the variance. ${said}`);
    for (const plot of plots) plot.redraw();
  }
  update();
}

export default { render };
