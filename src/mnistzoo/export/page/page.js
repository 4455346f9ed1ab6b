// The page: drawing, images from files, and what is shown of each drawing.

const $ = (id) => document.getElementById(id);
const models = JSON.parse($("models").textContent).map(readLayers);
const detector = readLayers(JSON.parse($("detector").textContent));
const board = $("board"), ink = board.getContext("2d", { willReadFrequently: true });
const BOARD = 280, PEN = 20, LONGEST = 1000, STEP = 7;
let model = models[0], current = null, erasing = false, last = null, key = null, scheduled = false;

function blank(width = BOARD, height = BOARD) {
  board.width = width;
  board.height = height;
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, width, height);
  ink.lineCap = ink.lineJoin = "round";
  ink.lineWidth = Math.max(1, (Math.min(width, height) * PEN) / BOARD);
}

function line(from, to) {
  ink.strokeStyle = erasing ? "#fff" : "#000";
  ink.beginPath();
  ink.moveTo(...from);
  ink.lineTo(...to);
  ink.stroke();
  schedule();
}

function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => ((scheduled = false), update()));
}

function update() {
  const seen = preprocess(ink.getImageData(0, 0, board.width, board.height));
  current = seen && { ...seen, ...infer(model, seen.pixels), isDigit: isDigit(seen.pixels) };
  showPrediction();
  paint($("input"), current ? current.pixels : new Uint8Array(SIDE * SIDE), SIDE, 1, 255);
  model.layers.forEach((layer, i) => {
    const maps = current ? current.features[i] : new Float32Array(layer.channels * layer.side ** 2);
    paint($(`layer-${i}`), maps, layer.side, layer.channels, maps.reduce((a, b) => Math.max(a, b), 1e-9));
  });
}

// Whether the pixels show a digit; true for a model whose classes are not the ten digits.
function isDigit(pixels) {
  return model.labels.join() !== "0,1,2,3,4,5,6,7,8,9" || infer(detector, pixels).probabilities[1] >= 0.5;
}

function showPrediction() {
  const values = current ? current.probabilities : model.labels.map(() => 0);
  const best = values.indexOf(Math.max(...values)), percent = (x) => `${(100 * x).toFixed(1)}%`;
  $("status").textContent = current
    ? `${current.isDigit ? "" : "Not a digit. "}${model.title} reads ${model.labels[best]}, probability ${percent(values[best])}.`
    : "Draw one digit, or drop, paste or open an image of one.";
  [...$("probabilities").tBodies[0].rows].forEach((row, i) => {
    row.className = current && i === best ? "top" : "";
    row.querySelector(".bar").style.transform = `scaleX(${values[i]})`;
    row.cells[2].textContent = percent(values[i]);
  });
}

const columns = (channels) => Math.min(channels, 8);

// Maps as tiles, black to white, with a gap of one pixel between them.
function paint(canvas, maps, side, channels, full) {
  const across = columns(channels), down = Math.ceil(channels / across), cell = side + 1;
  canvas.width = across * cell - 1;
  canvas.height = down * cell - 1;
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  for (let c = 0, i = 0; c < channels; c++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++, i++) {
        const p = 4 * ((Math.floor(c / across) * cell + y) * canvas.width + (c % across) * cell + x);
        image.data.fill((255 * maps[i]) / full, p, p + 3);
        image.data[p + 3] = 255;
      }
  context.putImageData(image, 0, 0);
}

// The receptive field of one unit, drawn over the image.
function point(layer, x, y) {
  const { size, stride, padding } = layer.field, { step, left, top } = current ? current.place : { step: board.width / SIDE, left: 0, top: 0 };
  const cut = (n) => clip(n, 0, SIDE), start = [x, y].map((n) => n * stride - padding);
  const [x0, y0] = start.map(cut), [x1, y1] = start.map((n) => cut(n + size));
  const box = { left: left + x0 * step, top: top + y0 * step, width: (x1 - x0) * step, height: (y1 - y0) * step };
  const percent = (n, whole) => `${(100 * n) / whole}%`;
  Object.assign($("field").style, {
    left: percent(box.left, board.width), width: percent(box.width, board.width),
    top: percent(box.top, board.height), height: percent(box.height, board.height),
  });
  $("field").hidden = false;
  $("unit").textContent = `${layer.name}, unit (${y}, ${x}): receptive field ${size}×${size}, stride ${stride}.`;
}

function leave() {
  $("field").hidden = true;
  $("unit").textContent = "Point at a unit, or select a map and use the arrow keys, to see its receptive field on the drawing.";
}

function layerFigure(layer, i) {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
  caption.textContent = `${layer.name}: ${layer.channels} × ${layer.side} × ${layer.side}`;
  Object.assign(canvas, { id: `layer-${i}`, tabIndex: 0 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Feature maps of ${layer.name}. Arrow keys choose a unit.`);
  const unit = [layer.side >> 1, layer.side >> 1];
  canvas.onpointermove = canvas.onpointerdown = (event) => {
    const box = canvas.getBoundingClientRect(), cell = layer.side + 1;
    const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width) % cell;
    const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height) % cell;
    if (x >= 0 && y >= 0 && x < layer.side && y < layer.side) point(layer, x, y);
  };
  canvas.onpointerleave = canvas.onblur = leave;
  canvas.onfocus = () => point(layer, ...unit);
  canvas.onkeydown = (event) => {
    const move = ARROWS[event.key];
    if (!move) return;
    event.preventDefault();
    move.forEach((n, axis) => (unit[axis] = clip(unit[axis] + n, 0, layer.side - 1)));
    point(layer, ...unit);
  };
  figure.append(caption, canvas);
  return figure;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function choose(index) {
  model = models[index];
  $("layers").replaceChildren(...model.layers.map(layerFigure));
  $("probabilities").tBodies[0].replaceChildren(...model.labels.map((label) => {
    const row = document.createElement("tr"), name = document.createElement("th"), bar = document.createElement("div");
    name.scope = "row";
    name.textContent = label;
    bar.className = "bar";
    row.append(name, document.createElement("td"), document.createElement("td"));
    row.cells[1].append(bar);
    return row;
  }));
  leave();
  update();
}

async function show(file) {
  if (!file) return;
  try {
    const image = await createImageBitmap(file), scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
    blank(Math.ceil(image.width * scale), Math.ceil(image.height * scale));
    ink.drawImage(image, 0, 0, board.width, board.height);
    update();
  } catch {
    $("status").textContent = `${file.name || "What was pasted"} is not an image that this browser can read.`;
  }
}

function place(event) {
  const box = board.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * board.width, ((event.clientY - box.top) / box.height) * board.height];
}

board.onpointerdown = (event) => {
  if (!event.isPrimary) return;
  board.setPointerCapture(event.pointerId);
  last = place(event);
  line(last, last);
};
board.onpointermove = (event) => {
  if (!last) return;
  for (const each of event.getCoalescedEvents?.() || [event]) line(last, (last = place(each)));
};
board.onpointerup = board.onpointercancel = () => (last = null);

board.onkeydown = (event) => {
  const move = ARROWS[event.key];
  key ??= { at: [board.width / 2, board.height / 2], down: false };
  if (move) {
    const next = key.at.map((n, axis) => clip(n + (move[axis] * STEP * board.width) / BOARD, 0, axis ? board.height : board.width));
    if (key.down) line(key.at, next);
    key.at = next;
  } else if (event.key === " ") {
    key.down = !key.down;
    if (key.down) line(key.at, key.at);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    $("clear").click();
  } else return;
  event.preventDefault();
  $("cursor").hidden = false;
  Object.assign($("cursor").style, { left: `${(100 * key.at[0]) / board.width}%`, top: `${(100 * key.at[1]) / board.height}%` });
};
board.onblur = () => (($("cursor").hidden = true), (key = null));

function use(eraser) {
  erasing = eraser;
  $("pen").setAttribute("aria-pressed", !eraser);
  $("eraser").setAttribute("aria-pressed", eraser);
}

$("pen").onclick = () => use(false);
$("eraser").onclick = () => use(true);
$("clear").onclick = () => (blank(), use(false), update());
const chooser = document.querySelector("input[type=file]");
$("open").onclick = () => chooser.click();
chooser.onchange = () => (show(chooser.files[0]), (chooser.value = ""));
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => (event.preventDefault(), show(event.dataTransfer.files[0]));
document.onpaste = (event) => show(event.clipboardData.files[0]);

const select = document.querySelector("select");
select.append(...models.map(({ title }, i) => new Option(title, i)));
select.onchange = () => choose(+select.value);
$("choice").hidden = models.length === 1;
blank();
choose(0);
window.mnistzoo = { models, detector, infer, preprocess };
