// Looks at pages of HTML in Chromium and prints what it found as JSON.
//
// Standard input: {"pages": [{"file", "width", "scheme", "shot", "most_px"}]}
//   file    a page on this machine
//   width   of the window in pixels
//   scheme  "light" or "dark", or "print" for paper
//   shot    where to write a picture of it, or null
//   most_px the most pixels of its height that the picture shows
// Standard output: one line a page: {"violations", "messages", "requests", "width", "height"}
//   violations  what axe-core finds, each with the elements that it is about
//   messages    what html-validate finds
//   requests    what the page asked for besides itself
//   width       how wide its content is, also of what is folded away: more than the window where
//               it must be scrolled sideways
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
// The browser unpacks itself into the folder for temporary files: beside its package, here.
process.env.TMPDIR = path.join(here, "node_modules", ".browser");
mkdirSync(process.env.TMPDIR, { recursive: true });
// Its own list of fonts names /tmp/fonts, wherever they are unpacked: without one no text is drawn.
process.env.FONTCONFIG_PATH = path.join(process.env.TMPDIR, "fontconfig");
mkdirSync(process.env.FONTCONFIG_PATH, { recursive: true });
writeFileSync(
  path.join(process.env.FONTCONFIG_PATH, "fonts.conf"),
  `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${process.env.TMPDIR}/fonts</dir>` +
    `<cachedir>${process.env.TMPDIR}/fonts-cache</cachedir></fontconfig>\n`,
);

// It brings libraries that a small machine lacks, and unpacks them where it is told this.
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs20.x";

const { default: chromium } = await import("@sparticuz/chromium");
const { default: axe } = await import("axe-core");
const { HtmlValidate } = await import("html-validate");
const { default: puppeteer } = await import("puppeteer-core");

const order = JSON.parse(readFileSync(0, "utf8"));
const executablePath = await chromium.executablePath();
const browser = await puppeteer.launch({
  executablePath,
  headless: "shell",
  args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none", "--hide-scrollbars"],
});
const validator = new HtmlValidate({
  extends: ["html-validate:standard"],
  elements: ["html5"],
  rules: { "no-trailing-whitespace": "off", "long-title": "off", "no-inline-style": "error" },
});
const judged = new Map();

async function messages(file) {
  if (!judged.has(file)) {
    const report = await validator.validateString(readFileSync(file, "utf8"), file);
    judged.set(file, report.results.flatMap((r) => r.messages.map((m) => `${m.line}:${m.column} ${m.ruleId}: ${m.message}`)));
  }
  return judged.get(file);
}

async function look({ file, width, scheme, shot, most_px: most }) {
  const page = await browser.newPage();
  try {
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaType(scheme === "print" ? "print" : "screen");
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme === "print" ? "light" : scheme }]);
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    const address = pathToFileURL(file).href;
    await page.goto(address, { waitUntil: "load" });
    const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
    if (shot) {
      const height = Math.min(size[1], most ?? size[1]);
      await page.screenshot({ path: shot, clip: { x: 0, y: 0, width, height }, captureBeyondViewport: true });
    }
    // what is folded away is looked at too
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
    const open = await page.evaluate(() => document.documentElement.scrollWidth);
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const violations = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(" | ")}`);
    return { violations, messages: await messages(file), requests: requests.filter((url) => url !== address), width: Math.max(size[0], open), height: size[1] };
  } finally {
    await page.close();
  }
}

try {
  for (const one of order.pages) {
    console.log(JSON.stringify(await look(one)));
  }
} finally {
  await browser.close();
}
