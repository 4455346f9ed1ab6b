// The canvas of the demo page. Its value is the drawing as a data URL, or "" while it is blank.
// Gradio defines `element`, `props`, `trigger` and `watch`.
const SIDE = 448; // pixels of a blank canvas
const MAX_SIDE = 1600; // longer side of an image that is shown, in pixels
const PEN = 1 / 14; // width of a stroke, as a share of the shorter side

const canvas = element.querySelector("canvas");
const field = element.querySelector(".receptive-field");
const chooser = element.querySelector("input");
const context = canvas.getContext("2d");

function send(value) {
  props.value = value;
  trigger("input");
}

function reset(width, height) {
  canvas.width = width;
  canvas.height = height;
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = Math.max(1, Math.min(width, height) * PEN);
}

function clear() {
  reset(SIDE, SIDE);
  send("");
}

async function show(file) {
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, MAX_SIDE / Math.max(image.width, image.height));
    reset(Math.ceil(image.width * scale), Math.ceil(image.height * scale));
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    send(canvas.toDataURL());
  } catch {
    // The library may read what the browser cannot show, or says why it cannot.
    reset(SIDE, SIDE);
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
element.querySelector(".open").onclick = () => chooser.click();
element.querySelector(".clear").onclick = clear;

watch("field", () => {
  const [left, top, width, height] = props.field.map((share) => `${100 * share}%`);
  Object.assign(field.style, { left, top, width, height });
  field.hidden = !props.field[2];
});

reset(SIDE, SIDE);
