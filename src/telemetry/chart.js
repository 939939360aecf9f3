"use strict";
/** Line charts as SVG: axes with ticks, a legend of the page, and a cursor that tells the values. */
const SVG = "http://www.w3.org/2000/svg";
const SPACE = { left: 56, right: 22, top: 8, bottom: 34 };

function shape(kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Three to six round values between two, both ends inside. */
function ticksBetween(low, high, wanted) {
  const span = high - low || 1, power = 10 ** Math.floor(Math.log10(span / wanted));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => span / n <= wanted);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

/** A number in as few digits as its neighbours on an axis allow. */
function digits(value, span) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  if (size < 1e-3) return value.toExponential(0).replace("e-", "e−");
  return String(+value.toFixed(Math.max(0, Math.ceil(-Math.log10(span || size)) + 1)));
}

/** Ends of a y axis around all values of the lines, or as the chart sets them. */
function ends(chart) {
  const values = chart.lines.flatMap((line) => line.points.map((point) => point[1])).filter(Number.isFinite);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (chart.log) return [10 ** Math.floor(Math.log10(low) + 1e-9), 10 ** Math.ceil(Math.log10(high) - 1e-9 + (low === high ? 1 : 0))];
  const room = 0.05 * (high - low || Math.abs(high) || 1);
  [low, high] = [low - room, high + room];
  return [chart.low ?? low, chart.high ?? high];
}

/** Draws a chart: { lines: [{ name, kind, points: [[x, y]] }], x: [low, high], low, high, log, marks, says }. */
function drawChart(svg, chart) {
  chart.lines = chart.lines.map((line) => ({
    ...line, points: line.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && (!chart.log || y > 0)),
  }));
  svg.chart = chart;
  const width = Math.max(svg.clientWidth, 200), height = Math.max(svg.clientHeight, 120);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const any = chart.lines.some((line) => line.points.length);
  svg.parentElement.hidden = !any;
  if (!any) return svg.replaceChildren();
  const [low, high] = ends(chart), [left, right] = chart.x;
  const scaled = (y) => (chart.log ? Math.log(y / low) / Math.log(high / low || 10) : (y - low) / (high - low || 1));
  const across = (x) => SPACE.left + (width - SPACE.left - SPACE.right) * (x - left) / (right - left || 1);
  const down = (y) => height - SPACE.bottom - (height - SPACE.top - SPACE.bottom) * Math.min(1, Math.max(0, scaled(y)));
  const parts = [];
  const powers = () => {
    const found = [];
    for (let value = low; value <= high * 1.0001; value *= 10) found.push(value);
    return found;
  };
  for (const value of chart.log ? powers() : ticksBetween(low, high, 5)) {
    parts.push(shape("line", { class: "grid", x1: SPACE.left, x2: width - SPACE.right, y1: down(value), y2: down(value) }));
    const text = chart.format ? chart.format(value) : digits(value, high - low);
    parts.push(shape("text", { class: "tick y", x: SPACE.left - 6, y: down(value) + 4 }, text));
  }
  for (const value of ticksBetween(left, right, width < 420 ? 4 : 8)) {
    parts.push(shape("line", { class: "grid", x1: across(value), x2: across(value), y1: height - SPACE.bottom, y2: height - SPACE.bottom + 4 }));
    parts.push(shape("text", { class: "tick x", x: across(value), y: height - SPACE.bottom + 16 }, digits(value, right - left)));
  }
  parts.push(shape("text", { class: "axis", x: (SPACE.left + width - SPACE.right) / 2, y: height - 3 }, chart.across));
  for (const mark of chart.marks || []) {
    parts.push(shape("line", { class: "mark", x1: across(mark), x2: across(mark), y1: SPACE.top, y2: height - SPACE.bottom }));
  }
  for (const { kind, points } of chart.lines) {
    const corners = points.map(([x, y]) => `${across(x).toFixed(1)} ${down(y).toFixed(1)}`);
    // A single point is a line of no length, which round ends make a dot.
    if (corners.length) parts.push(shape("path", { class: kind, d: `M${corners.join("L")}${corners.length === 1 ? "h0" : ""}` }));
  }
  const cursor = shape("line", { class: "cursor", x1: 0, x2: 0, y1: SPACE.top, y2: height - SPACE.bottom, visibility: "hidden" });
  svg.replaceChildren(...parts, cursor);
  svg.setAttribute("aria-label", chart.says);
  svg.place = { across, back: (pixel) => left + (right - left) * (pixel - SPACE.left) / (width - SPACE.left - SPACE.right), cursor };
  if (svg.at !== undefined) tellValues(svg, svg.at);
}

/** Puts the cursor at the point nearest to `x`, and its values into the line below the chart. */
function tellValues(svg, x) {
  const longest = svg.chart.lines.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
  if (!longest.length) return;
  const nearest = (points) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
  svg.at = nearest(longest)[0];
  const place = svg.place.across(svg.at);
  svg.place.cursor.setAttribute("x1", place);
  svg.place.cursor.setAttribute("x2", place);
  svg.place.cursor.setAttribute("visibility", "visible");
  const [first, last] = svg.chart.x, near = 0.03 * (last - first);
  const told = svg.chart.lines.filter((line) => line.points.length && line.name).flatMap((line) => {
    const [at, value] = nearest(line.points);
    // A line of few points, such as that of the validations, is told where it has one.
    if (Math.abs(at - svg.at) > near) return [];
    return `${line.name} ${svg.chart.format ? svg.chart.format(value) : +value.toPrecision(4)}`;
  });
  svg.nextElementSibling.textContent = `${svg.chart.across} ${svg.at}: ${told.join(", ")}`;
}

function forgetValues(svg) {
  svg.at = undefined;
  if (svg.place) svg.place.cursor.setAttribute("visibility", "hidden");
  svg.nextElementSibling.textContent = "";
}

/** Lets a mouse, a finger and the arrow keys read a chart. */
function makeReadable(svg) {
  svg.addEventListener("pointermove", (event) => {
    if (svg.place) tellValues(svg, svg.place.back(event.clientX - svg.getBoundingClientRect().left));
  });
  svg.addEventListener("pointerleave", () => forgetValues(svg));
  svg.addEventListener("blur", () => forgetValues(svg));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || !svg.place) return;
    event.preventDefault();
    const points = svg.chart.lines.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    const now = svg.at === undefined ? points.length : points.findIndex((point) => point[0] >= svg.at);
    tellValues(svg, points[Math.min(points.length - 1, Math.max(0, now + step))][0]);
  });
}

/** Exponential mean whose weight reaches over a fiftieth of the points, without a bias at its start. */
function smoothed(points) {
  const keep = 1 - 1 / Math.max(1, points.length / 50);
  let sum = 0, weight = 0;
  return points.filter(([, y]) => Number.isFinite(y)).map(([x, y]) => {
    sum = keep * sum + (1 - keep) * y;
    weight = keep * weight + (1 - keep);
    return [x, sum / weight];
  });
}
