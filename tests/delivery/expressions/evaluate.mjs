// Answers one JSON line per question about a template until standard input ends.
//
//     {"want": "text" | "value" | "condition", "template": …, "values": {…}, "functions": {"success": true, …}}
//     {"value": …} or {"error": "…"}
//
// Rules this script keeps:
//
// 1. GitHub's package decides what an expression is worth. Four things are stricter here, and each of them is an error:
//    a name that is missing in a dictionary marked `strict` (in a branch that is not taken as well), an empty expression,
//    a condition that mixes text and expressions (GitHub takes it for true), and a literal with two doubled quotes (the
//    package undoubles the first one only).
// 2. A condition without a status function holds only while `success()` does.

import { createInterface } from "node:readline";

import { data, Evaluator, Lexer, Parser } from "@actions/expressions";
import { truthy } from "@actions/expressions/result";

const STRICT = "\u0000strict";
const STATUS = /^(success|failure|always|cancelled)$/i;

class Strict extends data.Dictionary {
  get(key) {
    const found = super.get(key);
    if (found === undefined) throw new Error(`there is no '${key}'`);
    return found;
  }
}

class Whole extends Evaluator {
  visitLogical(logical) {
    logical.args.forEach((arg) => this.eval(arg));
    return super.visitLogical(logical);
  }
}

const revive = (key, value) =>
  value?.[STRICT] ? new Strict(...value[STRICT].pairs()) : data.reviver(key, value);

const tokensOf = (text) => {
  const { tokens } = new Lexer(text).lex();
  const odd = tokens.find(({ lexeme }) => lexeme[0] === "'" && lexeme.slice(1, -1).split("''").length > 2);
  if (odd) throw new Error(`a literal with two doubled quotes is not played: ${odd.lexeme}`);
  return tokens;
};

const evaluate = (text, { values, functions }) => {
  const names = values.pairs().map(({ key }) => key);
  const known = functions.pairs().map(({ key, value }) => ({ name: key, minArgs: 0, maxArgs: 0, call: () => value }));
  const tree = new Parser(tokensOf(text), names, known).parse();
  if (tree === undefined) throw new Error("an expression is empty");
  return new Whole(tree, values, new Map(known.map((one) => [one.name, one]))).evaluate();
};

/** Texts and expressions by turns; an expression ends at the first `}}` outside of a literal. */
const parts = (template) => {
  const found = [];
  let rest = template;
  for (let start; (start = rest.indexOf("${{")) >= 0; ) {
    const inner = /^((?:'[^']*'|[^'])*?)\}\}/.exec(rest.slice(start + 3));
    if (!inner) throw new Error("an expression is not closed");
    found.push(rest.slice(0, start), inner[1]);
    rest = rest.slice(start + 3 + inner[0].length);
  }
  return [...found, rest];
};

/** The expression that a template consists of; undefined where there is text, or nothing but text. */
const only = ([before, inner, after, ...more]) => (before || after || more.length ? undefined : inner);

const WANTED = {
  text: (template, context) => {
    const texts = parts(template).map((part, place) => (place % 2 ? evaluate(part, context).coerceString() : part));
    return new data.StringData(texts.join(""));
  },
  value: (template, context) => {
    const inner = only(parts(template.trim()));
    return inner === undefined ? WANTED.text(template, context) : evaluate(inner, context);
  },
  condition: (template, context) => {
    const found = parts(template.trim());
    const text = found.length > 1 ? only(found) : found[0];
    if (text === undefined) throw new Error("a condition that mixes text and expressions is always true");
    const asks = tokensOf(text).some(({ lexeme }, place, all) => STATUS.test(lexeme) && all[place + 1].lexeme === "(");
    const holds = truthy(evaluate(text, context)) && (asks || truthy(evaluate("success()", context)));
    return new data.BooleanData(holds);
  },
};

const answer = (line) => {
  const [want, template, values, functions] = JSON.parse(line, revive).values();
  try {
    const kept = want.value === "value" && template.kind !== data.Kind.String;
    const value = kept ? template : WANTED[want.value](template.coerceString(), { values, functions });
    return JSON.stringify({ value }, data.replacer);
  } catch (error) {
    return JSON.stringify({ error: `${error.message}, in ${JSON.stringify(template, data.replacer)}` });
  }
};

for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${answer(line)}\n`);
