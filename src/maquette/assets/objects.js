"use strict";
// The objects of a report: the catalogue, and what is chosen from it, in panels that turn together.

const index = JSON.parse(document.getElementById("index").textContent);
const by_id = name => document.getElementById(name);
const cards = [...document.querySelectorAll(".item")];
const panels = by_id("panels"), catalogue = by_id("catalogue");
const TRUTH = [0.62, 0.68, 0.74], CLAY = [0.80, 0.74, 0.66];
const stage = make_stage(by_id("stage"), index.scale);
let chosen = -1, shown = index.methods.map((_, k) => k < 8), object = null, solids = [], spinning = 0;

// ---------------------------------------------------------------------------------------------------- reading an object

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The true solid with what each prediction misses of it, then each prediction with its errors, or null where it failed.
async function read_object(number) {
  const found = JSON.parse(by_id(`object-${number}`).textContent);
  const take = reader(await inflated(found.data));
  const truth = read_solid(take, found.truth);
  truth.missed = found.solids.map(header => header && take(Uint8Array, found.truth.vertices));
  const rest = found.solids.map(header => {
    if (!header) return null;
    const solid = read_solid(take, header);
    solid.errors = take(Uint8Array, header.vertices);
    return solid;
  });
  return [found, [truth, ...rest]];
}

// -------------------------------------------------------------------------------------------------------------- panels

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(data, alt) {
  const made = element("img");
  made.src = `data:image/webp;base64,${data}`;
  made.alt = alt;
  return made;
}

function panel(title, strong, below) {
  const figure = element("figure", "panel"), view = element("div", "view"), caption = element("figcaption");
  if (strong) caption.append(element("b", "", strong));
  caption.append(below ?? element("span", "", title));
  figure.append(view, caption);
  panels.append(figure);
  return view;
}

function choice(options, value, label, changed) {
  const made = element("select");
  made.setAttribute("aria-label", label);
  options.forEach(([key, text]) => { const one = element("option", "", text); one.value = key; made.append(one); });
  made.value = value;
  made.addEventListener("change", () => changed(made.value));
  return made;
}

let heat = "", judge = 0;

function lay_out() {
  if (!object) return;  // none is read yet
  const { name, category, scores } = index.objects[chosen], errors = stage && stage.state.errors, drawn = [];
  panels.querySelectorAll("figure").forEach(one => one.remove());
  const heats = object.heats.map((data, k) => [String(k), index.heats[k], data]).filter(([, , data]) => data);
  if (!heats.some(([key]) => key === heat)) heat = "";
  const below = heats.length ? choice([["", "input"], ...heats], heat, "what lies over the input", value => { heat = value; lay_out(); }) : null;
  panel("input", "", below).append(picture(heat ? object.heats[heat] : object.picture, `input of ${name}`));
  const judges = index.methods.map((method, k) => [String(k), `missed by ${method.title}`]).filter((_, k) => solids[k + 1]);
  if (!judges.some(([key]) => key === String(judge))) judge = judges.length ? Number(judges[0][0]) : 0;
  const asked = errors && judges.length ? choice(judges, String(judge), "whose misses the truth shows", value => { judge = Number(value); lay_out(); }) : null;
  const truth = panel("truth", asked ? "truth" : "", asked);
  if (stage) drawn.push({ element: truth, solid: { ...solids[0], errors: solids[0].missed[judge] }, color: TRUTH });
  else truth.append(element("div", "none", "needs WebGL 2"));
  index.methods.forEach((method, k) => {
    if (!shown[k]) return;
    const view = panel(method.title, scores[k].text);
    view.parentElement.querySelector("figcaption span").style.setProperty("--series", method.color);
    if (!solids[k + 1]) view.append(element("div", "none", "failed"));
    else if (stage) drawn.push({ element: view, solid: solids[k + 1], color: CLAY });
    else view.append(picture(index.objects[chosen].thumbnails[k], `${method.title} of ${name}`));
  });
  if (stage) stage.show(drawn);
  by_id("name").textContent = name;
  by_id("category").textContent = category;
}

async function choose(number) {
  chosen = number;
  cards.forEach((card, k) => card.classList.toggle("chosen", k === number));
  let found, read;
  try {
    [found, read] = await read_object(number);
  } catch (error) {
    panels.append(element("div", "none", `this browser cannot unpack the solids (${error.message}); a current one can`));
    return;
  }
  if (chosen !== number) return;  // another one was chosen while this was read
  [object, solids] = [found, read];
  if (stage) look(object.azimuth, object.elevation);
  lay_out();
  panels.dataset.object = number;
}

function look(azimuth, elevation) {
  Object.assign(stage.state, { azimuth, elevation, distance: 1.75 });
  told(); stage.ask();
}

// For who reads the page by a script, and for tests: from where all panels are seen.
function told() {
  panels.dataset.azimuth = stage.state.azimuth.toFixed(3);
  panels.dataset.elevation = stage.state.elevation.toFixed(3);
}

// ----------------------------------------------------------------------------------------------------------- catalogue

function seen_cards() { return [...catalogue.children].filter(card => !card.hidden).map(card => Number(card.dataset.number)); }

function arrange() {
  const category = by_id("class").value, order = by_id("order").value, method = Number(by_id("method").value || 0);
  const rank = ({ scores }) => scores[method].rank;
  const sorted = index.objects.map((one, k) => k).sort((a, b) => {
    const [x, y] = [index.objects[a], index.objects[b]];
    const first = order === "name" ? 0 : order === "worst" ? rank(x) - rank(y) : rank(y) - rank(x);
    return first || (x.name < y.name ? -1 : x.name > y.name ? 1 : 0);
  });
  for (const k of sorted) {
    const card = cards[k], one = index.objects[k];
    card.hidden = category !== "" && one.category !== category;
    card.querySelector("b").textContent = one.scores[method].text;
    card.querySelectorAll("img")[1].src = `data:image/webp;base64,${one.thumbnails[method]}`;
    catalogue.append(card);
  }
  const count = seen_cards().length;
  by_id("count").textContent = count === cards.length ? `${count} objects` : `${count} of ${cards.length} objects`;
}

function neighbour(step) {
  const all = seen_cards();
  if (!all.length) return;
  const next = all[(all.indexOf(chosen) + step + all.length) % all.length];
  choose(next);
  cards[next].scrollIntoView({ block: "nearest", inline: "nearest" });
}

cards.forEach((card, k) => card.addEventListener("click", () => {
  choose(k);
  if (panels.getBoundingClientRect().bottom > window.innerHeight + 80 || panels.getBoundingClientRect().top < 0)
    by_id("showcase").scrollIntoView({ behavior: "smooth", block: "start" });
}));
for (const name of ["class", "order", "method"]) by_id(name).addEventListener("change", arrange);
by_id("previous").addEventListener("click", () => neighbour(-1));
by_id("next").addEventListener("click", () => neighbour(1));
document.querySelectorAll("#shown input").forEach((box, k) => {
  box.checked = shown[k];
  box.addEventListener("change", () => { shown[k] = box.checked; lay_out(); });
});

// --------------------------------------------------------------------------------------------------------------- tools

function press(button, on) { button.setAttribute("aria-pressed", String(on)); }

function color_by(errors) {
  stage.state.errors = errors;
  press(by_id("own"), !errors); press(by_id("error"), errors);
  by_id("scale").hidden = !errors;
  lay_out();
}

function spin(on) {
  spinning = on ? spinning || performance.now() : 0;
  press(by_id("spin"), on);
  const step = now => {
    if (!spinning) return;
    stage.state.azimuth += (now - spinning) * 0.0007;
    spinning = now; told(); stage.ask();
    requestAnimationFrame(step);
  };
  if (on) requestAnimationFrame(now => { spinning = now; step(now); });
}

if (stage) {
  by_id("own").addEventListener("click", () => color_by(false));
  by_id("error").addEventListener("click", () => color_by(true));
  for (const [name, azimuth, elevation] of [["front", 0, 0.2], ["side", Math.PI / 2, 0.2], ["back", Math.PI, 0.2], ["above", 0, 1.45]])
    by_id(name).addEventListener("click", () => { spin(false); look(azimuth, elevation); });
  by_id("photo").addEventListener("click", () => { if (!object) return; spin(false); look(object.azimuth, object.elevation); });
  by_id("spin").addEventListener("click", () => spin(!spinning));
  turn_by_hand(panels, stage, () => { spin(false); told(); });
  new ResizeObserver(() => stage.ask()).observe(panels);
} else {
  document.querySelectorAll("#tools button").forEach(button => { button.disabled = true; });
}
arrange();
if (cards.length) choose(seen_cards()[0]);
