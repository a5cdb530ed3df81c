(() => {  // names the mark nearest to the pointer, or chosen by the arrow keys; a click or Enter opens its run in MLflow
  const REACH = 14, figures = new Map(), tip = document.createElement("div");
  let shown = null;
  for (const title of document.querySelectorAll("use > title")) {  // else the browser's own words would lie on ours
    const mark = title.parentNode, svg = mark.ownerSVGElement;
    mark.said = title.textContent;
    title.remove();
    figures.has(svg) ? figures.get(svg).push(mark) : figures.set(svg, [mark]);
  }
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);

  const hide = () => { shown?.classList.remove("on"); shown = null; tip.textContent = ""; };
  const show = mark => {
    if (mark === shown) return;
    hide();
    if (!mark) return;
    shown = mark;
    mark.classList.add("on");
    tip.textContent = mark.said + (mark.dataset.run ? "\nclick or Enter: its run in MLflow" : "");
    const at = mark.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    tip.style.left = Math.max(8, Math.min(at.right + 8, wide - tip.offsetWidth - 8)) + "px";
    tip.style.top = (at.top > tip.offsetHeight + 12 ? at.top - tip.offsetHeight - 6 : at.bottom + 6) + "px";
  };
  const near = (svg, x, y) => {
    const m = svg.getScreenCTM();
    let best = null, least = REACH;
    for (const mark of figures.get(svg)) {
      const far = Math.hypot(m.a * mark.x.baseVal.value + m.e - x, m.d * mark.y.baseVal.value + m.f - y);
      if (far <= least) [best, least] = [mark, far];  // of equals the last, which lies on top
    }
    return best;
  };
  const open = mark => mark?.dataset.run &&
    window.open(`${document.body.dataset.mlflow}/#/experiments/${mark.dataset.run}`, "_blank", "noopener");

  for (const [svg, marks] of figures) {
    svg.tabIndex = 0;
    svg.addEventListener("pointermove", e => e.pointerType !== "touch" && show(near(svg, e.clientX, e.clientY)));
    svg.addEventListener("pointerleave", e => e.pointerType !== "touch" && hide());
    svg.addEventListener("click", e => {  // a finger's first tap names, its second one opens
      const mark = near(svg, e.clientX, e.clientY);
      mark && mark === shown ? open(mark) : show(mark);
    });
    svg.addEventListener("keydown", e => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key], k = marks.indexOf(shown);
      if (step) show(marks[k < 0 ? 0 : (k + step + marks.length) % marks.length]);
      else if (e.key === "Enter") open(shown);
      else if (e.key === "Escape") hide();
      if (step) e.preventDefault();
    });
    svg.addEventListener("blur", hide);
  }
  addEventListener("scroll", hide, true);
})();
