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

// Receptive fields: the layer that is pointed at, or has the focus, is drawn over the image.
for (const part of document.querySelectorAll("[data-fields]")) {
  const fields = JSON.parse(part.querySelector("script").textContent);
  const image = part.querySelector(".stack img"), box = part.querySelector(".box"), told = part.querySelector("output");
  const show = (event) => {
    const row = event.target.closest("[data-field]");
    if (!row) return;
    const field = fields[Number(row.dataset.field)];
    if (field.effective) image.src = field.effective;
    box.hidden = !field.box;
    if (field.box) {
      const [top, left, height, width] = field.box, W = image.getAttribute("width"), H = image.getAttribute("height");
      Object.assign(box.style, {
        top: `${100 * top / H}%`, left: `${100 * left / W}%`, height: `${100 * height / H}%`, width: `${100 * width / W}%`,
      });
    }
    told.textContent = field.told;
  };
  for (const kind of ["mouseover", "focusin", "click"]) part.addEventListener(kind, show);
}

// Frames: a slider shows one of them.
for (const part of document.querySelectorAll("[data-frames]")) {
  const slider = part.querySelector("input"), frames = [...part.querySelectorAll(".frame")];
  slider.addEventListener("input", () => {
    frames.forEach((frame, number) => { frame.hidden = number !== Number(slider.value); });
    part.querySelector("output").textContent = slider.value;
  });
}

// The stepper: a convolution at one position of its output, computed here, so that its settings can be changed.
for (const part of document.querySelectorAll("[data-stepper]")) {
  const { x, kernel, strides, padding, dilation } = JSON.parse(part.querySelector("script").textContent);
  const control = (name) => part.querySelector(`[data-${name}]`);
  const n = [x.length, x[0].length], k = [kernel.length, kernel[0].length], C = x[0][0].length;
  const choices = (name, texts, chosen) => {
    texts.forEach((text, value) => control(name).append(new Option(text, value, false, value === chosen)));
    control(name).addEventListener("change", draw);
  };
  const counts = (count) => [...Array(count).keys()];
  const own = (pair) => `as the network's, ${pair}`;
  const sides = padding.flat(), told = sides.every((side) => side === sides[0]) ? String(sides[0]) : sides.join(", ");
  let at = [0, 0], out, place;

  // The first choice is what the network does; the others hold for both axes.
  const setting = (name, theirs) => {
    const value = Number(control(name).value);
    return value === 0 ? theirs : [value, value];
  };
  const padded = () => {
    const value = Number(control("padding").value) - 1;
    return value < 0 ? padding : [[value, value], [value, value]];
  };

  const read = (row, column, channel) => x[row]?.[column]?.[channel] ?? 0;
  function geometry() {
    place = { s: setting("stride", strides), p: padded(), d: setting("dilation", dilation) };
    const spans = [0, 1].map((a) => n[a] + place.p[a][0] + place.p[a][1] - place.d[a] * (k[a] - 1) - 1);
    out = spans.map((span, a) => (span < 0 ? 0 : Math.floor(span / place.s[a]) + 1));
    const line = (a) => {
      const [low, high] = place.p[a], sum = low === high ? `2·${low}` : `${low} + ${high}`;
      const text = `(${n[a]} + ${sum} − ${place.d[a]}·(${k[a]} − 1) − 1)/${place.s[a]} + 1`;
      return spans[a] % place.s[a] || spans[a] < 0 ? `⌊${text}⌋ = ${out[a]}` : `${text} = ${out[a]}`;
    };
    const same = n[0] === n[1] && line(0) === line(1);
    part.querySelector(".formula").textContent = "size of the output: " + (same ? line(0) : `${line(0)} high, ${line(1)} wide`);
  }
  function sum(row, column, filter, channels) {
    let total = 0;
    for (let i = 0; i < k[0]; i++) for (let j = 0; j < k[1]; j++) for (const c of channels) {
      total += read(...tap(row, column, i, j), c) * kernel[i][j][c][filter];
    }
    return total;
  }
  const tap = (row, column, i, j) => [
    row * place.s[0] - place.p[0][0] + i * place.d[0], column * place.s[1] - place.p[1][0] + j * place.d[1],
  ];
  function paint(canvas, height, width, value, marked, top, left) {
    const size = Math.max(2, Math.floor(320 / Math.max(height, width, 1)));
    Object.assign(canvas, { width: Math.max(width, 1) * size, height: Math.max(height, 1) * size });
    Object.assign(canvas.dataset, { size });
    const values = counts(height).map((i) => counts(width).map((j) => value(i - top, j - left)));
    const flat = values.flat(), low = Math.min(...flat), high = Math.max(...flat);
    const pen = canvas.getContext("2d");
    values.forEach((row, i) => row.forEach((one, j) => {
      const outside = one === null;
      pen.fillStyle = outside ? "#7a6a9a" : `hsl(0 0% ${100 * (one - low) / (high - low || 1)}%)`;
      pen.fillRect(j * size, i * size, size, size);
    }));
    pen.strokeStyle = "#e05000";
    pen.lineWidth = 2;
    for (const [i, j] of marked) pen.strokeRect((j + left) * size + 1, (i + top) * size + 1, size - 2, size - 2);
  }
  function fill(name, value) {
    control(name).tBodies[0].replaceChildren(...counts(k[0]).map((i) => {
      const row = document.createElement("tr");
      for (let j = 0; j < k[1]; j++) row.insertCell().textContent = value(i, j);
      return row;
    }));
  }
  function draw() {
    geometry();
    at = at.map((value, a) => Math.max(0, Math.min(out[a] - 1, value)));
    const [filter, channel] = [Number(control("filter").value), Number(control("channel").value)];
    const there = out[0] * out[1] > 0, [top, left] = [place.p[0][0], place.p[1][0]];
    const taps = there ? counts(k[0]).flatMap((i) => counts(k[1]).map((j) => tap(...at, i, j))) : [];
    paint(control("input"), n[0] + top + place.p[0][1], n[1] + left + place.p[1][1],
      (i, j) => (x[i]?.[j] ? x[i][j][channel] : null), taps, top, left);
    paint(control("output"), out[0], out[1], (i, j) => sum(i, j, filter, counts(C)), there ? [at] : [], 0, 0);
    const told = part.querySelector("output");
    if (!there) {
      for (const name of ["patch", "weights", "products"]) control(name).tBodies[0].replaceChildren();
      told.textContent = "no output: the kernel is larger than the padded input";
      return;
    }
    const value = (i, j) => read(...tap(...at, i, j), channel), weight = (i, j) => kernel[i][j][channel][filter];
    fill("patch", (i, j) => shown(value(i, j)));
    fill("weights", (i, j) => shown(weight(i, j)));
    fill("products", (i, j) => shown(value(i, j) * weight(i, j)));
    const whole = shown(sum(...at, filter, counts(C)));
    const sums = C === 1 ? `the products' sum is ${whole}`
      : `of channel ${channel + 1} the products' sum is ${shown(sum(...at, filter, [channel]))}, of all ${C} channels ${whole}`;
    told.textContent = `row ${at[0] + 1}, column ${at[1] + 1} of ${out[0]}x${out[1]}: ${sums}`;
  }
  for (const name of ["input", "output"]) {
    const canvas = control(name);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect(), size = Number(canvas.dataset.size) * box.width / canvas.width;
      const cell = [(event.clientY - box.top) / size, (event.clientX - box.left) / size].map(Math.floor);
      at = name === "output" ? cell
        : cell.map((value, a) => Math.round((value - place.d[a] * (k[a] - 1) / 2) / place.s[a]));
      draw();
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      at = at.map((value, a) => value + step[a]);
      draw();
    });
  }
  choices("filter", counts(kernel[0][0][0].length).map((f) => String(f + 1)), 0);
  choices("channel", counts(C).map((c) => String(c + 1)), 0);
  choices("stride", [own(strides[0] === strides[1] ? strides[0] : strides), "1", "2", "3", "4"], 0);
  choices("padding", [own(told), ...counts(Math.max(...k) + 1).map(String)], 0);
  choices("dilation", [own(dilation[0] === dilation[1] ? dilation[0] : dilation), "1", "2", "3"], 0);
  draw();
}
