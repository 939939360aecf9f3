// Asks Prometheus what the dashboards ask, bundles Grafana's panels with the answers into one page, and has Chromium
// take its picture. Called by `render`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const { values: options } = parseArgs({
  options: {
    dashboards: { type: "string" },
    prometheus: { type: "string", default: "http://127.0.0.1:9090" },
    run: { type: "string", default: "unet-demo-001" },
    seconds: { type: "string", default: "300" },
    chromium: { type: "string", default: "chromium" },
    theme: { type: "string", default: "dark" },
    width: { type: "string", default: "1600" },
    open: { type: "boolean", default: false },
    out: { type: "string", default: "." },
  },
});
const here = dirname(fileURLToPath(import.meta.url));
const to = Math.floor(Date.now() / 1000);
const from = to - Number(options.seconds);
const ROW = 38;

async function ask(path, parameters) {
  const answer = await (await fetch(`${options.prometheus}${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== "success") throw new Error(`${parameters.query}: ${answer.error}`);
  return answer.data.result;
}

/** As Grafana would send it, with what a person would choose. */
function filled(expression, run) {
  return expression
    .replaceAll("$__rate_interval", "20s")
    .replaceAll("$__range", `${options.seconds}s`)
    .replaceAll("$smooth", "1m")
    .replaceAll("$job", "gliaflow")
    .replaceAll("$study", ".*")
    .replaceAll("$instance", ".+")
    .replaceAll("$run", run);
}

async function answers(panel, run) {
  const all = [];
  for (const target of panel.targets ?? []) {
    const query = filled(target.expr, run);
    const result = target.instant
      ? await ask("/api/v1/query", { query, time: to })
      : await ask("/api/v1/query_range", { query, start: from, end: to, step: 5 });
    for (const { metric, value, values } of result) {
      const name = (target.legendFormat ?? "").replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "");
      all.push({ refId: target.refId, name: name || JSON.stringify(metric), metric, points: values ?? [value] });
    }
  }
  return all;
}

for (const name of ["training", "loader", "runs"]) {
  const dashboard = JSON.parse(readFileSync(join(options.dashboards, `${name}.json`)));
  if (options.open) {
    // A row that is collapsed is drawn open, below all others.
    const below = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    const closed = dashboard.panels.filter(({ collapsed }) => collapsed);
    for (const row of closed) {
      const shift = below - row.gridPos.y;
      for (const panel of row.panels) panel.gridPos.y += shift;
      row.gridPos.y = below;
      row.collapsed = false;
      dashboard.panels.push(...row.panels);
    }
  }
  for (const panel of dashboard.panels) panel.answers = await answers(panel, name === "runs" ? ".+" : options.run);
  const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const height = rows * ROW + 70;
  const work = mkdtempSync(join(tmpdir(), "render-"));
  try {
    const data = { dashboard, run: options.run, from, to, row: ROW, width: Number(options.width), theme: options.theme };
    writeFileSync(join(work, "data.json"), JSON.stringify(data));
    await build({
      stdin: { contents: `import { draw } from "./panels.jsx"; import data from ${JSON.stringify(join(work, "data.json"))}; draw(data);`, resolveDir: here, loader: "jsx" },
      bundle: true,
      outfile: join(work, "page.js"),
      jsx: "automatic",
      logLevel: "error",
      define: { global: "window", "process.env.NODE_ENV": '"production"' },
      loader: Object.fromEntries([".woff", ".woff2", ".ttf", ".eot", ".svg", ".png"].map((end) => [end, "dataurl"])),
    });
    writeFileSync(join(work, "index.html"), `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><div id="root"></div><script src="page.js"></script>`);
    const png = resolve(options.out, `dashboard-${name}.png`);
    const shot = spawnSync(options.chromium, ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files", "--enable-logging=stderr", "--virtual-time-budget=20000", `--window-size=${options.width},${height}`, `--screenshot=${png}`, `file://${join(work, "index.html")}`], { encoding: "utf8" });
    // An error in the page leaves a picture of nothing.
    const errors = shot.stderr.split("\n").filter((line) => /CONSOLE.*(Uncaught|Error)/.test(line));
    if (shot.status !== 0 || errors.length) throw new Error(errors.join("\n") || shot.stderr);
    console.log(png);
  } finally {
    rmSync(work, { recursive: true });
  }
}
