// Shows the values under the pointer, or, with the arrow keys, at the step last shown.
for (const plot of document.querySelectorAll(".plot")) {
  const last = Number(plot.dataset.last);
  const curves = [...plot.querySelectorAll("[data-name]")].map(({ dataset }) => ({
    name: dataset.name,
    steps: dataset.steps.split(" ").map(Number),
    values: dataset.values.split(" "),
    smoothed: dataset.smoothed?.split(" "),
  }));
  const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  plot.parentElement.append(tip);
  const cursor = plot.querySelector("line").cloneNode();
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", "0");
  cursor.setAttribute("y2", "100%");
  let shown = steps.length - 1;

  const nearest = (list, step) =>
    list.reduce((best, candidate, index) => (Math.abs(candidate - step) < Math.abs(list[best] - step) ? index : best), 0);

  const show = (index) => {
    shown = Math.max(0, Math.min(steps.length - 1, index));
    const step = steps[shown];
    const lines = curves.flatMap(({ name, steps, values, smoothed }) => {
      const at = nearest(steps, step);
      if (steps[at] !== step) return [];
      return [`${name} ${values[at]}` + (smoothed ? ` (smoothed ${smoothed[at]})` : "")];
    });
    tip.textContent = [`step ${step}`, ...lines].join("\n");
    cursor.setAttribute("x1", `${(100 * step) / last}%`);
    cursor.setAttribute("x2", `${(100 * step) / last}%`);
    plot.append(cursor);
    tip.hidden = false;
    const box = plot.getBoundingClientRect();
    const figure = plot.parentElement.getBoundingClientRect();
    const x = box.left - figure.left + (box.width * step) / last;
    const left = x + 12 + tip.offsetWidth < figure.width ? x + 12 : x - 12 - tip.offsetWidth;
    tip.style.left = `${Math.max(4, Math.min(left, figure.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${box.top - figure.top - tip.offsetHeight - 6}px`;
  };
  const hide = () => {
    cursor.remove();
    tip.hidden = true;
  };

  for (const title of plot.querySelectorAll("title")) title.remove();
  plot.tabIndex = 0;
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    show(nearest(steps, (last * (event.clientX - box.left)) / box.width));
  };
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    show(tip.hidden ? shown : shown + by);
  });
}
