// What all live figures share: colours, canvases, sliders, choices, numbers, a player.

const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...inside);
  return element;
};
let count = 0;
const newId = () => `live-part-${++count}`;

// The colours of the book in today's theme; live.css names them.
const NAMES = ["x_0", "x_t", "noise", "prediction", "extra", "ink", "line", "paper"];
export function colours(el) {
  const style = getComputedStyle(el);
  return Object.fromEntries(NAMES.map((n) => [n, style.getPropertyValue(`--live-${n}`).trim()]));
}

// A canvas as wide as its place, height = ratio * width, or `tall` pixels, a
// number or a function of the width, sharp on every
// screen. draw(pen, width, height, colours) is called when the size or the theme changes,
// and by redraw(). drag(x, y, width, height, first) gets a pointer's place; where it says
// false at first, the page may scroll.
export function canvas(parent, { label, ratio = 0.6, tall, draw, drag, grow = 1, least = 240 }) {
  const element = make("canvas", { role: "img", "aria-label": label });
  const box = make("div", { class: "live-canvas", style: `flex: ${grow} 1 ${least}px` }, element);
  parent.append(box);
  let [width, height] = [0, 0];
  let waiting = false;
  const paint = () => {
    waiting = false;
    if (!width) return;
    const scale = Math.min(3, devicePixelRatio || 1);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (element.width !== w || element.height !== h) Object.assign(element, { width: w, height: h });
    const pen = element.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "14px system-ui, sans-serif";
    pen.lineJoin = pen.lineCap = "round";
    draw(pen, width, height, colours(box));
  };
  const redraw = () => {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  };
  new ResizeObserver(([entry]) => {
    width = entry.contentRect.width;
    height = Math.round(tall === undefined ? width * ratio : typeof tall === "function" ? tall(width) : tall);
    element.style.height = `${height}px`;
    redraw();
  }).observe(box);
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (drag) {
    let held = false;
    const at = (event, first) => {
      const place = element.getBoundingClientRect();
      return drag(event.clientX - place.left, event.clientY - place.top, width, height, first);
    };
    element.style.touchAction = "pan-y";
    element.style.cursor = "pointer";
    element.addEventListener("pointerdown", (event) => {
      held = at(event, true) !== false;
      if (held) element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => held && at(event, false));
    for (const end of ["pointerup", "pointercancel"])
      element.addEventListener(end, () => (held = false));
  }
  const say = (text) => element.setAttribute("aria-label", text);
  return { element, redraw, say };
}

export function controls(parent) {
  const box = make("div", { class: "live-controls" });
  parent.append(box);
  return box;
}

// A slider with its name and value. text(value) is what is shown and read out.
export function slider(parent, { label, min, max, step = 1, value, text = String, change }) {
  const id = newId();
  const shown = make("output", { for: id });
  const input = make("input", { type: "range", id, min, max, step, value });
  const box = make("div", { class: "live-slider" }, make("label", { for: id }, label), shown, input);
  parent.append(box);
  const tell = () => {
    shown.textContent = text(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => {
    tell();
    change(Number(input.value));
  });
  tell();
  return {
    input,
    get value() {
      return Number(input.value);
    },
    set(next, limits = {}) {
      Object.assign(input, limits);
      input.value = next;
      tell();
    },
    hide: (hidden) => (box.hidden = hidden),
  };
}

// Radio buttons in a row. options: [[value, words], ...].
export function choice(parent, { label, options, value, change }) {
  const name = newId();
  const buttons = options.map(([one, words]) => {
    const attributes = { type: "radio", name, value: one, checked: one === value };
    const input = make("input", { ...attributes, onchange: () => change(one) });
    return make("label", {}, input, make("span", {}, words));
  });
  const box = make("fieldset", { class: "live-choice" }, make("legend", {}, label), ...buttons);
  parent.append(box);
  return {
    set(next) {
      for (const input of box.querySelectorAll("input")) input.checked = input.value === next;
    },
    hide: (hidden) => (box.hidden = hidden),
  };
}

export function button(parent, words, press) {
  const element = make("button", { type: "button", class: "live-button", onclick: press }, words);
  parent.append(element);
  return element;
}

// A whole number that is typed, such as a seed.
export function number(parent, { label, value, min = 0, max = 999999, change }) {
  const id = newId();
  const input = make("input", { type: "number", id, value, min, max, inputmode: "numeric" });
  input.addEventListener("change", () => {
    const typed = Math.round(Number(input.value) || 0);
    input.value = Math.min(max, Math.max(min, typed));
    change(Number(input.value));
  });
  parent.append(make("div", { class: "live-number" }, make("label", { for: id }, label), input));
  return { input, set: (next) => (input.value = next) };
}

// Numbers with four digits, or in the form 1.23e-5 where they are small or large.
export function digits(value, places = 4) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) {
    const [head, power] = value.toExponential(2).split("e");
    return `${head}·10${[...String(Number(power))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`;
  }
  return Number(value.toPrecision(places)).toString();
}

// Named numbers. show({name: value}) writes them; a value may be a text. Each keeps its
// full value in data-value.
export function numbers(parent, names) {
  const list = make("dl", { class: "live-numbers" });
  const places = {};
  for (const [name, [words, colour]] of Object.entries(names)) {
    places[name] = make("dd", { "data-name": name });
    const term = make("dt", colour ? { style: `color: var(--live-${colour})` } : {}, words);
    list.append(make("div", {}, term, places[name]));
  }
  parent.append(list);
  return (values) => {
    for (const [name, value] of Object.entries(values)) {
      places[name].textContent = typeof value === "number" ? digits(value) : value;
      places[name].dataset.value = value;
    }
  };
}

export function note(parent, words = "") {
  const element = make("p", { class: "live-note", "aria-live": "polite" }, words);
  parent.append(element);
  return (text) => {
    if (element.textContent !== text) element.textContent = text;
  };
}

// A slider over frames with a Play button. It never starts by itself, and stops at the end.
export function player(parent, { label, last, value = 0, text, change, ms = 60 }) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const play = button(parent, "Play", () => {
    if (timer !== null) return stop();
    if (bar.value >= Number(bar.input.max)) go(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      if (bar.value >= Number(bar.input.max)) return stop();
      go(bar.value + 1);
    }, ms);
  });
  const bar = slider(parent, {
    label,
    min: 0,
    max: last,
    value,
    text,
    change: (frame) => {
      stop();
      change(frame);
    },
  });
  const go = (frame) => {
    bar.set(frame);
    change(frame);
  };
  return { bar, stop, go, play, last: (n, frame = bar.value) => bar.set(Math.min(frame, n), { max: n }) };
}

// A worker of this folder's own. start(job, hear): the states of the newest job of a name
// are heard, those of older ones are not.
export function worker(hear) {
  const own = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  let run = 0;
  own.onmessage = ({ data }) => {
    if (data.run !== run) return;
    if (data.error) throw new Error(data.error);
    hear(data);
  };
  return { start: (job) => own.postMessage({ ...job, run: ++run }), stop: () => run++ };
}

// --- drawing

// A square or other picture of grey values in [-1, 1], at a place, pixel for pixel.
export function picture(pen, values, side, x, y, size) {
  const small = new OffscreenCanvas(side, side);
  const image = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    const grey = Math.round((Math.min(1, Math.max(-1, values[i])) + 1) * 127.5);
    image.data.set([grey, grey, grey, 255], 4 * i);
  }
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, x, y, size, size);
}

export function words(pen, text, x, y, colour, align = "left", size = 14) {
  pen.font = `${size}px system-ui, sans-serif`;
  pen.fillStyle = colour;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.fillText(text, x, y);
}

export function curve(pen, points, colour, width = 2, dash = []) {
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x, y);
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.stroke();
  pen.setLineDash([]);
}

export function dot(pen, x, y, radius, colour, ring) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = colour;
  pen.fill();
  if (ring) {
    pen.strokeStyle = ring;
    pen.lineWidth = 2;
    pen.stroke();
  }
}

// Many points of a flat array at once. place(x, y) -> [x, y] on the canvas.
export function cloud(pen, points, place, colour, radius = 2, alpha = 0.6) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = place(points[i], points[i + 1]);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

export { make };
