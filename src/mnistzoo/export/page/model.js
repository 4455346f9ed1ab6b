// The models: their weights decoded from base64, and inference on one 28×28 image.

// Weights are integers of 8 or 16 bits with one float32 scale per output channel and float32 biases.
function readLayers(model) {
  const Integers = model.bits === 8 ? Int8Array : Int16Array;
  const bytes = Uint8Array.from(atob(model.weights), (c) => c.charCodeAt(0));
  let at = 0;
  const take = (Kind, count) => {
    const size = count * Kind.BYTES_PER_ELEMENT;
    const values = new Kind(bytes.buffer.slice(at, (at += size)));
    return values;
  };
  const readLinear = (outputs, inputs) => {
    const scale = take(Float32Array, outputs);
    const bias = take(Float32Array, outputs);
    const weight = Float32Array.from(take(Integers, outputs * inputs), (w, i) => w * scale[(i / inputs) | 0]);
    return { weight, bias };
  };
  let channels = 1, side = SIDE;
  const layers = model.layers.map((layer) => {
    const read = { ...layer };
    if (layer.kind === "conv") {
      Object.assign(read, readLinear(layer.channels, channels * 9));
      channels = layer.channels;
      side += 2 * layer.padding - 2;
    } else {
      side >>= 1;
    }
    return Object.assign(read, { channels, side });
  });
  const classifier = readLinear(model.labels.length, channels * side * side);
  return { ...model, layers, classifier };
}

function pad(maps, channels, side, padding) {
  if (!padding) return maps;
  const wide = side + 2 * padding;
  const padded = new Float32Array(channels * wide * wide);
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < side; y++) {
      const row = (c * side + y) * side;
      padded.set(maps.subarray(row, row + side), (c * wide + y + padding) * wide + padding);
    }
  return padded;
}

// A 3×3 convolution with stride 1, and the ReLU behind it.
function convolve(maps, channels, side, layer) {
  const input = pad(maps, channels, side, layer.padding);
  const wide = side + 2 * layer.padding, out = layer.side, area = out * out;
  const output = new Float32Array(layer.channels * area);
  for (let o = 0; o < layer.channels; o++) {
    const made = output.subarray(o * area, (o + 1) * area).fill(layer.bias[o]);
    for (let c = 0; c < channels; c++) {
      const [a, b, d, e, f, g, h, i, j] = layer.weight.subarray((o * channels + c) * 9, (o * channels + c) * 9 + 9);
      for (let y = 0; y < out; y++) {
        let p = (c * wide + y) * wide, q = p + wide, r = q + wide;
        for (let x = y * out; x < y * out + out; x++, p++, q++, r++)
          made[x] +=
            a * input[p] + b * input[p + 1] + d * input[p + 2] +
            e * input[q] + f * input[q + 1] + g * input[q + 2] +
            h * input[r] + i * input[r + 1] + j * input[r + 2];
      }
    }
    for (let x = 0; x < area; x++) if (made[x] < 0) made[x] = 0;
  }
  return output;
}

// A 2×2 maximum with stride 2; an odd last row or column is dropped.
function pool(maps, channels, side, layer) {
  const out = layer.side;
  const output = new Float32Array(channels * out * out);
  for (let c = 0, k = 0; c < channels; c++)
    for (let y = 0; y < out; y++)
      for (let x = 0; x < out; x++, k++) {
        const p = (c * side + 2 * y) * side + 2 * x;
        output[k] = Math.max(maps[p], maps[p + 1], maps[p + side], maps[p + side + 1]);
      }
  return output;
}

function softmax(logits) {
  const top = Math.max(...logits);
  const powers = Array.from(logits, (x) => Math.exp(x - top));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / total);
}

// Probabilities of the labels, and the feature maps of every layer, for 784 pixels from 0 to 255.
function infer(model, pixels) {
  let channels = 1, side = SIDE;
  let maps = Float32Array.from(pixels, (x) => (x / 255 - model.mean) / model.std);
  const features = model.layers.map((layer) => {
    const run = layer.kind === "conv" ? convolve : pool;
    maps = run(maps, channels, side, layer);
    ({ channels, side } = layer);
    return maps;
  });
  const { weight, bias } = model.classifier;
  const logits = Array.from(bias, (start, o) => {
    let sum = start;
    for (let i = 0, w = o * maps.length; i < maps.length; i++, w++) sum += maps[i] * weight[w];
    return sum;
  });
  return { probabilities: softmax(logits), features };
}
