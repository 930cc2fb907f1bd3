// A row of a table whose values can be moved: what the model says of it, and which features argue for that.
{
  const model = modelOf("trial"), answer = answering(model, 12), MOST_ADDING = 6;
  const whole = (k) => model.steps[k] === 1;
  const written = (x, k) => (whole(k) ? String(Math.round(x)) : String(Number(x.toPrecision(4)))).replace("-", "−");
  let row = [], from = 0;

  const sliders = model.order.map((k) => {
    const slider = made("input", { type: "range", min: model.low[k], max: model.high[k] });
    slider.step = whole(k) ? 1 : "any";
    const value = made("output"), name = made("span", { className: "name", textContent: model.short_features[k] });
    name.title = model.features[k];
    slider.addEventListener("input", () => { row[k] = Number(slider.value); show(); });
    return { k, slider, value, item: made("label", {}, name, slider, value) };
  });
  sliders.forEach(({ item }, place) => find(place < model.first ? "features" : "others").append(item));

  function show() {
    const Z = margins(row, model), leader = answer({ Z, P: probabilities(Z) });
    for (const { k, slider, value, item } of sliders) {
      const moved = row[k] !== model.rows[from][k];
      value.textContent = written(row[k], k);
      slider.setAttribute("aria-valuetext", value.textContent);
      item.classList.toggle("moved", moved);
    }
    const adds = adding(row, Z, (k) => model.mean[k], model);
    const order = adds.map((_, k) => k).sort((a, b) => Math.abs(adds[b]) - Math.abs(adds[a])).slice(0, MOST_ADDING);
    find("argues-for").textContent = leader;
    find("reasons").replaceChildren(...order.filter((k) => adds[k]).map((k) => {
      const words = `${model.features[k]} (${adds[k] < 0 ? "−" : "+"}${Number(Math.abs(adds[k]).toPrecision(3))})`;
      return made("span", { className: adds[k] < 0 ? "against" : "for", textContent: words });
    }));
  }

  function start() {
    from = find("from").selectedIndex;
    row = Float64Array.from(model.rows[from]);
    for (const { k, slider } of sliders) slider.value = row[k];
    show();
  }

  find("from").append(...model.about.map((words) => made("option", { textContent: words })));
  // The row that is the least sure of its answer is the one that answers most to being moved.
  const sure = model.rows.map((each) => {
    const [first, second = 1 - first] = Array.from(probabilities(margins(each, model))).sort((a, b) => b - a);
    return Math.abs(first - second);
  });
  find("from").selectedIndex = sure.indexOf(Math.min(...sure));
  find("from").addEventListener("change", start);
  find("back").addEventListener("click", start);
  find("no-script").remove();
  find("studio").hidden = false;
  start();

  // For scripts and the tests.
  window.gpulr = {
    get row() { return Array.from(row); },
    get probabilities() { return Array.from(probabilities(margins(row, model))); },
  };
}
