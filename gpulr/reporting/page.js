"use strict";
// Draw, and see the probabilities. The steps from strokes to probabilities are those of
// gpulr/images/strokes.py and gpulr/images/framing.py, in float64 and in the same order; nothing is read back
// from a canvas, which every browser fills in its own way.
(() => {
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

  // Enlarge a small drawing to the size that the pen is as thick for, in the middle of the paper.
  function enlarged(strokes, { paper, pen, span, most_enlarged }) {
    const sides = [paper[1], paper[0]], points = strokes.flat();
    if (!points.some((point) => point.every((x, k) => x >= 0 && x <= sides[k]))) return strokes;
    const ends = sides.map((side, k) => {
      const seen = points.map((point) => clip(point[k], 0, side));
      return [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
    });
    const room = sides.map((side, k) => (span * side - 2 * pen) / (ends[k][1] - ends[k][0]));
    const factor = Math.min(most_enlarged, ...room);
    if (factor <= 1) return strokes;
    return strokes.map((stroke) => stroke.map((point) => point.map(
      (x, k) => (x - (ends[k][0] + ends[k][1]) / 2) * factor + sides[k] / 2)));
  }

  // Cut out what is drawn, scale it by means over areas, centre it: (height, width) or null.
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
    return frame;
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

  function margins(row, { weights, intercept }) {
    const n = intercept.length, z = Float64Array.from(intercept);
    for (let i = 0; i < row.length; i++) {
      if (row[i] !== 0) for (let j = 0; j < n; j++) z[j] += row[i] * weights[i * n + j];
    }
    return z;
  }

  const probabilities = (z) =>
    z.map((m) => { const e = Math.exp(-Math.abs(m)); return (m >= 0 ? 1 : e) / (1 + e); });

  // ---- the page ----
  const find = (id) => document.getElementById(id);
  const model = JSON.parse(find("model").textContent);
  const { buffer } = Uint8Array.from(atob(model.weights), (c) => c.charCodeAt(0));
  model.weights = model.bits === 64 ? new Float64Array(buffer) : new Float32Array(buffer);
  const [height, width] = model.paper;
  const canvas = find("canvas"), seen = find("seen"), context = canvas.getContext("2d");
  const twoClasses = model.intercept.length === 1 && !model.multilabel;
  const MOST_BARS = 40, TOP = 10;
  let strokes = [], current = null, pointer = null;
  let cursor = [width / 2, height / 2], keyboard = false, asked = 0, row = null, Z = null, P = null;
  let ink = rasterized([], model.paper, model.pen);

  const bars = find("bars"), listed = model.names.length <= MOST_BARS;
  const lines = Array.from({ length: listed ? model.names.length : TOP }, () => {
    const item = document.createElement("li"), part = (name) => item.querySelector(`.${name}`);
    item.innerHTML = '<span class="name"></span><span class="track" aria-hidden="true">'
      + '<span class="fill"></span></span><span class="value"></span>';
    bars.append(item);
    return { item, name: part("name"), fill: part("fill"), value: part("value") };
  });
  const longest = Math.max(...model.names.map((name) => name.length));
  if (listed && model.names.length > 12) bars.classList.add("many");
  if (longest > 3) bars.classList.add("wide");

  function show() {
    // Probability of each name: of two classes the one model's, and what is left.
    const p = P && (twoClasses ? [1 - P[0], P[0]] : Array.from(P));
    const above = Z && Array.from(Z, (z, j) => z - (model.thresholds ? model.thresholds[j] : 0));
    if (above && twoClasses) above.unshift(-above[0]);
    let order = model.names.map((_, k) => k);
    const sorted = p ? [...order].sort((a, b) => above[b] - above[a]) : order;
    const present = (k) => (model.thresholds ? above[k] >= 0 : above[k] > 0);
    if (!listed) order = sorted.slice(0, TOP);
    lines.forEach(({ item, name, fill, value }, k) => {
      const c = order[k], best = p !== null && (model.multilabel ? present(c) : c === sorted[0]);
      name.textContent = name.title = model.names[c];
      value.textContent = p ? p[c].toFixed(3) : "–";
      fill.style.transform = `scaleX(${p ? p[c] : 0})`;
      item.classList.toggle("best", best);
    });
    find("hint").hidden = strokes.length > 0;
    const told = p ? answer(p, sorted, present) : ["–", "\u00a0", ""];
    find("best").textContent = told[0];
    find("best").classList.toggle("long", told[0].length > 4);
    find("how-sure").textContent = told[1];
    picture();
    clearTimeout(show.spoken);
    show.spoken = setTimeout(() => { find("spoken").textContent = told[2]; }, 400);
  }

  // The answer, how probable it is, and the same as it is spoken.
  function answer(p, sorted, present) {
    if (model.multilabel) {
      const found = sorted.filter(present).map((k) => model.names[k]);
      const words = found.length ? found.join(", ") : "none";
      return [words, "", `Labels: ${words}`];
    }
    const [first, second] = sorted;
    const sure = `p = ${p[first].toFixed(3)}`;
    const next = `next ${model.names[second]}, ${p[second].toFixed(3)}`;
    return [model.names[first], sure, `${model.names[first]}, ${sure}; ${next}`];
  }

  function picture() {
    const [rows, columns] = model.shape;
    seen.height = rows; seen.width = columns;
    if (!row) return;
    const pixels = seen.getContext("2d").createImageData(columns, rows);
    row.forEach((value, k) => {
      const grey = 255 * (value - model.low) / (model.high - model.low || 1);
      pixels.data.set([grey, grey, grey, 255], 4 * k);
    });
    seen.getContext("2d").putImageData(pixels, 0, 0);
  }

  function paint() {
    const scale = canvas.width / width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2 * model.pen;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.beginPath();
      stroke.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (stroke.length === 1) context.lineTo(...stroke[0]);
      context.stroke();
    }
    if (keyboard && document.activeElement === canvas) {
      context.lineWidth = 2;
      context.strokeStyle = getComputedStyle(bars.parentElement).getPropertyValue("--accent");
      context.beginPath();
      context.arc(...cursor, model.pen + 3, 0, 2 * Math.PI);
      if (current) context.arc(...cursor, 3, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  // Many points may come between two frames of the screen; what follows from them is shown once.
  const later = () => { asked ||= requestAnimationFrame(now); };

  function now() {
    cancelAnimationFrame(asked);
    asked = 0;
    const large = enlarged(strokes, model);
    const frame = framed(large === strokes ? ink : rasterized(large, model.paper, model.pen), model);
    row = frame && rowOf(frame, model);
    Z = row && margins(row, model);
    P = Z && probabilities(Z);
    paint();
    show();
  }

  function begin(point) {
    strokes.push(current = []);
    extend(point);
  }

  function extend(point) {
    const last = current.length ? current[current.length - 1] : point;
    if (current.length && last[0] === point[0] && last[1] === point[1]) return;
    current.push(point);
    line(ink, model.pen, last, point);
    later();
  }

  function put(drawing) {
    strokes = drawing.map((stroke) => stroke.map(([x, y]) => [x, y]));
    current = null;
    ink = rasterized(strokes, model.paper, model.pen);
    penIs("");
    now();
  }

  const penIs = (words) => { find("pen").textContent = words; };

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    return [Math.round(16 * width * x) / 16, Math.round(16 * height * y) / 16];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    keyboard = false;
    penIs("");
    begin(at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const each of events.length ? events : [event]) extend(at(each));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = current = null;
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || pointer !== null) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = event.shiftKey ? 2 : 10, sides = [width, height];
      cursor = cursor.map((place, k) => clip(place + step * arrow[k], 0, sides[k]));
      if (current) extend([...cursor]);
    } else if (event.key === " ") {
      if (current) current = null; else begin([...cursor]);
      penIs(current ? "pen down" : "pen up");
    } else if (event.key === "Delete" || event.key === "Escape") {
      put([]);
    } else if (event.key === "u" || event.key === "U") {
      put(strokes.slice(0, -1));
    } else {
      return;
    }
    keyboard = true;
    event.preventDefault();
    later();
  });
  canvas.addEventListener("focus", () => { keyboard = canvas.matches(":focus-visible"); paint(); });
  canvas.addEventListener("blur", () => {
    if (pointer === null) current = null;
    penIs("");
    paint();
  });
  find("clear").addEventListener("click", () => put([]));
  find("undo").addEventListener("click", () => put(strokes.slice(0, -1)));
  for (const [name, drawing] of Object.entries(model.examples)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-label", `Example of a ${name}`);
    button.addEventListener("click", () => put(drawing));
    find("examples").append(button);
    find("examples").hidden = false;
  }

  function fit() {
    const ratio = Math.max(1, window.devicePixelRatio || 1);
    const across = Math.round((canvas.clientWidth || width) * ratio);
    canvas.width = across;
    canvas.height = Math.round((across * height) / width);
    paint();
  }

  find("no-script").remove();
  find("studio").hidden = false;
  new ResizeObserver(fit).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  fit();
  now();

  // For scripts and the tests: put strokes on the canvas, and read what became of them, up to date.
  const upToDate = (value) => { if (asked) now(); return value(); };
  window.gpulr = {
    draw: put,
    get strokes() { return upToDate(() => strokes); },
    get row() { return upToDate(() => row && Array.from(row)); },
    get probabilities() { return upToDate(() => P && Array.from(P)); },
  };
})();
