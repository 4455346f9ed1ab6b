// The paper of the page: a canvas to draw on and to drop pictures on. Its value is what is on it,
// as a data URL, or "" while it is blank. Gradio hands over `element`, `props`, `trigger`, `watch`.
const SIDE = 448;
const LONGEST = 1600;
const PEN = 1 / 14;

const canvas = element.querySelector("canvas");
const field = element.querySelector(".field");
const chooser = element.querySelector("input");
const context = canvas.getContext("2d");

function send(value) {
  props.value = value;
  trigger("input");
}

function blank(width, height) {
  canvas.width = width;
  canvas.height = height;
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = Math.max(1, Math.min(width, height) * PEN);
}

function clear() {
  blank(SIDE, SIDE);
  send("");
}

async function show(file) {
  if (!file) return;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
    blank(Math.ceil(picture.width * scale), Math.ceil(picture.height * scale));
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    send(canvas.toDataURL());
  } catch {
    // What this browser cannot show, the library may read; if not, it says why.
    blank(SIDE, SIDE);
    const reader = new FileReader();
    reader.onload = () => send(reader.result);
    reader.readAsDataURL(file);
  }
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * canvas.width;
  return [x, ((event.clientY - box.top) / box.height) * canvas.height];
}

let last = null;

function draw(event) {
  if (!last) return;
  context.beginPath();
  context.moveTo(...last);
  last = point(event);
  context.lineTo(...last);
  context.stroke();
}

function lift() {
  if (!last) return;
  last = null;
  send(canvas.toDataURL());
}

canvas.onpointerdown = (event) => {
  if (!event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  last = point(event);
  draw(event);
};
canvas.onpointermove = draw;
canvas.onpointerup = canvas.onpointercancel = lift;

element.ondragover = (event) => event.preventDefault();
element.ondrop = (event) => {
  event.preventDefault();
  show(event.dataTransfer.files[0]);
};
document.addEventListener("paste", (event) => show(event.clipboardData.files[0]));
chooser.onchange = () => {
  show(chooser.files[0]);
  chooser.value = "";
};
element.querySelector(".choose").onclick = () => chooser.click();
element.querySelector(".clear").onclick = clear;

watch("field", () => {
  const [left, top, width, height] = props.field.map((share) => `${100 * share}%`);
  Object.assign(field.style, { left, top, width, height });
  field.hidden = !props.field[2];
});

blank(SIDE, SIDE);
