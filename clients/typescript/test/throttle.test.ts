import assert from "node:assert/strict";
import { test } from "node:test";

import { Throttle } from "../src/throttle.js";

/** Offers ten calls a millisecond, of which the scorer takes so many; calls sent and accepted in the second half. */
function offer(throttle: Throttle, from: number, ms: number, taken: number): { sent: number; accepted: number } {
  let [sent, accepted] = [0, 0];
  for (let at = 0; at < ms; at += 1) {
    let n = 0;
    for (let call = 0; call < 10; call += 1) {
      n += throttle.maySend(from + at) ? 1 : 0;
    }
    for (let call = 0; call < n; call += 1) {
      throttle.hear(call >= taken, from + at);
    }
    if (at >= ms / 2) {
      sent += n;
      accepted += Math.min(n, taken);
    }
  }
  return { sent, accepted };
}

test("half as much more is sent than is accepted, and everything soon after an overload", () => {
  const throttle = new Throttle(0);
  assert.deepEqual(offer(throttle, 0, 1_000, 10), { sent: 5_000, accepted: 5_000 });
  const { sent, accepted } = offer(throttle, 1_000, 8_000, 2);
  assert.ok(accepted > 7_900 && 10 * sent < 16 * accepted, `${sent} sent, ${accepted} accepted`);
  assert.deepEqual(offer(throttle, 9_000, 4_000, 10), { sent: 20_000, accepted: 20_000 });
});

test("a scorer that accepts nothing is asked now and then", () => {
  const { sent } = offer(new Throttle(0), 0, 20_000, 0);
  assert.ok(sent >= 1 && sent < 1_000, `${sent} of 100,000`);
});
