// Reads workflows and actions as GitHub's own language service does, and prints what it finds as JSON:
//
//     node read.mjs ROOT FILE...      [{"file": …, "line": …, "message": …}, …]
//
// A called workflow is looked up below ROOT, whichever repository it is said to be in: ours is the only one that is called.

import { readFileSync } from "node:fs";
import { register } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// The service imports its tables as bare JSON, which Node refuses: they become modules on their way in.
const LOADER = `
import { readFile } from "node:fs/promises";
export const load = async (url, context, next) => {
  if (!url.endsWith(".json")) return next(url, context);
  const source = "export default " + (await readFile(new URL(url), "utf8"));
  return { format: "module", shortCircuit: true, source };
};
`;
register(`data:text/javascript,${encodeURIComponent(LOADER)}`);

const { validate } = await import("@actions/languageservice");
const { TextDocument } = await import("vscode-languageserver-textdocument");

const [root, ...files] = process.argv.slice(2);
const fileProvider = {
  getFileContent: async ({ path }) => ({ name: path, content: readFileSync(join(root, path), "utf8") }),
};
const found = [];
for (const file of files) {
  const document = TextDocument.create(pathToFileURL(file).href, "yaml", 1, readFileSync(file, "utf8"));
  for (const { range, message } of await validate(document, { fileProvider })) {
    found.push({ file, line: range.start.line + 1, message });
  }
}
console.log(JSON.stringify(found));
