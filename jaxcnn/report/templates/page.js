"use strict";

// Tabs: one panel is shown; arrow keys, Home and End move between tabs, and the address remembers the chosen one.
for (const list of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
    }
  };
  const named = () => tabs.find((tab) => "#" + tab.getAttribute("aria-controls") === location.hash);
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) { choose(tab); history.replaceState(null, "", "#" + tab.getAttribute("aria-controls")); }
  });
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    tabs[to % tabs.length].focus();
    tabs[to % tabs.length].click();
  });
  addEventListener("hashchange", () => { if (named()) choose(named()); });
  choose(named() || tabs[0]);
}

function drawn(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Marks of a scale: powers of ten and their halves and fifths, or decades where it is logarithmic.
function marks(low, high, log) {
  if (log) {
    const found = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k++) {
      for (const m of high / low > 30 ? [1] : [1, 2, 5]) found.push(m * 10 ** k);
    }
    return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  }
  const rough = (high - low) / 5 || 1, unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

const shown = (value) => String(Number(value.toPrecision(4)));

for (const figure of document.querySelectorAll("[data-chart]")) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".drawing"), told = figure.querySelector("output");
  const logarithmic = figure.querySelector("[data-log]"), legend = figure.querySelector(".legend");
  const W = 640, H = 280, left = 60, right = 12, top = 10, bottom = 30;
  const off = new Set();
  const epochs = [...new Set(chart.series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b);
  let at = null, x, cursor;

  chart.series.forEach((series, number) => {
    const label = document.createElement("label"), box = document.createElement("input");
    const line = document.createElement("i");
    Object.assign(box, { type: "checkbox", checked: true });
    line.className = `run${series.run % 6}${series.dashed ? " dashed" : ""}`;
    box.addEventListener("change", () => { box.checked ? off.delete(number) : off.add(number); draw(); });
    label.append(box, " ", line, " ", series.name);
    legend.append(label);
  });

  function draw() {
    const log = logarithmic.checked;
    const fits = (value) => value !== null && (!log || value > 0);
    const on = chart.series.filter((_, number) => !off.has(number));
    const values = on.flatMap((s) => s.points.map((p) => p[1])).filter(fits);
    const svg = drawn("svg", { viewBox: `0 0 ${W} ${H}`, "aria-hidden": "true" });
    place.replaceChildren(svg);
    const first = epochs[0], last = epochs[epochs.length - 1];
    x = (epoch) => left + (W - left - right) * (last === first ? 0.5 : (epoch - first) / (last - first));
    for (const epoch of marks(first, last, false).filter(Number.isInteger)) {
      svg.append(drawn("text", { x: x(epoch), y: H - 8, "text-anchor": "middle" }, String(epoch)));
    }
    if (values.length) {
      let low = Math.min(...values), high = Math.max(...values);
      if (low === high) { low -= Math.abs(low) / 10 || 1; high += Math.abs(high) / 10 || 1; if (log) low = high / 2; }
      const of = log ? Math.log10 : (value) => value;
      const y = (value) => H - bottom - (H - top - bottom) * (of(value) - of(low)) / (of(high) - of(low));
      for (const value of marks(low, high, log)) {
        svg.append(drawn("line", { class: "grid", x1: left, x2: W - right, y1: y(value), y2: y(value) }));
        svg.append(drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value)));
      }
      for (const series of on) {
        let path = "", pen = "M";
        for (const [epoch, value] of series.points) {
          if (!fits(value)) { pen = "M"; continue; }
          path += `${pen}${x(epoch).toFixed(2)} ${y(value).toFixed(2)}`;
          pen = "L";
        }
        const line = { d: path, class: `run${series.run % 6}` };
        if (series.dashed) line["stroke-dasharray"] = "6 4";
        if (series.points.length === 1) Object.assign(line, { d: path + "h.01", "stroke-linecap": "round", "stroke-width": 6 });
        svg.append(drawn("path", line));
      }
    }
    cursor = drawn("line", { class: "cursor", y1: top, y2: H - bottom, visibility: "hidden" });
    svg.append(cursor);
    if (at !== null) point(at);
  }

  function point(index) {
    at = Math.max(0, Math.min(epochs.length - 1, index));
    const epoch = epochs[at], parts = [];
    chart.series.forEach((series, number) => {
      const found = series.points.find((p) => p[0] === epoch);
      if (found && !off.has(number)) parts.push(`${series.name} ${found[1] === null ? "not finite" : shown(found[1])}`);
    });
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(epoch));
    cursor.setAttribute("visibility", "visible");
    told.textContent = `epoch ${epoch}: ${parts.join("; ")}`;
  }

  place.addEventListener("pointermove", (event) => {
    const box = place.getBoundingClientRect(), wanted = (event.clientX - box.left) * W / box.width;
    const distances = epochs.map((epoch) => Math.abs(x(epoch) - wanted));
    point(distances.indexOf(Math.min(...distances)));
  });
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -epochs.length, End: epochs.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    point(at === null ? (step > 0 ? 0 : epochs.length - 1) : at + step);
  });
  logarithmic.addEventListener("change", draw);
  draw();
}
