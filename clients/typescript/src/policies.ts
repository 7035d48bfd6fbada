/** How each kind of call is made. Every call may happen twice: what would be refused the second time is looked at then. */

import type { Policy } from "./calls.js";

/** Deadline of what no user waits for, in milliseconds. */
const UNHURRIED_MS = 10_000;

/** Recommendations: somebody waits for them. `timeoutMs` is the client's own deadline, in milliseconds. */
export function ranking(timeoutMs: number): Policy {
  return { timeoutMs, isThrottled: true };
}

/** Histories: a repeat of the same event changes nothing. */
export const HISTORY: Policy = { timeoutMs: UNHURRIED_MS, isThrottled: true };

/** Jobs, versions and labels. A coordinator refuses what its queues have no room for, and nothing else. */
export const COORDINATION: Policy = { timeoutMs: UNHURRIED_MS, isThrottled: false };
