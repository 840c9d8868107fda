// The conformance suite of MCP itself, for both versions. It sends no token, so a
// proxy in front of the host adds one and leaves the rest as it is.

import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TOKEN, URL, check, newerNode } from "./check.mjs";

const require = createRequire(import.meta.url);
const host = new globalThis.URL(URL);

function forward(request, response) {
  const headers = { ...request.headers, authorization: `Bearer ${TOKEN}` };
  const { method, url: path } = request;
  const onward = http.request({ hostname: host.hostname, port: host.port, method, path, headers });
  onward.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}

function suite(version, url) {
  const program = join(dirname(require.resolve("@modelcontextprotocol/conformance/package.json")), "dist/index.js");
  const expected = join(import.meta.dirname, `conformance-${version}.yml`);
  const results = mkdtempSync(join(tmpdir(), "conformance-"));
  const args = [program, "server", "--url", url, "--requirements", version, "--expected-failures", expected];
  return new Promise((resolve) => {
    const child = spawn(newerNode(), [...args, "--output-dir", results], { cwd: results, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (output += data));
    child.on("close", (code) => resolve({ code, output }));
  });
}

const proxy = http.createServer(forward);
await new Promise((ready) => proxy.listen(0, "127.0.0.1", ready));
const url = `http://127.0.0.1:${proxy.address().port}/mcp`;
for (const version of ["2025-11-25", "2026-07-28"]) {
  const { code, output } = await suite(version, url);
  check(`conformance ${version}`, code === 0, output.slice(-6000));
  for (const total of output.match(/^Total: .*$/gm) ?? []) console.log(`      ${total}, with scenarios that are not scored`);
}
proxy.closeAllConnections();
proxy.close();
