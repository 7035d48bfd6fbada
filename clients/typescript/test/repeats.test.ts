/** When a call is made again, against a service that refuses as it is told and counts what it gets. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { RecommendationService } from "../src/generated/cllm4rec/v1/recommendation_pb.js";
import { BadRequestSchema, RetryInfoSchema } from "../src/generated/google/rpc/error_details_pb.js";
import { Client, Cllm4recError } from "../src/index.js";

/** Runs `use` with a client of a service that answers the n-th call (from 1) with what `refusal` gives, else a list. */
async function withService(
  refusal: (nth: number) => ConnectError | undefined,
  use: (client: Client, count: () => number) => Promise<void>,
): Promise<void> {
  let nCalls = 0;
  const answer = () => {
    nCalls += 1;
    const error = refusal(nCalls);
    if (error !== undefined) {
      throw error;
    }
    return { modelVersion: "modelVersions/1" };
  };
  const adapter = connectNodeAdapter({
    routes: (router) => router.service(RecommendationService, { recommend: answer }),
  });
  const server = createServer(adapter).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = new Client({ target: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  try {
    await use(client, () => nCalls);
  } finally {
    client.close();
    server.close();
  }
}

function overloaded(retryAfterMs: number): ConnectError {
  const details = [{ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(retryAfterMs) } }];
  return new ConnectError("too much", Code.ResourceExhausted, undefined, details);
}

test("a refusal's hint is honoured before the call is made again", async () => {
  await withService((nth) => (nth === 1 ? overloaded(300) : undefined), async (client, count) => {
    const startedAt = performance.now();
    await client.recommend("u");
    assert.ok(performance.now() - startedAt >= 299);
    assert.equal(count(), 2);
  });
});

test("a call whose deadline comes before the hint ends at once, and passes the hint on", async () => {
  await withService(() => overloaded(5_000), async (client, count) => {
    const startedAt = performance.now();
    await assert.rejects(client.recommend("u"), (thrown) => {
      assert.ok(thrown instanceof Cllm4recError);
      assert.equal(thrown.retryAfterMs, 5_000);
      return thrown.code === "RESOURCE_EXHAUSTED";
    });
    assert.ok(performance.now() - startedAt < 1_000);
    assert.equal(count(), 1);
  });
});

test("repeats are bounded by a budget, however many calls fail", async () => {
  await withService(() => new ConnectError("away", Code.Unavailable), async (client, count) => {
    const calls = Array.from({ length: 100 }, (_, at) => client.recommend(`u${at}`));
    const outcomes = await Promise.allSettled(calls);
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
    assert.ok(count() > 100 && count() <= 120, `${count()} for 100`);
  });
});

test("what a repeat cannot help is made once, and its fields are named", async () => {
  const details = [{ desc: BadRequestSchema, value: { fieldViolations: [{ field: "k", description: "too large" }] } }];
  const refusal = new ConnectError("k: too large", Code.InvalidArgument, undefined, details);
  await withService(() => refusal, async (client, count) => {
    await assert.rejects(client.recommend("u", { k: 2_000 }), (thrown) => {
      assert.ok(thrown instanceof Cllm4recError);
      assert.deepEqual(thrown.fieldViolations, [{ field: "k", description: "too large" }]);
      return thrown.code === "INVALID_ARGUMENT";
    });
    assert.equal(count(), 1);
  });
});

test("what the service ends by its own timer is late, not cancelled", async () => {
  await withService(() => new ConnectError("Timeout expired", Code.Canceled), async (client) => {
    await assert.rejects(client.recommend("u"), (thrown) => {
      return thrown instanceof Cllm4recError && thrown.code === "DEADLINE_EXCEEDED";
    });
  });
});
