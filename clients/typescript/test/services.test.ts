/** The client against real services: two scorers, a coordinator and a worker on a Redis, and a model trained first. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { BulkResult, Client, ErrorCode, Interaction, Job, Progress } from "../src/index.js";
import { Client as RealClient, Cllm4recError, DegradationKind, JobFailedError, JobState } from "../src/index.js";
import type { Scorer } from "./cluster.js";
import { Cluster, kill, untilLive } from "./cluster.js";
import { itemId, SLOW_JOB, TINY_JOB, USERS } from "./data.js";

let cluster: Cluster;
let scorers: Scorer[];
let client: Client;
let dataset: string;
let job: Job;
const progress: Progress[] = [];

describe("a client of running services", { timeout: 120_000 }, () => {
  before(async () => {
    cluster = await Cluster.start();
    scorers = await Promise.all([cluster.startScorer(), cluster.startScorer()]);
    client = cluster.client(scorers);
    dataset = cluster.importTwoGroups();
    job = await client.train({ dataset, ...TINY_JOB, labels: ["live"] });
    await job.wait({ onProgress: (now) => void (now === undefined || progress.push(now)) });
    await untilLive(cluster, scorers);
  });

  after(async () => {
    client?.close();
    await cluster?.stop();
  });

  test("a job is waited for with progress, and names its model and how good it is", async () => {
    assert.equal(job.state, JobState.SUCCEEDED);
    assert.ok(progress.some(({ done }) => done > 0), "progress was told");
    assert.match(job.record.modelVersion, /^modelVersions\//);
    assert.ok(job.record.metrics["ndcg@100"] !== undefined, Object.keys(job.record.metrics).join());
    assert.equal((await client.job(job.name)).state, JobState.SUCCEEDED);
  });

  test("a watch begins where it is asked to, and has each event once, in order", async () => {
    const numbers = await collect(client.watch(job.name, { fromNumber: 2 }), ({ number }) => number);
    const wanted = Array.from({ length: Number(job.record.nEvents) - 1 }, (_, at) => BigInt(at + 2));
    assert.deepEqual(numbers, wanted);
    assert.deepEqual(await collect(job.watch({ fromNumber: job.record.nEvents + 1n }), (event) => event), []);
  });

  test("the same request id gives the same job", async () => {
    const submit = () => client.train({ dataset, ...SLOW_JOB }, { requestId: "once" });
    const [first, second] = [await submit(), await submit()];
    assert.equal(first.name, second.name);
    await first.cancel();
    await assert.rejects(first.wait(), (thrown) => thrown instanceof JobFailedError && thrown.job.name === first.name);
  });

  test("a list is of the user's own group and leaves out what they took", async () => {
    const list = await client.recommend("u0", { k: 3 });
    assert.equal(list.modelVersion, job.record.modelVersion);
    assert.deepEqual(list.items.map(({ rank }) => rank), [1, 2, 3]);
    const seen = new Set((await client.history("u0")).interactions.map((one) => one.itemId));
    assert.equal(seen.size, 7);
    assert.ok(list.items.every((item) => !seen.has(item.itemId)));
    assert.match(list.items[0]?.title ?? "", /Space/);
  });

  test("a list goes on with its page token", async () => {
    const first = await client.recommend("u0", { k: 4 });
    const second = await client.recommend("u0", { k: 4, pageToken: first.nextPageToken });
    const both = await client.recommend("u0", { k: 8 });
    const ids = [...first.items, ...second.items].map((item) => item.itemId);
    assert.deepEqual(ids, both.items.map((item) => item.itemId));
  });

  test("options restrict a list, and what is missing is said", async () => {
    const old = await client.recommend("u0", { k: 2, filter: "year < 2005", excludeSeen: false });
    assert.ok(old.items.every((item) => item.itemId < "i05"));
    const stranger = await client.recommend("nobody", { history: [{ itemId: "i12" }], k: 1 });
    assert.ok(stranger.degradations.some(({ kind }) => kind === DegradationKind.UNKNOWN_USER));
    const fresh = { itemId: "new", title: "A Space game", attributes: { year: 2030 } };
    const withNew = await client.recommend("u0", { k: 20, newItems: [fresh], filter: "year > 2025" });
    assert.deepEqual(withNew.items.map((item) => item.itemId), ["new"]);
  });

  test("scores come in the order given, similar items without the item", async () => {
    const { scores } = await client.score("u0", ["i09", "nothing", "i19"]);
    assert.deepEqual(scores.map((one) => one.itemId), ["i09", "nothing", "i19"]);
    assert.equal(scores[1]?.score, undefined);
    assert.ok((scores[0]?.score ?? 0) > (scores[2]?.score ?? 0), "the own group first");
    const similar = await client.similar("i03", { k: 5 });
    assert.equal(similar.items.length, 5);
    assert.ok(similar.items.every((item) => item.itemId !== "i03"));
    assert.match((await client.similar({ text: "a garden game" }, { k: 1 })).items[0]?.title ?? "", /Garden/);
    await assert.rejects(client.similar("nothing"), withCode("NOT_FOUND"));
  });

  test("what is recorded counts at once, is forgotten, and a deleted user is gone", async () => {
    const time = new Date("2024-05-01T09:30:00.123Z");
    const interaction = { userId: "writer", itemId: "i01", time };
    assert.deepEqual(await client.record(interaction), { nRecorded: 1, unknownItemIds: [] });
    assert.equal((await client.record([interaction])).nRecorded, 0, "a repeat");
    const withoutTime = await client.record({ userId: "writer", itemId: "unheard", eventId: "e1" });
    assert.deepEqual(withoutTime, { nRecorded: 1, unknownItemIds: ["unheard"] });
    const { interactions } = await client.history("writer");
    assert.deepEqual(interactions[0], interaction);
    assert.equal(interactions[1]?.eventId, "e1");
    assert.equal((await client.history("writer", { limit: 1 })).interactions.length, 1);
    assert.equal(await client.forget(interaction), 1);
    await client.deleteUser("writer");
    assert.deepEqual(await client.history("writer"), { interactions: [], isDeleted: true });
  });

  test("more interactions than a call takes are recorded in several", async () => {
    async function* many(): AsyncGenerator<Interaction> {
      for (let at = 0; at < 10_050; at += 1) {
        yield { userId: `b${at % 201}`, itemId: itemId(at % 20), time: new Date(1_700_000_000_000 + at) };
      }
    }
    const { nRecorded } = await client.record(many(), { timeoutMs: 30_000 });
    assert.equal(nRecorded, 10_050);
    assert.equal((await client.history("b0")).interactions.length, 50);
  });

  test("all users get the list in bulk that they get alone, and who is refused does not stop the others", async () => {
    const tooLong = "x".repeat(257);
    const results = new Map<string, BulkResult>();
    for await (const result of client.recommendMany([...USERS, tooLong], { k: 5 })) {
      assert.ok(!results.has(result.userId), "once each");
      results.set(result.userId, result);
    }
    assert.equal(results.size, USERS.length + 1);
    assert.equal(results.get(tooLong)?.error?.code, "INVALID_ARGUMENT");
    for (const user of USERS.slice(0, 6)) {
      assert.deepEqual(ids(results.get(user)), (await client.recommend(user, { k: 5 })).items.map((i) => i.itemId));
    }
  });

  test("users are read only as fast as lists are taken", async () => {
    let [nRead, nTaken, mostAhead, isClosed] = [0, 0, 0, false];
    async function* endless(): AsyncGenerator<string> {
      try {
        for (;;) {
          yield USERS[nRead % USERS.length] ?? "";
          nRead += 1;
          mostAhead = Math.max(mostAhead, nRead - nTaken);
        }
      } finally {
        isClosed = true;
      }
    }
    for await (const result of client.recommendMany(endless(), { k: 1 })) {
      assert.equal(result.error, undefined);
      nTaken += 1;
      if (nTaken === 500) {
        break;
      }
    }
    // 64 under way, and what is in the connection's buffers of a stream whose reader is behind.
    assert.ok(mostAhead <= 200, `${mostAhead} ahead`);
    await new Promise(setImmediate);
    assert.ok(isClosed, "the iterable was told that nobody reads on");
  });

  test("a bulk call throws what its users throw, what nobody can be served for, and its abort", async () => {
    function* broken(): Generator<string> {
      yield "u0";
      throw new RangeError("no more");
    }
    await assert.rejects(drain(client.recommendMany(broken())), RangeError);
    await assert.rejects(drain(client.recommendMany(USERS, { label: "nowhere" })), withCode("NOT_FOUND"));
    async function* never(): AsyncGenerator<string> {
      yield "u0";
      await new Promise(() => undefined);
    }
    const stop = new AbortController();
    const stopped = (async () => {
      for await (const _ of client.recommendMany(never(), { signal: stop.signal })) {
        stop.abort();
      }
    })();
    await assert.rejects(stopped, withCode("CANCELLED"));
  });

  test("jobs and versions come page by page, as often as it takes", async () => {
    const names = await collect(client.jobs({ pageSize: 1 }), ({ name }) => name);
    assert.ok(names.length >= 2 && new Set(names).size === names.length, names.join());
    assert.equal(names[0], job.name);
    const newest = await collect(client.jobs({ newestFirst: true }), ({ name }) => name);
    assert.deepEqual(newest, names.toReversed());
    const done = await collect(client.jobs({ state: JobState.SUCCEEDED, dataset, label: "live" }), ({ name }) => name);
    assert.deepEqual(done, [job.name]);
    const versions = await collect(client.models.list({ pageSize: 1 }), ({ name }) => name);
    assert.deepEqual(versions, [job.record.modelVersion]);
  });

  test("a data set is named by its id or as people call it, and an unknown name lists those that there are", async () => {
    const [known] = await client.datasets();
    assert.equal(known?.name, dataset);
    assert.deepEqual([known?.displayName, known?.nUsers, known?.nItems], ["two-groups", 60n, 20n]);
    const schedule = { needs: { labels: ["nobody-has-this"] } };
    const named = await client.train({ dataset: "two-groups", ...TINY_JOB }, { schedule });
    assert.equal(named.record.spec?.dataset, dataset);
    const listed = await collect(client.jobs({ dataset: "two-groups", newestFirst: true }), ({ name }) => name);
    assert.equal(listed[0], named.name);
    await named.cancel();
    await assert.rejects(client.train({ dataset: "two-goups" }), {
      code: "NOT_FOUND",
      message: "no data set is called `two-goups`; there are: two-groups",
    });
    await assert.rejects(client.train({ dataset: "datasets/nowhere", ...TINY_JOB }), withCode("NOT_FOUND"));
  });

  test("labels are moved and removed, and a version that has one is not deleted", async () => {
    const version = job.record.modelVersion;
    assert.deepEqual((await client.models.promote(version, "candidate")).labels.toSorted(), ["candidate", "live"]);
    await client.models.removeLabel("candidate");
    assert.deepEqual((await client.models.get(version)).labels, ["live"]);
    await assert.rejects(client.models.delete(version), withCode("FAILED_PRECONDITION"));
    await assert.rejects(client.models.get("nowhere"), withCode("NOT_FOUND"));
  });

  test("a running job is cancelled and goes on when it is retried", async () => {
    const slow = await client.train({ dataset, ...SLOW_JOB });
    for await (const event of slow.watch()) {
      if (event.job?.state === JobState.RUNNING) {
        break;
      }
    }
    await client.cancel(slow.name);
    await assert.rejects(slow.wait(), JobFailedError);
    assert.equal(slow.state, JobState.CANCELLED);
    await assert.rejects(slow.cancel(), withCode("FAILED_PRECONDITION"));
    assert.equal((await client.retry(slow.name)).hasEnded, false);
    let states: (JobState | undefined)[] = [];
    for await (const { job: seen } of client.watch(slow.name)) {
      states = [...states, seen?.state];
      if (states.includes(JobState.CANCELLED) && seen?.state === JobState.RUNNING) {
        break; // past the event that ended it first
      }
    }
    await slow.refresh();
    assert.equal(slow.hasEnded, false);
    const waited = slow.wait({ signal: AbortSignal.timeout(50) });
    await assert.rejects(waited, withCode("DEADLINE_EXCEEDED"));
    await slow.cancel();
  });

  test("a watch survives the coordinator, and has no event twice", async () => {
    const slow = await client.train({ dataset, ...SLOW_JOB });
    const numbers: bigint[] = [];
    let hasSeenAnother = false;
    for await (const event of slow.watch()) {
      if (event.number !== numbers.at(-1)) {
        numbers.push(event.number);
        if (hasSeenAnother) {
          await slow.cancel().catch(() => undefined); // it has ended when this is the event of its end
        }
      } else if (event.job?.state === JobState.RUNNING && !hasSeenAnother) {
        await cluster.replaceCoordinator();
        await slow.cancel({ timeoutMs: 20_000 });
        hasSeenAnother = true;
      }
    }
    assert.deepEqual(numbers, numbers.map((_, at) => BigInt(at + 1)));
    assert.equal((await slow.refresh()).state, JobState.CANCELLED);
  });

  test("bad input names all wrong fields", async () => {
    await assert.rejects(client.recommend("u0", { k: 0, filter: "year >", queryWeight: 2 }), (thrown) => {
      assert.ok(thrown instanceof Cllm4recError);
      assert.equal(thrown.code, "INVALID_ARGUMENT");
      const fields = thrown.fieldViolations.map(({ field }) => field);
      assert.ok(fields.includes("k") && fields.includes("query_weight"), fields.join());
      return true;
    });
    await assert.rejects(client.train({ dataset: "" }), withCode("INVALID_ARGUMENT"));
  });

  test("deadlines and aborts end a call", async () => {
    await assert.rejects(client.recommend("u0", { signal: AbortSignal.abort() }), withCode("CANCELLED"));
    const late = client.recommend("u0", { explain: true, k: 20, timeoutMs: 1 });
    await assert.rejects(late, (thrown) => {
      assert.ok(thrown instanceof Cllm4recError);
      return thrown.code === "DEADLINE_EXCEEDED" || thrown.code === "RESOURCE_EXHAUSTED";
    });
  });

  test("TLS, tokens and roles are told apart", async () => {
    const [key, certificate] = [join(cluster.folder, "key.pem"), join(cluster.folder, "certificate.pem")];
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"],
      ...["-keyout", key, "-out", certificate],
    ], { stdio: "ignore" });
    const guarded = await cluster.startScorer({
      SCORER__API__TLS__CERTIFICATE: certificate,
      SCORER__API__TLS__KEY: key,
      SCORER__API__TOKENS__SHOP__TOKEN: "shop-token",
      SCORER__API__TOKENS__SHOP__ROLES: "recommend",
    });
    const withToken = (token: string) => new RealClient({ target: guarded.address, ca: certificate, token });
    const [shop, wrong] = [withToken("shop-token"), withToken("wrong")];
    assert.ok(await shop.status({ timeoutMs: 10_000 }));
    await assert.rejects(shop.deleteUser("u0"), withCode("PERMISSION_DENIED"));
    await assert.rejects(wrong.recommend("u0"), withCode("UNAUTHENTICATED"));
    await assert.rejects(drain(wrong.recommendMany(USERS)), withCode("UNAUTHENTICATED"));
    const untrusting = new RealClient({ target: `https://${guarded.address}` });
    await assert.rejects(untrusting.status({ timeoutMs: 500 }), (thrown) => thrown instanceof Cllm4recError);
    [shop, wrong, untrusting].forEach((one) => one.close());
    await kill(guarded.process);
  });

  test("a full scorer's refusal says when to come back, and many of them are not sent", async () => {
    const full = await cluster.startScorer({ SCORER__MAX_REQUESTS: "1", SCORER__MAX_RUNNING: "1" });
    await untilLive(cluster, [full]);
    const busy = cluster.client([full]);
    const refused: Cllm4recError[] = [];
    const oneAfterAnother = async (caller: number): Promise<void> => {
      for (let at = 0; at < 20; at += 1) {
        const history = [{ itemId: itemId(at) }];
        await busy.recommend(`fresh${caller}-${at}`, { history }).catch((thrown: unknown) => {
          assert.ok(thrown instanceof Cllm4recError);
          refused.push(thrown);
        });
      }
    };
    await Promise.all(Array.from({ length: 32 }, (_, caller) => oneAfterAnother(caller)));
    const codes = new Set(refused.map((error) => error.code));
    assert.ok(codes.has("RESOURCE_EXHAUSTED"), [...codes].join());
    const [held, told] = [refused.filter(isHeldBack), refused.filter((error) => !isHeldBack(error))];
    assert.ok(held.length > 0, "some were not sent");
    assert.ok(told.some(({ retryAfterMs }) => retryAfterMs !== undefined), "the scorer said when to come back");
    busy.close();
    await kill(full.process);
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    test(`one of two scorers gets ${signal}, and no call and no list of a bulk is lost`, async () => {
      const [first, second] = [await cluster.startScorer(), await cluster.startScorer()];
      await untilLive(cluster, [first, second]);
      const both = cluster.client([first, second]);
      const users = Array.from({ length: 2_000 }, (_, at) => USERS[at % USERS.length] ?? "");
      const oneAfterAnother = async (): Promise<void> => {
        for (let at = 0; at < 40; at += 1) {
          await both.recommend(USERS[at] ?? "", { k: 3, timeoutMs: 10_000 });
        }
      };
      const bulk = (async () => {
        let nLists = 0;
        for await (const result of both.recommendMany(users, { k: 3 })) {
          assert.equal(result.error, undefined);
          nLists += 1;
          if (nLists === 100) {
            first.process.kill(signal);
          }
        }
        return nLists;
      })();
      const [nLists] = await Promise.all([bulk, ...Array.from({ length: 4 }, oneAfterAnother)]);
      assert.equal(nLists, users.length);
      await kill(first.process);
      await both.recommend("u0");
      both.close();
      await assert.rejects(both.recommend("u0"), withCode("CANCELLED"));
      await kill(second.process);
      const gone = cluster.client([first, second]);
      await assert.rejects(gone.recommend("u0", { timeoutMs: 300 }), withCode("UNAVAILABLE"));
      gone.close();
    });
  }

  test("a scorer that hangs costs one call, and the next ones go to the other", async () => {
    const hung = await cluster.startScorer();
    const both = cluster.client([hung, ...scorers]);
    hung.process.kill("SIGSTOP");
    await assert.rejects(both.recommend("u0", { timeoutMs: 1_100 }), withCode("DEADLINE_EXCEEDED"));
    for (let at = 0; at < 10; at += 1) {
      await both.recommend("u0");
    }
    both.close();
    await kill(hung.process);
  });
});

function isHeldBack(error: Cllm4recError): boolean {
  return error.message.startsWith("not sent");
}

function withCode(code: ErrorCode): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof Cllm4recError, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    return true;
  };
}

function ids(result: BulkResult | undefined): string[] | undefined {
  return result?.list?.items.map((item) => item.itemId);
}

async function collect<T, U>(items: AsyncIterable<T>, of: (item: T) => U): Promise<U[]> {
  const found: U[] = [];
  for await (const item of items) {
    found.push(of(item));
  }
  return found;
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  await collect(items, () => undefined);
}
