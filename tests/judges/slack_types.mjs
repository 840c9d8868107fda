// What the host says to Slack, as literals of the types that Slack publishes: TypeScript judges them.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { check, equal, run } from "./check.mjs";

const RECORD = "slack_talk.json";
const SOURCE = "slack_calls.ts";

/** What the types do not know, or the host says in vain; what they know by now has to go. */
const GAPS = [
  member("manifest", ["oauth_config", "scopes", "bot"], "assistant:write", "Slack documents this scope, the types lack it"),
  member("manifest", ["settings", "event_subscriptions", "bot_events"], "agent_session_stopped", "the same of this event"),
];

function member(of, path, name, why) {
  const list = given => path.reduce((inner, key) => inner[key], given);
  const without = given => {
    const copy = structuredClone(given);
    list(copy).splice(0, Infinity, ...list(given).filter(it => it !== name));
    return copy;
  };
  return { of, name, why, has: given => list(given).includes(name), without };
}

/** ChatPostMessageArguments of chat.postMessage. */
const typeOf = method => method === "manifest" ? "AppsManifestCreateArguments['manifest']"
  : `${method.split(".").map(part => part[0].toUpperCase() + part.slice(1)).join("")}Arguments`;

/** Forms have texts only. */
function typed(args) {
  const numbers = ["length", "limit"];
  const value = (name, it) => it === "true" || it === "false" ? it === "true" : numbers.includes(name) ? Number(it) : it;
  return Object.fromEntries(Object.entries(args).map(([name, it]) => [name, value(name, it)]));
}

/** Everything that is judged: what it is of, its type, and the literal. */
function literals(said) {
  const whole = [
    ...said.calls.map(({ method, args }) => ({ of: method, given: typed(args) })),
    ...Object.values(said.manifests).map(given => ({ of: "manifest", given })),
  ].map(it => ({ ...it, type: typeOf(it.of) }));
  // Among the arguments they may be any block, so that less is said of them.
  const parts = whole.flatMap(({ of, given }) => [
    { of: `${of} blocks`, type: "KnownBlock[]", given: given.blocks ?? given.view?.blocks },
    { of: `${of} chunks`, type: "AnyChunk[]", given: given.chunks },
    { of: `${of} metadata`, type: "MessageMetadata", given: given.metadata },
    { of: `${of} view`, type: "View", given: given.view },
  ]);
  const whispers = said.whispers.map(({ blocks }) => ({ of: "a whisper", type: "KnownBlock[]", given: blocks ?? undefined }));
  return [...whole, ...parts, ...whispers].filter(it => it.given !== undefined);
}

const without = (of, given, gaps) => gaps.filter(gap => gap.of === of).reduce((rest, gap) => gap.without(rest), given);

/** The program, with what stands on each of its lines. */
function program(judged) {
  const lines = [];
  const places = new Map();
  const put = (line, of) => places.set(lines.push(line), of);
  const types = [...new Set(judged.map(it => it.type))].filter(type => /Arguments$/.test(type));
  put(`import type { AppsManifestCreateArguments, ${types.join(", ")} } from "@slack/web-api";`, "the types");
  put('import type { AnyChunk, KnownBlock, MessageMetadata, View } from "@slack/types";', "the types");
  const put_literal = (name, type, given, of) => put(`export const ${name}: ${type} = ${JSON.stringify(given)};`, of);
  judged.forEach(({ of, type, given }, number) => put_literal(`it${number}`, type, without(of, given, GAPS), of));
  GAPS.forEach((gap, number) => {
    const { type, given } = judged.find(it => it.of === gap.of && gap.has(it.given)) ?? { type: "unknown", given: null };
    put("// @ts-expect-error", gap);
    put_literal(`gap${number}`, type, given && without(gap.of, given, GAPS.filter(other => other !== gap)), gap);
  });
  return { text: lines.join("\n"), places };
}

/** What TypeScript says, by line. */
function errors() {
  const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--types", "", "--pretty", "false"];
  const { stdout, stderr, status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...options, SOURCE], { encoding: "utf8", maxBuffer: 1 << 28 });
  const said = [...stdout.matchAll(/^slack_calls\.ts\((\d+),\d+\): error (.*(?:\n  .*)*)/gm)];
  if (status !== 0 && said.length === 0) throw new Error(`tsc failed: ${stdout}${stderr}`);
  return said.map(([, line, what]) => ({ line: Number(line), what: what.slice(0, 600) }));
}

await run("types", () => {
  if (!existsSync(RECORD)) execFileSync("python3", ["slack_talk.py"], { stdio: "inherit" });
  const judged = literals(JSON.parse(readFileSync(RECORD)));
  const { text, places } = program(judged);
  writeFileSync(SOURCE, text);
  const found = errors();
  for (const of of new Set(["the types", ...judged.map(it => it.of)])) {
    const wrong = found.filter(({ line }) => places.get(line) === of);
    check(`${of}, ${judged.filter(it => it.of === of).length} times`, wrong.length === 0, wrong.map(it => it.what)[0]);
  }
  for (const gap of GAPS) {
    equal(`${gap.of}: ${gap.name} is a gap (${gap.why})`, found.filter(({ line }) => places.get(line) === gap).length, 0);
  }
});
process.exit(process.exitCode);
