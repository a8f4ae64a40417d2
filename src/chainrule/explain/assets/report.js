"use strict";
// Draws the learning curves with uPlot, in the page's colours, and lets a reader choose a sample and point at units.
(function () {
  document.documentElement.classList.add("js");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  // Curves ------------------------------------------------------------------------------------------------------
  const source = document.getElementById("chart-data");
  const charts = source ? JSON.parse(source.textContent) : [];
  const drawn = new Map();
  const format = {
    accuracy: (v) => (100 * v).toFixed(2) + "\u202f%",
    loss: (v) => String(Number(v.toPrecision(4))),
    log: (v) => String(Number(v.toPrecision(4))),
    x: (v) => String(v),
  };
  // At rest the legend shows the last values, under the cursor those of the nearest point.
  const reading = (kind) => (u, v, k, at) => {
    const value = at == null ? u.data[k].findLast((w) => w != null) : v;
    return value == null ? "–" : format[kind](value);
  };

  function curve(chart, series) {
    const edge = series.role === "low" || series.role === "high";
    const stroke = colour(series.role === "second" ? "second" : "train");
    return {
      label: series.label,
      stroke: edge ? "transparent" : stroke,
      width: edge ? 0 : chart.x.length > 200 ? 1.5 : 2,
      points: { show: chart.x.length <= 60 && !edge, size: 6, fill: stroke },
      value: reading(chart.y_kind),
    };
  }

  function axis(label, side) {
    return {
      label, stroke: colour("faint"), labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif",
      grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 },
      size: side === "y" ? 58 : 44, labelSize: 22,
    };
  }

  function draw(chart) {
    const box = document.getElementById("chart-" + chart.id);
    const x = axis(chart.x_label, "x"), y = axis(chart.y_label, "y");
    if (chart.x.every(Number.isInteger)) x.incrs = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];
    if (chart.y_kind === "accuracy") y.values = (u, marks) => marks.map((v) => Number((100 * v).toPrecision(4)) + "\u202f%");
    if (chart.y_kind === "log") {
      const round = (marks) => marks.map((v) => (/^[125](e|\.?0*e)/.test(v.toExponential(3)) ? v : null));
      Object.assign(y, { filter: (u, marks) => round(marks), values: (u, marks) => marks.map((v) => (v == null ? "" : String(Number(v.toPrecision(2))))) });
      y.grid.filter = y.ticks.filter = y.filter;
    }
    const near = (u, low, high) => [low / 1.1, high * 1.1];
    const roles = chart.series.map((s) => s.role);
    const band = roles.includes("high") && { series: [roles.indexOf("high") + 1, roles.indexOf("low") + 1], fill: colour("train") + "30" };
    const old = drawn.get(chart.id);
    if (old) old.destroy();
    drawn.set(chart.id, new uPlot({
      width: box.clientWidth, height: box.clientWidth < 480 ? 250 : 300,
      scales: { x: { time: false }, y: chart.y_kind === "log" ? { distr: 3, range: near } : {} },
      axes: [x, y], bands: band ? [band] : [], cursor: { y: false, points: { size: 8 } },
      series: [{ label: chart.x_label, value: reading("x") }, ...chart.series.map((s) => curve(chart, s))],
    }, [chart.x, ...chart.series.map((s) => s.values)], box));
  }

  const drawAll = () => charts.forEach(draw);
  drawAll();
  window.addEventListener("beforeprint", drawAll);
  window.addEventListener("afterprint", drawAll);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(query).addEventListener("change", drawAll);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;   // on a phone scrolling changes the height only
    width = window.innerWidth;
    drawAll();
  });

  // The sample to look at -----------------------------------------------------------------------------------------
  const tabs = Array.from(document.querySelectorAll('[role="tab"]'));
  function choose(index, focus) {
    tabs.forEach((tab, k) => {
      tab.setAttribute("aria-selected", String(k === index));
      tab.tabIndex = k === index ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = k !== index;
    });
    if (focus) tabs[index].focus();
  }
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => choose(k, false));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: k + 1, ArrowDown: k + 1, ArrowLeft: k - 1, ArrowUp: k - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose((to + tabs.length) % tabs.length, true);
    });
  });
  if (tabs.length) choose(0, false);

  // Pointing at a unit shows its lines alone ------------------------------------------------------------------------
  document.querySelectorAll(".net").forEach((net) => {
    const lines = Array.from(net.querySelectorAll(".lines path"));
    const pick = (unit) => {
      const name = unit && unit.dataset.u;
      let any = false;
      lines.forEach((line) => {
        const hot = Boolean(name) && (line.dataset.a === name || line.dataset.b === name);
        line.classList.toggle("hot", hot);
        any = any || hot;
      });
      net.classList.toggle("picked", any);
    };
    net.addEventListener("pointerover", (event) => pick(event.target.closest(".unit")));
    net.addEventListener("pointerleave", () => pick(null));
  });
})();
