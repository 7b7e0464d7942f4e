// Wakes the live figures of a page when they come near, each from its own module. A figure
// without scripts is its still picture; so is one whose module does not come.

// What a module asks for data: anywidget's model, without a kernel behind it.
class Model {
  constructor(values) {
    this.values = values;
    this.heard = {};
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    this.values[name] = value;
    for (const hear of this.heard[`change:${name}`] ?? []) hear();
  }
  save_changes() {}
  on(event, hear) {
    (this.heard[event] ??= []).push(hear);
  }
  off(event, hear) {
    this.heard[event] = (this.heard[event] ?? []).filter((one) => one !== hear);
  }
}

async function wake(figure) {
  const stage = figure.querySelector(".live-stage");
  const model = new Model(JSON.parse(figure.dataset.model));
  const { render } = await import(new URL(figure.dataset.module, import.meta.url));
  const el = document.createElement("div");
  await render({ model, el });
  stage.replaceChildren(el);
  figure.dataset.awake = "yes";
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      wake(target);
    }
  },
  { rootMargin: "600px" },
);
for (const figure of document.querySelectorAll(".live")) near.observe(figure);
