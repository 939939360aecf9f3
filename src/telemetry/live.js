"use strict";
const PERIOD = 2000, KEPT = 600, OF_BRATS = ["ET", "TC", "WT"];
const $ = (id) => document.getElementById(id);
let before = null, paused = false, losses = [], regions = [];

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
  const step = one(now, "train_step");
  const last = losses[losses.length - 1];
  if (loss !== undefined && Number.isFinite(loss) && (!last || last.step !== step)) {
    const dice = Object.fromEntries(regions.map((region) => [region, one(now, "train_soft_dice_ratio", { region })]));
    losses.push({ step, loss, dice });
  }
  losses = losses.slice(-KEPT);
  const tiles = $("tiles");
  tiles.replaceChildren(
    tile("Step", figure(step, 0), `epoch ${figure(one(now, "train_epoch"), 0)} of ${figure(one(now, "train_epochs_planned"), 0)}`),
    tile("Time left", duration(one(now, "train_eta_seconds")), ""),
    tile("Loss", figure(loss, 4), `learning rate ${(one(now, "train_learning_rate") ?? NaN).toExponential(2)}`),
    ...regions.map((region) => {
      const dice = now.find((s) => s.name === "train_dice_ratio" && s.labels.region === region);
      return tile(`Dice ${region}`, figure(dice && dice.value, 4), dice ? "last evaluation" : "not evaluated yet");
    }),
    tile("Trainer starved", percent(rate("train_starved_seconds_total")), "of the last interval"),
    tile("Throughput", figure(rate("loader_samples_total", { outcome: "delivered" }), 2), "samples/s"),
    tile("Skipped", figure(sum(now, "loader_samples_total", { outcome: "skipped" }), 0), "samples"),
    tile("Memory", figure((one(now, "process_anonymous_memory_bytes") ?? NaN) / 2 ** 20, 0), "MiB, files apart"),
  );
  draw();
  stages(alive);
}

/** A line through the values from left to right, between `low` and `high`. */
function path(values, low, high) {
  const points = values.map((value, i) => {
    const x = (600 * i) / (values.length - 1), y = 130 - (120 * (value - low)) / (high - low || 1);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return points.length > 1 ? `M${points.join("L")}` : "";
}

function draw() {
  if (losses.length < 2) return;
  const values = losses.map((point) => point.loss);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  $("loss").querySelector("path").setAttribute("d", path(values, low, high));
  for (const region of regions) {
    const dice = losses.map((point) => point.dice[region]).filter(Number.isFinite);
    $("soft-dice").querySelector(`.${colourOf(region)}`).setAttribute("d", path(dice, 0, 1));
  }
  $("loss-range").textContent = `${low.toFixed(4)} to ${high.toFixed(4)}, steps ${losses[0].step} to ${losses[losses.length - 1].step}`;
}

/** Names of the run's regions, as its metrics have them; those of BraTS before there are any. */
function regionsOf(series) {
  const named = series.filter((s) => ["train_soft_dice_ratio", "train_dice_ratio"].includes(s.name));
  const names = [...new Set(named.map((s) => s.labels.region))].sort();
  return names.length ? names : OF_BRATS;
}

/** Class of a region's colour: ET, TC and WT have their own, the others follow by name. */
function colourOf(region) {
  if (OF_BRATS.includes(region)) return region.toLowerCase();
  return `r${regions.filter((name) => !OF_BRATS.includes(name)).indexOf(region) + 1}`;
}

/** Makes the legend and a line of each region, where they are not the ones that are there. */
function showRegions(names) {
  if (names.join() === regions.join()) return;
  regions = names;
  $("soft-dice-key").replaceChildren(...regions.map((region) => {
    const key = Object.assign(document.createElement("span"), { className: "soft key" });
    key.append(Object.assign(document.createElement("i"), { className: colourOf(region) }), region);
    return key;
  }));
  $("soft-dice").replaceChildren(...regions.map((region) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("class", colourOf(region));
    line.setAttribute("d", "");
    return line;
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
        stack.append(Object.assign(document.createElement("i"), { className: kind, style: `width:${100 * part}%` }));
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
    const at = performance.now();
    show(series, shown, at);
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
look();
setInterval(() => { if (!paused) look(); }, PERIOD);
