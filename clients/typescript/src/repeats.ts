/** Which users of a bulk call are asked for again, and when: decided on the error alone. */

import { backoff, isPassing } from "./calls.js";
import type { Cllm4recError } from "./errors.js";

/** How often somebody is asked for. */
const MOST_TIMES = 10;
/** Repeats while no list comes: eight windows may be refused, as eight streams may break. */
const MOST_REPEATS = 512;
/** Milliseconds before somebody is asked for again, at least. */
const REST_MS = 200;
/** Milliseconds that the scorer may ask for; who is to wait for longer is not asked for again. */
const LONGEST_DELAY_MS = 30_000;

/** The repeats of one bulk call. */
export class Repeats {
  // Its own, so that calls of the same client keep theirs.
  #left = MOST_REPEATS;

  /**
   * A list came: it pays for a repeat. A repeat takes a place in the window that somebody new would have, so it is no
   * further load.
   */
  earn(): void {
    this.#left = Math.min(MOST_REPEATS, this.#left + 1);
  }

  /**
   * Milliseconds after which a user is asked for again who was refused for the n-th time, from 1, and never less than
   * the scorer asked for; undefined where the error is to be handed over.
   */
  delayMs(error: Cllm4recError, nRefusals: number): number | undefined {
    const asked = error.retryAfterMs ?? 0;
    if (!mayPass(error) || nRefusals >= MOST_TIMES || asked > LONGEST_DELAY_MS || this.#left < 1) {
      return undefined;
    }
    this.#left -= 1;
    // Spread out, as others were told the same.
    return Math.max(REST_MS, asked * (1 + Math.random() / 5) + backoff(nRefusals));
  }
}

/** Whether the same request may be answered later. */
function mayPass(error: Cllm4recError): boolean {
  return isPassing(error) || error.code === "DEADLINE_EXCEEDED" || error.code === "CANCELLED";
}
