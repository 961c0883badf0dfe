"use strict";
const solids = JSON.parse(document.getElementById("solids").textContent);
const view = document.getElementById("view");
const cards = [...document.querySelectorAll(".card")];
let chosen = 0;

function bytes(text) { return Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer }

// Faces cut into four at the midpoints of their edges; new vertices in the order of the sorted edges (low, high).
function subdivide(p, f) {
  const count = p.length / 3, keys = new Float64Array(f.length);
  const key = (a, b) => a < b ? a * count + b : b * count + a;
  for (let t = 0; t < f.length; t += 3)
    for (let c = 0; c < 3; c++) keys[t + c] = key(f[t + c], f[t + (c + 1) % 3]);
  const sorted = keys.slice().sort(), at = new Map();
  for (const k of sorted) if (!at.has(k)) at.set(k, count + at.size);
  const points = new Float32Array(p.length + 3 * at.size);
  points.set(p);
  for (const [k, index] of at) {
    const a = Math.floor(k / count), b = k % count;
    for (let c = 0; c < 3; c++) points[3 * index + c] = (p[3 * a + c] + p[3 * b + c]) / 2;
  }
  const faces = new Uint32Array(4 * f.length);
  for (let t = 0, o = 0; t < f.length; t += 3, o += 12) {
    const [x, y, z] = [f[t], f[t + 1], f[t + 2]];
    const [xy, yz, zx] = [at.get(keys[t]), at.get(keys[t + 1]), at.get(keys[t + 2])];
    faces.set([x, xy, zx, xy, y, yz, zx, yz, z, xy, yz, zx], o);
  }
  return [points, faces];
}

function column(values, offset) {
  const out = new values.constructor(values.length / 3);
  for (let k = 0; k < out.length; k++) out[k] = values[3 * k + offset];
  return out;
}

// Plotly's third axis points up. Ours is y: (x, y, z) is shown as (z, x, y), which turns but does not mirror.
function trace(solid) {
  let p = Float32Array.from(new Int16Array(bytes(solid.positions)), v => v / 32767);
  let f = new Uint32Array(bytes(solid.faces));
  for (let k = 0; k < solid.levels; k++) [p, f] = subdivide(p, f);
  const rgb = new Uint8Array(bytes(solid.colors)), colors = new Array(rgb.length / 3);
  for (let k = 0; k < colors.length; k++) colors[k] = `rgb(${rgb[3 * k]},${rgb[3 * k + 1]},${rgb[3 * k + 2]})`;
  const at = { x: column(p, 2), y: column(p, 0), z: column(p, 1), hoverinfo: "skip" };
  if (!f.length) return { ...at, type: "scatter3d", mode: "markers", marker: { size: 3.2, color: colors, opacity: 1 } };
  return { ...at, type: "mesh3d", i: column(f, 0), j: column(f, 1), k: column(f, 2), vertexcolor: colors, flatshading: false,
    lighting: { ambient: 0.78, diffuse: 0.42, specular: 0.04, roughness: 0.9, fresnel: 0.02,
      vertexnormalsepsilon: 0, facenormalsepsilon: 0 },
    lightposition: { x: 3000, y: 1800, z: 4000 } };
}

function eye(azimuth, elevation) {
  const r = 1.6;
  return { x: r * Math.cos(elevation) * Math.cos(azimuth), y: r * Math.cos(elevation) * Math.sin(azimuth), z: r * Math.sin(elevation) };
}

function layout(azimuth, elevation) {
  const axis = { visible: false, range: [-1.02, 1.02], showspikes: false };
  return { margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", dragmode: "orbit", bgcolor: "rgba(0,0,0,0)",
      camera: { eye: eye(azimuth, elevation), up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: 0 } } } };
}

function look(azimuth, elevation) {
  Plotly.relayout(view, { "scene.camera": layout(azimuth, elevation).scene.camera });
}

function choose(index, scroll) {
  chosen = index;
  cards.forEach((card, k) => card.classList.toggle("chosen", k === index));
  document.getElementById("name").textContent = solids[index].name;
  Plotly.react(view, [trace(solids[index])], layout(solids[index].azimuth, solids[index].elevation),
    { displayModeBar: false, responsive: true });
  if (scroll && window.matchMedia("(max-width: 60rem)").matches) view.scrollIntoView({ behavior: "smooth" });
}

cards.forEach((card, index) => card.addEventListener("click", event => {
  if (!event.target.closest("a")) choose(index, true);
}));
document.getElementById("photo").addEventListener("click", () => look(solids[chosen].azimuth, solids[chosen].elevation));
document.getElementById("front").addEventListener("click", () => look(0, 0.2));
document.getElementById("back").addEventListener("click", () => look(Math.PI, 0.2));
choose(0, false);
new ResizeObserver(() => Plotly.Plots.resize(view)).observe(view);
