// One call with the installed package against services that `cllm4rec up` runs; check.sh copies this into an empty folder.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";

import { Client, Cllm4recError } from "cllm4rec";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

const [scorer, coordinator, workers] = [await freePort(), await freePort(), await freePort()];
const services = spawn(join(process.env.CLLM4REC_BIN, "cllm4rec"), ["up", "--data-dir", "data"], {
  env: {
    PATH: process.env.PATH,
    SCORER__API__ADDRESS: `127.0.0.1:${scorer}`,
    COORDINATOR__API__ADDRESS: `127.0.0.1:${coordinator}`,
    COORDINATOR__WORKERS__ADDRESS: `127.0.0.1:${workers}`,
    WORKER__COORDINATOR__URL: `http://127.0.0.1:${workers}`,
    CONSOLE__PAGES__ADDRESS: "127.0.0.1:0",
  },
  stdio: "ignore",
});
const client = new Client({ target: `127.0.0.1:${scorer}`, coordinator: `127.0.0.1:${coordinator}` });
try {
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      await client.status();
      break;
    } catch (error) {
      if (error.code !== "UNAVAILABLE" || Date.now() > deadline || services.exitCode !== null) {
        throw error;
      }
    }
  }
  assert.equal((await client.record({ userId: "anna", itemId: "T-9" })).nRecorded, 1);
  assert.equal((await client.history("anna")).interactions.length, 1);
  const isNotReady = (error) => error instanceof Cllm4recError && error.fieldViolations.length === 0;
  await assert.rejects(client.recommend("anna"), isNotReady);
  console.log("the installed package works");
} finally {
  client.close();
  services.kill("SIGKILL");
}
