/**
 * What becomes of users whose request of a bulk call failed: decisions alone, then against a scorer that refuses as it
 * is told; and which data set is meant.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { called } from "../src/datasets.js";
import { errorOfFailure } from "../src/errors.js";
import type {
  BatchRecommendRequest,
  BatchRecommendResponse_Failure as Failure,
} from "../src/generated/cllm4rec/v1/recommendation_pb.js";
import {
  BatchRecommendResponse_FailureSchema as FailureSchema,
  RecommendationService,
} from "../src/generated/cllm4rec/v1/recommendation_pb.js";
import type { BulkResult, Dataset } from "../src/index.js";
import { Client, Cllm4recError } from "../src/index.js";
import { Repeats } from "../src/repeats.js";
import { UserQueue } from "../src/user_queue.js";

const OVERLOADED = new Cllm4recError("RESOURCE_EXHAUSTED", "no room", { retryAfterMs: 3_000 });

test("who was refused waits as long as the scorer asks for, and a little longer by chance", () => {
  for (const code of ["RESOURCE_EXHAUSTED", "UNAVAILABLE"] as const) {
    const delayMs = new Repeats().delayMs(new Cllm4recError(code, "", { retryAfterMs: 3_000 }), 1);
    assert.ok(delayMs !== undefined && delayMs >= 3_000 && delayMs < 3_800, `${delayMs}`);
  }
  const unsaid = new Repeats().delayMs(new Cllm4recError("UNAVAILABLE", "away"), 1);
  assert.equal(unsaid, 200);
});

test("a user is asked for ten times, and not again after a long delay or for what a repeat cannot help", () => {
  const repeats = new Repeats();
  assert.ok(repeats.delayMs(OVERLOADED, 9) !== undefined);
  assert.equal(repeats.delayMs(OVERLOADED, 10), undefined);
  const long = new Cllm4recError("UNAVAILABLE", "", { retryAfterMs: 30_001 });
  assert.equal(repeats.delayMs(long, 1), undefined);
  assert.equal(repeats.delayMs(new Cllm4recError("NOT_FOUND", "", { retryAfterMs: 10 }), 1), undefined);
});

test("repeats end where no list comes, and each list pays for one", () => {
  const repeats = new Repeats();
  let nRepeats = 0;
  while (repeats.delayMs(OVERLOADED, 1) !== undefined) {
    nRepeats += 1;
  }
  assert.equal(nRepeats, 512);
  repeats.earn();
  assert.ok(repeats.delayMs(OVERLOADED, 1) !== undefined);
  assert.equal(repeats.delayMs(OVERLOADED, 1), undefined);
});

test("somebody who waits is taken when the time has come, and keeps the queue open", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const queue = new UserQueue(["anna"]);
  assert.ok(await queue.hasMore());
  const anna = queue.take();
  assert.deepEqual(anna, { userId: "anna", nRefusals: 0 });
  queue.putBackLater({ userId: "late", nRefusals: 1 }, 2_000);
  queue.putBackLater({ userId: "soon", nRefusals: 2 }, 500);
  const hasMore = queue.hasMore();
  t.mock.timers.tick(499);
  assert.deepEqual([queue.nLater, queue.take()], [2, undefined]);
  t.mock.timers.tick(1);
  assert.ok(await hasMore);
  assert.deepEqual(queue.take(), { userId: "soon", nRefusals: 2 });
  assert.equal(queue.nLater, 1);
  queue.close();
  assert.equal(await queue.hasMore(), false);
  t.mock.timers.tick(10_000);
  assert.equal(queue.take(), undefined, "nobody comes back after the end");
});

/** Answers a request: with a failure, or with a list for undefined. */
type Answer = (userId: string, nth: number) => Failure | undefined;

/** Runs `use` with a client of a scorer that answers the n-th request for a user (from 1) as `answer` says. */
async function withScorer(
  answer: Answer,
  use: (client: Client, asked: Map<string, number>) => Promise<void>,
): Promise<void> {
  const asked = new Map<string, number>();
  async function* batchRecommend(requests: AsyncIterable<BatchRecommendRequest>) {
    for await (const { id, request } of requests) {
      const userId = request?.userId ?? "";
      asked.set(userId, (asked.get(userId) ?? 0) + 1);
      const failure = answer(userId, asked.get(userId) ?? 0);
      const response = { modelVersion: "modelVersions/1" };
      const result = failure === undefined
        ? { case: "response" as const, value: response }
        : { case: "failure" as const, value: failure };
      yield { id, result };
    }
  }
  const adapter = connectNodeAdapter({ routes: (router) => router.service(RecommendationService, { batchRecommend }) });
  const server = createServer(adapter).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = new Client({ target: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    await use(client, asked);
  } finally {
    client.close();
    server.close();
  }
}

function refusal(delayMs: number): Failure {
  const retryDelay = durationFromMs(delayMs);
  return create(FailureSchema, { code: Code.ResourceExhausted, message: "no room", retryDelay });
}

test("a busy scorer answers everybody but whom it puts off for long, and the error says how long", async () => {
  const answer: Answer = (userId, nth) => {
    if (userId === "never") {
      return refusal(40_000);
    }
    return nth === 1 ? refusal(20) : undefined;
  };
  // More than the repeats that no list pays for.
  const users = Array.from({ length: 600 }, (_, at) => `u${at}`);
  await withScorer(answer, async (client, asked) => {
    const found = new Map<string, BulkResult>();
    for await (const result of client.recommendMany([...users, "never"])) {
      found.set(result.userId, result);
    }
    assert.equal(found.size, users.length + 1);
    assert.equal(found.get("never")?.error?.code, "RESOURCE_EXHAUSTED");
    assert.equal(found.get("never")?.error?.retryAfterMs, 40_000);
    assert.ok(users.every((userId) => found.get(userId)?.list !== undefined));
    assert.deepEqual(new Set(users.map((userId) => asked.get(userId))), new Set([2]));
    assert.equal(asked.get("never"), 1);
  });
});

test("users who wait keep their places: no more are read than the window holds", async () => {
  let nRead = 0;
  function* endless(): Generator<string> {
    for (;;) {
      nRead += 1;
      yield `u${nRead}`;
    }
  }
  await withScorer(() => refusal(10_000), async (client, asked) => {
    const signal = AbortSignal.timeout(300);
    await assert.rejects(async () => {
      for await (const _ of client.recommendMany(endless(), { signal })) {
        assert.fail("nobody is answered");
      }
    }, { code: "DEADLINE_EXCEEDED" });
    assert.equal(asked.size, 64);
    assert.ok(nRead <= 65, `${nRead}`);
  });
});

test("an empty answer is an unknown error, and a failure's delay is read", () => {
  assert.equal(errorOfFailure(undefined).code, "UNKNOWN");
  assert.equal(errorOfFailure(refusal(250)).retryAfterMs, 250);
  assert.equal(errorOfFailure(create(FailureSchema, { code: 14 })).retryAfterMs, undefined);
});

test("the latest data set of a name is meant, and an unknown name lists those that there are", () => {
  const names = [["3", "games"], ["2", "tea"], ["1", "games"]];
  const datasets = names.map(([id, displayName]) => ({ name: `datasets/${id}`, displayName }) as Dataset);
  assert.equal(called("games", { datasets, unreadable: [] }), "datasets/3");
  assert.throws(() => called("gmaes", { datasets, unreadable: ["datasets/0"] }), {
    code: "NOT_FOUND",
    message: "no data set is called `gmaes`; there are: games, tea; 1 cannot be read",
  });
  assert.throws(() => called("games", { datasets: [], unreadable: [] }), /there are: none/);
});
