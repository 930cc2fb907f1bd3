// A slider of the threshold, of one model or of a label's: what it predicts, how precisely, and how much it misses.
if (find("thresholds")) {
  const { names, answers, thresholds, own, fewer, all } = JSON.parse(find("thresholds").textContent);
  const slider = find("threshold"), choice = find("threshold-of");
  const share = (a, b) => (b ? `${((100 * a) / b).toFixed(2)} %` : "–");
  // How many rows each threshold predicts: of those that have it, and of the others.
  const counts = fewer.map((side, s) => side.map((each, j) => {
    let n = all[s][j];
    return each.map((lost) => { n -= lost; return n; });
  }));
  const whole = (n) => n.toLocaleString("en-US");

  function show() {
    const j = choice ? choice.selectedIndex : 0, k = Number(slider.value);
    const [yes, no] = [counts[0][j], counts[1][j]];
    const hit = yes[k], false_ = no[k], missed = all[0][j] - hit, rest = all[1][j] - false_;
    const at = (thresholds[j] || thresholds[0])[k];
    const words = at === null ? "never" : `p ≥ ${at.toFixed(at < 0.01 || at > 0.99 ? 4 : 3)}`;
    const facts = { hit, false: false_, missed, rest };
    for (const [name, n] of Object.entries(facts)) find(`count-${name}`).textContent = whole(n);
    find("threshold-value").textContent = words;
    slider.setAttribute("aria-valuetext", words);
    find("precision").textContent = share(hit, hit + false_);
    find("recall").textContent = share(hit, hit + missed);
    find("f1").textContent = share(2 * hit, 2 * hit + false_ + missed);
    find("right").textContent = share(hit + rest, hit + rest + false_ + missed);
    find("threshold-own").disabled = k === own[j];
  }

  function back() {
    const j = choice ? choice.selectedIndex : 0;
    slider.max = counts[0][j].length - 1;
    slider.value = own[j];
    show();
  }

  if (choice) {
    choice.append(...names.map((name) => made("option", { textContent: name })));
    choice.addEventListener("change", back);
  }
  for (const each of document.querySelectorAll("#slider .yes")) each.textContent = answers[1];
  for (const each of document.querySelectorAll("#slider .no")) each.textContent = answers[0];
  slider.addEventListener("input", show);
  find("threshold-own").addEventListener("click", back);
  find("slider").hidden = false;
  back();
}
