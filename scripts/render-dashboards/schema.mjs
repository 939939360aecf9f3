// Holds the dashboards against Grafana's own types: wrong types and unknown keys, which an import would drop in
// silence. Called by `render --check`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[process.argv.indexOf("--dashboards") + 1];
const raw = join(here, "node_modules/@grafana/schema/dist/types/raw");
/** Keys that the data source reads and the types of dashboards do not know, and the one that Grafana's own exports have. */
const PASSED_ON = ["expr", "step", "titleFormat", "textFormat", "tagKeys", "useValueForTime", "definition"];
/** What is left out Grafana fills in with its defaults. */
const mayBe = ({ keyword, params }) => keyword === "required" || PASSED_ON.includes(params.additionalProperty);
const PANELS = ["stat", "timeseries", "barchart", "xychart", "text", "table"];
const WITH_CUSTOM = ["timeseries", "barchart", "xychart", "table"];

const work = mkdtempSync(join(here, ".schema-"));
let faults = 0;
try {
  const lines = [`export type { Dashboard } from "${raw}/dashboard/x/types.gen";`];
  for (const panel of PANELS) {
    const from = `"${raw}/composable/${panel}/panelcfg/x/types.gen"`;
    lines.push(`import type { Options as ${panel}Own } from ${from}; export type ${panel}Options = ${panel}Own;`);
  }
  for (const panel of WITH_CUSTOM) {
    const from = `"${raw}/composable/${panel}/panelcfg/x/types.gen"`;
    lines.push(`import type { FieldConfig as ${panel}Fields } from ${from}; export type ${panel}Custom = ${panel}Fields;`);
  }
  writeFileSync(join(work, "all.ts"), lines.join("\n"));
  const generator = createGenerator({ path: join(work, "all.ts"), skipTypeCheck: true, additionalProperties: false, expose: "export" });
  const ajv = new Ajv({ strict: false, allErrors: true });
  const checks = new Map();
  const check = (type, value, where) => {
    if (!checks.has(type)) checks.set(type, ajv.compile(generator.createSchema(type)));
    const valid = checks.get(type);
    if (valid(value)) return;
    for (const error of valid.errors.filter((one) => !mayBe(one))) {
      // A union tells of every branch that did not fit; the one that did not know a key says which.
      faults += 1;
      console.error(`${where}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
    }
  };
  for (const name of ["training", "loader", "runs"]) {
    const dashboard = JSON.parse(readFileSync(join(folder, `${name}.json`)));
    const { panels, ...rest } = dashboard;
    check("Dashboard", { ...rest, panels: [] }, name);
    for (const panel of panels.flatMap((one) => [one, ...(one.panels ?? [])])) {
      check("Dashboard", { schemaVersion: dashboard.schemaVersion, panels: [panel] }, `${name}: ${panel.title}`);
      if (!PANELS.includes(panel.type)) continue;
      check(`${panel.type}Options`, panel.options ?? {}, `${name}: ${panel.title}: options`);
      const own = panel.fieldConfig?.defaults?.custom;
      if (WITH_CUSTOM.includes(panel.type) && own) check(`${panel.type}Custom`, own, `${name}: ${panel.title}: custom`);
    }
  }
} finally {
  rmSync(work, { recursive: true });
}
if (faults) process.exit(1);
console.log("the dashboards fit Grafana's types");
