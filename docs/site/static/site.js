// Formulas by KaTeX, and films that can be stopped and moved through.
"use strict";

function setMaths() {
  for (const element of document.querySelectorAll(".maths")) {
    katex.render(element.textContent, element, {
      displayMode: element.classList.contains("display"),
      throwOnError: true,
      strict: "ignore",
      trust: false,
    });
  }
  keepTagsApart();
  addEventListener("resize", keepTagsApart);
}

// The number of an equation stands at the right end, or behind it where it is too long.
function keepTagsApart() {
  for (const element of document.querySelectorAll(".maths.display")) {
    const tag = element.querySelector(".tag");
    if (!tag) continue;
    element.classList.remove("long");
    const bases = [...element.querySelectorAll(".katex-html > .base")];
    const end = Math.max(...bases.map((base) => base.getBoundingClientRect().right));
    element.classList.toggle("long", end + 20 > tag.getBoundingClientRect().left);
  }
}

// One film: pictures that are fetched when somebody wants to see it move.
function bringToLife(film, still) {
  const { frames, ms } = JSON.parse(film.dataset.film);
  const picture = film.querySelector("img");
  const controls = film.querySelector(".film-controls");
  const button = controls.querySelector("button");
  const slider = controls.querySelector("input");
  const pictures = new Array(frames.length);
  let timer = null;

  const load = (n) => {
    if (!pictures[n]) {
      pictures[n] = new Image();
      pictures[n].src = film.dataset.folder + frames[n];
    }
    return pictures[n];
  };
  const show = async (n) => {
    slider.value = n;
    slider.setAttribute("aria-valuetext", `${n + 1} of ${frames.length}`);
    await load(n).decode();
    if (Number(slider.value) === n) picture.src = pictures[n].src;
  };
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    button.textContent = "Play";
  };
  const step = async () => {
    const n = (Number(slider.value) + 1) % frames.length;
    await show(n);
    load((n + 1) % frames.length);
    if (timer !== null) timer = setTimeout(step, ms[n]);
  };
  const play = () => {
    button.textContent = "Pause";
    timer = setTimeout(step, 0);
  };
  button.addEventListener("click", () => (timer === null ? play() : stop()));
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  controls.hidden = false;
  if (still) return;
  // It plays while it is in sight, until somebody stops it; it never plays unseen.
  let stopped = false;
  button.addEventListener("click", () => (stopped = timer === null));
  slider.addEventListener("input", () => (stopped = true));
  new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting && !stopped && timer === null) play();
    if (!entry.isIntersecting && timer !== null) stop();
  }).observe(film);
}

document.fonts.ready.then(keepTagsApart);
setMaths();
// Sphinx marks what was searched for, and stumbles over titles of the theme's hidden icons.
for (const title of document.querySelectorAll("svg title")) title.remove();
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
for (const film of document.querySelectorAll(".film")) bringToLife(film, still);
