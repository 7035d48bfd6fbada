/** A Redis, a coordinator, a worker and scorers as processes of their own, on free ports and in a folder that goes with them. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Client } from "../src/index.js";
import { writeTwoGroups } from "./data.js";

/** Long enough for a process to start on a busy machine, in milliseconds. */
const START_MS = 30_000;
/** Milliseconds between two looks at what is waited for. */
const LOOK_MS = 25;

export type Environment = Record<string, string>;

export interface Scorer {
  readonly address: string;
  readonly process: ChildProcess;
}

export class Cluster {
  readonly #processes: ChildProcess[] = [];
  #coordinatorProcess: ChildProcess | undefined;

  private constructor(
    readonly folder: string,
    readonly coordinator: string,
    private readonly environment: Environment,
  ) {}

  /** Redis, coordinator and worker; scorers are started one by one. */
  static async start(): Promise<Cluster> {
    const folder = mkdtempSync(join(tmpdir(), "cllm4rec-client-"));
    const [redis, api, workers] = [await freePort(), await freePort(), await freePort()];
    const environment: Environment = {
      COORDINATOR__API__ADDRESS: `127.0.0.1:${api}`,
      COORDINATOR__WORKERS__ADDRESS: `127.0.0.1:${workers}`,
      COORDINATOR__LEASE_TERM_S: "5",
      WORKER__COORDINATOR__URL: `http://127.0.0.1:${workers}`,
      WORKER__BACKBONE_ROOT: join(folder, "backbones"),
      WORKER__SCRATCH: join(folder, "scratch"),
      WORKER__CALIBRATION: join(folder, "calibration.json"),
      WORKER__HEARTBEAT_MS: "200",
      SCORER__FOLLOW_MS: "100",
    };
    for (const service of ["COORDINATOR", "WORKER", "SCORER", "CLLM4REC"]) {
      environment[`${service}__STORAGE__STORE`] = `redis://127.0.0.1:${redis}`;
      environment[`${service}__STORAGE__ARTIFACTS`] = join(folder, "artifacts");
      environment[`${service}__LOG__FILTER`] = "warn";
    }
    const cluster = new Cluster(folder, `127.0.0.1:${api}`, environment);
    const redisOptions = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    cluster.#spawn("redis-server", ["--port", `${redis}`, "--dir", folder, ...redisOptions]);
    await eventually("redis answers", () => isOpen(redis));
    cluster.#coordinatorProcess = cluster.#spawn(binary("coordinator"));
    cluster.#spawn(binary("worker"));
    return cluster;
  }

  /** One more scorer, with settings of its own; returns once its port is open. */
  async startScorer(settings: Environment = {}): Promise<Scorer> {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const process = this.#spawn(binary("scorer"), [], { SCORER__API__ADDRESS: address, ...settings });
    await eventually("the scorer's port is open", () => isOpen(port));
    return { address, process };
  }

  /** Kills the coordinator and starts another one in its place; does not wait for it. */
  async replaceCoordinator(): Promise<void> {
    assert.ok(this.#coordinatorProcess);
    await kill(this.#coordinatorProcess);
    this.#coordinatorProcess = this.#spawn(binary("coordinator"));
  }

  /** A client of this coordinator and of the given scorers. */
  client(scorers: readonly Scorer[], options: { token?: string } = {}): Client {
    const target = scorers.map((scorer) => scorer.address).join(",");
    return new Client({ target, coordinator: this.coordinator, ...options });
  }

  /** Imports two groups of thirty users and seeds their histories; returns the data set's name. */
  importTwoGroups(): string {
    const data = join(this.folder, "two-groups");
    writeTwoGroups(data);
    const command = ["--json", "dataset", "import", data, "--seed-histories=train,valid"];
    const output = execFileSync(binary("cllm4rec"), command, { env: this.#environmentWith({}), encoding: "utf8" });
    const imported = JSON.parse(output.trim().split("\n").at(-1) ?? "") as { dataset: string };
    return `datasets/${imported.dataset}`;
  }

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map(kill));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(program: string, options: readonly string[] = [], settings: Environment = {}): ChildProcess {
    const child = spawn(program, options, {
      env: this.#environmentWith(settings),
      cwd: this.folder,
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.#processes.push(child);
    return child;
  }

  #environmentWith(settings: Environment): NodeJS.ProcessEnv {
    return { PATH: process.env["PATH"] ?? "", ...this.environment, ...settings };
  }
}

/** Ends a process at once, as `kill -9` does; returns when it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}

/** Waits until something is true; fails after half a minute. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${START_MS} ms: ${what}`);
    }
    await sleep(LOOK_MS);
  }
}

/** Waits until each scorer serves the label `live`. */
export async function untilLive(cluster: Cluster, scorers: readonly Scorer[]): Promise<void> {
  for (const scorer of scorers) {
    const client = cluster.client([scorer]);
    await eventually("the scorer serves `live`", async () => {
      const status = await client.status({ timeoutMs: 10_000 });
      return status.versions.some((version) => version.labels.includes("live"));
    });
    client.close();
  }
}

/** The folder of this package: tests run from `build/test`. */
const PACKAGE = resolve(import.meta.dirname, "../..");

function binary(name: string): string {
  const folder = process.env["CLLM4REC_BIN"] ?? join(PACKAGE, "../../target/debug");
  const path = join(folder, name);
  if (!existsSync(path)) {
    throw new Error(`${path} is missing: run \`cargo build --workspace --bins\`, or name the folder in CLLM4REC_BIN`);
  }
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
