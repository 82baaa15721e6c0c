// The review page: one image on a canvas, its beads as outlines, decisions to the server.
"use strict";

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") || "";
const canvas = $("canvas");
const context = canvas.getContext("2d");
const hitContext = document.createElement("canvas").getContext("2d");
const TILE = 512;
const LIKELY = 0.5;  // score from which a proposal is rather a bead than none
const COLOURS = {
  person: "#6cb6ff", accepted: "#4fd08a", drawn: "#43d3d0", proposed: "#ffb454",
  rejected: "#ff6b7d",
};
const TOOL_HINTS = {
  select: "",
  add: "Click where a bead is missing: it is fitted there. Click a bead to select it.",
  draw: "Drag from the centre of a bead to its edge. Shift: an ellipse, corner to corner.",
  brush: "Paint onto the chosen bead; with none chosen, a new one.",
  eraser: "Rub out from the chosen bead.",
  split: "Drag a line across the chosen bead.",
};

let images = [], current = 0, problems = [], prediction = false;
let least = { score: 0, diameter: 0 };  // of the beads that are shown
let polarity = "";  // of the beads that are shown, "bright" or "dark"; "": any
let threshold = null;  // hundredths that outlines are looked at with, null: their own
let redrawn = null, redrawing = false;  // outlines at that threshold, as a picture
let beads = new Map(), version = 0, summary = null;
let selected = new Set(), groups = null, order = [];
let levels = [], facts = null, lookup = null, lightStamp = 0;
let view = { scale: 1, x: 0, y: 0 };  // canvas px per image px; image px at the corner
let tool = "select", cursor = null, anchor = null, drag = null, spaceHeld = false;
let hidden = false, showRejected = false, dirty = true, stale = false;
let overlay = null, overlayStamp = 0, lastView = {}, viewMoved = 0;
let queue = Promise.resolve(), waiting = 0, loadNumber = 0;

// --- server ------------------------------------------------------------------------

async function ask(path, options = {}) {
  const headers = { "X-Token": token, ...(options.headers || {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  let text = response.statusText;
  try { text = (await response.json()).error; } catch { /* not ours */ }
  throw Object.assign(new Error(text), { status: response.status });
}

const at = (kind) => `api/${kind}/${encodeURIComponent(images[current].name)}`;

function act(action, before) {
  // Decisions go one after the other; the page shows them at once.
  if (stale) return queue;
  waiting++;
  showSaved();
  const image = current;
  queue = queue.then(async () => {
    if (image !== current) return;
    try {
      const response = await ask(at("act"), {
        method: "POST", body: JSON.stringify({ action, version }),
      });
      if (image === current) take(await response.json(), action.do);
    } catch (error) {
      if (before) before();
      if (error.status === 409) tellStale();
      else banner(error.status ? error.message : "The server does not answer: is beadseg review still running? Nothing that was saved is lost.");
    }
  }).finally(() => { waiting--; showSaved(); });
  return queue;
}

function take(answer, verb) {
  version = answer.version;
  summary = answer.summary;
  presetThreshold(answer);
  images[current] = summary;
  for (const bead of answer.beads) place(bead);
  document.body.dataset.version = version;
  const moves = ["draw", "paint", "split", "merge", "undo", "redo"].includes(verb);
  if (moves && shown(beads.get(answer.focus))) selected = new Set([answer.focus]);
  for (const id of selected) if (!shown(beads.get(id))) selected.delete(id);
  banner("");
  refresh();
}

function tellStale() {
  stale = true;
  banner("This image was changed in another window. What you see is old.", () => load(current, true));
}

async function watch() {
  // A second window is told as soon as it looks again.
  if (!images.length || waiting || stale) return;
  try {
    const answer = await (await ask(at("version"))).json();
    if (!waiting && answer.version !== version) tellStale();
  } catch { /* said at the next decision */ }
}

// --- data --------------------------------------------------------------------------

function place(bead) {
  if (bead.state === "none") { beads.delete(bead.id); groups = null; return; }
  if (bead.moved === false) bead = { ...beads.get(bead.id), ...bead };
  if (bead.outline) {
    bead.path = new Path2D();
    bead.rough = new Path2D();
    for (const line of bead.outline) {
      trace(bead.path, line, 1);
      trace(bead.rough, line, Math.max(1, Math.floor(line.length / 40)));
    }
  }
  beads.set(bead.id, bead);
  groups = null;
}

function trace(path, line, step) {
  for (let i = 0; i < line.length; i += 2 * step) {
    if (i === 0) path.moveTo(line[0], line[1]); else path.lineTo(line[i], line[i + 1]);
  }
  path.closePath();
}

const colourKey = (bead) =>
  bead.state === "kept" ? (bead.origin === "drawn" ? "drawn" : "person") : bead.state;
const otherPolarity = (bead) => polarity !== "" && (bead.bright ?? null) !== null &&
  bead.bright !== (polarity === "bright");
const leftOut = (bead) => prediction && bead.origin === "model" && bead.state === "accepted" && !bead.edited &&
  (otherPolarity(bead) || Object.entries(least).some(([of, value]) => value > 0 && (bead[of] ?? 1) < value));
const byThreshold = (bead) => threshold !== null && bead.origin === "model" && !bead.edited &&
  (bead.state === "accepted" || bead.by === "threshold");
const shown = (bead) => !!bead && !!bead.path &&
  (bead.state !== "rejected" || showRejected) && bead.state !== "deleted";

async function load(index, keepView = false) {
  const number = ++loadNumber;
  delete document.body.dataset.ready;
  await queue;
  current = index;
  stale = false;
  banner("");
  $("images").value = String(index);
  selected.clear(); beads.clear(); groups = null; anchor = drag = null;
  if (!keepView) { levels = []; facts = null; $("loading").hidden = false; }
  dirty = true;
  try {
    // The picture first: outlines are as much work for the server again.
    const big = keepView ? false : await loadPixels(number, 4);
    const answer = await (await ask(at("beads"))).json();
    if (number !== loadNumber) return;
    version = answer.version;
    summary = answer.summary;
    for (const bead of answer.beads) place(bead);
    presetAbove();
    presetFilter();
    presetThreshold(answer);
    refresh();
    if (!keepView && big) await loadPixels(number, 1);
    if (number !== loadNumber) return;
    if (!prediction) selectFirst();
    // The server looks how far beads reach before the threshold is moved.
    if (answer.thresholds.length) ask(`${at("redrawn")}?threshold=50&x=0&y=0&scale=1&width=1&height=1`).catch(() => {});
    document.body.dataset.ready = images[current].name;
  } catch (error) {
    $("loading").hidden = true;
    banner(error.status ? error.message : "The server does not answer: is beadseg review still running?");
  }
}

async function loadPixels(number, step) {
  // A coarse picture first where the whole is big; returns whether more is to come.
  const known = images[current].size;
  if (step > 1 && known && known < 2e6) step = 1;
  const channel = $("channel").value;
  const response = await ask(`${at("image")}?step=${step}&channel=${channel}`);
  const told = JSON.parse(response.headers.get("X-Image"));
  const buffer = await response.arrayBuffer();
  if (number !== loadNumber) return false;
  const values = told.bits === 8 ? new Uint8Array(buffer) : new Uint16Array(buffer);
  const first = facts === null;
  if (first || step > 1) facts = told;
  levels = [{ width: told.width, height: told.height, values, step, tiles: new Map() }];
  while (levels.at(-1).width > 1024 || levels.at(-1).height > 1024) levels.push(halve(levels.at(-1)));
  const full = { width: told.width * step, height: told.height * step };
  if (step === 1) Object.assign(facts, full);
  if (first) {
    facts.width = full.width; facts.height = full.height;
    const channels = $("channel");
    if (channels.options.length !== (told.channels > 1 ? 1 + told.channels : 1)) {
      channels.length = 1;
      if (told.channels > 1) ["red", "green", "blue"].slice(0, told.channels).forEach(
        (name, i) => channels.add(new Option(name, String(i))));
    }
    channels.hidden = told.channels < 2;
    resetLight(); fit();
  } else relight();
  $("loading").hidden = true;
  dirty = true;
  return step > 1;
}

function halve(level) {
  const width = level.width >> 1, height = level.height >> 1, from = level.values;
  const values = new from.constructor(width * height);
  for (let y = 0; y < height; y++) {
    let a = 2 * y * level.width, b = a + level.width, to = y * width;
    for (let x = 0; x < width; x++, a += 2, b += 2) {
      values[to++] = (from[a] + from[a + 1] + from[b] + from[b + 1] + 2) >> 2;
    }
  }
  return { width, height, values, step: 2 * level.step, tiles: new Map() };
}

// --- light -------------------------------------------------------------------------

function range() { return facts.bits === 8 ? 255 : 65535; }

function resetLight() {
  $("low").value = 1000 * facts.low / range();
  $("high").value = 1000 * facts.high / range();
  $("gamma").value = 0;
  relight();
}

function relight() {
  if (!facts) return;
  const size = facts.bits === 8 ? 256 : 65536;
  const low = $("low").value / 1000 * (size - 1);
  const high = Math.max($("high").value / 1000 * (size - 1), low + 1);
  const gamma = Math.pow(4, -$("gamma").value / 100);
  lookup = new Uint32Array(size);
  for (let i = 0; i < size; i++) {
    const v = Math.round(255 * Math.pow(Math.min(Math.max((i - low) / (high - low), 0), 1), gamma));
    lookup[i] = 0xff000000 | (v << 16) | (v << 8) | v;
  }
  outputs();
  lightStamp++;
  dirty = true;
}

function outputs() {
  for (const id of ["low", "high"]) $(id).nextElementSibling.value = `${($(id).value / 10).toFixed(1)}%`;
  $("gamma").nextElementSibling.value = Math.pow(4, -$("gamma").value / 100).toFixed(2);
  $("radius").nextElementSibling.value = `${$("radius").value} px`;
}

function tile(level, column, row) {
  const key = row * 4096 + column;
  let found = level.tiles.get(key);
  if (found && found.stamp === lightStamp) return found.canvas;
  const left = column * TILE, top = row * TILE;
  const width = Math.min(TILE, level.width - left), height = Math.min(TILE, level.height - top);
  if (!found) {
    const surface = document.createElement("canvas");
    surface.width = width; surface.height = height;
    found = { canvas: surface, context: surface.getContext("2d"), image: new ImageData(width, height) };
    found.words = new Uint32Array(found.image.data.buffer);
    level.tiles.set(key, found);
  }
  for (let y = 0, to = 0; y < height; y++) {
    let from = (top + y) * level.width + left;
    for (let x = 0; x < width; x++) found.words[to++] = lookup[level.values[from++]];
  }
  found.context.putImageData(found.image, 0, 0);
  found.stamp = lightStamp;
  return found.canvas;
}

// --- drawing -----------------------------------------------------------------------

function frame() {
  requestAnimationFrame(frame);
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width; canvas.height = height; dirty = true;
  }
  if (!dirty) return;
  dirty = false;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!facts || !levels.length) return;
  drawPixels(width, height);
  context.setTransform(view.scale, 0, 0, view.scale, -view.x * view.scale, -view.y * view.scale);
  if (lastView.scale !== view.scale) viewMoved = performance.now();
  lastView = { ...view };
  if (!hidden) drawBeads(width, height);
  if (!hidden && threshold !== null) drawRedrawn(width, height);
  drawTool(ratio);
}

function drawPixels(width, height) {
  let level = levels[0];
  for (const other of levels) if (view.scale * other.step <= 1.2) level = other;
  const size = view.scale * level.step;  // canvas px of a pixel of the level
  context.imageSmoothingEnabled = size < 2;
  const ox = -view.x * view.scale, oy = -view.y * view.scale;
  const first = (o) => Math.max(0, Math.floor(-o / size / TILE));
  const last = (o, span, length) => Math.min(Math.ceil(length / TILE), Math.ceil((span - o) / size / TILE));
  for (let row = first(oy); row < last(oy, height, level.height); row++) {
    for (let column = first(ox); column < last(ox, width, level.width); column++) {
      const surface = tile(level, column, row);
      const x0 = Math.round(ox + column * TILE * size), y0 = Math.round(oy + row * TILE * size);
      const x1 = Math.round(ox + (column * TILE + surface.width) * size);
      const y1 = Math.round(oy + (row * TILE + surface.height) * size);
      context.drawImage(surface, x0, y0, x1 - x0, y1 - y0);
    }
  }
}

function inView(bead, margin = 0) {
  const [top, left, bottom, right] = bead.box;
  const w = canvas.width / view.scale, h = canvas.height / view.scale;
  return right > view.x - margin && left < view.x + w + margin &&
    bottom > view.y - margin && top < view.y + h + margin;
}

function drawBeads(width, height) {
  // All outlines but the chosen are kept as a picture, wider than the view: moving only
  // shifts it, zooming stretches it until the view rests.
  const same = overlay && overlay.stamp === overlayStamp && overlay.groups === groups;
  const fits = same && overlay.scale === view.scale &&
    overlay.x <= view.x && overlay.y <= view.y &&
    overlay.x + overlay.canvas.width / view.scale >= view.x + width / view.scale &&
    overlay.y + overlay.canvas.height / view.scale >= view.y + height / view.scale;
  if (!same || (!fits && performance.now() - viewMoved > 120)) paintOverlay(width, height);
  else if (!fits) setTimeout(() => { dirty = true; }, 130);
  const ratio = 1 / overlay.scale;
  context.drawImage(overlay.canvas, overlay.x, overlay.y, overlay.canvas.width * ratio, overlay.canvas.height * ratio);
  const line = outlineWidth();
  for (const id of selected) {
    const bead = beads.get(id);
    if (!shown(bead) || byThreshold(bead)) continue;
    context.fillStyle = COLOURS[colourKey(bead)] + "30";
    context.fill(bead.path);
    context.lineWidth = 2.2 * line;
    context.strokeStyle = "#ffffff";
    context.stroke(bead.path);
  }
}

const outlineWidth = () => Math.max(1.4 * (window.devicePixelRatio || 1), 1) / view.scale;

function paintOverlay(width, height) {
  const margin = 0.25;
  overlay ||= { canvas: document.createElement("canvas") };
  const surface = overlay.canvas;
  surface.width = Math.round(width * (1 + 2 * margin));
  surface.height = Math.round(height * (1 + 2 * margin));
  groups ||= {};
  Object.assign(overlay, {
    scale: view.scale, stamp: overlayStamp, groups,
    x: view.x - margin * width / view.scale, y: view.y - margin * height / view.scale,
  });
  const pen = surface.getContext("2d");
  pen.setTransform(view.scale, 0, 0, view.scale, -overlay.x * view.scale, -overlay.y * view.scale);
  pen.lineJoin = "round";
  const line = outlineWidth();
  const visible = [];
  for (const bead of beads.values()) {
    if (shown(bead) && !leftOut(bead) && !byThreshold(bead) && inView(bead, margin * Math.max(width, height) / view.scale)) visible.push(bead);
  }
  const few = visible.length < 400, shape = view.scale < 1.5 && !few ? "rough" : "path";
  // Browsers draw lines of one pixel several times as fast as wider ones.
  const pixel = 1 / view.scale, apart = few || line < 2 * pixel ? [0] : [-pixel / 2, pixel / 2];
  pen.lineWidth = few ? line : pixel;
  for (const shift of apart) {
    pen.translate(shift, shift);
    for (const bead of visible) {
      const key = colourKey(bead);
      pen.strokeStyle = COLOURS[key];
      pen.setLineDash(few && (key === "proposed" || key === "rejected") ? [4 * line, 3 * line] : []);
      pen.stroke(bead[shape]);
    }
    pen.translate(-shift, -shift);
  }
}

function drawRedrawn(width, height) {
  // The server says which bead each pixel of the view belongs to; the last wish counts.
  const wish = JSON.stringify([threshold, version, current, width, height, view, least, polarity, [...selected]]);
  if (redrawn?.wish !== wish && !redrawing) askRedrawn(wish, width, height);
  if (redrawn?.image !== current) return;
  const { canvas: picture, x, y, scale } = redrawn;
  context.drawImage(picture, x, y, picture.width / scale, picture.height / scale);
}

async function askRedrawn(wish, width, height) {
  redrawing = true;
  const image = current, { x, y, scale } = view;
  try {
    const part = new URLSearchParams({ threshold, x, y, scale, width, height });
    const buffer = await (await ask(`${at("redrawn")}?${part}`)).arrayBuffer();
    if (image !== current) return;
    redrawn = { wish, image, x, y, scale, canvas: edges(numbersOf(buffer, width * height), width, height) };
    document.body.dataset.redrawn = threshold;
  } catch (error) {
    threshold = null;
    banner(error.status ? error.message : "The server does not answer: is beadseg review still running?");
  } finally { redrawing = false; dirty = true; }
}

const numbersOf = (buffer, count) =>
  buffer.byteLength === 2 * count ? new Uint16Array(buffer) : new Int32Array(buffer);

function edges(ids, width, height) {
  const colour = new Map(), rgba = (hex) => parseInt(`ff${hex.slice(5)}${hex.slice(3, 5)}${hex.slice(1, 3)}`, 16);
  for (const bead of beads.values()) {
    colour.set(bead.id, leftOut(bead) ? 0 : rgba(selected.has(bead.id) ? "#ffffff" : COLOURS.accepted));
  }
  const surface = redrawn?.canvas.width === width && redrawn.canvas.height === height
    ? redrawn.canvas : Object.assign(document.createElement("canvas"), { width, height });
  const picture = new ImageData(width, height), words = new Uint32Array(picture.data.buffer);
  for (let row = 1; row < height; row++) {
    for (let i = row * width + 1, end = i + width - 1; i < end; i++) {
      const here = ids[i];
      // On both sides of an edge, so that a line is two pixels wide.
      if (here !== ids[i - 1]) {
        const on = colour.get(here) || colour.get(ids[i - 1]) || 0;
        words[i] = words[i - 1] = on;
      }
      if (here !== ids[i - width]) {
        const on = colour.get(here) || colour.get(ids[i - width]) || 0;
        words[i] = words[i - width] = on;
      }
    }
  }
  surface.getContext("2d").putImageData(picture, 0, 0);
  return surface;
}

function drawTool(ratio) {
  const line = 1.5 * ratio / view.scale;
  context.lineWidth = line;
  context.strokeStyle = "#ffffff";
  if (drag && drag.kind === "draw") {
    const e = ellipseOf(drag);
    context.beginPath();
    context.ellipse(e.x + 0.5, e.y + 0.5, e.rx, e.ry, 0, 0, 7);
    context.stroke();
  } else if (drag && drag.kind === "paint") {
    context.lineWidth = 2 * brush();
    context.lineCap = "round";
    context.strokeStyle = drag.erase ? "#ff6b7d80" : "#43d3d080";
    context.beginPath();
    drag.points.forEach(([y, x], i) => i ? context.lineTo(x + 0.5, y + 0.5) : context.moveTo(x + 0.5, y + 0.5));
    if (drag.points.length === 1) context.lineTo(drag.points[0][1] + 0.51, drag.points[0][0] + 0.5);
    context.stroke();
  } else if ((drag && drag.kind === "split") || (anchor && cursor)) {
    const a = drag ? drag.from : anchor, b = drag ? drag.to : cursor;
    context.beginPath();
    context.moveTo(a.x, a.y); context.lineTo(b.x, b.y);
    context.stroke();
  }
  if (cursor && tool !== "select") {
    context.lineWidth = line;
    context.strokeStyle = "#ffffffc0";
    context.beginPath();
    if (tool !== "split") context.ellipse(cursor.x, cursor.y, brush(), brush(), 0, 0, 7);
    const arm = 6 * ratio / view.scale;
    context.moveTo(cursor.x - arm, cursor.y); context.lineTo(cursor.x + arm, cursor.y);
    context.moveTo(cursor.x, cursor.y - arm); context.lineTo(cursor.x, cursor.y + arm);
    context.stroke();
  }
}

// --- view --------------------------------------------------------------------------

function wholeScale() {
  const scale = Math.min(canvas.clientWidth / facts.width, canvas.clientHeight / facts.height);
  return 0.97 * scale * (window.devicePixelRatio || 1);
}

function fit() {
  if (!facts) return;
  view.scale = wholeScale();
  centre(facts.width / 2, facts.height / 2);
}

function centre(x, y) {
  const ratio = window.devicePixelRatio || 1;
  view.x = x - canvas.clientWidth * ratio / view.scale / 2;
  view.y = y - canvas.clientHeight * ratio / view.scale / 2;
  dirty = true;
}

function zoom(factor, x, y) {
  const ratio = window.devicePixelRatio || 1;
  const px = x === undefined ? canvas.clientWidth * ratio / 2 : x * ratio;
  const py = y === undefined ? canvas.clientHeight * ratio / 2 : y * ratio;
  const ix = view.x + px / view.scale, iy = view.y + py / view.scale;
  view.scale = Math.min(Math.max(view.scale * factor, 0.02), 64);
  view.x = ix - px / view.scale;
  view.y = iy - py / view.scale;
  dirty = true;
  countAbove();
}

function reveal(bead) {
  const size = Math.max(bead.box[2] - bead.box[0], bead.box[3] - bead.box[1]);
  const ratio = window.devicePixelRatio || 1;
  const close = Math.min(canvas.clientWidth, canvas.clientHeight) * ratio / (size * 7);
  const wanted = Math.max(close, wholeScale());
  if (view.scale < wanted / 2.5 || view.scale > wanted * 2.5) view.scale = wanted;
  const w = canvas.width / view.scale, h = canvas.height / view.scale;
  const inner = bead.x > view.x + 0.2 * w && bead.x < view.x + 0.8 * w &&
    bead.y > view.y + 0.2 * h && bead.y < view.y + 0.8 * h;
  if (!inner) {
    centre(bead.x, bead.y);
    view.x = within(view.x, w, facts.width);
    view.y = within(view.y, h, facts.height);
  }
  dirty = true;
}

// Where a view of that span begins so that it shows no more than the image, if it can.
const within = (start, span, size) =>
  span < size ? Math.min(Math.max(start, 0), size - span) : (size - span) / 2;

const imagePoint = (event) => {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  return {
    x: view.x + (event.clientX - box.left) * ratio / view.scale,
    y: view.y + (event.clientY - box.top) * ratio / view.scale,
  };
};
const pixel = (value) => Math.round(100 * (value - 0.5)) / 100;  // corners to centres
const brush = () => Number($("radius").value);

function hit(point) {
  let best = null;
  for (const bead of beads.values()) {
    if (!shown(bead)) continue;
    const [top, left, bottom, right] = bead.box;
    if (point.x < left || point.x > right || point.y < top || point.y > bottom) continue;
    if (hitContext.isPointInPath(bead.path, point.x, point.y) && (!best || bead.state !== "rejected")) best = bead;
  }
  return best;
}

// --- decisions ---------------------------------------------------------------------

const proposals = () => order.filter((id) => beads.get(id)?.state === "proposed");
const one = () => (selected.size ? beads.get([...selected].at(-1)) : null);

function next(direction) {
  const open = proposals();
  const bead = one();
  if (!open.length) { selected.clear(); refresh(); return; }
  let index = bead ? open.indexOf(bead.id) : -1;
  if (index < 0 && bead) {  // decided just now: go on from its place
    const rank = order.indexOf(bead.id);
    index = open.findIndex((id) => order.indexOf(id) > rank);
    index = index < 0 ? 0 : index - (direction > 0 ? 1 : 0);
  }
  index = bead ? (index + direction + open.length) % open.length : 0;
  selected = new Set([open[Math.max(index, 0)]]);
  reveal(beads.get([...selected][0]));
  refresh();
}

// On the whole image: where the first proposal lies is seen, not gone to.
function selectFirst() {
  selected = new Set(proposals().slice(0, 1));
  refresh();
}

function nextOpen() {
  const after = images.map((_, i) => (current + 1 + i) % images.length);
  const other = after.find((i) => i !== current && images[i].counts.proposed > 0);
  if (proposals().length || other === undefined) next(1); else load(other);
}

function decide(verb) {
  const chosen = [...selected].filter((id) => beads.get(id)?.origin === "model");
  if (!chosen.length) return;
  const state = { accept: "accepted", reject: "rejected", reopen: "proposed" }[verb];
  const old = chosen.map((id) => [id, beads.get(id).state]);
  for (const id of chosen) beads.get(id).state = state;
  groups = null;
  act({ do: verb, ids: chosen }, () => {
    for (const [id, was] of old) if (beads.has(id)) beads.get(id).state = was;
    groups = null;
    refresh();
  });
  if (verb !== "reopen") next(1); else refresh();
}

// A score that some proposals of the image reach, until a person gives one.
function presetAbove() {
  if ($("above").dataset.given) return;
  let top = 0;
  for (const bead of beads.values()) if (bead.state === "proposed") top = Math.max(top, bead.score || 0);
  const round = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5].find((score) => score <= top);
  if (top > 0) $("above").value = String(round || Math.floor(100 * top) / 100);
}

function openInView(which) {
  const least = Number($("above").value);
  return proposals().filter((id) => {
    const bead = beads.get(id);
    return (bead.score >= least) === (which === "above") && bead.box && inView(bead);
  });
}

function decideInView(verb, which) {
  const ids = openInView(which);
  if (!ids.length) return;
  const good = verb === "reject" ? ids.filter((id) => beads.get(id).score >= LIKELY).length : 0;
  if (good && !confirm(`Reject ${ids.length} proposals? ${good} of them ${good === 1 ? "has" : "have"} a score of ${LIKELY} or more: as many are beads as are not.`)) return;
  selected = new Set(ids);
  decide(verb);
}

function mergeSelected() {
  if (selected.size > 1) act({ do: "merge", ids: [...selected] });
  else hint("Shift-click to select several beads to merge.");
}

function removeSelected() {
  if (selected.size) act({ do: "delete", ids: [...selected] });
}

const ellipseOf = (d) => {
  const a = { x: d.from.x - 0.5, y: d.from.y - 0.5 }, b = { x: d.to.x - 0.5, y: d.to.y - 0.5 };
  if (!d.shift) {
    const r = Math.hypot(b.x - a.x, b.y - a.y);
    return { y: a.y, x: a.x, ry: r, rx: r };
  }
  return { y: (a.y + b.y) / 2, x: (a.x + b.x) / 2, ry: Math.abs(b.y - a.y) / 2, rx: Math.abs(b.x - a.x) / 2 };
};

function addAt(point) {
  act({ do: "place", y: pixel(point.y), x: pixel(point.x) });
}

// Of a prediction: what is left out is not shown, and can be deleted at once.
function filter() {
  polarity = $("polarity").value;
  for (const of of Object.keys(least)) {
    const slider = $(`least-${of}`);
    least[of] = Number(slider.value);
    slider.nextElementSibling.value = of === "diameter" ? `${least[of]} px` : least[of].toFixed(2);
  }
  countLeftOut();
  groups = null;
  dirty = true;
}

function countLeftOut() {
  const count = [...beads.values()].filter((bead) => shown(bead) && leftOut(bead)).length;
  $("leave-out").querySelector("span").textContent = String(count);
  $("leave-out").disabled = !count;
}

function leaveOut() {
  const ids = [...beads.values()].filter((bead) => shown(bead) && leftOut(bead)).map((bead) => bead.id);
  if (ids.length) act({ do: "delete", ids });
}

function presetFilter() {
  let largest = 0;
  for (const bead of beads.values()) largest = Math.max(largest, bead.diameter || 0);
  $("least-diameter").max = String(Math.ceil(largest) || 1);
  const seen = new Set([...beads.values()].map((bead) => bead.bright ?? null));
  seen.delete(null);
  $("polarity-of").hidden = !seen.size;
  filter();
}

function presetThreshold(answer) {
  const slider = $("threshold");
  if (answer.thresholds) {
    slider.disabled = !answer.thresholds.length;
    if (!slider.disabled) [slider.min, slider.max] = answer.thresholds.map((value) => 100 * value);
    $("threshold-why").hidden = !slider.disabled;
  }
  if (threshold === null || slider.dataset.of !== String(answer.threshold) || answer.thresholds) {
    slider.dataset.of = answer.threshold;
    slider.value = Math.round(100 * answer.threshold);
    chooseThreshold();
  }
}

function chooseThreshold() {
  const slider = $("threshold"), value = Number(slider.value);
  threshold = slider.disabled || value === Math.round(100 * slider.dataset.of) ? null : value;
  slider.nextElementSibling.value = slider.disabled ? "" : (value / 100).toFixed(2);
  $("redraw").disabled = $("threshold-back").disabled = threshold === null;
  if (threshold === null) delete document.body.dataset.redrawn;
  groups = null;
  dirty = true;
}

async function measureAgain() {
  await queue;
  $("measure").disabled = true;
  tell("Measuring: labels, tables, ROIs and the page are written anew.");
  try {
    const answer = await (await ask("api/measure", { method: "POST" })).json();
    const of = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
    const failed = answer.failed.length ? ` Failed: ${answer.failed[0]}` : "";
    tell(`Measured again: ${of(answer.beads, "bead")} in ${of(answer.images, "image")}, ` +
      `${answer.measured} of them changed.${answer.report ? ` The page is ${answer.report}.` : ""}${failed}`);
  } catch (error) {
    tell("");
    banner(error.status ? error.message : "The server does not answer: is beadseg review still running? Nothing that was saved is lost.");
  } finally { $("measure").disabled = false; }
}

function tell(text) {
  $("told").hidden = !text;
  $("told").textContent = text;
  if (text) $("told").append(Object.assign(document.createElement("button"), { textContent: "Close", onclick: () => tell("") }));
}

function drawEllipse(e) {
  if (e.rx < 1 || e.ry < 1) return;
  const round = (v) => Math.round(100 * v) / 100;
  act({ do: "draw", y: round(e.y), x: round(e.x), ry: round(e.ry), rx: round(e.rx) });
}

function paintStroke(points, erase) {
  const bead = one();
  if (erase && !bead) { hint("Select the bead to erase from."); return; }
  act({ do: "paint", id: bead ? bead.id : null, points, radius: brush(), erase });
}

function splitAlong(a, b) {
  const bead = one();
  if (!bead) { hint("Select the bead to split."); return; }
  act({ do: "split", id: bead.id, y0: pixel(a.y), x0: pixel(a.x), y1: pixel(b.y), x1: pixel(b.x) });
}

function putDown() {
  // Space, for those without a mouse: what the tool does at the cross.
  if (!cursor) return;
  const point = [pixel(cursor.y), pixel(cursor.x)];
  if (tool === "add") addAt(cursor);
  else if (tool === "draw") drawEllipse({ y: point[0], x: point[1], ry: brush(), rx: brush() });
  else if (tool === "brush" || tool === "eraser") paintStroke([point], tool === "eraser");
  else if (tool === "split") {
    if (anchor) { splitAlong(anchor, cursor); anchor = null; } else anchor = { ...cursor };
  }
  dirty = true;
}

// --- what is written beside the image ------------------------------------------------

function refresh() {
  order = [...beads.values()].filter((b) => b.origin === "model")
    .sort((a, b) => Math.abs(a.score - 0.5) - Math.abs(b.score - 0.5) || a.id - b.id)
    .map((b) => b.id);
  const bead = one(), open = proposals();
  $("place").textContent = prediction ? "" : open.length ? `${bead ? Math.max(open.indexOf(bead.id) + 1, 0) || "–" : "–"} of ${open.length}` : "none left";
  const words = { person: "manual", drawn: "drawn here" };
  let title = "", share = 0, reason = prediction
    ? "Click a bead to select it, or where one is missing to add it."
    : "Select a bead, or press N for the least certain proposal.";
  if (selected.size > 1) { title = `${selected.size} beads`; reason = "Selected together."; }
  else if (bead) {
    const score = bead.score === null || bead.score === undefined ? "" : bead.score.toFixed(3);
    title = bead.origin === "model" ? `${score}  ${bead.state === "proposed" ? "undecided" : bead.state}` : words[bead.origin] || bead.origin;
    share = bead.score || 0;
    reason = bead.reason || (bead.edited ? "Edited here." : "");
  } else if (!open.length && !prediction) reason = "No proposal is left here. Draw what is missing, press Enter: image done; N: the next with proposals.";
  $("score").querySelector("b").textContent = title;
  $("score").querySelector("i").style.width = `${100 * share}%`;
  $("reason").textContent = reason;
  const model = bead && bead.origin === "model";
  $("accept").disabled = $("reject").disabled = !model;
  $("merge").disabled = selected.size < 2;
  $("delete").disabled = !selected.size;
  if (summary) {
    $("undo").disabled = !summary.undo;
    $("redo").disabled = !summary.redo;
    $("reviewed").classList.toggle("on", summary.reviewed);
    $("reviewed").textContent = summary.reviewed ? "Image done ✓" : "Image done";
    const count = { person: 0, accepted: 0, drawn: 0, proposed: 0, rejected: 0 };
    for (const b of beads.values()) if (b.state !== "deleted") count[colourKey(b)]++;
    $("counts").replaceChildren(...Object.entries(count).flatMap(([kind, n]) => {
      const dot = document.createElement("i"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dot.style.color = COLOURS[kind];
      dt.textContent = { person: "manual", proposed: "undecided" }[kind] || kind;
      dd.textContent = n;
      return [dot, dt, dd];
    }));
  }
  let complete = 0, decided = 0, all = 0, done = 0;
  for (const image of images) {
    complete += image.completeness;
    done += image.reviewed;
    const c = image.counts;
    decided += (c.accepted || 0) + (c.rejected || 0);
    all += (c.accepted || 0) + (c.rejected || 0) + (c.proposed || 0);
  }
  const share2 = images.length ? complete / images.length : 0;
  $("progress").style.width = `${100 * share2}%`;
  $("progress-text").textContent = prediction ? `${images.reduce((sum, image) => sum + labelled(image.counts), 0)} beads; ` +
    `${done} of ${images.length} images done.` : `${(100 * share2).toFixed(1)}% of the expected beads are labelled; ` +
    `${decided} of ${all} proposals decided; ${done} of ${images.length} images done.`;
  $("position").textContent = images.length ? `${current + 1} of ${images.length}` : "";
  const options = $("images").options;
  if (options[current]) options[current].textContent = optionText(images[current]);
  $("problems").replaceChildren(...problems.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  countAbove();
  countLeftOut();
  dirty = true;
}

const labelled = (counts) => (counts.kept || 0) + (counts.accepted || 0) + (counts.drawn || 0);
const optionText = (image) => `${image.reviewed ? "✓ " : ""}${image.name} · ` +
  (prediction ? `${labelled(image.counts)} beads` : `${image.counts.proposed || 0} open`);

function countAbove() {
  for (const which of ["above", "below"]) $(`${which}-count`).textContent = String(openInView(which).length);
}

function showSaved() {
  $("saved").textContent = waiting ? "saving" : "saved";
  $("saved").classList.toggle("busy", waiting > 0);
}

function banner(text, reload) {
  $("banner").hidden = !text;
  $("banner").textContent = text;
  if (reload) {
    const button = Object.assign(document.createElement("button"), { textContent: "Show it as it is now", onclick: reload });
    button.style.marginLeft = "10px";
    $("banner").append(button);
  }
}

let hintTimer = 0;
function hint(text) {
  $("hint").textContent = text;
  clearTimeout(hintTimer);
  hintTimer = setTimeout(() => { $("hint").textContent = TOOL_HINTS[tool]; }, 4000);
}

function choose(name) {
  tool = name;
  anchor = null;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.classList.toggle("on", button.dataset.tool === name);
    button.setAttribute("aria-checked", String(button.dataset.tool === name));
  }
  canvas.classList.toggle("grab", name === "select");
  $("hint").textContent = TOOL_HINTS[name];
  if (name !== "select" && !cursor) cursor = {
    x: view.x + canvas.width / view.scale / 2, y: view.y + canvas.height / view.scale / 2,
  };
  dirty = true;
}

function moveBy(dx, dy, coarse) {
  if (tool === "select") {
    const step = (coarse ? 200 : 60) / view.scale;
    view.x += dx * step; view.y += dy * step;
  } else {
    const step = coarse ? 10 : 1;
    cursor.x += dx * step; cursor.y += dy * step;
    const w = canvas.width / view.scale, h = canvas.height / view.scale;
    if (cursor.x < view.x || cursor.y < view.y || cursor.x > view.x + w || cursor.y > view.y + h) centre(cursor.x, cursor.y);
  }
  dirty = true;
}

// --- keys and mouse ------------------------------------------------------------------

const slide = (id, by) => { $(id).value = Number($(id).value) + by; $(id).dispatchEvent(new Event("input")); };
const KEYS = [  // key, what it does in words, what it does
  ["a", "accept the proposal", () => decide("accept")],
  ["r", "reject it", () => decide("reject")],
  ["o", "put it back among the undecided", () => decide("reopen")],
  ["n", "next, the least certain first, here or in another image", nextOpen],
  ["p", "the one before", () => next(-1)],
  ["A", "accept all in view above the score", () => decideInView("accept", "above")],
  ["R", "reject all in view below the score", () => decideInView("reject", "below")],
  ["v", "select", () => choose("select")],
  ["f", "add a bead, fitted where you click", () => choose("add")],
  ["d", "draw a bead", () => choose("draw")],
  ["b", "brush", () => choose("brush")],
  ["e", "eraser", () => choose("eraser")],
  ["s", "split", () => choose("split")],
  ["m", "merge selected", mergeSelected],
  ["Delete", "delete selected", removeSelected],
  ["[", "smaller brush", () => slide("radius", -1)],
  ["]", "larger brush", () => slide("radius", 1)],
  ["z", "undo", () => act({ do: "undo" })],
  ["Z", "redo", () => act({ do: "redo" })],
  ["Enter", "this image is done", () => act({ do: "reviewed", value: !summary?.reviewed })],
  ["PageDown", "next image", () => turn(1)],
  ["PageUp", "previous image", () => turn(-1)],
  ["+", "zoom in", () => zoom(1.25)],
  ["-", "zoom out", () => zoom(0.8)],
  ["0", "whole image", () => { fit(); countAbove(); }],
  ["h", "hide or show the outlines", () => { hidden = !hidden; $("hide").classList.toggle("on", hidden); dirty = true; }],
  ["x", "show what was rejected", () => {
    showRejected = !showRejected; overlayStamp++;
    $("rejected").classList.toggle("on", showRejected); dirty = true;
  }],
  ["i", "brighter", () => slide("high", -20)],
  ["k", "darker", () => slide("high", 20)],
  ["g", "gamma up", () => slide("gamma", -10)],
  ["G", "gamma down", () => slide("gamma", 10)],
  ["c", "next channel", () => {
    const s = $("channel");
    if (!s.hidden) { s.selectedIndex = (s.selectedIndex + 1) % s.length; s.dispatchEvent(new Event("change")); }
  }],
  ["l", "reset contrast", resetLight],
  ["Escape", "deselect", () => { selected.clear(); anchor = drag = null; refresh(); }],
  ["?", "these shortcuts", () => $("help").showModal()],
];
const BY_KEY = new Map(KEYS.map(([key, , run]) => [key, run]));
BY_KEY.set("Backspace", removeSelected).set("=", BY_KEY.get("+")).set("y", BY_KEY.get("Z"));

function turn(by) {
  const index = current + by;
  if (index >= 0 && index < images.length) load(index);
}

addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input[type=number], select, dialog *") || $("help").open;
  if (typing || event.altKey) return;
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in arrows && !event.target.matches("input")) {
    moveBy(...arrows[event.key], event.shiftKey);
    event.preventDefault();
    return;
  }
  if (event.key === " " && !event.target.matches("button")) {
    event.preventDefault();
    if (tool !== "select" && !event.repeat && !spaceHeld) putDown();
    spaceHeld = true;
    return;
  }
  if ((event.key === "Enter") && event.target.matches("button")) return;
  let key = event.key;
  if (event.ctrlKey || event.metaKey) {
    key = { z: event.shiftKey ? "Z" : "z", Z: "Z", y: "Z" }[key];
    if (!key) return;
  }
  const run = BY_KEY.get(key);
  if (!run) return;
  event.preventDefault();
  run();
});
addEventListener("keyup", (event) => { if (event.key === " ") spaceHeld = false; });

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

canvas.addEventListener("pointerdown", (event) => {
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const point = imagePoint(event);
  const move = event.button !== 0 || spaceHeld;
  const bead = move ? null : hit(point);
  if (!move && (tool === "select" || tool === "add" || ((tool !== "draw") && bead && !selected.has(bead.id) && !one()))) {
    if (bead) {
      if (!event.shiftKey) selected.clear();
      if (event.shiftKey && selected.has(bead.id)) selected.delete(bead.id); else selected.add(bead.id);
      refresh();
      if (tool === "select" || tool === "add") return;
    }
  }
  if (move || tool === "select" || tool === "add") drag = {
    kind: "pan", x: event.clientX, y: event.clientY, moved: false, at: point, plain: !move,
  };
  else if (tool === "draw") drag = { kind: "draw", from: point, to: point, shift: event.shiftKey };
  else if (tool === "split") drag = { kind: "split", from: point, to: point };
  else drag = { kind: "paint", erase: tool === "eraser", points: [[pixel(point.y), pixel(point.x)]] };
  dirty = true;
});

canvas.addEventListener("pointermove", (event) => {
  const point = imagePoint(event);
  if (tool !== "select") { cursor = point; dirty = true; }
  if (!drag) return;
  if (drag.kind === "pan") {
    const ratio = window.devicePixelRatio || 1;
    view.x -= (event.clientX - drag.x) * ratio / view.scale;
    view.y -= (event.clientY - drag.y) * ratio / view.scale;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 2;
    drag.x = event.clientX; drag.y = event.clientY;
  } else if (drag.kind === "paint") drag.points.push([pixel(point.y), pixel(point.x)]);
  else { drag.to = point; drag.shift = event.shiftKey; }
  dirty = true;
});

canvas.addEventListener("pointerup", () => {
  const done = drag;
  drag = null;
  dirty = true;
  if (!done) return;
  if (done.kind === "pan") {
    if (!done.moved && tool === "add" && done.plain) addAt(done.at);
    else if (!done.moved && tool === "select") { selected.clear(); refresh(); } else countAbove();
  }
  else if (done.kind === "draw") drawEllipse(ellipseOf(done));
  else if (done.kind === "paint") paintStroke(done.points, done.erase);
  else if (Math.hypot(done.to.x - done.from.x, done.to.y - done.from.y) > 1) splitAlong(done.from, done.to);
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => choose(button.dataset.tool);
for (const [id, key] of Object.entries({
  accept: "a", reject: "r", next: "n", undo: "z", redo: "Z", merge: "m", delete: "Delete",
  reviewed: "Enter", rejected: "x", light: "l", hide: "h", fit: "0", "accept-above": "A", "reject-below": "R",
  "previous-image": "PageUp", "next-image": "PageDown", "help-button": "?",
})) $(id).onclick = (event) => { BY_KEY.get(key)(); event.currentTarget.blur(); };
for (const id of ["low", "high", "gamma"]) $(id).addEventListener("input", relight);
for (const of of Object.keys(least)) $(`least-${of}`).addEventListener("input", filter);
$("leave-out").onclick = leaveOut;
$("polarity").addEventListener("change", (event) => { filter(); event.target.blur(); });
$("keep-all").onclick = () => {
  for (const of of Object.keys(least)) $(`least-${of}`).value = 0;
  $("polarity").value = "";
  filter();
};
$("threshold").addEventListener("input", chooseThreshold);
$("redraw").onclick = () => act({ do: "redraw", threshold: threshold / 100 });
$("threshold-back").onclick = () => { $("threshold").value = Math.round(100 * $("threshold").dataset.of); chooseThreshold(); };
$("measure").onclick = measureAgain;
$("radius").addEventListener("input", () => { outputs(); dirty = true; });
$("above").addEventListener("input", () => { $("above").dataset.given = "yes"; countAbove(); });
$("channel").addEventListener("change", async () => { facts = null; await loadPixels(loadNumber, 1); });
$("images").addEventListener("change", (event) => { load(Number(event.target.value)); event.target.blur(); });
addEventListener("focus", watch);
addEventListener("resize", () => { dirty = true; });
setInterval(watch, 3000);
addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

$("shortcuts").replaceChildren(...Array.from({ length: Math.ceil(KEYS.length / 2) }, (_, i) => {
  const row = document.createElement("tr");
  for (const entry of [KEYS[i], KEYS[i + Math.ceil(KEYS.length / 2)]]) {
    const [key, words] = entry || ["", ""];
    const mark = document.createElement("td"), text = document.createElement("td");
    if (key) {
      const label = /^[A-Z]$/.test(key) ? `Shift ${key}` : key.length === 1 ? key.toUpperCase() : key;
      mark.append(Object.assign(document.createElement("kbd"), { textContent: label }));
    }
    text.textContent = words;
    row.append(mark, text);
  }
  return row;
}));

(async () => {
  choose("select");
  outputs();
  requestAnimationFrame(frame);
  try {
    const answer = await (await ask("api/images")).json();
    images = answer.images;
    problems = answer.problems;
    prediction = answer.prediction;
    if (prediction) {
      for (const id of ["measure", "filter", "threshold-of"]) $(id).hidden = false;
      for (const row of document.querySelectorAll(".above, #accept, #reject, #next")) row.hidden = true;
      $("kind").textContent = "Bead";
      choose("add");
    }
    if (!images.length) { refresh(); banner(problems[0]); return; }
    images.forEach((image, i) => $("images").add(new Option(optionText(image), String(i))));
    const first = images.findIndex((image) => !image.reviewed && image.counts.proposed);
    await load(Math.max(first, 0));
  } catch (error) {
    banner(error.message);
  }
})();
