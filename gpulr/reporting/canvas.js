// A paper to draw on with mouse, pen, finger and keys; what is drawn is answered as it is drawn.
{
  const model = modelOf("model"), answer = answering(model, 40);
  const [height, width] = model.paper;
  const canvas = find("canvas"), seen = find("seen"), context = canvas.getContext("2d");
  let strokes = [], current = null, pointer = null;
  let cursor = [width / 2, height / 2], keyboard = false, asked = 0, row = null, Z = null, P = null;
  let ink = rasterized([], model.paper, model.pen), place = null;
  let showing = 0;  // the number of the frame in which an example draws itself, or -1 when it has

  function show() {
    find("leader").textContent = answer({ Z, P, quiet: showing });
    find("hint").hidden = strokes.length > 0 && !showing;
    find("hint").textContent = showing ? "Draw your own" : "Draw here";
    find("hint").classList.toggle("low", showing !== 0);
    find("seen").parentElement.classList.toggle("blank", !row);
    find("argued").classList.toggle("blank", !row);
    picture();
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

  // What each pixel adds to the margin of the leading name, beside an empty paper, as colours.
  function argued() {
    const [rows, columns] = model.shape, empty = model.bright ? model.high : model.low;
    const adds = adding(row, Z, () => empty, model);
    const most = adds.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    const picture = document.createElement("canvas");
    picture.height = rows; picture.width = columns;
    const pixels = picture.getContext("2d").createImageData(columns, rows);
    const colour = (name) => getComputedStyle(canvas).getPropertyValue(name).match(/\d+/g).map(Number);
    const up = colour("--lit-up"), down = colour("--lit-down");
    adds.forEach((x, k) => {
      pixels.data.set([...(x > 0 ? up : down), 255 * Math.min(1, 1.6 * Math.abs(x) / most)], 4 * k);
    });
    picture.getContext("2d").putImageData(pixels, 0, 0);
    return picture;
  }

  // Lay these colours on the ink, where each pixel came from.
  function light() {
    const { corner, step, factor, center } = place, [rows, columns] = model.shape;
    const back = (x, k) => (x - [width, height][k] / 2) / factor + center[k];
    context.globalCompositeOperation = "source-atop";
    context.drawImage(argued(), back(corner[1], 0), back(corner[0], 1),
      (columns * step[1]) / factor, (rows * step[0]) / factor);
    context.globalCompositeOperation = "source-over";
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
    if (row) light();
    if (keyboard && document.activeElement === canvas) {
      context.lineWidth = 2;
      context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--accent");
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
    const large = enlarged(strokes, model), asDrawn = large.strokes === strokes;
    const found = framed(asDrawn ? ink : rasterized(large.strokes, model.paper, model.pen), model);
    place = found && { ...found, ...large };
    row = found && rowOf(found.frame, model);
    Z = row && margins(row, model);
    P = Z && probabilities(Z);
    paint();
    show();
  }

  // An example gives way to whoever draws.
  function giveWay() {
    if (!showing) return;
    cancelAnimationFrame(showing);
    showing = 0;
    strokes = [];
    ink = rasterized(strokes, model.paper, model.pen);
  }

  function example(drawing) {
    const points = drawing.flat().length, seconds = 1.6;
    let start = null;
    const upTo = (n) => {
      strokes = [];
      for (const stroke of drawing) {
        if (n > 0) strokes.push(stroke.slice(0, n));
        n -= stroke.length;
      }
      ink = rasterized(strokes, model.paper, model.pen);
    };
    const step = (time) => {
      start ??= time;
      const share = Math.min(1, (time - start) / (1000 * seconds));
      showing = share < 1 ? requestAnimationFrame(step) : -1;
      upTo(Math.max(1, Math.round(share * points)));
      now();
    };
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
      showing = requestAnimationFrame(step);
      return;
    }
    showing = -1;
    upTo(points);
    now();
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
    giveWay();
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
    giveWay();
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
    if (arrow || event.key === " ") giveWay();
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
      put(showing ? [] : strokes.slice(0, -1));
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
  find("undo").addEventListener("click", () => put(showing ? [] : strokes.slice(0, -1)));
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
  const digits = Object.values(model.examples);
  if (digits.length) example(model.examples[3] || digits[0]);

  // For scripts and the tests: put strokes on the canvas, and read what became of them, up to date.
  const upToDate = (value) => { if (asked) now(); return value(); };
  window.gpulr = {
    draw: put,
    get strokes() { return upToDate(() => strokes); },
    get row() { return upToDate(() => row && Array.from(row)); },
    get probabilities() { return upToDate(() => P && Array.from(P)); },
  };
}
