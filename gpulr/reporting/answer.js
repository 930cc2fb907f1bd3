// What a model says of a row: its probabilities, and the answer with a bar for each name.
function modelOf(id) {
  const model = JSON.parse(find(id).textContent);
  const { buffer } = Uint8Array.from(atob(model.weights), (c) => c.charCodeAt(0));
  model.weights = model.bits === 64 ? new Float64Array(buffer) : new Float32Array(buffer);
  return model;
}

function margins(row, { weights, intercept }) {
  const n = intercept.length, z = Float64Array.from(intercept);
  for (let i = 0; i < row.length; i++) {
    if (row[i] !== 0) for (let j = 0; j < n; j++) z[j] += row[i] * weights[i * n + j];
  }
  return z;
}

const probabilities = (z) =>
  z.map((m) => { const e = Math.exp(-Math.abs(m)); return (m >= 0 ? 1 : e) / (1 + e); });

// What each feature adds to the margin of the leading name, beyond what it does at a base of it.
function adding(row, Z, base, model) {
  const n = model.intercept.length, twoClasses = n === 1 && !model.multilabel;
  const above = Array.from(Z, (z, j) => z - (model.thresholds ? model.thresholds[j] : 0));
  const best = above.indexOf(Math.max(...above)), sign = twoClasses && above[0] < 0 ? -1 : 1;
  return Array.from(row, (x, k) => sign * (x - base(k)) * model.weights[k * n + best]);
}

// Return a function that shows margins and probabilities, or that there are none, and returns the leading name.
// Of more names than ``mostBars`` the most probable ones are shown.
function answering(model, mostBars) {
  const twoClasses = model.intercept.length === 1 && !model.multilabel;
  const TOP = 10;
  const bars = find("bars"), listed = model.names.length <= mostBars;
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

  function show({ Z, P, quiet }) {
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
      name.textContent = model.short[c];
      name.title = model.names[c];
      value.textContent = p ? p[c].toFixed(3) : "";
      fill.style.transform = `scaleX(${p ? p[c] : 0})`;
      item.classList.toggle("best", best);
    });
    const told = p ? answer(p, sorted, present) : ["", "Nothing is drawn yet.", ""];
    find("best").textContent = told[0];
    find("best").classList.toggle("long", told[0].length > 4);
    find("how-sure").textContent = told[1];
    clearTimeout(show.spoken);
    show.spoken = setTimeout(() => { find("spoken").textContent = quiet ? "" : told[2]; }, 400);
    return p ? model.names[sorted[0]] : "";
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

  return show;
}
