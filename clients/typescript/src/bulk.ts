/**
 * Lists for many users over one stream at a time. A stream that breaks is opened again, on another replica where there
 * is one, and what was not answered is sent again.
 */

import { setTimeout as sleep } from "node:timers/promises";

import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Calls } from "./calls.js";
import { backoff, mayOpenAgain } from "./calls.js";
import { aborted, Cllm4recError, errorOfFailure, readFailure } from "./errors.js";
import type {
  BatchRecommendRequestSchema,
  BatchRecommendResponse,
  RecommendRequestSchema,
  RecommendResponse,
} from "./generated/cllm4rec/v1/recommendation_pb.js";
import { RecommendationService } from "./generated/cllm4rec/v1/recommendation_pb.js";
import { Repeats } from "./repeats.js";
import type { Asked } from "./user_queue.js";
import { UserQueue } from "./user_queue.js";

/** One user's outcome: a list, or why there is none. */
export type BulkResult =
  | { readonly userId: string; readonly list: RecommendResponse; readonly error?: undefined }
  | { readonly userId: string; readonly error: Cllm4recError; readonly list?: undefined };

/** The message for one user. */
export type RequestOf = (userId: string) => MessageInitShape<typeof RecommendRequestSchema>;

/** Requests under way: as many as a scorer answers at a time, and as many waiting behind them. */
const WINDOW = 64;
/** How often in a row a stream may break without an answer between. */
const MOST_BREAKS = 8;
/** Milliseconds without an answer to requests under way after which a stream counts as broken. */
const SILENCE_MS = 60_000;

/** A bulk call, from its first user to its last. */
export class Bulk {
  readonly #users: UserQueue;
  readonly #repeats = new Repeats();

  /** Asks for as many users at a time as the window holds; `signal` ends it. */
  constructor(
    private readonly calls: Calls,
    users: Iterable<string> | AsyncIterable<string>,
    private readonly requestOf: RequestOf,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.#users = new UserQueue(users);
  }

  /**
   * The outcomes, in any order, each user's once. Users are read only as fast as outcomes are taken. Throws a
   * `Cllm4recError` where no user can be served: no model, no right, no scorer for some seconds.
   */
  async *results(): AsyncGenerator<BulkResult, void, undefined> {
    let nBreaks = 0;
    try {
      while (await this.#orAborted(this.#users.hasMore())) {
        const stream = new OneStream(this.#users, this.requestOf);
        try {
          yield* this.#resultsOf(stream);
        } catch (thrown) {
          this.#users.throwFailure();
          const error = this.#errorOf(thrown, stream);
          nBreaks = stream.nLists > 0 ? 1 : nBreaks + 1;
          if (!mayOpenAgain(error) || nBreaks > MOST_BREAKS) {
            throw error;
          }
          await this.#orAborted(sleep(Math.max(error.retryAfterMs ?? 0, backoff(nBreaks))));
        } finally {
          stream.giveBack();
        }
      }
    } finally {
      this.#users.close();
    }
  }

  /** The outcomes of one stream, until it has answered everything and no user is left. */
  async *#resultsOf(stream: OneStream): AsyncGenerator<BulkResult, void, undefined> {
    const { stub, replica } = this.calls.open(RecommendationService);
    const abort = (): void => stream.abort(this.signal === undefined ? undefined : aborted(this.signal));
    this.signal?.addEventListener("abort", abort, { once: true });
    try {
      const options = { signal: stream.signal, timeoutMs: 0 };
      for await (const answer of stub.batchRecommend(stream.requests(), options)) {
        replica.hasAnswered();
        const result = this.#read(answer, stream);
        if (result !== undefined) {
          // What the caller does with it is not the scorer's silence.
          stream.stopWatching();
          yield result;
          stream.watchForSilence();
        }
      }
      if (stream.nWaiting > 0) {
        throw new Cllm4recError("UNAVAILABLE", "the scorer ended the stream");
      }
    } catch (thrown) {
      if (readFailure(thrown, this.signal).isConnectionLost && !stream.signal.aborted) {
        replica.hasFailed();
      }
      throw thrown;
    } finally {
      this.signal?.removeEventListener("abort", abort);
      stream.abort(undefined);
    }
  }

  /** An answer as an outcome; undefined where its user was put back. */
  #read(answer: BatchRecommendResponse, stream: OneStream): BulkResult | undefined {
    const user = stream.answered(answer.id);
    const { userId } = user;
    if (answer.result.case === "response") {
      this.#repeats.earn();
      stream.nLists += 1;
      return { userId, list: answer.result.value };
    }
    const error = errorOfFailure(answer.result.value);
    if (isAboutAll(error)) {
      throw error;
    }
    const refused = { userId, nRefusals: user.nRefusals + 1 };
    const delayMs = this.#repeats.delayMs(error, refused.nRefusals);
    if (delayMs === undefined) {
      return { userId, error };
    }
    this.#users.putBackLater(refused, delayMs);
    return undefined;
  }

  #errorOf(thrown: unknown, stream: OneStream): Cllm4recError {
    if (this.signal?.aborted === true) {
      return aborted(this.signal);
    }
    return stream.isSilent
      ? new Cllm4recError("UNAVAILABLE", `no answer for ${SILENCE_MS / 1_000} s`)
      : readFailure(thrown, undefined).error;
  }

  /** What `work` comes to, or the abort's error before that. */
  async #orAborted<T>(work: Promise<T>): Promise<T> {
    const signal = this.signal;
    if (signal === undefined) {
      return work;
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(aborted(signal));
      if (signal.aborted) {
        abort();
      }
      signal.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }
}

/** Whether the failure of one request is that of all: the model is missing or cannot answer. */
function isAboutAll(error: Cllm4recError): boolean {
  return error.code === "NOT_FOUND" || error.code === "FAILED_PRECONDITION" || error.code === "DATA_LOSS";
}

/** What is under way on one stream. */
class OneStream {
  /** Lists that came. */
  nLists = 0;
  /** It ended because nothing came for too long. */
  isSilent = false;
  readonly #ended = new AbortController();
  /** Users by the number of their request. */
  readonly #waiting = new Map<bigint, Asked>();
  #nextId = 0n;
  #wake: (() => void) | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor(
    private readonly users: UserQueue,
    private readonly requestOf: RequestOf,
  ) {}

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get nWaiting(): number {
    return this.#waiting.size;
  }

  /** Requests as there is room for them, until no user is left; gRPC's own back-pressure holds it back as well. */
  async *requests(): AsyncGenerator<MessageInitShape<typeof BatchRecommendRequestSchema>, void, undefined> {
    while (!this.signal.aborted) {
      if (this.#waiting.size + this.users.nLater >= WINDOW) {
        await Promise.race([this.users.change, this.#change()]);
        continue;
      }
      const hasMore = await Promise.race([this.users.hasMore(), this.#change()]);
      if (this.signal.aborted) {
        return;
      }
      if (hasMore === undefined) {
        continue; // an answer came first
      }
      const user = hasMore ? this.users.take() : undefined;
      if (user !== undefined) {
        yield this.#send(user);
      } else if (this.#waiting.size === 0) {
        return;
      } else {
        await this.#change(); // a request under way may come back
      }
    }
  }

  /** Notes that a request was answered; returns whose it was. */
  answered(id: bigint): Asked {
    const user = this.#waiting.get(id);
    if (user === undefined) {
      throw new Cllm4recError("INTERNAL", "the scorer answered what nobody asked");
    }
    this.#waiting.delete(id);
    this.watchForSilence();
    this.#wake?.();
    return user;
  }

  /** Ends the stream. */
  abort(reason: Cllm4recError | undefined): void {
    clearTimeout(this.#silence);
    this.#ended.abort(reason);
    this.#wake?.();
  }

  /** Puts whoever was not answered back to be asked for again. */
  giveBack(): void {
    for (const user of this.#waiting.values()) {
      this.users.putBack(user);
    }
    this.#waiting.clear();
  }

  #send(user: Asked): MessageInitShape<typeof BatchRecommendRequestSchema> {
    const id = this.#nextId;
    this.#nextId += 1n;
    this.#waiting.set(id, user);
    if (this.#waiting.size === 1) {
      this.watchForSilence();
    }
    return { id, request: this.requestOf(user.userId) };
  }

  /** From now on the scorer has so long for its next answer. */
  watchForSilence(): void {
    clearTimeout(this.#silence);
    if (this.#waiting.size > 0) {
      this.#silence = setTimeout(() => {
        this.isSilent = true;
        this.abort(undefined);
      }, SILENCE_MS);
    }
  }

  /** Nobody waits for the scorer. */
  stopWatching(): void {
    clearTimeout(this.#silence);
  }

  /** Settles at the next answer, or when the stream ends. */
  async #change(): Promise<undefined> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    return undefined;
  }
}
