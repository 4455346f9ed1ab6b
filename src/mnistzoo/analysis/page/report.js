// The report: a table of layers that folds and sorts, and the receptive field of a unit on an image.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const [head, body] = ["thead tr", "tbody"].map((place) => document.querySelector(place));
const canvas = $("image"), context = canvas.getContext("2d"), heat = $("heat").querySelector("input");
const [height, width] = data.size.length === 1 ? [1, data.size[0]] : data.size.slice(-2);
const computed = data.rows.some((each) => each.effective);
const LONGEST = 800, STRIP = 60, MAX_DOTS = 4096;
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
let background = null, row = null, unit = [], sorted = { column: null, sign: 1 };

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// The tree: each row has its children, and is open or not.
const roots = [], branch = [];
for (const each of data.rows) {
  branch.length = each.level;
  Object.assign(each, { children: [], open: each.level < 1, parent: branch.at(-1) });
  (branch.at(-1)?.children ?? roots).push(each);
  branch.push(each);
}

function* shown(rows) {
  const { column, sign } = sorted, compare = (a, b) => (a.sort[column] < b.sort[column] ? -sign : sign);
  for (const each of column === null ? rows : [...rows].sort((a, b) => (a.sort[column] === b.sort[column] ? 0 : compare(a, b)))) {
    yield each;
    if (each.open) yield* shown(each.children);
  }
}

const text = (value) => (value === null ? "" : value.toLocaleString("en"));

function line(each) {
  const toggle = element("button", { className: "toggle", textContent: each.open ? "▾" : "▸", onclick: () => fold(each) });
  toggle.setAttribute("aria-expanded", each.open);
  toggle.setAttribute("aria-label", `${each.open ? "Fold" : "Unfold"} ${each.path}`);
  const choice = element("button", { onclick: () => choose(each), title: each.path || each.kind }, each.name, " ",
    element("span", { className: "kind", textContent: each.kind }));
  choice.setAttribute("aria-pressed", each === row);
  const name = element("th", { scope: "row" }, each.inner ? toggle : "", choice);
  name.style.paddingLeft = `${each.level + (each.inner ? 0 : 1.6)}rem`;
  const made = element("tr", { className: each === row ? "chosen" : "" }, name,
    ...each.cells.map((cell) => element("td", { textContent: text(cell) })));
  made.onclick = (event) => event.target.closest("button") || choose(each);
  each.choice = choice;
  each.toggle = toggle;
  return made;
}

function list() {
  body.replaceChildren(...[...shown(roots)].map(line));
}

function fold(each) {
  each.open = !each.open;
  list();
  each.toggle.focus();
}

function foldAll(open) {
  for (const each of data.rows) each.open = open;
  list();
}

function sortBy(column) {
  const first = column === 0 ? 1 : -1; // names ascend, numbers descend
  if (sorted.column !== column) sorted = { column, sign: first };
  else sorted = sorted.sign === first ? { column, sign: -first } : { column: null, sign: 1 };
  [...head.cells].forEach((cell, index) => {
    const order = index !== sorted.column ? "none" : sorted.sign > 0 ? "ascending" : "descending";
    cell.setAttribute("aria-sort", order);
    cell.querySelector("span").textContent = { none: "", ascending: " ↑", descending: " ↓" }[order];
  });
  list();
}

function select(each) {
  row = each;
  unit = each.effective ? [...each.effective.unit] : axes().map((axis) => axis.first.length >> 1);
}

function choose(each) {
  select(each);
  list();
  each.choice.focus();
  draw();
}

// The fields of the chosen row along each axis: what moves with the unit, or else what all units share.
const axes = () => (row?.local ?? row?.whole ?? []).map((index) => data.axes[index]);
const center = ({ window: [size, stride, padding] }, i) => i * stride - padding + (size - 1) / 2;

// The axes of the image among all axes, rows before columns.
const plane = (all) => (all.length === 1 ? [null, all[0]] : all.slice(-2));

function draw() {
  const scale = Math.max(1, Math.round(LONGEST / Math.max(width, height)));
  const [sx, sy] = [scale, height === 1 ? STRIP : scale];
  Object.assign(canvas, { width: width * sx, height: height * sy });
  const color = (name) => getComputedStyle(canvas).getPropertyValue(name);
  context.fillStyle = color("--card");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  if (background) context.drawImage(background, 0, 0, canvas.width, canvas.height);
  const central = row?.effective && row.effective.unit.every((n, axis) => n === unit[axis]);
  $("heat").hidden = !row?.effective;
  if (central && heat.checked) context.drawImage(decoded(row.effective), 0, 0, canvas.width, canvas.height);
  describe(central);
  const found = axes();
  if (!found.length || data.size.length > 3) return;
  const [down, across] = plane(found), [i, j] = plane(unit);
  dots(down, across, sx, sy, color("--bar"));
  const [x0, x1] = [across.first[j], across.last[j] + 1], [y0, y1] = down ? [down.first[i], down.last[i] + 1] : [0, 1];
  if (x1 <= x0 || y1 <= y0) return;
  context.strokeStyle = color("--mark");
  context.lineWidth = 4;
  context.strokeRect(x0 * sx + 2, y0 * sy + 2, (x1 - x0) * sx - 4, (y1 - y0) * sy - 4);
  if (!central || !heat.checked) {
    context.fillStyle = "#ff924833";
    context.fillRect(x0 * sx, y0 * sy, (x1 - x0) * sx, (y1 - y0) * sy);
  }
}

// The centers of all units, and the chosen one's.
function dots(down, across, sx, sy, color) {
  const rows = down ? down.first.length : 1, columns = across.first.length;
  const place = (i, j) => [(center(across, j) + 0.5) * sx, down ? (center(down, i) + 0.5) * sy : sy / 2];
  const dot = (i, j, radius) => {
    context.beginPath();
    context.arc(...place(i, j), radius, 0, 7);
    context.fill();
  };
  context.fillStyle = color;
  if (rows * columns <= MAX_DOTS) for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) dot(i, j, 3);
  dot(...(down ? plane(unit) : [0, unit[0]]), 7);
}

// Images are decoded once. Decoding is asynchronous, so it ends with a redraw.
function decoded(effective) {
  if (!effective.decoded) {
    effective.decoded = new Image();
    effective.decoded.onload = draw;
    effective.decoded.src = effective.image;
  }
  return effective.decoded;
}

function describe(central) {
  const found = axes(), names = ["frames", "rows", "columns"].slice(-found.length);
  if (!row) return ($("unit").textContent = "Choose a layer, then point at a unit on the image, or use the arrow keys.");
  const label = `${row.path || row.kind} ${row.path ? row.kind : ""}`.trim();
  if (!found.length) return ($("unit").textContent = `${label}: no receptive field.`);
  const reads = found.map(({ first, last }, axis) => {
    const at = unit[axis], name = names.length > 1 ? names[axis] : "positions";
    return first[at] > last[at] ? "only padding" : `${name} ${first[at]} to ${last[at]}`;
  });
  const size = found.map((axis) => axis.window[0]).join("×"), stride = found.map((axis) => +axis.window[1].toFixed(3)).join("×");
  const global = row.whole && row.local ? " All units also share a global field." : row.whole ? " All units share it." : "";
  const missing = row.effective ? " The effective field is computed for the central unit." : computed ? " For an effective field, choose a convolution, a pool or a block." : "";
  const effective = central ? ` ${row.effective.text}.` : missing;
  $("unit").textContent = `${label}, unit (${unit.join(", ")}): ${reads.join(", ")}. Window ${size}, stride ${stride}.${global}${effective}`;
}

// The unit whose center is nearest to a place on the image.
function point(event) {
  const found = axes();
  if (!found.length) return;
  const box = canvas.getBoundingClientRect(), zoom = Math.min(box.width / canvas.width, box.height / canvas.height);
  const left = box.left + (box.width - canvas.width * zoom) / 2, top = box.top + (box.height - canvas.height * zoom) / 2;
  const x = ((event.clientX - left) / (canvas.width * zoom)) * width - 0.5, y = ((event.clientY - top) / (canvas.height * zoom)) * height - 0.5;
  const nearest = (axis, to) => axis.first.reduce((best, _, i) => (Math.abs(center(axis, i) - to) < Math.abs(center(axis, best) - to) ? i : best), 0);
  const to = found.length === 1 ? [x] : [y, x];
  to.forEach((place, k) => (unit[unit.length - to.length + k] = nearest(found[found.length - to.length + k], place)));
  draw();
}

canvas.onpointermove = canvas.onpointerdown = point;
canvas.onkeydown = (event) => {
  const move = ARROWS[event.key], found = axes();
  if (!move || !found.length) return;
  event.preventDefault();
  const steps = found.length === 1 ? [move[0] + move[1]] : move;
  steps.forEach((step, k) => {
    const axis = unit.length - steps.length + k;
    unit[axis] = Math.min(Math.max(unit[axis] + step, 0), found[axis].first.length - 1);
  });
  draw();
};

async function show(source) {
  try {
    background = await createImageBitmap(source);
    draw();
  } catch {
    $("unit").textContent = `${source.name || "The image"} is not an image that this browser can read.`;
  }
}

const file = document.querySelector("input[type=file]");
$("open").onclick = () => file.click();
file.onchange = () => file.files.length && show(file.files[0]);
$("fold").onclick = () => foldAll(false);
$("unfold").onclick = () => foldAll(true);
heat.onchange = draw;
matchMedia("(prefers-color-scheme: dark)").onchange = draw;
canvas.setAttribute("aria-label", "The image that the fields are drawn on. Arrow keys choose a unit.");
head.append(...data.columns.map((name, index) => {
  const cell = element("th", { scope: "col" }, element("button", { onclick: () => sortBy(index) }, name, element("span")));
  cell.setAttribute("aria-sort", "none");
  return cell;
}));
document.querySelector("aside").hidden = !data.size.length;
if (data.image) {
  background = new Image();
  background.onload = draw;
  background.src = data.image;
}
const last = data.rows[data.selected];
if (last) {
  select(last);
  for (let outer = last.parent; outer; outer = outer.parent) outer.open = true;
}
list();
draw();
