// Shows the step and the values of all curves under the pointer or the finger; with the arrow keys those of the step
// before or after, with Home and End those of the first and the last.
for (const plot of document.querySelectorAll(".plot")) {
  const [last, low, high] = ["last", "low", "high"].map((name) => Number(plot.dataset[name]));
  const bend = plot.dataset.log === "true" ? Math.log : (value) => value;
  const curves = [...plot.querySelectorAll("[data-name]")].map(({ dataset, classList }) => ({
    name: dataset.name,
    look: classList[0],
    steps: dataset.steps.split(" ").map(Number),
    values: dataset.values.split(" "),
    smoothed: dataset.smoothed?.split(" "),
  }));
  const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
  const make = (name, parent, classes, text = "") => {
    const element = document.createElement(name);
    element.className = classes;
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const draw = (name, classes) => {
    const element = document.createElementNS(plot.namespaceURI, name);
    element.setAttribute("class", classes);
    return element;
  };
  const place = (element, at) => Object.entries(at).forEach(([name, value]) => element.setAttribute(name, value));

  const tip = make("div", plot.parentElement, "tip");
  tip.setAttribute("role", "status");
  tip.hidden = true;
  const cursor = draw("line", "cursor");
  const marks = curves.map(({ look }) => draw("circle", `${look} at`));
  let shown = steps.length - 1;

  // The steps are sorted.
  const nearest = (list, step) => {
    let [from, to] = [0, list.length - 1];
    while (to - from > 1) {
      const middle = (from + to) >> 1;
      if (list[middle] <= step) from = middle;
      else to = middle;
    }
    return Math.abs(list[to] - step) < Math.abs(list[from] - step) ? to : from;
  };
  const numeric = (shown) => Number(shown.replaceAll(",", "").replaceAll("\u2212", "-"));
  const height = (shown) => 100 * (1 - (bend(numeric(shown)) - bend(low)) / (bend(high) - bend(low)));

  const mark = (index, step, value) => {
    const top = height(value);
    if (!Number.isFinite(top)) return marks[index].remove();
    place(marks[index], { cx: `${(100 * step) / last}%`, cy: `${top}%`, r: 3.5 });
    plot.append(marks[index]);
  };

  const line = ({ name, look, steps, values, smoothed }, index, step) => {
    const at = nearest(steps, step);
    mark(index, steps[at], (smoothed ?? values)[at]);
    make("i", tip, look);
    make("span", tip, "", steps[at] === step ? name : `${name}, step ${steps[at].toLocaleString("en")}`);
    make("b", tip, "", values[at]);
    make("span", tip, "soft", smoothed ? `smoothed ${smoothed[at]}` : "");
  };

  const show = (index) => {
    shown = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[shown];
    const x = `${(100 * step) / last}%`;
    place(cursor, { x1: x, x2: x, y1: "0", y2: "100%" });
    plot.append(cursor);
    tip.replaceChildren();
    make("strong", tip, "", `step ${step.toLocaleString("en")}`);
    curves.forEach((curve, index) => line(curve, index, step));
    tip.hidden = false;
    const box = plot.getBoundingClientRect();
    const figure = plot.parentElement.getBoundingClientRect();
    const middle = box.left - figure.left + (box.width * step) / last;
    const right = figure.width - tip.offsetWidth - 4;
    const left = middle + 12 <= right ? middle + 12 : middle - 12 - tip.offsetWidth;
    tip.style.left = `${Math.max(4, Math.min(left, right))}px`;
    tip.style.top = `${box.top - figure.top - tip.offsetHeight - 6}px`;
  };
  const hide = () => {
    tip.hidden = true;
    for (const element of [cursor, ...marks]) element.remove();
  };

  for (const title of plot.querySelectorAll("title")) title.remove();
  plot.tabIndex = 0;
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    show(nearest(steps, (last * (event.clientX - box.left)) / box.width));
  };
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointermove", follow);
  // What a finger has chosen stays until it taps elsewhere.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hide());
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const to = { ArrowLeft: shown - 1, ArrowRight: shown + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(tip.hidden && event.key.startsWith("Arrow") ? shown : to);
  });
}
