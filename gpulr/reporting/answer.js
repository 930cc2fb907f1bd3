// What the model says of a drawing: the answer, a bar for each name, and what argued for the most probable one.
function answering(model, canvas) {
  const seen = find("seen"), twoClasses = model.intercept.length === 1 && !model.multilabel;
  const MOST_BARS = 40, TOP = 10;
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

  // ``strokes`` that give a ``row``, margins Z and probabilities P; or that an example draws, ``showing``.
  function show({ strokes, showing, row, Z, P }) {
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
      value.textContent = p ? p[c].toFixed(3) : "";
      fill.style.transform = `scaleX(${p ? p[c] : 0})`;
      item.classList.toggle("best", best);
    });
    find("hint").hidden = strokes.length > 0 && !showing;
    find("hint").textContent = showing ? "Draw your own" : "Draw here";
    find("hint").classList.toggle("low", showing !== 0);
    find("seen").parentElement.classList.toggle("blank", !row);
    find("argued").classList.toggle("blank", !row);
    find("leader").textContent = p ? model.names[sorted[0]] : "";
    const told = p ? answer(p, sorted, present) : ["", "Nothing is drawn yet.", ""];
    find("best").textContent = told[0];
    find("best").classList.toggle("long", told[0].length > 4);
    find("how-sure").textContent = told[1];
    picture(row);
    clearTimeout(show.spoken);
    show.spoken = setTimeout(() => { find("spoken").textContent = showing ? "" : told[2]; }, 400);
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

  function picture(row) {
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
  function argued({ row, Z }) {
    const [rows, columns] = model.shape, n = model.intercept.length;
    const order = Array.from(Z, (z, j) => z - (model.thresholds ? model.thresholds[j] : 0));
    const best = order.indexOf(Math.max(...order)), sign = twoClasses && order[0] < 0 ? -1 : 1;
    const empty = model.bright ? model.high : model.low;
    const adds = row.map((x, k) => sign * (x - empty) * model.weights[k * n + best]);
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

  return { show, argued };
}
