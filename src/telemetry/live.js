"use strict";
const PERIOD = 2000, HISTORY_PERIOD = 5000, OF_BRATS = ["ET", "TC", "WT"];
const $ = (id) => document.getElementById(id);
let before = null, paused = false, regions = [], past = null, askedAt = -Infinity;

/** Prometheus' text as a list of {name, labels, value}. */
function parse(text) {
  const series = [];
  for (const line of text.split("\n")) {
    const found = /^([a-zA-Z_:]\w*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, key, value] of (found[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = value.replace(/\\n/g, "\n").replace(/\\(["\\])/g, "$1");
    }
    series.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return series;
}

function one(series, name, labels = {}) {
  const fits = (s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v);
  const found = series.find(fits);
  return found ? found.value : undefined;
}

function sum(series, name, labels = {}) {
  const fits = (s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v);
  return series.filter(fits).reduce((total, s) => total + s.value, 0);
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.round(seconds);
  const [d, h, m] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (d) return `${d} d ${h} h`;
  return h ? `${h} h ${m} min` : m ? `${m} min ${whole % 60} s` : `${Math.min(seconds, 59.9).toFixed(1)} s`;
}

function tile(name, value, note = "") {
  const box = document.createElement("div");
  box.className = "tile";
  box.append(name, Object.assign(document.createElement("b"), { textContent: value }));
  box.append(Object.assign(document.createElement("span"), { className: "soft", textContent: note }));
  return box;
}

function show(now, topology, at) {
  const rate = (name, labels) => {
    if (!before) return undefined;
    return (sum(now, name, labels) - sum(before.series, name, labels)) / ((at - before.at) / 1000);
  };
  const figure = (value, digits) => (value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits));
  const percent = (value) => (value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
  const run = now.find((s) => s.labels.run);
  if (run) { $("run").textContent = run.labels.run; document.title = `${run.labels.run} · gliaflow`; }
  const state = now.find((s) => s.name === "train_run_state" && s.value === 1);
  $("state").textContent = state ? state.labels.state : "running";
  const info = now.find((s) => s.name === "train_run_info");
  $("model").textContent = info ? `${info.labels.model} on ${info.labels.device}, version ${info.labels.version}` : "";
  // A topology that has ended stays on show as long as the run does: nobody in it works or waits.
  const alive = (topology || []).filter((one) => one.actors.some((a) => a.busy_now + a.starved_now + a.blocked_now > 0));
  const verdicts = alive.map((one) => one.verdict && one.verdict.sentence).filter(Boolean);
  $("verdict").textContent = verdicts.join(" · ");

  showRegions(regionsOf(now));
  const loss = one(now, "train_loss", { split: "train", part: "total" });
  const step = one(now, "train_step"), left = one(now, "train_eta_seconds");
  const begun = past && past.run, planned = begun && begun.planned_steps, best = begun && begun.best;
  const blocked = begun ? begun.checkpoint_seconds + begun.validation_seconds : 0;
  const tiles = $("tiles");
  tiles.replaceChildren(
    tile("Step", planned ? `${count(step)} of ${count(planned)}` : count(step),
      `epoch ${figure(one(now, "train_epoch"), 0)} of ${figure(one(now, "train_epochs_planned"), 0)}`),
    tile("Ends", Number.isFinite(left) && left > 0 ? clock(Date.now() / 1000 + left) : "–",
      Number.isFinite(left) && left > 0 ? `in ${duration(left)}` : ""),
    tile("Best Dice", best ? best.mean_dice.toFixed(4) : "–",
      best ? `epoch ${best.epoch}, ${clock(best.time)}` : "not validated yet"),
    tile("Loss", figure(loss, 4), `learning rate ${(one(now, "train_learning_rate") ?? NaN).toExponential(2)}`),
    ...regions.map((region) => {
      const dice = now.find((s) => s.name === "train_dice_ratio" && s.labels.region === region);
      return tile(`Dice ${region}`, figure(dice && dice.value, 4), dice ? "last validation" : "not validated yet");
    }),
    tile("Trainer starved", percent(rate("train_starved_seconds_total")), "of the last interval"),
    tile("Throughput", figure(rate("loader_samples_total", { outcome: "delivered" }), 2), "samples/s"),
    tile("Blocked", begun ? duration(blocked) : "–",
      begun ? `checkpoints ${duration(begun.checkpoint_seconds)}, validations ${duration(begun.validation_seconds)}` : ""),
    tile("Skipped", figure(sum(now, "loader_samples_total", { outcome: "skipped" }), 0), "samples"),
    tile("Memory", figure((one(now, "process_anonymous_memory_bytes") ?? NaN) / 2 ** 20, 0), "MiB, files apart"),
  );
  stages(alive);
}

function count(value) {
  return Number.isFinite(value) ? value.toLocaleString("en") : "–";
}

/** A time of day, with its date where that is not today. */
function clock(seconds) {
  const at = new Date(seconds * 1000), time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString([], { weekday: "short", day: "numeric", month: "short" })} ${time}`;
}

/** The curves of the run since its first step. */
function drawHistory() {
  const run = past && past.run, steps = run && run.steps;
  const any = Boolean(steps && steps.step.length);
  for (const id of ["loss", "dice", "rate", "waiting"]) if (!any) $(id).parentElement.hidden = true;
  if (!any) return;
  const column = (values) => steps.step.map((step, i) => [step, values[i] ?? NaN]);
  const last = steps.step[steps.step.length - 1];
  const x = [0, last], across = "step", marks = run.resumed_at;
  const raw = column(steps.loss), means = smoothed(raw);
  const told = (value) => +value.toPrecision(4);
  const ofSpan = steps.span > 1 ? `, each point the mean of ${steps.span} steps` : "";
  drawChart($("loss"), {
    x, across, marks,
    lines: [
      { name: "raw", kind: "raw", points: raw }, { name: "smoothed", kind: "smooth", points: means },
      { name: "validation", kind: "held", points: run.validations.map((at) => [at.step, at.loss ?? NaN]) },
    ],
    says: `training loss: first ${told(raw[0][1])} at step ${raw[0][0]}, last ${told(raw[raw.length - 1][1])} at step ${last}${ofSpan}`,
  });
  const validated = (region) => run.validations.map((at) => [at.step, at.dice[region] ?? NaN]);
  const soft = regions.map((region) => ({
    name: "", kind: `${colourOf(region)} train`, points: smoothed(column(steps.soft_dice[region] || [])),
  }));
  const held = regions.map((region) => ({ name: region, kind: colourOf(region), points: validated(region) }));
  const shown = held.some((line) => line.points.length) ? held : soft.map((line, i) => ({ ...line, name: regions[i] }));
  drawChart($("dice"), {
    x, across, marks, low: 0, high: 1, lines: shown === held ? [...soft, ...held] : shown,
    says: `Dice by region: ${run.validations.length} validations` + shown.filter((line) => line.points.length)
      .map((line) => `, ${line.name} last ${told(line.points[line.points.length - 1][1])}`).join(""),
  });
  drawChart($("rate"), {
    x, across, marks, log: true, format: (value) => value.toExponential(1).replace(".0e", "e").replace("e-", "e−"),
    lines: [{ name: "learning rate", kind: "smooth", points: column(steps.learning_rate) }],
    says: `learning rate: last ${steps.learning_rate[steps.step.length - 1]} at step ${last}`,
  });
  // GPUs are read by the clock, and since this process began: their points take the step of their time.
  const gpus = past.gpus.map((gpu, index) => ({
    name: `GPU ${gpu.gpu}`, kind: `r${index % 8 + 1}`, points: gpu.time.map((time, i) => [stepAt(steps, time), gpu.utilization[i]]),
  }));
  $("gpu-key").replaceChildren(...gpus.map((gpu) => {
    const key = Object.assign(document.createElement("span"), { className: "soft key" });
    key.append(Object.assign(document.createElement("i"), { className: gpu.kind }), `${gpu.name} in use`);
    return key;
  }));
  const waits = smoothed(column(steps.waiting));
  drawChart($("waiting"), {
    x, across, marks, low: 0, high: 1, format: (value) => `${+(100 * value).toFixed(1)} %`,
    lines: [...gpus, { name: "trainer waits", kind: "waits", points: waits }],
    says: `share of the time that the trainer waits: last ${(100 * (waits.length ? waits[waits.length - 1][1] : 0)).toFixed(1)} %`,
  });
}

/** Step that the run was at, at a time; none ahead of its first. */
function stepAt(steps, time) {
  let [low, high] = [0, steps.time.length - 1];
  if (time < steps.time[0]) return NaN;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (steps.time[middle] <= time) low = middle; else high = middle - 1;
  }
  return steps.step[low];
}

/** Asks for the history now and then: it is larger than the rest, and changes less. */
async function askHistory() {
  if (performance.now() - askedAt < HISTORY_PERIOD) return;
  const answer = await fetch("/history");
  if (!answer.ok) return;
  past = await answer.json();
  // A run of few points is drawn as often as it changes.
  const points = past.run && past.run.steps ? past.run.steps.step.length : 0;
  if (points > 200) askedAt = performance.now();
}

/** Names of the run's regions, as its metrics have them; those of BraTS before there are any. */
function regionsOf(series) {
  const named = series.filter((s) => ["train_soft_dice_ratio", "train_dice_ratio"].includes(s.name));
  const steps = past && past.run ? past.run.steps.soft_dice : {};
  const names = [...new Set([...named.map((s) => s.labels.region), ...Object.keys(steps)])].sort();
  return names.length ? names : OF_BRATS;
}

/** Class of a region's colour: ET, TC and WT have their own, the others follow by name. */
function colourOf(region) {
  if (OF_BRATS.includes(region)) return region.toLowerCase();
  return `r${regions.filter((name) => !OF_BRATS.includes(name)).indexOf(region) + 1}`;
}

/** Makes the legend of the regions, where it is not the one that is there. */
function showRegions(names) {
  if (names.join() === regions.join()) return;
  regions = names;
  $("dice-key").replaceChildren(...regions.map((region) => {
    const key = Object.assign(document.createElement("span"), { className: "soft key" });
    key.append(Object.assign(document.createElement("i"), { className: colourOf(region) }), region);
    return key;
  }));
}

/** The actors of a topology, and its consumer by the name that people have for it. */
function line({ topology, actors, feed }) {
  return [...actors, { ...feed, name: topology === "train" ? "trainer" : "consumer" }];
}

function stages(topologies) {
  const rows = [];
  for (const one of topologies) {
    const { topology } = one;
    for (const actor of line(one)) {
      const key = `${topology} ${actor.name}`, old = (before && before.actors[key]) || {};
      const spent = (clock) => actor[clock] - (old[clock] || 0);
      const all = spent("worker_seconds") || 1;
      const row = document.createElement("tr");
      row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: actor.name }));
      const bar = document.createElement("td"), stack = document.createElement("div");
      bar.className = "bar"; stack.className = "stack"; stack.setAttribute("role", "img");
      const parts = ["busy", "starved", "blocked"].map((kind) => [kind, Math.max(0, spent(`${kind}_seconds`) / all)]);
      stack.setAttribute("aria-label", parts.map(([kind, part]) => `${kind} ${(100 * part).toFixed(0)} %`).join(", "));
      for (const [kind, part] of parts) {
        // Waiting for input is healthy, but not the trainer's.
        const colour = kind === "starved" && actor.name !== "trainer" ? "input" : kind;
        stack.append(Object.assign(document.createElement("i"), { className: colour, style: `width:${100 * part}%` }));
      }
      bar.append(stack);
      row.append(bar);
      const queue = actor.queue_capacity ? `${actor.queue_depth}/${actor.queue_capacity}` : "–";
      for (const text of [actor.workers, queue]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
      row.append(Object.assign(document.createElement("td"), { className: "wide", textContent: actor.items }));
      rows.push(row);
    }
  }
  $("stages").replaceChildren(...rows);
}

async function look() {
  try {
    const [metrics, topology, health] = await Promise.all(["/metrics", "/topology", "/healthz"].map((path) => fetch(path)));
    const series = parse(await metrics.text());
    const shown = topology.ok ? await topology.json() : [];
    await askHistory();
    const at = performance.now();
    show(series, shown, at);
    drawHistory();
    $("health").textContent = health.status === 503 ? (await health.text()).trim() : "";
    $("health").hidden = health.status !== 503;
    const actors = {};
    for (const one of shown || []) for (const actor of line(one)) actors[`${one.topology} ${actor.name}`] = actor;
    before = { series, at, actors };
    $("age").textContent = `updated ${new Date().toLocaleTimeString()}`;
    $("age").classList.remove("bad");
  } catch (error) {
    $("age").textContent = "no answer: the run has ended, or its machine cannot be reached";
    $("age").classList.add("bad");
  }
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
});
for (const id of ["loss", "dice", "rate", "waiting"]) makeReadable($(id));
addEventListener("resize", drawHistory);
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) look(); });
look();
setInterval(() => { if (!paused && !document.hidden) look(); }, PERIOD);
