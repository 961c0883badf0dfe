"use strict";
// Solids of one object in many panels: one WebGL context draws them all, each into its own part of one canvas, and one
// camera turns them all. Lengths are in object units (the diagonal of the true box is 1); y is up, the front is +z.

const MESH = `#version 300 es
precision highp float;
layout(location = 0) in vec3 position; layout(location = 1) in vec3 normal; layout(location = 2) in float error;
uniform mat4 camera; uniform mat3 turn; uniform float pixels, radius;
out vec3 normal_cam; out float e;
void main() {
  gl_Position = camera * vec4(position, 1.0);
  gl_PointSize = max(2.0 * radius * pixels / gl_Position.w, 1.5);
  normal_cam = turn * normal; e = error;
}`;
const SHADE = `#version 300 es
precision highp float;
in vec3 normal_cam; in float e;
uniform vec3 color; uniform sampler2D scale; uniform bool errors; uniform int kind;
out vec4 pixel;
const int MESH = 0, DISCS = 1, BALLS = 2;  // discs lie in the surface; balls are points of which no normal is known
void main() {
  vec2 p = kind == MESH ? vec2(0.0) : gl_PointCoord * vec2(2.0, -2.0) + vec2(-1.0, 1.0);
  vec3 n = kind == BALLS ? vec3(p, sqrt(max(1.0 - dot(p, p), 0.0))) : normalize(normal_cam + vec3(0.0, 0.0, 1e-9));
  if (n.z < 0.0) n = -n;
  if (kind == DISCS) { float depth = dot(n.xy, p) / max(n.z, 0.3); p = vec2(length(p), depth); }
  if (dot(p, p) > 1.0) discard;
  vec3 own = errors ? texture(scale, vec2((e * 255.0 + 0.5) / 256.0, 0.5)).rgb : color;
  float key = max(dot(n, normalize(vec3(-0.45, 0.65, 0.75))), 0.0), fill = max(dot(n, normalize(vec3(0.7, 0.0, 0.5))), 0.0);
  float light = errors ? 0.66 + 0.36 * key : 0.42 + 0.56 * key + 0.14 * fill + 0.06 * n.y;
  pixel = vec4(min(own * light, 1.0), 1.0);
}`;

// A column of 16-bit differences back to numbers.
function sums(values, count, columns) {
  const out = new values.constructor(count * columns);
  for (let c = 0; c < columns; c++)
    for (let k = 0, at = 0; k < count; k++) out[k * columns + c] = at = (at + values[c * count + k]) & 0xffff;
  return out;
}

// `bytes` after the place `at`, which is moved on.
function reader(bytes) {
  let at = 0;
  return (Type, count) => {
    const size = count * Type.BYTES_PER_ELEMENT, part = bytes.slice(at, at + size);
    at += size;
    return new Type(part.buffer);
  };
}

function read_solid(take, header) {
  const { vertices: n, faces: f } = header;
  const p = Float32Array.from(sums(take(Int16Array, 3 * n), n, 3), v => v / 4096);
  if (f) {
    const faces = sums(take(Uint16Array, 3 * f), f, 3);
    return { positions: p, faces, normals: smooth_normals(p, faces), radius: 0, kind: 0 };
  }
  const normals = new Float32Array(3 * n);
  if (header.normals) take(Int8Array, 3 * n).forEach((v, k) => { normals[3 * (k % n) + Math.floor(k / n)] = v / 127; });
  const radius = covering_radius(p) * (header.normals ? 1 : 0.7);
  return { positions: p, faces: null, normals, radius, kind: header.normals ? 1 : 2 };
}

function smooth_normals(p, faces) {
  const out = new Float32Array(p.length);
  for (let t = 0; t < faces.length; t += 3) {
    const [a, b, c] = [3 * faces[t], 3 * faces[t + 1], 3 * faces[t + 2]];
    const u = [0, 1, 2].map(k => p[b + k] - p[a + k]), v = [0, 1, 2].map(k => p[c + k] - p[a + k]);
    const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) out[corner + k] += n[k];
  }
  return out;
}

// Discs that just cover a surface of a typical area, 1.2 square units.
function covering_radius(p) { return Math.min(Math.max(1.45 * Math.sqrt(1.2 / (Math.PI * p.length / 3)), 0.006), 0.03) }

function multiply(a, b) {  // 4 x 4, column by column
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++) for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
  return out;
}

// What the camera of a picture at this azimuth and elevation, `distance` away, sees at [-1, 1]^2.
function camera_at(azimuth, elevation, distance) {
  const [sa, ca, se, ce] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
  const right = [ca, 0, -sa], back = [sa * ce, se, ca * ce], up = [-sa * se, ce, -ca * se];
  const turn = [0, 1, 2].flatMap(k => [right[k], up[k], back[k]]);
  const view = new Float32Array([...turn.slice(0, 3), 0, ...turn.slice(3, 6), 0, ...turn.slice(6), 0, 0, 0, -distance, 1]);
  const near = 0.1, far = 12, focal = 3.1;
  const lens = new Float32Array(16);
  lens[0] = lens[5] = focal; lens[10] = -(far + near) / (far - near); lens[11] = -1; lens[14] = -2 * far * near / (far - near);
  return { matrix: multiply(lens, view), turn: new Float32Array(turn), focal };
}

// The stage: `panels` are elements, each with what is shown in it. Without WebGL it is null, and pictures stay.
function make_stage(canvas, scale) {
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: true });
  if (!gl) return null;
  let program, places, panels = [], asked = false;
  const state = { azimuth: 0, elevation: 0.35, distance: 1.9, errors: false };

  function prepare() {
    program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, MESH], [gl.FRAGMENT_SHADER, SHADE]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text); gl.compileShader(shader); gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    places = Object.fromEntries(["camera", "turn", "pixels", "radius", "color", "errors", "kind"]
      .map(name => [name, gl.getUniformLocation(program, name)]));
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array(scale));
    for (const [name, value] of [["MIN_FILTER", "NEAREST"], ["MAG_FILTER", "NEAREST"], ["WRAP_S", "CLAMP_TO_EDGE"], ["WRAP_T", "CLAMP_TO_EDGE"]])
      gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], gl[value]);
    gl.enable(gl.DEPTH_TEST); gl.enable(gl.SCISSOR_TEST);
  }

  function buffer(target, data) {
    const made = gl.createBuffer();
    gl.bindBuffer(target, made); gl.bufferData(target, data, gl.STATIC_DRAW);
    return made;
  }

  function upload(solid) {
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const made = [buffer(gl.ARRAY_BUFFER, solid.positions)];
    gl.enableVertexAttribArray(0); gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    made.push(buffer(gl.ARRAY_BUFFER, solid.normals));
    gl.enableVertexAttribArray(1); gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 0, 0);
    made.push(buffer(gl.ARRAY_BUFFER, solid.errors ?? new Uint8Array(solid.positions.length / 3)));
    gl.enableVertexAttribArray(2); gl.vertexAttribPointer(2, 1, gl.UNSIGNED_BYTE, true, 0, 0);
    if (solid.faces) made.push(buffer(gl.ELEMENT_ARRAY_BUFFER, solid.faces));
    gl.bindVertexArray(null);
    return { array, made };
  }

  // Each panel: { element, solid: {positions, normals, faces, errors, radius}, color }.
  function show(next) {
    for (const { kept } of panels) { gl.deleteVertexArray(kept.array); kept.made.forEach(one => gl.deleteBuffer(one)); }
    panels = next.map(panel => ({ ...panel, kept: upload(panel.solid) }));
    ask();
  }

  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  }

  function draw() {
    if (gl.isContextLost()) return;
    const whole = canvas.getBoundingClientRect(), ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(whole.width * ratio), Math.round(whole.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.scissor(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program);
    const { matrix, turn, focal } = camera_at(state.azimuth, state.elevation, state.distance);
    gl.uniformMatrix4fv(places.camera, false, matrix); gl.uniformMatrix3fv(places.turn, false, turn);
    gl.uniform1i(places.errors, state.errors);
    for (const { element, solid, color, kept } of panels) {
      const box = element.getBoundingClientRect();
      if (!box.width) continue;
      const x = Math.round((box.left - whole.left) * ratio), y = Math.round((whole.bottom - box.bottom) * ratio);
      const side = Math.round(box.width * ratio);
      gl.viewport(x, y, side, side); gl.scissor(x, y, side, side);
      gl.uniform1f(places.pixels, focal * side / 2); gl.uniform1f(places.radius, solid.radius);
      gl.uniform3fv(places.color, color); gl.uniform1i(places.kind, solid.kind);
      gl.bindVertexArray(kept.array);
      if (solid.faces) gl.drawElements(gl.TRIANGLES, solid.faces.length, gl.UNSIGNED_SHORT, 0);
      else gl.drawArrays(gl.POINTS, 0, solid.positions.length / 3);
    }
    gl.bindVertexArray(null);
  }

  prepare();
  canvas.addEventListener("webglcontextlost", event => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { prepare(); panels = panels.map(p => ({ ...p, kept: upload(p.solid) })); ask(); });
  return { state, show, ask };
}

// Dragging any of the panels turns all; a pinch, or the wheel with Ctrl, brings them nearer; arrows turn, too.
function turn_by_hand(area, stage, touched) {
  const pointers = new Map();
  const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
  const move = (azimuth, elevation) => {
    stage.state.azimuth += azimuth;
    stage.state.elevation = Math.max(-1.5, Math.min(1.5, stage.state.elevation + elevation));
    touched(); stage.ask();
  };
  const nearer = factor => { stage.state.distance = Math.max(0.7, Math.min(5, stage.state.distance * factor)); stage.ask(); };
  area.addEventListener("pointerdown", event => {
    if (!event.target.closest(".view") || event.button) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", event => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = pointers.size === 2 ? spread() : 0, now = { x: event.clientX, y: event.clientY };
    pointers.set(event.pointerId, now);
    if (before) nearer(before / Math.max(spread(), 1));
    else if (pointers.size === 1) move((last.x - now.x) * 0.01, event.pointerType === "touch" ? 0 : (now.y - last.y) * 0.01);
  });
  for (const end of ["pointerup", "pointercancel"]) area.addEventListener(end, event => pointers.delete(event.pointerId));
  area.addEventListener("wheel", event => { if (event.ctrlKey) { event.preventDefault(); nearer(Math.exp(event.deltaY * 0.01)); } }, { passive: false });
  area.addEventListener("keydown", event => {
    const step = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15] }[event.key];
    if (step) { event.preventDefault(); move(...step); }
    else if (event.key === "+" || event.key === "-") nearer(event.key === "+" ? 0.9 : 1.1);
  });
}
