/** One call to a service: its deadline, its repeats, and when it is not sent at all. */

import { setTimeout as sleep } from "node:timers/promises";

import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions as RpcOptions, Client } from "@connectrpc/connect";

import type { Failure } from "./errors.js";
import { aborted, Cllm4recError, readFailure } from "./errors.js";
import type { Replica, Replicas } from "./replicas.js";

/** What every method takes. */
export interface CallOptions {
  /** Ends the call when it is aborted: with `DEADLINE_EXCEEDED` for `AbortSignal.timeout`, `CANCELLED` otherwise. */
  readonly signal?: AbortSignal;
  /** Deadline of the call with all its repeats, in milliseconds. */
  readonly timeoutMs?: number;
}

/** How the calls of one kind are made. */
export interface Policy {
  /** Deadline where the caller names none, in milliseconds. */
  readonly timeoutMs: number;
  /** Refusals for load hold later calls back. */
  readonly isThrottled: boolean;
}

/** A call to a stub, under the deadline and the signal that it is given. That it happens twice must do no harm. */
export type Attempt<S extends DescService, T> = (stub: Client<S>, options: RpcOptions) => Promise<T>;

/** Attempts of one call. */
const MOST_ATTEMPTS = 8;
/** Milliseconds before the first repeat; doubled for each further one. */
const FIRST_PAUSE_MS = 50;
/** Most milliseconds before a repeat that nobody asked to wait longer. */
const MOST_PAUSE_MS = 1_000;
/** A replica that says nothing for so many milliseconds is asked last for a while: the service refuses what is late. */
const SUSPICIOUS_MS = 1_000;
/** Repeats that may be made in a row when no call succeeds. */
const MOST_REPEATS = 20;
/** What a call that succeeded adds to the repeats that may be made. */
const REPEATS_A_SUCCESS = 0.1;

/** Makes the calls to one service. */
export class Calls {
  /** Repeats that may be made now: they are bounded by a tenth of what succeeds, so that they never become the load. */
  #budget = MOST_REPEATS;

  /** @param replicas where the service is. */
  constructor(readonly replicas: Replicas) {}

  /**
   * Makes a call, again where that may help, until its deadline. Throws a `Cllm4recError`: that of the last
   * attempt, or `RESOURCE_EXHAUSTED` where the service refuses so much that the throttle held the call back.
   */
  async call<S extends DescService, T>(
    service: S,
    policy: Policy,
    options: CallOptions,
    attempt: Attempt<S, T>,
  ): Promise<T> {
    const deadline = performance.now() + (options.timeoutMs ?? policy.timeoutMs);
    const tried = new Set<Replica>();
    for (let nFailures = 1; ; nFailures += 1) {
      const replica = this.#take(options, tried);
      const left = Math.max(1, Math.ceil(deadline - performance.now()));
      try {
        if (policy.isThrottled && !replica.throttle(service).maySend(performance.now())) {
          throw new NotSent();
        }
        const answer = await attempt(replica.stub(service), rpcOptions(options.signal, left));
        this.#learn(replica, service, undefined);
        return answer;
      } catch (thrown) {
        const failure = readFailure(thrown, options.signal);
        if (!(thrown instanceof NotSent)) {
          this.#learn(replica, service, failure);
          if (failure.isUnanswered && left >= SUSPICIOUS_MS) {
            replica.hasFailed();
          }
        }
        tried.add(replica);
        const pause = this.#pauseBeforeRepeat(failure, tried, nFailures);
        if (pause === undefined || performance.now() + pause >= deadline) {
          throw failure.error;
        }
        await pauseFor(pause, options.signal);
      }
    }
  }

  /** Opens a stream's stub on the next replica; throws where the client is closed. */
  open<S extends DescService>(service: S): { stub: Client<S>; replica: Replica } {
    this.#refuseWhenClosed();
    const replica = this.replicas.pick(new Set());
    return { stub: replica.stub(service), replica };
  }

  #take(options: CallOptions, tried: ReadonlySet<Replica>): Replica {
    this.#refuseWhenClosed();
    if (options.signal?.aborted === true) {
      throw aborted(options.signal);
    }
    return this.replicas.pick(tried);
  }

  #learn(replica: Replica, service: DescService, failure: Failure | undefined): void {
    const isRefused = failure?.error.code === "RESOURCE_EXHAUSTED";
    replica.throttle(service).hear(isRefused, performance.now());
    if (failure?.isConnectionLost === true) {
      replica.hasFailed();
      return;
    }
    if (failure === undefined) {
      this.#budget = Math.min(MOST_REPEATS, this.#budget + REPEATS_A_SUCCESS);
    }
    if (failure?.error.code !== "DEADLINE_EXCEEDED" && failure?.error.code !== "CANCELLED") {
      replica.hasAnswered();
    }
  }

  /** Milliseconds until the call is made again; undefined where it is not. */
  #pauseBeforeRepeat(failure: Failure, tried: ReadonlySet<Replica>, nFailures: number): number | undefined {
    if (!isPassing(failure.error) || nFailures >= MOST_ATTEMPTS) {
      return undefined;
    }
    if (failure.isConnectionLost && this.replicas.hasFresh(tried)) {
      return 0; // every replica once: bounded, and what a replica that dies leaves behind is many calls at once
    }
    if (this.#budget < 1) {
      return undefined;
    }
    this.#budget -= 1;
    return Math.max(failure.error.retryAfterMs ?? 0, backoff(nFailures));
  }

  #refuseWhenClosed(): void {
    if (this.replicas.isClosed) {
      throw new Cllm4recError("CANCELLED", "the client is closed");
    }
  }
}

/** A call that the throttle held back. */
class NotSent extends Cllm4recError {
  constructor() {
    super("RESOURCE_EXHAUSTED", "not sent: the service refuses too many calls");
  }
}

/** Milliseconds before the repeat after so many failures in a row: doubled each time, half of it by chance. */
export function backoff(nFailures: number): number {
  const most = Math.min(MOST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (nFailures - 1));
  return most * (0.5 + Math.random() / 2);
}

/** Waits so many milliseconds; throws a `Cllm4recError` when the signal is aborted meanwhile. */
export async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (thrown) {
    throw readFailure(thrown, signal).error;
  }
}

/** Whether a repeat may not meet the failure: the service is away or has no room, or the call lost a race. */
export function isPassing(error: Cllm4recError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
    case "ABORTED":
    case "RESOURCE_EXHAUSTED":
      return true;
    default:
      return false;
  }
}

/** Whether a stream that ended with the error is worth opening again: also where it was only cut off. */
export function mayOpenAgain(error: Cllm4recError): boolean {
  return isPassing(error) || error.code === "DEADLINE_EXCEEDED" || error.code === "UNKNOWN";
}

function rpcOptions(signal: AbortSignal | undefined, timeoutMs: number): RpcOptions {
  return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
}
