// A count of the confusion matrix, or of the list of confusions, when it is chosen shows some of the rows behind it.
if (find("behind")) {
  const { names, cells, tile, sheet, across, pictures, features, mean } = JSON.parse(find("behind").textContent);
  const panel = find("behind-panel");
  const image = sheet ? Object.assign(new Image(), { src: sheet }) : null;
  const buttons = [];
  let chosen = null;

  const p = (x) => (x > 0 && x < 0.0005 ? "<\u20090.001" : x < 1 && x >= 0.9995 ? ">\u20090.999" : x.toFixed(3));

  function pictured([row, pSaid, pTrue], words, place) {
    const canvas = made("canvas", { width: tile[1], height: tile[0] });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Row ${row}, ${words}`);
    const at = [(place % across) * tile[1], Math.floor(place / across) * tile[0]];
    image.decode().then(() => canvas.getContext("2d").drawImage(
      image, ...at, tile[1], tile[0], 0, 0, tile[1], tile[0]));
    return canvas;
  }

  const argued = (reasons) => made("span", { className: "reasons" }, ...reasons.map(([feature, value, adds]) =>
    made("span", { className: adds < 0 ? "against" : "for" },
      `${features[feature]} = ${value} (${adds < 0 ? "−" : "+"}${Math.abs(adds)})`)));

  function show(button) {
    const { i, j, n } = button.cell, rows = cells[`${i},${j}`] || [];
    if (chosen) chosen.setAttribute("aria-pressed", "false");
    if (chosen === button) {
      chosen = null;
      panel.hidden = true;
      return;
    }
    chosen = button;
    button.setAttribute("aria-pressed", "true");
    const some = rows.length < n ? `${rows.length} most confident of ` : "";
    const what = i === j ? `${names[i]} recognised` : `${names[i]} taken for ${names[j]}`;
    const list = made("ul", { className: pictures ? "gallery" : "rows" });
    for (const row of rows) {
      const words = i === j ? `${names[j]} at ${p(row[1])}`
        : `${names[j]} at ${p(row[1])}, ${names[i]} at ${p(row[2])}`;
      const caption = made("span", { textContent: pictures ? words : `Row ${row[0]}: ${words}` });
      list.append(made("li", {}, pictures ? pictured(row, words, row[3]) : caption,
        pictures ? caption : argued(row[3])));
    }
    panel.replaceChildren(made("h3", { textContent: `${what}: ${some}${n}` }));
    if (!pictures) {
      const rather = i === j ? "" : ` rather than ${names[i]}`;
      panel.append(made("p", { className: "fine" }, "Of each row the features that argued most. Red: what argued for "
        + `${names[j]}${rather}, with what it adds to the margin; blue: what argued against it. Measured from the `
        + `feature’s mean ${mean}.`));
    }
    panel.append(list);
    panel.hidden = false;
  }

  // One stop of the Tab key for all of them; arrow keys go from one to the next.
  function go(to) {
    for (const each of buttons) each.tabIndex = each === to ? 0 : -1;
    to.focus();
  }

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function beside(button, [down, right]) {
    const cell = button.parentElement, lines = [...cell.closest("tbody").rows];
    let [i, j] = [lines.indexOf(cell.parentElement), cell.cellIndex];
    do { i += down; j += right; } while (lines[i]?.cells[j] && !lines[i].cells[j].matches("[data-cell]"));
    return lines[i]?.cells[j]?.firstChild;
  }

  for (const cell of document.querySelectorAll("[data-cell]")) {
    const [i, j] = cell.dataset.cell.split(",").map(Number), words = cell.textContent;
    const button = made("button", { type: "button", textContent: words, tabIndex: -1 });
    button.cell = { i, j, n: Number(words.replaceAll(",", "")) };
    button.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-label", i === j ? `${words} of ${names[i]} recognised`
      : `${words} of ${names[i]} taken for ${names[j]}`);
    button.addEventListener("click", () => { go(button); show(button); });
    button.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const next = beside(button, step);
      if (next) go(next);
    });
    buttons.push(button);
    cell.replaceChildren(button);
  }
  buttons[0].tabIndex = 0;
  find("behind-hint").hidden = false;
}
