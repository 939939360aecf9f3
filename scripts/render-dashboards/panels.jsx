// The panels of a dashboard in Grafana's own components, where Grafana would put them. Bars of stages, gauges, tables
// and curves over steps are drawn here: their components are part of Grafana's server, not of its packages.
import { createTheme, EventBusSrv, FieldType, getDisplayProcessor, dateTime, getFieldDisplayName, renderMarkdown, standardTransformers, standardTransformersRegistry, ThemeContext, toDataFrame, transformDataFrame } from "@grafana/data";
import { BigValue, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, GlobalStyles, PanelChrome, PanelContextProvider, TimeSeries } from "@grafana/ui";
import { createRoot } from "react-dom/client";

const GAP = 8, MARGIN = 16, HEAD = 46;

standardTransformersRegistry.setInit(() => [...new Map(Object.values(standardTransformers).map((one) => [one.id, one])).values()].map((one) => ({ id: one.id, name: one.name, transformation: () => Promise.resolve(one), editor: () => null })));

/** What Prometheus' data source would make of the answers to one target. */
function frames(panel) {
  const made = [];
  for (const target of panel.targets ?? []) {
    const answers = panel.answers.filter((answer) => answer.refId === target.refId);
    if (target.format === "table") {
      const labels = [...new Set(answers.flatMap((answer) => Object.keys(answer.metric)))].sort();
      const lines = answers.flatMap((answer) => answer.points.map((point) => ({ ...answer, point })));
      made.push(toDataFrame({ refId: target.refId, fields: [
        { name: "Time", type: FieldType.time, values: lines.map((line) => 1000 * line.point[0]) },
        ...labels.map((label) => ({ name: label, type: FieldType.string, values: lines.map((line) => line.metric[label] ?? "") })),
        { name: `Value #${target.refId}`, type: FieldType.number, values: lines.map((line) => number(line.point[1])) },
      ] }));
      continue;
    }
    for (const answer of answers) {
      made.push(toDataFrame({ refId: target.refId, name: answer.name, fields: [
        { name: "Time", type: FieldType.time, values: answer.points.map(([seconds]) => 1000 * seconds), config: {} },
        { name: "Value", type: FieldType.number, values: answer.points.map(([, text]) => number(text)), labels: answer.metric, config: { displayNameFromDS: answer.name } },
      ] }));
    }
  }
  return made;
}

const number = (text) => (text === "NaN" ? null : Number(text));

/** Frames with the panel's colours, units and exceptions, as Grafana's server applies them. */
function dressed(data, panel, theme) {
  const { defaults, overrides = [] } = panel.fieldConfig;
  let place = 0;
  for (const one of data) {
    for (const field of one.fields) {
      const own = field.config;
      field.config = { color: { mode: "palette-classic" }, ...structuredClone(defaults), ...own, custom: { ...defaults.custom } };
      const name = own.displayNameFromDS ?? own.displayName ?? field.name;
      for (const { matcher, properties } of overrides) {
        const fits = matcher.id === "byName" ? name === matcher.options : new RegExp(matcher.options.slice(1, -1)).test(name);
        if (!fits) continue;
        for (const { id, value } of properties) {
          if (id.startsWith("custom.")) field.config.custom[id.slice(7)] = value;
          else field.config[id] = value;
        }
      }
      if (field.config.thresholds) field.config.thresholds.steps[0].value = -Infinity;
      field.state = { displayName: name };
      if (field.type === FieldType.number) field.state.seriesIndex = place++;
      field.display = getDisplayProcessor({ field, theme, timeZone: "utc" });
    }
  }
  return data;
}

/** All transformations but the last step of curves over runs, which Grafana's server has for itself. */
async function transformed(data, panel) {
  const known = (panel.transformations ?? []).filter(({ id }) => id !== "partitionByValues");
  if (!known.length) return data;
  return new Promise((resolve) => transformDataFrame(known, data).subscribe(resolve));
}

const last = (field) => field.values[field.values.length - 1];

function Stat({ panel, data, width, height, theme }) {
  const fields = data.map((one) => one.fields[1]);
  const empty = toDataFrame({ fields: [{ name: "Value", type: FieldType.number, values: [null], config: { ...panel.fieldConfig.defaults } }] }).fields[0];
  empty.display = getDisplayProcessor({ field: empty, theme });
  const shown = fields.length ? fields : [empty];
  const columns = width > 3 * height ? Math.min(shown.length, Math.floor(width / 80)) : 1;
  const lines = Math.ceil(shown.length / columns);
  return <div style={{ display: "grid", gridTemplateColumns: `repeat(${columns}, 1fr)` }}>{shown.map((field, i) => {
    const value = { ...field.display(last(field)), title: field.state?.displayName };
    const many = shown.length > 1 && panel.options.textMode === "auto" ? BigValueTextMode.ValueAndName : panel.options.textMode;
    return <BigValue key={i} value={value} width={width / columns} height={height / lines} theme={theme}
      colorMode={BigValueColorMode.Value} graphMode={BigValueGraphMode.None} textMode={many} justifyMode={BigValueJustifyMode.Auto} />;
  })}</div>;
}

function Gauges({ data, height }) {
  return data.map((one, i) => {
    const field = one.fields[1], share = Math.min(1, Math.max(0, last(field) ?? 0));
    const { text, suffix } = field.display(last(field));
    return <div key={i} style={{ textAlign: "center" }}>
      <svg viewBox="0 0 100 56" style={{ height: height - 16, maxWidth: "100%" }}>
        <path d="M10 50 A40 40 0 0 1 90 50" fill="none" stroke="#8884" strokeWidth="12" pathLength="1" />
        <path d="M10 50 A40 40 0 0 1 90 50" fill="none" stroke={field.display(last(field)).color} strokeWidth="12" pathLength="1" strokeDasharray={`${share} 1`} />
        <text x="50" y="48" fontSize="18" textAnchor="middle" fill="currentColor">{text}{suffix}</text>
      </svg>
    </div>;
  });
}

function Lines({ data, from, to, width, height, panel }) {
  const [start, end] = [dateTime(1000 * from), dateTime(1000 * to)];
  const timeRange = { from: start, to: end, raw: { from: start, to: end } };
  return <TimeSeries frames={data} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={panel.options.legend}>{() => null}</TimeSeries>;
}

/** One stacked bar a row; the first field names it. */
function Bars({ data, width }) {
  if (!data.length) return <Nothing />;
  const [names, ...parts] = data[0].fields;
  const coloured = parts.filter((field) => field.type === FieldType.number);
  return <div style={{ width }}>
    {names.values.map((name, i) => <div key={i} style={{ display: "flex", alignItems: "center", margin: "5px 0" }}>
      <span style={{ width: 80 }}>{name}</span>
      <span style={{ display: "flex", flex: 1, height: 18, background: "#8882" }}>{coloured.map((field, j) =>
        <i key={j} style={{ width: `${100 * (field.values[i] ?? 0)}%`, background: field.display(field.values[i] ?? 0).color }} />)}</span>
    </div>)}
    <div style={{ marginLeft: 80 }}>{coloured.map((field, j) => <span key={j} style={{ marginRight: 16 }}><i style={{ display: "inline-block", width: 12, height: 12, marginRight: 4, background: field.display(0).color }} />{getFieldDisplayName(field)}</span>)}</div>
  </div>;
}

function Rows({ data }) {
  if (!data.length) return <Nothing />;
  const { fields } = data[0];
  const text = (field, value) => { const shown = field.display(value); return `${shown.prefix ?? ""}${shown.text}${shown.suffix ?? ""}`; };
  return <table style={{ width: "100%" }}><thead><tr>{fields.map((field, i) => <th key={i}>{getFieldDisplayName(field)}</th>)}</tr></thead>
    <tbody>{fields[0].values.map((_, row) => <tr key={row}>{fields.map((field, i) =>
      <td key={i} style={{ color: field.config.custom?.cellOptions?.type === "color-text" ? field.display(field.values[row]).color : undefined }}>{field.values[row] == null ? "" : text(field, field.values[row])}</td>)}</tr>)}</tbody></table>;
}

/** A line for each value of the labels that the frame was to be parted by. */
function Steps({ data, width, height, theme }) {
  if (!data.length) return <Nothing />;
  const field = (name) => data[0].fields.find((one) => one.name === name || getFieldDisplayName(one) === name);
  const [run, x] = [field("run"), field("Step")];
  const y = data[0].fields.find((one) => one.type === FieldType.number && one !== x);
  const points = run.values.map((name, i) => [name, x.values[i], y.values[i]]).filter(([, step, value]) => step != null && value != null);
  if (!points.length) return <Nothing />;
  const names = [...new Set(points.map(([name]) => name))];
  const range = (at) => { const all = points.map((point) => point[at]); return [Math.min(...all), Math.max(...all)]; };
  const [[left, right], [low, high]] = [range(1), range(2)];
  const px = (step) => 50 + ((width - 60) * (step - left)) / (right - left || 1);
  const py = (value) => 10 + ((height - 60) * (high - value)) / (high - low || 1);
  const colour = (i) => theme.visualization.getColorByName(theme.visualization.palette[i % theme.visualization.palette.length]);
  return <svg width={width} height={height}>
    {[0, 0.25, 0.5, 0.75, 1].map((part) => { const value = low + part * (high - low); return <g key={part}><line x1="50" x2={width - 10} y1={py(value)} y2={py(value)} stroke="#8883" /><text x="45" y={py(value) + 4} textAnchor="end" fontSize="12" fill="currentColor">{value.toFixed(3)}</text>
      <text x={px(left + part * (right - left))} y={height - 34} textAnchor="middle" fontSize="12" fill="currentColor">{Math.round(left + part * (right - left))}</text></g>; })}
    {names.map((name, i) => <g key={name}><polyline fill="none" stroke={colour(i)} points={points.filter(([one]) => one === name).map(([, step, value]) => `${px(step)},${py(value)}`).join(" ")} />
      <text x={50 + 140 * i} y={height - 10} fontSize="12" fill={colour(i)}>{name}</text></g>)}
  </svg>;
}

const Nothing = () => <div style={{ textAlign: "center", paddingTop: 20 }}>No data</div>;
const KINDS = { stat: Stat, gauge: Gauges, timeseries: Lines, barchart: Bars, table: Rows, xychart: Steps };

function Panel({ panel, data, theme }) {
  const unit = (data.width - 2 * MARGIN + GAP) / 24;
  const { x, y, w, h } = panel.gridPos;
  const place = { position: "absolute", left: MARGIN + x * unit, top: HEAD + y * data.row, width: w * unit - GAP, height: h * data.row - GAP };
  if (panel.type === "row") return <div style={{ ...place, fontWeight: 500, paddingTop: 6 }}>{panel.collapsed ? "› " : "⌄ "}{panel.title}{panel.collapsed ? ` (${panel.panels.length} panels)` : ""}</div>;
  const Kind = KINDS[panel.type];
  return (
    <div style={place}>
      <PanelChrome title={panel.title.replace("$run", data.run)} width={place.width} height={place.height} padding="md">
        {(width, height) => {
          if (panel.type === "text") return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
          if (!panel.frames.length && panel.type !== "stat") return <Nothing />;
          return <Kind panel={panel} data={panel.frames} width={width} height={height} theme={theme} from={data.from} to={data.to} />;
        }}
      </PanelChrome>
    </div>
  );
}

export async function draw(data) {
  const theme = createTheme({ colors: { mode: data.theme } });
  const panels = data.dashboard.panels;
  for (const panel of panels.filter((one) => one.type !== "row" && one.type !== "text")) {
    panel.frames = dressed(await transformed(frames(panel), panel), panel, theme);
  }
  const context = { eventBus: new EventBusSrv() };
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ ...context, sync: () => 0 }}>
        <div style={{ position: "absolute", left: MARGIN, top: 12, fontSize: 18 }}>{data.dashboard.title}</div>
        {panels.map((panel, i) => <Panel key={i} panel={panel} data={data} theme={theme} />)}
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
}
