import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { coordinatorTarget, scorerTarget } from "../src/config.js";
import { Client, Cllm4recError } from "../src/index.js";

afterEach(() => {
  for (const name of Object.keys(process.env).filter((name) => name.startsWith("CLLM4REC__"))) {
    delete process.env[name];
  }
});

test("without options and environment both services are on this machine", () => {
  assert.deepEqual(scorerTarget({}), { urls: ["http://127.0.0.1:7070"], token: "", ca: undefined });
  assert.deepEqual(coordinatorTarget({}), { urls: ["http://127.0.0.1:7071"], token: "", ca: undefined });
});

test("the command line's variables count, and options count more", () => {
  process.env["CLLM4REC__SCORER__URL"] = "https://a:7070,https://b:7070";
  process.env["CLLM4REC__SCORER__TOKEN"] = "shop";
  process.env["CLLM4REC__COORDINATOR__TOKEN"] = "ops";
  assert.deepEqual(scorerTarget({}).urls, ["https://a:7070", "https://b:7070"]);
  assert.equal(scorerTarget({}).token, "shop");
  assert.equal(coordinatorTarget({}).token, "ops");
  assert.deepEqual(scorerTarget({ target: "c:1, d:2" }).urls, ["http://c:1", "http://d:2"]);
  assert.equal(coordinatorTarget({ token: "all" }).token, "all");
  assert.equal(coordinatorTarget({ token: "all", coordinatorToken: "own" }).token, "own");
});

test("an authority makes a target without a scheme one with TLS", () => {
  const ca = "-----BEGIN CERTIFICATE-----";
  assert.deepEqual(scorerTarget({ target: "c:1,http://d:2", ca }).urls, ["https://c:1", "http://d:2"]);
});

test("what cannot be used is refused when the client is made", () => {
  const isInvalid = (thrown: unknown) => thrown instanceof Cllm4recError && thrown.code === "INVALID_ARGUMENT";
  assert.throws(() => new Client({ target: "a:7070," }), isInvalid);
  assert.throws(() => new Client({ target: "http://a:7070/path" }), isInvalid);
  assert.throws(() => new Client({ token: "two\nlines" }), isInvalid);
  assert.throws(() => new Client({ ca: "/there/is/no/such/file.pem" }), isInvalid);
});
