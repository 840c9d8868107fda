// What the judges in JavaScript share: one line for each check, and the exit code.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export const URL = process.env.JUDGE_URL;
export const TOKEN = process.env.JUDGE_TOKEN;

export function check(name, ok, seen = "") {
  if (!ok) process.exitCode = 1;
  const why = typeof seen === "string" ? seen : JSON.stringify(seen);
  console.log(`${ok ? "pass" : "FAIL"}  ${name}${ok ? "" : `: ${why}`}`);
}

export function equal(name, found, expected) {
  check(name, found === expected, `${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
}

/** Runs some checks; what they do not catch is one that failed. */
export async function run(name, work) {
  try {
    await work();
  } catch (error) {
    check(name, false, error.stack);
  }
}

/** Some of them need a newer Node than Debian's, which is a package here. */
export function newerNode() {
  const require = createRequire(import.meta.url);
  return join(dirname(require.resolve(`node-linux-${process.arch}/package.json`)), "bin/node");
}
