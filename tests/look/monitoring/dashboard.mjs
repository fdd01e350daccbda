// Says what is wrong with a Grafana dashboard by Grafana's own types (@grafana/schema), one line each:
//   node dashboard.mjs ../../../.github/examples/prometheus/dashboard.json
// JSON knows no enumerations, so a type's enumeration of texts is taken for these texts. The dashboard, and
// the options of each panel by its kind, become literals of a program, which the compiler then judges: an
// unknown key is an error there.
import fs from "node:fs";
import path from "node:path";
import ts from "typescript";

const OPTIONS = {
  bargauge: "bargauge/panelcfg/x/BarGaugePanelCfg_types.gen",
  stat: "stat/panelcfg/x/StatPanelCfg_types.gen",
  table: "table/panelcfg/x/TablePanelCfg_types.gen",
  timeseries: "timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
};
const here = import.meta.dirname;
const dashboard = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const { panels, ...rest } = dashboard;
const text = (value) => JSON.stringify(value, null, 2);

const lines = [
  'import type { Dashboard, Panel, RowPanel } from "@grafana/schema";',
  "type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[]",
  "  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;",
  `export const dashboard: Plain<Omit<Dashboard, "panels">> = ${text(rest)};`,
];
panels.forEach((panel, at) => {
  const { options, fieldConfig, ...others } = panel;
  const kind = OPTIONS[panel.type];
  lines.push(`export const panel${at}: Plain<${panel.type === "row" ? "RowPanel" : "Panel"}> = ${text(panel)};`);
  if (panel.type === "row") return;
  if (kind === undefined) throw new Error(`no types are known of a panel of kind ${panel.type}`);
  const module = `@grafana/schema/dist/esm/raw/composable/${kind}`;
  lines.push(`import type { Options as Options${at} } from "${module}";`);
  lines.push(`export const options${at}: Plain<Options${at}> = ${text(options)};`);
  const custom = fieldConfig?.defaults?.custom;
  if (custom !== undefined) {
    lines.push(`import type { FieldConfig as Custom${at} } from "${module}";`);
    lines.push(`export const custom${at}: Plain<Custom${at}> = ${text(custom)};`);
  }
});

const file = path.join(here, "dashboard.generated.ts");
const host = ts.createCompilerHost({});
const read = host.getSourceFile;
host.getSourceFile = (name, ...more) =>
  name === file ? ts.createSourceFile(name, lines.join("\n"), ts.ScriptTarget.ES2022) : read.call(host, name, ...more);
const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  types: [],
};
const program = ts.createProgram([file], options, host);
for (const found of ts.getPreEmitDiagnostics(program)) {
  const line = found.start === undefined ? "" : lines.join("\n").slice(0, found.start).split("\n").at(-1);
  console.log(`${ts.flattenDiagnosticMessageText(found.messageText, " ")} [${line?.trim()}]`);
}
