// An image in MNIST format, as mnistzoo.transforms() makes it: foreground separated from background,
// its largest component scaled to 20 pixels, centered by mass in 28×28. The names and constants are
// those of mnistzoo.images, where they are explained.

const SIDE = 28, BOX = 20, FINE = 8, MAX_SMALL = BOX / 2;
const MIN_CONTRAST = 0.02, NOISE_FACTOR = 5, CLEAN = 1, FLAT = 0.15, SHARP = 0.7, RIVAL = 0.25;
const SMALL = 40, PAGE = 128, BACKGROUND_SIDE = 96, SAMPLE = 2 ** 16, COARSE = 128, COARSE_DIGIT = 40;
const THICKEST_RULE = 1 / 64, COVERED = 0.5, SOLID = 0.4, FULL = 0.75;
const FRAME = 1 / 8, FRAME_CONTRAST = 0.1, FRAME_SHARE = 0.75;
const BOX_SIDE = 0.05, BOX_SHARE = 0.65, BOX_LINE = 0.5, BOX_THICKNESS = 1 / 8, INSIDE = 0.1, RINGED = 0.3, RING_SHARE = 0.8;
const SPECK = 0.03, SPECK_PIXELS = 8, FAINT = 0.1, DIGIT = 0.1, CORNER = 0.5, STROKE_WIDTHS = [2.25, 3];

const grid = (width, height, data = new Float32Array(width * height)) => ({ width, height, data });
const map = (g, f) => grid(g.width, g.height, g.data.map(f));
const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const longest = (g) => Math.max(g.width, g.height);

function roundHalfEven(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down & 1) : Math.round(x);
}

function count(data, test) {
  let n = 0;
  for (const x of data) n += test(x);
  return n;
}

function quantiles(data, ...shares) {
  const sorted = Float32Array.from(data).sort();
  return shares.map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
}

// Evenly spaced pixels, about SAMPLE of them at most.
function subsample({ width, height, data }) {
  const step = Math.ceil(Math.sqrt(data.length / SAMPLE));
  const small = grid(Math.ceil(width / step), Math.ceil(height / step));
  return map(small, (_, i) => data[Math.floor(i / small.width) * step * width + (i % small.width) * step]);
}

// Luminance (ITU-R BT.601) of RGBA pixels on a white background, 0 to 1.
function grayscale(image) {
  const levels = grid(image.width, image.height);
  for (let i = 0, p = 0; i < levels.data.length; i++, p += 4) {
    const [r, g, b, a] = image.data.subarray(p, p + 4);
    const gray = (0.299 * r + 0.587 * g + 0.114 * b) / 255, alpha = a / 255;
    levels.data[i] = gray * alpha + 1 - alpha;
  }
  return levels;
}

// Separable filters: `filter(get, size)` returns one line filtered; `get(i)` reads the old line.
function separably(g, filter) {
  let { width, height, data } = g;
  for (let pass = 0; pass < 2; pass++) {
    const lines = Array.from({ length: height }, (_, y) => filter(data.subarray(y * width, (y + 1) * width)));
    const length = lines[0].length, turned = new Float32Array(length * height);
    lines.forEach((line, y) => line.forEach((x, i) => (turned[i * height + y] = x)));
    [data, width, height] = [turned, height, length];
  }
  return grid(width, height, data);
}

// The weights of a resampling, as Pillow computes them: `support` widens where the image shrinks. A
// margin on both sides is read, but not resampled.
function weights(size, made, [support, filter], margin) {
  const scale = (size - 2 * margin) / made, wide = Math.max(scale, 1);
  return Array.from({ length: made }, (_, i) => {
    const center = margin + (i + 0.5) * scale, reach = support * wide;
    const first = Math.max(0, Math.floor(center - reach + 0.5));
    const last = Math.min(size, Math.floor(center + reach + 0.5));
    const taps = Array.from({ length: last - first }, (_, k) => filter((first + k + 0.5 - center) / wide));
    const total = taps.reduce((a, b) => a + b, 0) || 1;
    return { first, taps: taps.map((tap) => tap / total) };
  });
}

function resize(g, width, height, filter, margin = 0) {
  const sizes = [weights(g.width, width, filter, margin), weights(g.height, height, filter, margin)];
  let pass = 0, lines = 0;
  return separably(g, (line) => {
    const made = Float32Array.from(sizes[pass], ({ first, taps }) => taps.reduce((sum, tap, k) => sum + tap * line[first + k], 0));
    if (++lines === g.height) pass = 1;
    return made;
  });
}

const sinc = (x) => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);
const LANCZOS = [3, (x) => (x > -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)];
const BILINEAR = [1, (x) => Math.max(0, 1 - Math.abs(x))];

// The image with its longer side at most `side` pixels: means over areas.
function average(g, side) {
  const factor = longest(g) / side;
  if (factor <= 1) return g;
  const parts = [g.width, g.height].map((size) => {
    const made = Math.max(1, roundHalfEven(size / factor)), scale = size / made;
    return Array.from({ length: made }, (_, i) => {
      const start = i * scale, stop = Math.min(start + scale, size), first = Math.floor(start), last = Math.ceil(stop - 1e-9);
      return { first, taps: Array.from({ length: last - first }, (_, k) => (Math.min(stop, first + k + 1) - Math.max(start, first + k)) / scale) };
    });
  });
  let lines = 0;
  return separably(g, (line) => Float32Array.from(parts[+(lines++ >= g.height)], ({ first, taps }) => taps.reduce((sum, tap, k) => sum + tap * line[first + k], 0)));
}

// A Gaussian over a reflected border, cut off at four standard deviations, as SciPy has it.
function blur(g, sigma) {
  const radius = Math.floor(4 * sigma + 0.5);
  const taps = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-0.5 * ((i - radius) / sigma) ** 2));
  const total = taps.reduce((a, b) => a + b);
  return separably(g, (line) => line.map((_, i) => {
    let sum = 0;
    for (let k = -radius; k <= radius; k++) sum += taps[k + radius] * line[reflected(i + k, line.length)];
    return sum / total;
  }));
}

function reflected(i, size) {
  const period = ((i % (2 * size)) + 2 * size) % (2 * size);
  return period < size ? period : 2 * size - 1 - period;
}

// The largest value within a distance of each place, along rows and along columns.
function dilate(g, across, down = across) {
  let lines = 0;
  return separably(g, (line) => largest(line, lines++ < g.height ? across : down));
}

// Maxima of windows of 1, 2, 4, … places; two overlapping windows cover the wanted length.
function largest(line, radius) {
  const most = new Float32Array(line.length + 2 * radius).fill(-Infinity), wide = 2 * radius + 1;
  most.set(line, radius);
  let span = 1;
  for (; 2 * span <= wide; span *= 2)
    for (let i = 0; i + span < most.length; i++) most[i] = Math.max(most[i], most[i + span]);
  return line.map((_, i) => Math.max(most[i], most[i + wide - span]));
}

const negated = (g) => map(g, (x) => -x);
const erode = (g, across, down) => negated(dilate(negated(g), across, down));
const both = (a, b) => map(a, (x, i) => x && b.data[i]);
const not = (g) => map(g, (x) => +!x);
const turned = (g) => grid(g.height, g.width, g.data.map((_, i) => g.data[(i % g.height) * g.width + Math.floor(i / g.height)]));

// Positive where thin things are lighter than their surroundings: the image is then inverted.
function skewness(levels) {
  const small = average(levels, BACKGROUND_SIDE), side = Math.min(small.width, small.height);
  let sum = 0;
  for (const n of [5, 10, 20]) {
    const smooth = blur(small, side / n).data;
    small.data.forEach((x, i) => (sum += (x - smooth[i]) ** 3));
  }
  return sum;
}

// The brightness of the background where the light is uneven: a closing, then a blur.
function backgroundLevels(levels) {
  const small = average(levels, BACKGROUND_SIDE);
  const side = Math.min(small.width, small.height);
  const window = Math.max(side >> 1, longest(small) >> 2) | 1, radius = window >> 1;
  const padded = grid(small.width + 2 * window, small.height + 2 * window);
  for (let y = 0, i = 0; y < padded.height; y++)
    for (let x = 0; x < padded.width; x++, i++)
      padded.data[i] = small.data[clip(y - window, 0, small.height - 1) * small.width + clip(x - window, 0, small.width - 1)];
  const closed = blur(erode(dilate(padded, radius), radius), window / 16);
  return resize(crop(closed, window, window, small.width, small.height), levels.width, levels.height, BILINEAR);
}

function crop(g, left, top, width, height) {
  const cut = grid(width, height);
  for (let y = 0; y < height; y++) {
    const row = (y + top) * g.width + left;
    cut.data.set(g.data.subarray(row, row + width), y * width);
  }
  return cut;
}

function isFlat(levels, low, high) {
  const counts = new Array(256).fill(0);
  for (const x of levels.data) counts[roundHalfEven(x * 255)]++;
  const most = Math.max(...counts), peak = counts.indexOf(most);
  const near = counts.filter((_, i) => Math.abs(i - peak) <= 4).reduce((a, b) => a + b, 0);
  const rival = Math.max(0, ...counts.filter((_, i) => Math.abs(i - peak) > 25));
  const sharp = most > FLAT * levels.data.length && most > SHARP * near;
  return high - low > MIN_CONTRAST && sharp && rival < RIVAL * most;
}

function isClean(levels, low, high) {
  const range = Math.max(high - low, MIN_CONTRAST);
  const dark = count(levels.data, (x) => (x - low) / range <= 0.25);
  const light = count(levels.data, (x) => (x - low) / range >= 0.75);
  const between = levels.data.length - dark - light;
  return high - low > 0.5 * high && between < CLEAN * Math.min(dark, light);
}

// The share of the image that passes a test, its border counted as much as its inside.
function share(g, test) {
  const { width, height, data } = g, border = [];
  for (let x = 0; x < width; x++) border.push(data[x], data[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(data[y * width], data[(y + 1) * width - 1]);
  return count(data, test) / data.length + count(border, test) / border.length;
}

// How far each pixel differs from its background, as a share of the background's brightness.
function contrastOf(levels) {
  if (longest(levels) > 4 * BACKGROUND_SIDE) levels = blur(levels, 0.8);
  const sample = subsample(levels), [low, high] = quantiles(sample.data, 0.02, 0.98), middle = (low + high) / 2;
  if (longest(levels) <= SMALL || isFlat(sample, low, high) || isClean(sample, low, high)) {
    const dark = share(levels, (x) => x < middle) <= share(levels, (x) => x > middle);
    const background = dark ? high : 1 - low;
    return map(levels, (x) => (background - (dark ? x : 1 - x)) / Math.max(background, 0.2));
  }
  if (skewness(levels) > 0) levels = map(levels, (x) => 1 - x);
  const background = backgroundLevels(levels).data;
  return map(levels, (x, i) => (background[i] - x) / Math.max(background[i], 0.2));
}

// The foreground: how strong it is at each pixel, 0 to 1, and a mask. Null if nothing stands out.
// Where a sheet lies on a desk, its background is continued beyond its edge.
function segment(image) {
  const levels = withoutFrame(image), found = separate(levels);
  const sheet = found && longest(levels) >= PAGE && findSheet(found.mask);
  if (!sheet) return found;
  const from = nearestZero(not(sheet));
  const inside = separate(map(levels, (_, i) => levels.data[from[i]]));
  return inside ? { ...inside, cleared: true } : found;
}

function separate(levels) {
  const contrast = contrastOf(levels), { width, height } = levels;
  const [low, quarter] = quantiles(subsample(contrast).data, 0.05, 0.25);
  const grain = (quarter - low) / (1.645 - 0.674), background = quarter + 0.674 * grain;
  const noise = NOISE_FACTOR * grain, floor = Math.max(noise, MIN_CONTRAST);
  const above = map(contrast, (x) => x - background);
  for (let cleared = false; ; cleared = true) {
    const candidates = above.data.filter((x) => x > floor);
    if (!candidates.length) return null;
    const step = 1 + Math.floor(candidates.length / SAMPLE);
    const [level] = quantiles(candidates.filter((_, i) => i % step === 0), 0.9), threshold = Math.max(level / 2, noise);
    const mask = map(above, (x) => +(x > threshold)), ruled = findRuledLines(mask);
    const rules = ruled.data.some((x) => x) ? ruled : findBoxes(mask);
    if (!rules.data.some((x) => x)) return { level, mask, cleared, density: map(above, (x) => clip(x / level, 0, 1)) };
    const near = dilate(rules, 2).data;
    above.data.forEach((_, i) => (rules.data[i] || (near[i] && !mask.data[i])) && (above.data[i] = 0));
  }
}

// The numbers of connected components (4 or 8 neighbors), and a record of each: its box, right and
// bottom outside, its area, and its pixels on the border of the image.
function label(mask, eight = true) {
  const { width, height, data } = mask, labels = new Int32Array(data.length), parts = [], stack = [];
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || labels[start]) continue;
    const part = { number: parts.length + 1, left: width, top: height, right: 0, bottom: 0, area: 0, edge: 0 };
    parts.push(part);
    labels[start] = part.number;
    stack.push(start);
    while (stack.length) {
      const i = stack.pop(), x = i % width, y = (i - x) / width;
      part.left = Math.min(part.left, x);
      part.top = Math.min(part.top, y);
      part.right = Math.max(part.right, x + 1);
      part.bottom = Math.max(part.bottom, y + 1);
      part.area++;
      part.edge += (x === 0) + (y === 0) + (x === width - 1) + (y === height - 1);
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++)
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          const j = v * width + u;
          if (data[j] && !labels[j] && (eight || u === x || v === y)) stack.push(j), (labels[j] = part.number);
        }
    }
  }
  return { labels, parts };
}

// The image without a frame along all four edges, which has one gray level: what is inside is extended.
function withoutFrame(levels) {
  const { width, height, data } = levels, limit = Math.floor(Math.min(width, height) * FRAME), border = [];
  if (!limit) return levels;
  for (let x = 0; x < width; x++) border.push(data[x], data[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(data[y * width], data[(y + 1) * width - 1]);
  const [outside] = quantiles(border, 0.5);
  const [inside] = quantiles(subsample(crop(levels, limit, limit, width - 2 * limit, height - 2 * limit)).data, 0.5);
  if (Math.abs(outside - inside) < FRAME_CONTRAST) return levels;
  const framed = map(levels, (x) => +(Math.abs(x - outside) < Math.abs(x - inside)));
  const [top, right, bottom, left] = views(framed).map((view) => frameThickness(view, limit));
  if (!(left && top && right && bottom)) return levels;
  return map(levels, (_, i) => data[clip(Math.floor(i / width), top, height - bottom - 1) * width + clip(i % width, left, width - right - 1)]);
}

// The grid seen from its top, right, bottom and left: the side comes first.
function views(g) {
  const flipped = ({ width, height, data }) => grid(width, height, data.map((_, i) => data[(height - 1 - Math.floor(i / width)) * width + (i % width)]));
  return [g, flipped(turned(g)), flipped(g), turned(g)];
}

function frameThickness({ width, height, data }, limit) {
  const shares = Array.from({ length: Math.min(2 * limit + 2, height) }, (_, y) => count(data.subarray(y * width + limit, (y + 1) * width - limit), (x) => x) / (width - 2 * limit));
  const thickness = Math.max(shares.findIndex((share) => share <= FRAME_SHARE), 0);
  const soft = Math.max(shares.slice(thickness).findIndex((share) => share < 1 - FRAME_SHARE), 0);
  const abrupt = soft <= Math.max(1, Math.floor(limit / 6)) && shares[thickness + soft] < 1 - FRAME_SHARE;
  return thickness > 0 && thickness <= limit && abrupt ? thickness + soft + (limit >= 5) : 0;
}

// The lines of boxes: components that are straight on all four sides and have something inside.
function findBoxes(mask) {
  const { labels, parts } = label(mask), lines = map(mask, () => 0), shortest = BOX_SIDE * longest(mask);
  for (const { number, left, top, right, bottom } of parts) {
    const width = right - left, height = bottom - top;
    if (Math.max(width, height) < shortest) continue;
    const inside = crop(mask, left, top, width, height);
    const thickness = boxThickness(crop({ ...mask, data: Float32Array.from(labels, (n) => +(n === number)) }, left, top, width, height));
    if (!thickness) continue;
    const found = findLines(inside, thickness, BOX_LINE, false);
    const least = Math.max(INSIDE * height, 3 * thickness);
    if (!label(both(inside, not(found))).parts.some((part) => part.bottom - part.top >= least)) continue;
    found.data.forEach((x, i) => x && (lines.data[(top + Math.floor(i / width)) * mask.width + left + (i % width)] = 1));
  }
  return lines;
}

function boxThickness(own) {
  let thickest = 0;
  for (const { width, height, data } of views(own)) {
    const column = [...Array(width).keys()], at = (x, y) => data[y * width + x];
    const first = column.map((x) => { let y = 0; while (y < height - 1 && !at(x, y)) y++; return y; });
    const runs = column.map((x) => { let y = first[x]; while (y < height && at(x, y)) y++; return y - first[x]; });
    const sorted = [...first].sort((a, b) => a - b), middle = (sorted[(width - 1) >> 1] + sorted[width >> 1]) / 2;
    const straight = column.filter((x) => Math.abs(first[x] - middle) <= Math.max(1, 0.05 * height));
    if (straight.length < BOX_SHARE * width || middle > height / 4) return 0;
    const ordered = straight.map((x) => runs[x]).sort((a, b) => a - b);
    thickest = Math.max(thickest, Math.floor((ordered[(ordered.length - 1) >> 1] + ordered[ordered.length >> 1]) / 2));
  }
  return thickest <= BOX_THICKNESS * Math.min(own.width, own.height) ? thickest + 1 : 0;
}

// The components without those drawn around another, such as a circle around a digit.
function withoutRings(parts, { width }, labels) {
  const surrounds = (a, b) => {
    if (!(a.left < b.left && a.top < b.top && a.right > b.right && a.bottom > b.bottom && b.length >= RINGED * a.length)) return false;
    const x0 = (b.left + b.right) / 2 - 0.5, y0 = (b.top + b.bottom) / 2 - 0.5, sectors = new Set();
    for (let y = a.top; y < a.bottom; y++)
      for (let x = a.left; x < a.right; x++)
        if (labels[y * width + x] === a.number) sectors.add(Math.floor(Math.atan2(y - y0, x - x0) * (24 / Math.PI)));
    return sectors.size > RING_SHARE * 48;
  };
  return parts.filter((a) => !parts.some((b) => surrounds(a, b)));
}

// Lines right across the image: thin pieces in a row, as readers of music find the staff.
function findRuledLines(mask) {
  const thickest = Math.floor(longest(mask) * THICKEST_RULE);
  if (!thickest) return map(mask, () => 0);
  return findLines(mask, thickest, COVERED, true);
}

function findLines(mask, thickest, coverage, sides) {
  const level = levelRules(mask, thickest, coverage, sides).data, upright = turned(levelRules(turned(mask), thickest, coverage, sides)).data;
  return map(mask, (_, i) => level[i] || upright[i]);
}

function levelRules(mask, thickest, coverage, sides) {
  const { width, height } = mask, none = map(mask, () => 0), radius = ((thickest + 1) | 1) >> 1;
  let thin = both(mask, not(dilate(erode(mask, 0, radius), 0, radius)));
  const covered = (g, test) => count([...Array(width).keys()], (x) => { for (let y = 0; y < height; y++) if (test(g[y * width + x])) return true; return false; });
  if (covered(thin.data, (x) => x) <= coverage * width) return none;
  const pieces = label(thin);
  const flat = pieces.parts.map((p) => p.right - p.left > Math.max(2 * thickest, 3 * (p.bottom - p.top)));
  thin = map(thin, (x, i) => +(x && flat[pieces.labels[i] - 1]));
  const rows = label(dilate(thin, width >> 3, (thickest | 1) >> 1), false);
  const own = rows.labels.map((n, i) => (thin.data[i] ? n : 0));
  const across = rows.parts.map((p) => covered(own, (n) => n === p.number) > coverage * width);
  if (!across.some((x) => x)) return none;
  const ends = rows.parts.map(() => [width, 0]);
  own.forEach((n, i) => n && (ends[n - 1] = [Math.min(ends[n - 1][0], i % width), Math.max(ends[n - 1][1], (i % width) + 1)]));
  const aside = ends.map(([start, stop]) => start < thickest || stop > width - thickest);
  return map(none, (_, i) => +!!(own[i] && (across[own[i] - 1] || (sides && aside[own[i] - 1]))));
}

// Where a sheet lies that was taken for foreground, since more of the image is desk; without its edge.
function findSheet(mask) {
  const { labels, parts } = label(mask);
  if (!parts.length) return null;
  const main = parts.reduce((a, b) => (b.area > a.area ? b : a));
  const width = main.right - main.left, height = main.bottom - main.top;
  if (4 * width * height < mask.data.length) return null;
  const sheet = map(mask, (_, i) => +(labels[i] === main.number)), outside = label(padded(map(sheet, (x) => 1 - x), 1, 1), false);
  const filled = crop(grid(mask.width + 2, mask.height + 2, Float32Array.from(outside.labels, (n) => +(n !== 1))), 1, 1, mask.width, mask.height);
  const area = count(filled.data, (x) => x), across = 2 * distances(padded(sheet, 1)).data.reduce((a, b) => Math.max(a, b));
  if (across < SOLID * Math.max(width, height) || area < FULL * width * height || area === main.area) return null;
  let inner = padded(filled, 1);
  for (let n = 2 + Math.floor(longest(mask) / 100); n > 0; n--) inner = both(erode(inner, 1, 0), erode(inner, 0, 1));
  return crop(inner, 1, 1, mask.width, mask.height);
}

// The components of the foreground, without dust and without what runs along the edge.
function components({ mask, level }) {
  const { labels, parts } = label(mask), side = longest(mask);
  for (const part of parts) part.length = Math.max(part.right - part.left, part.bottom - part.top);
  const least = level < FAINT ? SPECK * side : Math.min(SPECK * side, SPECK_PIXELS);
  const kept = parts.filter((part) => part.length >= least);
  const inner = kept.filter((part) => part.edge < part.length && !inCorner(part, mask));
  const cropped = side < PAGE || !inner.some((part) => part.length >= DIGIT * side);
  return { labels, parts: withoutRings(cropped ? kept : inner, mask, labels) };
}

// The table beside a tilted sheet touches exactly two adjacent sides.
function inCorner({ left, top, right, bottom, length }, mask) {
  const sides = [(left === 0) + (right === mask.width), (top === 0) + (bottom === mask.height)];
  return sides.every((n) => n === 1) && length < CORNER * longest(mask);
}

const gap = (a, b) => Math.hypot(
  Math.max(0, Math.max(a.left, b.left) - Math.min(a.right, b.right)),
  Math.max(0, Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom)),
);

// The largest component, and what lies near it and is not too small.
function mainDigit(parts) {
  const main = parts.reduce((a, b) => (b.area > a.area ? b : a));
  return [main, ...parts.filter((part) => part !== main && part.area >= 0.03 * main.area && gap(part, main) <= 0.25 * main.length)];
}

// For each pixel the nearest zero, by index: down the columns, then the lower envelope of parabolas
// along each row (Felzenszwalb and Huttenlocher 2012).
function nearestZero({ width, height, data }) {
  const row = new Int32Array(data.length).fill(-1), found = new Int32Array(data.length), FAR = 1e6;
  for (let x = 0; x < width; x++) {
    for (let y = 0, last = -1; y < height; y++) row[y * width + x] = last = data[y * width + x] ? last : y;
    for (let y = height - 1, next = -1; y >= 0; y--) {
      const i = y * width + x;
      if (!data[i]) next = y;
      if (next >= 0 && (row[i] < 0 || next - y < y - row[i])) row[i] = next;
    }
  }
  for (let y = 0; y < height; y++) {
    const height2 = (x) => (row[y * width + x] < 0 ? FAR ** 2 : (row[y * width + x] - y) ** 2);
    const meet = (a, b) => (height2(b) + b * b - height2(a) - a * a) / (2 * (b - a));
    const low = [0], from = [-Infinity];
    for (let x = 1; x < width; x++) {
      while (low.length > 1 && meet(low.at(-1), x) <= from.at(-1)) low.pop(), from.pop();
      from.push(meet(low.at(-1), x));
      low.push(x);
    }
    for (let x = 0, k = 0; x < width; x++) {
      while (k + 1 < low.length && from[k + 1] < x) k++;
      found[y * width + x] = row[y * width + low[k]] * width + low[k];
    }
  }
  return found;
}

function distances(g) {
  const nearest = nearestZero(g), { width } = g;
  return map(g, (_, i) => Math.hypot((i % width) - (nearest[i] % width), Math.floor(i / width) - Math.floor(nearest[i] / width)));
}

function padded(g, margin, value = 0) {
  const wide = grid(g.width + 2 * margin, g.height + 2 * margin);
  wide.data.fill(value);
  for (let y = 0; y < g.height; y++)
    wide.data.set(g.data.subarray(y * g.width, (y + 1) * g.width), (y + margin) * wide.width + margin);
  return wide;
}

// Strokes as wide as pens make them in MNIST; gray levels are kept where they are so already.
function strokes(density) {
  const strong = density.data.filter((x) => x > 0.25);
  const full = strong.length ? quantiles(strong, 0.9)[0] : Math.max(...density.data);
  const levels = map(density, (x) => x / full), ink = map(levels, (x) => +(x > 0.5));
  const inside = distances(ink);
  const width = (4 * quantiles(inside.data.filter((_, i) => ink.data[i]), 0.5)[0]) / FINE;
  const wanted = clip(width, ...STROKE_WIDTHS);
  const blurred = count(levels.data, (x) => x > 0.25 && x < 0.75) > count(ink.data, (x) => x) / 2;
  if (wanted === width || (blurred && wanted < width)) return map(levels, (x) => clip((x - 0.1) / 0.8, 0, 1));
  const outside = distances(map(ink, (x) => 1 - x)).data, thicker = ((wanted - width) / 2) * FINE;
  return map(inside, (x, i) => clip(x - outside[i] + thicker + 0.5, 0, 1));
}

function span(length, has) {
  const places = Array.from({ length }, (_, i) => i).filter(has);
  return [places[0], places.at(-1) + 1];
}

// The bounding box of the pixels above a level, and where it begins.
function boxed(g, level) {
  const all = (n) => Array.from({ length: n }, (_, i) => i), at = (x, y) => g.data[y * g.width + x] > level;
  const [left, right] = span(g.width, (x) => all(g.height).some((y) => at(x, y)));
  const [top, bottom] = span(g.height, (y) => all(g.width).some((x) => at(x, y)));
  return { box: crop(g, left, top, right - left, bottom - top), left, top };
}

function centerOfMass({ width, data }) {
  const total = data.reduce((a, b) => a + b, 0);
  const mass = (f) => data.reduce((sum, x, i) => sum + x * f(i), 0) / total;
  return [mass((i) => i % width), mass((i) => Math.floor(i / width))];
}

// A small digit with its gray levels, 20 pixels long.
function enlarge(digit) {
  const { box, left, top } = boxed(digit, 0.1), scale = BOX / longest(box), margin = LANCZOS[0];
  const size = (n) => Math.max(1, roundHalfEven(n * scale));
  const small = resize(padded(box, margin), size(box.width), size(box.height), LANCZOS, margin);
  return { small: map(small, (x) => clip(x, 0, 1)), left, top, step: 1 / scale };
}

// A digit with strokes as wide as pens make them, 20 pixels long.
function redraw(digit) {
  const scale = (BOX * FINE) / longest(digit), wide = padded(digit, 1), size = (n) => Math.max(1, roundHalfEven(n * scale));
  const enlarged = padded(resize(wide, size(wide.width), size(wide.height), LANCZOS), 2 * FINE);
  const { box, left, top } = boxed(strokes(enlarged), 0.5), origin = (cell) => (cell - 2 * FINE) / scale - 1;
  return { small: average(box, BOX), left: origin(left), top: origin(top), step: longest(box) / BOX / scale };
}

// 784 pixels from 0 to 255, and `place`: left, top and scale of the 28×28 pixels on the image.
function render({ density }, labels, parts) {
  const bounds = (f, name) => f(...parts.map((part) => part[name]));
  const left = bounds(Math.min, "left"), top = bounds(Math.min, "top");
  const right = bounds(Math.max, "right"), bottom = bounds(Math.max, "bottom");
  const fringe = Math.max(1, Math.floor(Math.max(right - left, bottom - top) / BOX));
  const x0 = Math.max(left - fringe, 0), y0 = Math.max(top - fringe, 0);
  const x1 = Math.min(right + fringe, density.width), y1 = Math.min(bottom + fringe, density.height);
  const numbers = new Set(parts.map((part) => part.number));
  const cut = crop(density, x0, y0, x1 - x0, y1 - y0);
  const own = crop({ ...density, data: Float32Array.from(labels, (n) => (n ? (numbers.has(n) ? 1 : -1) : 0)) }, x0, y0, x1 - x0, y1 - y0);
  const near = dilate(own, fringe).data;
  const digit = map(cut, (x, i) => (near[i] === 1 && own.data[i] >= 0 ? x : 0));
  const few = Math.max(right - left, bottom - top) <= MAX_SMALL, drawn = few ? enlarge(digit) : redraw(digit);
  const { small, step } = drawn; // pixels of the image per pixel of the 28×28
  const [x, y] = centerOfMass(small);
  const offset = (center, length) => clip(roundHalfEven(SIDE / 2 - center), 0, SIDE - length);
  const dx = offset(x, small.width), dy = offset(y, small.height);
  const pixels = new Uint8ClampedArray(SIDE * SIDE);
  small.data.forEach((x, i) => (pixels[(dy + Math.floor(i / small.width)) * SIDE + dx + (i % small.width)] = roundHalfEven(x * 255)));
  return { pixels, place: { left: x0 + drawn.left - dx * step, top: y0 + drawn.top - dy * step, step } };
}

// 28×28 pixels that are in MNIST format already are left as they are.
function alreadyMnist(levels) {
  if (levels.width !== SIDE || levels.height !== SIDE) return null;
  const pixels = Uint8ClampedArray.from(levels.data, (x) => roundHalfEven(x * 255));
  if (Math.max(...pixels) < 254) return null;
  const made = grid(SIDE, SIDE, pixels), side = longest(boxed(made, 0).box);
  const centered = centerOfMass(made).every((c) => Math.abs(c - 14) <= 0.53);
  return (side === 19 || side === 20) && centered ? pixels : null;
}

// An ImageData in MNIST format; null where nothing stands out from the background.
function preprocess(image) {
  const levels = grayscale(image), ready = alreadyMnist(levels);
  if (ready) return { pixels: ready, place: { left: 0, top: 0, step: 1 } };
  const factor = Math.max(1, Math.floor(longest(levels) / COARSE)), coarse = average(levels, longest(levels) / factor);
  const found = factor > 1 && findDigit(coarse);
  if (!found || found.foreground.cleared || found.parts[0].length < COARSE_DIGIT) return digitOf(findDigit(levels));
  const digit = digitOf(found), { left, top, step } = digit.place, across = levels.width / coarse.width;
  return { ...digit, place: { left: left * across, top: top * across, step: step * across } };
}

function findDigit(levels) {
  const foreground = segment(levels), found = foreground && components(foreground);
  return found && found.parts.length ? { foreground, labels: found.labels, parts: mainDigit(found.parts) } : null;
}

const digitOf = (found) => found && render(found.foreground, found.labels, found.parts);
