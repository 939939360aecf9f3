// The panels of a dashboard in Grafana's own components, where Grafana would put them.
import { createTheme, EventBusSrv, FieldType, getDisplayProcessor, dateTime, renderMarkdown, ThemeContext, toDataFrame, VizOrientation, getFieldDisplayName, ThresholdsMode } from "@grafana/data";
import { BarGauge, BigValue, BigValueColorMode, BigValueGraphMode, BigValueJustifyMode, BigValueTextMode, GlobalStyles, PanelChrome, PanelContextProvider, TimeSeries } from "@grafana/ui";
import { createRoot } from "react-dom/client";

const GAP = 8, MARGIN = 16, HEAD = 46;

/** A series as a frame, with the panel's settings on its values. */
function frame(answer, panel, theme) {
  const defaults = structuredClone(panel.fieldConfig?.defaults ?? {});
  const config = { custom: {}, color: { mode: "palette-classic" }, ...defaults, displayName: answer.name };
  if (config.thresholds) config.thresholds.steps[0].value = -Infinity;
  const time = answer.points.map(([seconds]) => 1000 * seconds);
  const values = answer.points.map(([, text]) => (text === "NaN" ? null : Number(text)));
  const made = toDataFrame({ refId: answer.refId, fields: [
    { name: "Time", type: FieldType.time, values: time, config: {} },
    { name: "Value", type: FieldType.number, values, config, labels: answer.metric },
  ] });
  for (const field of made.fields) field.display = getDisplayProcessor({ field, theme });
  return made;
}

function Stat({ panel, frames, width, height, theme }) {
  const values = frames.length ? frames : [frame({ name: "", points: [[0, "NaN"]], metric: {} }, panel, theme)];
  return values.map((one, i) => {
    const field = one.fields[1];
    const shown = { ...field.display(field.values[field.values.length - 1]), title: field.config.displayName };
    const text = panel.options?.textMode ?? BigValueTextMode.Auto;
    return <BigValue key={i} value={shown} width={width} height={height / values.length} theme={theme} text={panel.options?.text}
      colorMode={panel.options?.colorMode ?? BigValueColorMode.Value} graphMode={BigValueGraphMode.None} textMode={text} justifyMode={BigValueJustifyMode.Auto} />;
  });
}

function Bars({ panel, frames, width, height, theme }) {
  return frames.map((one, i) => {
    const field = one.fields[1];
    const value = { ...field.display(field.values[field.values.length - 1]), title: field.config.displayName };
    return <BarGauge key={i} value={value} field={field.config} display={field.display} theme={theme} width={width} height={height / frames.length - 4}
      orientation={VizOrientation.Horizontal} displayMode={panel.options?.displayMode ?? "gradient"} itemSpacing={4} showUnfilled />;
  });
}

function Lines({ frames, from, to, width, height, panel }) {
  const [start, end] = [dateTime(1000 * from), dateTime(1000 * to)];
  const timeRange = { from: start, to: end, raw: { from: start, to: end } };
  const legend = { calcs: [], displayMode: "list", placement: "bottom", ...panel.options?.legend, showLegend: frames.length > 0, displayMode: "list" };
  return <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={legend}>{() => null}</TimeSeries>;
}

function Panel({ panel, data, theme }) {
  const unit = (data.width - 2 * MARGIN + GAP) / 24;
  const { x, y, w, h } = panel.gridPos;
  const place = { position: "absolute", left: MARGIN + x * unit, top: HEAD + y * data.row, width: w * unit - GAP, height: h * data.row - GAP };
  if (panel.type === "row") return <div style={{ ...place, fontWeight: 500, paddingTop: 6 }}>{panel.title}</div>;
  const frames = panel.answers.map((answer) => frame(answer, panel, theme));
  frames.forEach((one, i) => { one.fields[1].state = { seriesIndex: i, displayName: one.fields[1].config.displayName }; });
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={place.width} height={place.height} padding="md">
        {(width, height) => {
          const sized = { panel, frames, width, height, theme, from: data.from, to: data.to };
          if (panel.type === "text") return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
          if (panel.type === "stat") return <Stat {...sized} />;
          if (panel.type === "bargauge") return <Bars {...sized} />;
          if (panel.type === "table") return <pre>{frames.map((one) => JSON.stringify(one.fields[1].labels, null, 1)).join("\n")}</pre>;
          return frames.length ? <Lines {...sized} /> : <div style={{ textAlign: "center", paddingTop: height / 2 - 10 }}>No data</div>;
        }}
      </PanelChrome>
    </div>
  );
}

export function draw(data) {
  const theme = createTheme({ colors: { mode: data.theme } });
  const context = { eventBus: new EventBusSrv() };
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ ...context, sync: () => 0 }}>
        <div style={{ position: "absolute", left: MARGIN, top: 12, fontSize: 18 }}>{data.dashboard.title}</div>
        {data.dashboard.panels.map((panel, i) => <Panel key={i} panel={panel} data={data} theme={theme} />)}
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
}
