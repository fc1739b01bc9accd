"use strict";
// The page's controls, grid and figures, from one JSON block. Text goes into the page as text, never as markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#0b6e99", "#b3541e", "#4d7c0f", "#7c3aed", "#be185d", "#57534e", "#0f766e", "#a16207", "#1d4ed8", "#9f1239"];
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 2"]; // so that colour isn't all that tells lines apart
const $ = (id) => document.getElementById(id);
const state = { sort: "", down: true, cell: null };

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
function shape(tag, attributes = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}
const fixed = (v, digits = 1) => { const s = v.toFixed(digits); return Number(s) === 0 ? s.replace("-", "") : s; };
const signed = (v) => { const s = fixed(v); return Number(s) > 0 ? "+" + s : s; };
const thousands = (v) => v.toLocaleString("en");
const task = () => DATA.tasks[$("task").value];
const reference = () => $("reference").value;
const label = (code) => (DATA.languages[code] ? `${DATA.languages[code].name} (${code})` : code);

// a difference of two methods, [value, low, high, p, resampled, targets]; pairs are kept once
function gain(t, method, base, target) {
  const direct = t.differences[method]?.[base]?.[target];
  if (direct) return direct;
  const turned = t.differences[base]?.[method]?.[target];
  return turned ? [-turned[0], -turned[2], -turned[1], turned[3], turned[4], turned[5]] : null;
}

// ------------------------------------------------------------------------------------------------ grid

function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function shade(share) {
  const end = share < 0 ? [178, 84, 30] : [11, 110, 153], part = Math.min(1, Math.abs(share));
  return [247, 247, 245].map((m, i) => Math.round(m + (end[i] - m) * part));
}
const ink = (rgb) => (luminance(rgb) + 0.05) / 0.05 >= 1.05 / (luminance(rgb) + 0.05) ? "#000" : "#fff";

function chosen(t) {
  const word = $("filter").value.trim().toLowerCase(), group = $("group").value;
  const seen = (row) => row.mean ? !word && (!group || [`mean of ${group}`, `mean of common ${group}`].includes(row.target)) : (!group || (DATA.languages[row.target]?.labels ?? []).includes(group))
    && (!word || `${label(row.target)} ${(DATA.languages[row.target]?.labels ?? []).join(" ")}`.toLowerCase().includes(word));
  return t.rows.filter(seen);
}
function shown(t, row, method) {
  const cell = row.cells[method];
  if (!cell) return null;
  if ($("show").value === "score") return cell;
  return method === reference() ? null : gain(t, method, reference(), row.target);
}
function sorted(t, rows) {
  const key = state.sort;
  if (!key) return rows;
  const of = (row) => key === "target" ? label(row.target).toLowerCase() : key === "n" ? row.n : shown(t, row, key)?.[0];
  const order = (a, b) => {
    if (a.mean !== b.mean) return a.mean ? 1 : -1;
    const [x, y] = [of(a), of(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return (x < y ? -1 : x > y ? 1 : 0) * (state.down ? -1 : 1);
  };
  return [...rows].sort(order);
}
function header(key, text) {
  const arrow = state.sort !== key ? "" : state.down ? " ↓" : " ↑";
  const turn = () => { state.down = state.sort === key ? !state.down : key !== "target"; state.sort = key; grid(); $("sort-" + key).focus(); };
  const sort = state.sort !== key ? "none" : state.down ? "descending" : "ascending";
  return el("th", { scope: "col", "aria-sort": sort }, el("button", { type: "button", id: "sort-" + key, onclick: turn }, text + arrow));
}
function cell(t, row, method, most) {
  const value = shown(t, row, method);
  if (!value) {
    const failed = t.failed[method]?.[row.target];
    const why = method === reference() && row.cells[method] ? "reference" : row.mean ? "–" : failed ? "failed" : "not run";
    return el("td", { class: "none", title: failed ?? "" }, why);
  }
  const gains = $("show").value === "gain", values = t.methods.map((m) => row.cells[m]?.[0]).filter((v) => v !== undefined);
  const apart = gains ? value[0] : value[0] - values.reduce((a, b) => a + b, 0) / values.length;
  const rgb = shade(apart / most), few = !row.mean && row.cells[method][4] < t.seeds ? ` ${row.cells[method][4]}/${t.seeds} seeds` : "";
  const number = gains ? signed(value[0]) + (value[3] < 0.05 ? "*" : "") : fixed(value[0]);
  const range = gains ? `${signed(value[1])} to ${signed(value[2])}` : `${fixed(value[1])} to ${fixed(value[2])}`;
  const inner = [el("b", {}, number), " ", el("span", {}, range + few)]; // a screen reader reads them in one go
  const about = `${label(row.target)}, ${method}: ${number}, 95 % interval ${range}${few}`;
  const node = el("td", {}, row.mean ? el("div", { title: about }, ...inner)
    : el("button", { type: "button", title: about + "; show errors", onclick: () => errors(row.target, method) }, ...inner));
  node.style.background = `rgb(${rgb})`;
  node.style.color = ink(rgb);
  return node;
}
function grid() {
  const t = task(), rows = sorted(t, chosen(t)), gains = $("show").value === "gain";
  let most = 0;
  for (const row of t.rows) {
    const values = t.methods.map((m) => shown(t, row, m)?.[0]).filter((v) => v !== undefined);
    const mean = gains ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
    for (const value of values) most = Math.max(most, Math.abs(value - mean));
  }
  const head = el("tr", {}, header("target", "target"), header("n", "sentences"), ...t.methods.map((m) => header(m, m)));
  const body = rows.map((row) => el("tr", row.mean ? { class: "mean" } : {},
    el("th", { scope: "row" }, row.mean ? `${row.target} (${row.targets})` : label(row.target) + (row.source ? ", the source" : "")),
    el("td", {}, thousands(row.n)), ...t.methods.map((m) => cell(t, row, m, most || 1))));
  $("grid").replaceChildren(el("caption", {}, gains ? `Gain over ${reference()}, in points` : `${t.metric}, percent`), el("thead", {}, head), el("tbody", {}, ...body));
  const unit = gains ? `${t.metric}, percentage points above or below ${reference()}; * p < 0.05 (Holm)` : `${t.metric}, percent`;
  $("about-grid").textContent = `${rows.filter((r) => !r.mean && !r.source).length} of ${t.rows.filter((r) => !r.mean && !r.source).length} targets. ${unit}. ` +
    `Colour: up to ${fixed(most)} points ${gains ? "above or below the reference" : "above (blue) or below (brown) the row's mean"}.`;
}
function errors(target, method) {
  state.cell = [target, method];
  const t = task(), found = t.errors[method]?.[target], row = t.rows.find((r) => r.target === target), c = row.cells[method];
  const parts = [el("h2", { tabindex: "-1", id: "errors-head" }, `${label(target)}, ${method}`),
    el("p", {}, `${t.metric} ${fixed(c[0])}; 95 % interval of the test set (${thousands(row.n)} sentences) ${fixed(c[1])} to ${fixed(c[2])}; ` +
      `${c[4]} of ${t.seeds} seeds${c[3] === null ? "" : `, standard deviation over seeds ${fixed(c[3])}`}.`)];
  const list = (caption, names, lines) => el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...names.map((n) => el("th", { scope: "col" }, n)))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, ...line.map((v) => el("td", {}, String(v)))))));
  if (found?.confusions.length) parts.push(list("Labels most often taken for another, all seeds together", ["gold", "predicted", "times"], found.confusions));
  if (found?.hardest.length) parts.push(list(`Worst sentences, by id in predictions/ (mean ${t.metric} over seeds)`, ["id", t.metric],
    found.hardest.map(([id, value]) => [id, fixed(value)])));
  if (!found) parts.push(el("p", {}, "No errors were kept of it."));
  $("errors").replaceChildren(...parts);
  $("errors").hidden = false;
  $("errors-head").focus();
}

// ------------------------------------------------------------------------------------------------ figures

const figures = {};
function frame(id, title, width, height, xs, ys, xname, yname, xform = (v) => v, xticks = null) {
  const box = { left: 62, right: 16, top: 14, bottom: 44 };
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, "font-family": "system-ui, sans-serif", "font-size": 12 });
  const range = (values) => { const low = Math.min(...values), high = Math.max(...values), pad = (high - low || 1) * 0.05; return [low - pad, high + pad]; };
  const [x0, x1] = range(xs.map(xform)), [y0, y1] = range(ys);
  const x = (v) => box.left + (width - box.left - box.right) * (xform(v) - x0) / (x1 - x0);
  const y = (v) => height - box.bottom - (height - box.top - box.bottom) * (v - y0) / (y1 - y0);
  const ticks = (a, b) => { const step = 10 ** Math.floor(Math.log10((b - a) / 3)), unit = [1, 2, 5, 10].map((k) => k * step).find((s) => (b - a) / s <= 6);
    return Array.from({ length: Math.floor(b / unit) - Math.ceil(a / unit) + 1 }, (_, i) => (Math.ceil(a / unit) + i) * unit); };
  for (const v of ticks(y0, y1)) {
    svg.append(shape("path", { d: `M${box.left} ${y(v)}H${width - box.right}`, class: v === 0 ? "zero" : "rule" }),
      shape("text", { x: box.left - 6, y: y(v) + 4, "text-anchor": "end" }, String(Number(v.toPrecision(6)))));
  }
  for (const v of xticks ?? ticks(x0, x1)) svg.append(shape("text", { x: x(v), y: height - box.bottom + 16, "text-anchor": "middle" }, thousands(Number(v.toPrecision(6)))));
  svg.append(shape("text", { x: (box.left + width) / 2, y: height - 8, "text-anchor": "middle" }, xname),
    shape("text", { x: 14, y: height / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${height / 2})` }, yname));
  return { svg, x, y };
}
function put(id, svg, names, rows) {
  figures[id] = { svg, names, rows };
  $(id).replaceChildren(svg ?? el("p", { class: "none" }, "Nothing to show for this choice."));
  // what nothing has is not there: neither the figure nor its heading
  const figure = $(id).closest("figure"), never = id === "against" ? !figures.gains.svg : !svg && !figures[id + "-ever"];
  if (svg) figures[id + "-ever"] = true;
  figure.hidden = never;
  if (figure.previousElementSibling?.tagName === "H2") figure.previousElementSibling.hidden = never;
  for (const button of document.querySelectorAll(`[data-of="${id}"]`)) button.disabled = !svg;
}
function legend(id, methods) {
  $(id + "-legend").replaceChildren(...methods.map((m) => { const i = task().methods.indexOf(m), key = el("i"); key.style.background = COLOURS[i % COLOURS.length]; return el("li", {}, key, m); }));
}
const colour = (m) => COLOURS[task().methods.indexOf(m) % COLOURS.length];
const dash = (m) => DASHES[Math.floor(task().methods.indexOf(m) / 2) % DASHES.length];
function dot(fig, x, y, m, text) {
  const node = shape("circle", { cx: fig.x(x), cy: fig.y(y), r: 4, fill: colour(m) });
  node.append(shape("title", {}, text));
  fig.svg.append(node);
}

function drawGains() {
  const t = task(), base = reference(), methods = t.methods.filter((m) => m !== base), lines = [];
  for (const row of chosen(t)) for (const m of methods) { const g = gain(t, m, base, row.target); if (g && !row.source && !(row.mean && g[5] < 2)) lines.push([row.target, m, ...g]); }
  const means = new Set(t.rows.filter((r) => r.mean).map((r) => r.target)), counts = new Map();
  for (const [target, , , , , , , count] of lines) counts.set(target, [...new Set([...(counts.get(target) ?? []), count])].sort((a, b) => a - b));
  legend("gains", methods);
  if (!lines.length) return put("gains", null);
  const targets = [...new Set(lines.map((l) => l[0]))], step = 8 + 9 * methods.length, left = 270, width = 820, top = 10, height = top + targets.length * step + 40;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Gain over ${base}, with 95 % intervals`, "font-family": "system-ui, sans-serif", "font-size": 12 });
  const low = Math.min(0, ...lines.map((l) => l[3])), high = Math.max(0, ...lines.map((l) => l[4])), x = (v) => left + (width - left - 30) * (v - low) / (high - low || 1);
  svg.append(shape("path", { d: `M${x(0)} ${top}V${height - 36}`, class: "zero" }));
  targets.forEach((target, j) => svg.append(shape("text", { x: left - 10, y: top + step * (j + 0.5) + 4, "text-anchor": "end" }, means.has(target) ? `${target} (${counts.get(target).join(" or ")})` : label(target))));
  for (const [target, m, v, lo, hi, , , count] of lines) {
    const y = top + step * targets.indexOf(target) + 8 + 9 * methods.indexOf(m);
    const node = shape("circle", { cx: x(v), cy: y, r: 3.5, fill: colour(m) });
    node.append(shape("title", {}, `${label(target)}, ${m}: ${signed(v)} (${signed(lo)} to ${signed(hi)})${means.has(target) ? `, ${count} targets` : ""}`));
    svg.append(shape("path", { d: `M${x(lo)} ${y}H${x(hi)}`, stroke: colour(m), "stroke-width": 1.6 }), node);
  }
  const unit = [1, 2, 5, 10, 20, 50].find((u) => (high - low) / u <= 8) ?? 100;
  for (let v = Math.ceil(low / unit) * unit; v <= high; v += unit) {
    if (v) svg.prepend(shape("path", { d: `M${x(v)} ${top}V${height - 36}`, class: "rule" }));
    svg.append(shape("text", { x: x(v), y: height - 20, "text-anchor": "middle" }, signed(v)));
  }
  svg.append(shape("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, `points above or below ${base}`));
  put("gains", svg, ["target", "method", "gain", "ci_low", "ci_high", "p_holm", "resampled", "targets"], lines);
}
function drawAgainst() {
  const t = task(), base = reference(), key = $("axis").value, log = key === "tokens", lines = [];
  const methods = t.methods.filter((m) => m !== base);
  for (const row of chosen(t)) for (const m of methods) {
    const at = DATA.languages[row.target]?.[key], g = gain(t, m, base, row.target);
    if (g && !row.source && at !== null && at !== undefined && (!log || at > 0)) lines.push([row.target, m, at, g[0], g[1], g[2]]);
  }
  legend("against", methods);
  if (!lines.length) return put("against", null);
  const xs = lines.map((l) => l[2]), powers = log ? Array.from({ length: 12 }, (_, i) => 10 ** i).filter((v) => v >= Math.min(...xs) / 2 && v <= Math.max(...xs) * 2) : null;
  const fig = frame("against", "Gain against what a language has", 640, 340, xs, [0, ...lines.flatMap((l) => [l[4], l[5]])],
    $("axis").selectedOptions[0].textContent, `points over ${base}`, log ? Math.log10 : undefined, powers);
  for (const [target, m, at, v, lo, hi] of lines) {
    fig.svg.append(shape("path", { d: `M${fig.x(at)} ${fig.y(lo)}V${fig.y(hi)}`, stroke: colour(m), opacity: 0.5 }));
    dot(fig, at, v, m, `${label(target)}, ${m}: ${signed(v)} at ${thousands(at)}`);
  }
  put("against", fig.svg, ["target", "method", key, "gain", "ci_low", "ci_high"], lines);
}
function drawLines(id, title, lines, xname, yname, band) {
  const names = [...new Set(lines.map((l) => l[0]))], place = (name, i) => (id === "profile" ? task().methods.indexOf(name) : i);
  if (!lines.length) return put(id, null);
  const fig = frame(id, title, 640, 340, lines.map((l) => l[1]), lines.flatMap((l) => l.slice(2)), xname, yname);
  names.forEach((name, j) => {
    const i = place(name, j), own = lines.filter((l) => l[0] === name), stroke = COLOURS[i % COLOURS.length];
    const at = (k) => own.map((l) => `${fig.x(l[1])} ${fig.y(l[k])}`);
    if (band) fig.svg.append(shape("path", { d: `M${at(4).join("L")}L${at(3).reverse().join("L")}Z`, fill: stroke, opacity: 0.15 }));
    const line = shape("path", { d: `M${at(2).join("L")}`, stroke, fill: "none", "stroke-width": 2, "stroke-dasharray": DASHES[Math.floor(i / 2) % DASHES.length] });
    line.append(shape("title", {}, name));
    fig.svg.append(line);
  });
  $(id + "-legend").replaceChildren(...names.map((n, i) => { const key = el("i"); key.style.background = COLOURS[place(n, i) % COLOURS.length]; return el("li", {}, key, n); }));
  put(id, fig.svg, [id === "profile" ? "method" : "step", xname, yname, ...(band ? ["ci_low", "ci_high"] : [])], lines);
}
function drawCosts() {
  const t = task(), key = $("cost").value, lines = DATA.costs.filter((c) => c.task === t.name && c[key] > 0 && c.value !== null).map((c) => [c.method, c[key], c.value]);
  if (!lines.length) return put("costs", null);
  // on the frontier: nothing costs as little and scores more
  const best = lines.filter((a) => !lines.some((b) => b !== a && b[1] <= a[1] && b[2] >= a[2] && (b[1] < a[1] || b[2] > a[2])));
  const fig = frame("costs", "Cost and quality", 640, 340, lines.map((l) => l[1]), lines.map((l) => l[2]), $("cost").selectedOptions[0].textContent, `${t.metric}, mean of common targets`);
  const edge = [...best].sort((a, b) => a[1] - b[1]);
  fig.svg.append(shape("path", { d: "M" + edge.map((l) => `${fig.x(l[1])} ${fig.y(l[2])}`).join("L"), class: "zero", fill: "none", "stroke-dasharray": "4 3" }));
  for (const [m, at, v] of lines) {
    dot(fig, at, v, m, `${m}: ${fixed(v)} at ${thousands(at)}`);
    fig.svg.append(shape("text", { x: fig.x(at) + (fig.x(at) > 480 ? -8 : 8), y: fig.y(v) - 6, "text-anchor": fig.x(at) > 480 ? "end" : "start" }, m));
  }
  put("costs", fig.svg, ["method", key, "score"], lines);
}
function drawCurves() {
  const kind = $("curve").value;
  drawLines("curves", "Training curves", DATA.curves.filter((c) => c.name.startsWith(kind)).flatMap((c) => c.points.map((p) => [c.label, ...p])), "step", "training loss", false);
}

// ------------------------------------------------------------------------------------------------ files

function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
// a spreadsheet must not compute what a name begins with
const field = (v) => { const s = String(v ?? ""), safe = typeof v === "string" && /^'*[=+\-@\t\r]/.test(s) ? "'" + s : s; return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe; };
function download(id, what) {
  const { svg, names, rows } = figures[id], name = `${DATA.name}-${task().name}-${id}`;
  if (what === "csv") return save(name + ".csv", "text/csv", [names, ...rows].map((r) => r.map(field).join(",")).join("\n") + "\n");
  const copy = svg.cloneNode(true), style = shape("style", {}, "svg{background:#fff}text{fill:#222}.rule{stroke:#ddd}.zero{stroke:#777}");
  copy.prepend(style);
  return save(name + ".svg", "image/svg+xml", new XMLSerializer().serializeToString(copy));
}

function options(select, values, names = values) {
  const before = select.value;
  select.replaceChildren(...values.map((v, i) => el("option", { value: v }, names[i])));
  if (values.map(String).includes(before)) select.value = before;
}
function groupsOf(t) { // and how many targets each has: not one, not all, and no two the same
  const targets = t.rows.filter((r) => !r.mean && !r.source).map((r) => r.target), members = new Map(), known = new Set();
  for (const target of targets) for (const name of DATA.languages[target]?.labels ?? []) members.set(name, [...(members.get(name) ?? []), target]);
  const averaged = new Set(t.rows.filter((r) => r.mean).map((r) => r.target)), first = (name) => !averaged.has(`mean of ${name}`);
  const names = [...members.keys()].sort((a, b) => first(a) - first(b)).filter((name) => {
    const own = members.get(name), same = known.has(own.join());
    return own.length > 1 && own.length < targets.length && !same && known.add(own.join());
  });
  names.sort((a, b) => /seen$/.test(b) - /seen$/.test(a) || (a < b ? -1 : 1));
  return new Map(names.map((name) => [name, members.get(name).length]));
}
function draw() { grid(); drawGains(); drawAgainst(); }
function all() {
  const t = task();
  options($("reference"), t.methods);
  $("reference").value = t.methods.includes(state.reference) ? state.reference : t.reference;
  const groups = groupsOf(t);
  options($("group"), ["", ...groups.keys()], ["all", ...[...groups].map(([name, count]) => `${name} (${count})`)]);
  $("errors").hidden = true;
  draw();
  drawLines("profile", "Performance profile", t.profile, `${t.metric}, above`, "share of targets and seeds", true);
  drawCosts();
  for (const section of document.querySelectorAll("[data-task]")) section.hidden = section.dataset.task !== t.name;
}
function begin() {
  options($("task"), DATA.tasks.map((_, i) => i), DATA.tasks.map((t) => t.name));
  $("task").addEventListener("change", all);
  $("reference").addEventListener("change", () => { state.reference = reference(); draw(); });
  for (const id of ["group", "show"]) $(id).addEventListener("change", draw);
  $("filter").addEventListener("input", draw);
  $("axis").addEventListener("change", drawAgainst);
  $("cost").addEventListener("change", drawCosts);
  $("curve").addEventListener("change", drawCurves);
  for (const button of document.querySelectorAll("[data-of]")) button.addEventListener("click", () => download(button.dataset.of, button.dataset.as));
  all();
  drawCurves();
}
if (DATA.tasks.length) begin(); // without a score there is nothing to control
document.documentElement.dataset.ready = "yes";
