/** Bounds what is sent to a scorer that refuses: a refusal costs it work too, and many leave it no time for answers. */

/** A call that is this many milliseconds old counts a third of a new one. */
const MEMORY_MS = 500;
/** Calls that are sent for each one that is accepted. */
const MORE = 1.5;

/**
 * Adaptive throttling (Site Reliability Engineering, 2016, ch. 21): of all calls that are wanted, the share
 * `(1.5 accepted + 1) / (wanted + 1)` is sent. `services/load/src/client.rs` is the same in Rust.
 */
export class Throttle {
  /** Calls of late, those that were not sent too; fades. */
  #wanted = 0;
  /** Calls of late that the scorer did not refuse; fades. */
  #accepted = 0;
  /** When the two have faded last, in milliseconds. */
  #fadedAt: number;
  /** Grows with each call that is wanted; one is sent when this has come to one. */
  #share = 0;

  /** @param now the time in milliseconds, from any clock that never goes back. */
  constructor(now: number) {
    this.#fadedAt = now;
  }

  /** Whether a call may be sent at `now`; one that may not is to be refused. */
  maySend(now: number): boolean {
    this.#fade(now);
    this.#share += Math.min(1, (MORE * this.#accepted + 1) / (this.#wanted + 1));
    if (this.#share < 1) {
      this.#wanted += 1;
      return false;
    }
    this.#share -= 1;
    return true;
  }

  /** Learns what became of a call that was sent. */
  hear(isRefused: boolean, now: number): void {
    this.#fade(now);
    this.#wanted += 1;
    this.#accepted += isRefused ? 0 : 1;
  }

  #fade(now: number): void {
    const left = Math.exp(-(now - this.#fadedAt) / MEMORY_MS);
    this.#wanted *= left;
    this.#accepted *= left;
    this.#fadedAt = now;
  }
}
