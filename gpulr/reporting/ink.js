// From strokes to probabilities: the steps of gpulr/images/strokes.py and gpulr/images/framing.py, in float64
// and in the same order; nothing is read back from a canvas, which every browser fills in its own way.
const NUDGE = 1e-6;
const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const rounded = (x) => Math.floor(x + 0.5 + NUDGE);

// Add a straight line of a round pen to ink, {height, width, values}.
function line(ink, pen, [x0, y0], [x1, y1]) {
  const { height, width, values } = ink, reach = pen + 1;
  const top = clip(Math.floor(Math.min(y0, y1) - reach), 0, height);
  const bottom = clip(Math.ceil(Math.max(y0, y1) + reach), 0, height);
  const left = clip(Math.floor(Math.min(x0, x1) - reach), 0, width);
  const right = clip(Math.ceil(Math.max(x0, x1) + reach), 0, width);
  const dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
  for (let i = top; i < bottom; i++) {
    const py = i + 0.5 - y0;
    for (let j = left; j < right; j++) {
      const px = j + 0.5 - x0;
      const along = square ? clip((px * dx + py * dy) / square, 0, 1) : 0;
      const ex = px - along * dx, ey = py - along * dy;
      const covered = clip(pen + 0.5 - Math.sqrt(ex * ex + ey * ey), 0, 1);
      if (covered > values[i * width + j]) values[i * width + j] = covered;
    }
  }
}

function rasterized(strokes, [height, width], pen) {
  const ink = { height, width, values: new Float64Array(height * width) };
  for (const stroke of strokes) {
    if (stroke.length === 1) line(ink, pen, stroke[0], stroke[0]);
    for (let k = 1; k < stroke.length; k++) line(ink, pen, stroke[k - 1], stroke[k]);
  }
  return ink;
}

// Enlarge a small drawing to the size that the pen is as thick for, in the middle of the paper. Beside the
// strokes: by what factor, and which point came to the middle.
function enlarged(strokes, { paper, pen, span, most_enlarged }) {
  const sides = [paper[1], paper[0]], points = strokes.flat();
  const same = { strokes, factor: 1, center: sides.map((side) => side / 2) };
  if (!points.some((point) => point.every((x, k) => x >= 0 && x <= sides[k]))) return same;
  const ends = sides.map((side, k) => {
    const seen = points.map((point) => clip(point[k], 0, side));
    return [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
  });
  const room = sides.map((side, k) => (span * side - 2 * pen) / (ends[k][1] - ends[k][0]));
  const factor = Math.min(most_enlarged, ...room);
  if (factor <= 1) return same;
  const center = ends.map(([low, high]) => (low + high) / 2);
  const large = strokes.map((stroke) => stroke.map((point) => point.map(
    (x, k) => (x - center[k]) * factor + sides[k] / 2)));
  return { strokes: large, factor, center };
}

// Cut out what is drawn, scale it by means over areas, centre it: null, or the frame (height, width), and
// where its corner and how large its pixels are on the paper.
function framed({ height, width, values }, { shape, extent, middle, drawn }) {
  let top = height, bottom = -1, left = width, right = -1;
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      if (values[i * width + j] > drawn) {
        top = Math.min(top, i); bottom = Math.max(bottom, i);
        left = Math.min(left, j); right = Math.max(right, j);
      }
    }
  }
  if (bottom < 0) return null;
  const cut = [bottom - top + 1, right - left + 1];
  const factor = extent * Math.min(shape[0] / cut[0], shape[1] / cut[1]);
  const [rows, columns] = cut.map((n, k) => Math.min(Math.max(1, rounded(factor * n)), shape[k]));
  const overRows = parts(cut[0], rows), overColumns = parts(cut[1], columns);
  const half = new Float64Array(rows * cut[1]), small = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (const [k, share] of overRows[i]) {
      for (let j = 0; j < cut[1]; j++) {
        half[i * cut[1] + j] += share * values[(top + k) * width + left + j];
      }
    }
    for (let j = 0; j < columns; j++) {
      for (const [k, share] of overColumns[j]) small[i * columns + j] += share * half[i * cut[1] + k];
    }
  }
  const mass = [new Float64Array(rows), new Float64Array(columns)];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      mass[0][i] += small[i * columns + j];
      mass[1][j] += small[i * columns + j];
    }
  }
  const [y, x] = mass.map((profile, k) => start(profile, middle[k], shape[k]));
  const frame = new Float64Array(shape[0] * shape[1]);
  for (let i = 0; i < rows; i++) {
    frame.set(small.subarray(i * columns, (i + 1) * columns), (y + i) * shape[1] + x);
  }
  const step = [cut[0] / rows, cut[1] / columns];
  return { frame, corner: [top - y * step[0], left - x * step[1]], step };
}

// Of each of n equal parts of so many pixels: which pixels it covers, and their shares in it.
function parts(pixels, n) {
  const step = pixels / n, all = [];
  for (let i = 0; i < n; i++) {
    const covered = [];
    for (let k = Math.max(0, Math.floor(i * step) - 1); k < pixels && k < (i + 1) * step; k++) {
      const overlap = Math.min((i + 1) * step, k + 1) - Math.max(i * step, k);
      if (overlap > 0) covered.push([k, overlap / step]);
    }
    all.push(covered);
  }
  return all;
}

function start(mass, middle, side) {
  let total = 0, moment = 0;
  mass.forEach((m, k) => { total += m; moment += m * k; });
  return clip(rounded(middle - moment / total), 0, side - mass.length);
}

// The row that the model takes, from ink of 0 to 1.
const rowOf = (frame, { low, high, bright }) =>
  frame.map((ink) => low + (bright ? 1 - ink : ink) * (high - low));
