/** The client: everything that a program asks of a scorer and a coordinator. */

import { Bulk } from "./bulk.js";
import type { BulkResult } from "./bulk.js";
import type { CallOptions, Policy } from "./calls.js";
import { Calls } from "./calls.js";
import type { ClientOptions } from "./config.js";
import { coordinatorTarget, scorerTarget } from "./config.js";
import { listDatasets } from "./datasets.js";
import type { Dataset } from "./generated/cllm4rec/v1/dataset_pb.js";
import { HistoryService } from "./generated/cllm4rec/v1/history_pb.js";
import type {
  RecommendResponse,
  ScoreItemsResponse,
  ServingStatus,
  SimilarItemsResponse,
} from "./generated/cllm4rec/v1/recommendation_pb.js";
import { RecommendationService } from "./generated/cllm4rec/v1/recommendation_pb.js";
import type { JobEvent } from "./generated/cllm4rec/v1/training_pb.js";
import type { History, Interaction, Recorded, RecordedInteraction } from "./histories.js";
import { inBulks, recorded } from "./histories.js";
import type { Job, JobsOptions, TrainOptions, TrainSpec, WatchOptions } from "./jobs.js";
import { cancelJob, getJob, jobs, retryJob, train, watch } from "./jobs.js";
import { Models } from "./models.js";
import { HISTORY, ranking } from "./policies.js";
import { Replicas } from "./replicas.js";
import type { ListOptions, RecommendOptions, ScoreOptions, SimilarOptions } from "./requests.js";
import { recommendRequest, scoreRequest, similarRequest } from "./requests.js";

/** What `recommendMany` takes. */
export interface RecommendManyOptions extends ListOptions {
  /** Ends the whole call. */
  readonly signal?: AbortSignal;
}

/** What `history` takes. */
export interface HistoryOptions extends CallOptions {
  /** At most so many interactions, the latest; all when left out. */
  readonly limit?: number;
}

/** Deadline of what a user waits for, in milliseconds. */
const DEFAULT_TIMEOUT_MS = 2_000;

/**
 * A client of a scorer and a coordinator. It connects at the first call, and is to be closed when it is no longer
 * needed. Every method throws a `Cllm4recError` when the call fails; every call has a deadline, and is made again where
 * that is safe.
 */
export class Client {
  readonly #scorer: Calls;
  readonly #coordinator: Calls;
  readonly #catalog: string | undefined;
  readonly #ranking: Policy;

  /** The model registry: list, get, promote, remove labels, delete. */
  readonly models: Models;

  /** Throws `INVALID_ARGUMENT` for a target, token or certificate authority that cannot be used. */
  constructor(options: ClientOptions = {}) {
    this.#scorer = new Calls(new Replicas(scorerTarget(options), options.clientId));
    this.#coordinator = new Calls(new Replicas(coordinatorTarget(options), options.clientId));
    this.#catalog = options.catalog;
    this.#ranking = ranking(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    this.models = new Models(this.#coordinator);
  }

  /**
   * The best items for a user, best first. What made the list worse, such as an unknown user, is in `degradations`.
   * `userId` may be empty where there is a `history` or a `query`.
   */
  async recommend(userId: string, options: RecommendOptions = {}): Promise<RecommendResponse> {
    const request = recommendRequest(userId, options, this.#catalog);
    return this.#scorer.call(RecommendationService, this.#ranking, options, (stub, rpc) =>
      stub.recommend(request, rpc),
    );
  }

  /**
   * Lists for many users, each with the same options, in any order. Users are read as outcomes are taken, and at most
   * 64 requests are under way, so that neither has to fit into memory. What a broken stream did not answer is sent
   * again. So is who was refused and may be served later, after the delay that the scorer asks for: ten times at most,
   * and 512 times in all while no list comes. After that, where the delay is over 30 s, and for what is wrong with a
   * user's request, the user comes back with an `error`, and the others go on. Throws where nobody can be served.
   */
  recommendMany(
    users: Iterable<string> | AsyncIterable<string>,
    options: RecommendManyOptions = {},
  ): AsyncGenerator<BulkResult, void, undefined> {
    const { signal, ...each } = options;
    const requestOf = (userId: string) => recommendRequest(userId, each, this.#catalog);
    return new Bulk(this.#scorer, users, requestOf, signal).results();
  }

  /**
   * Scores of 1 to 10,000 items for a user, in the order given, then those of `newItems`. An item that the version does
   * not know has no score.
   */
  async score(userId: string, itemIds: Iterable<string>, options: ScoreOptions = {}): Promise<ScoreItemsResponse> {
    const request = scoreRequest(userId, itemIds, options, this.#catalog);
    return this.#scorer.call(RecommendationService, this.#ranking, options, (stub, rpc) =>
      stub.scoreItems(request, rpc),
    );
  }

  /** Items that are like an item, or that a text is about. Throws `NOT_FOUND` for an unknown item. */
  async similar(like: string | { readonly text: string }, options: SimilarOptions = {}): Promise<SimilarItemsResponse> {
    const request = similarRequest(like, options);
    return this.#scorer.call(RecommendationService, this.#ranking, options, (stub, rpc) =>
      stub.similarItems(request, rpc),
    );
  }

  /** What the next scorer in turn serves and how it fares. */
  async status(options: CallOptions = {}): Promise<ServingStatus> {
    return this.#scorer.call(RecommendationService, this.#ranking, options, (stub, rpc) => stub.getStatus({}, rpc));
  }

  /**
   * Records what users did, in calls of at most 10,000, one after the other; the next list knows it. All is stored when
   * this returns. Where it throws, earlier calls are stored and this one may be in part: recording the same again is
   * safe where the interactions have times or event ids.
   */
  async record(
    interactions: Interaction | Iterable<Interaction> | AsyncIterable<Interaction>,
    options: CallOptions = {},
  ): Promise<Recorded> {
    const given = "userId" in interactions ? [interactions] : interactions;
    let nRecorded = 0;
    const unknown = new Set<string>();
    for await (const bulk of inBulks(withTimes(given))) {
      const request = { interactions: bulk, catalog: this.#catalog ?? "" };
      const answer = await this.#scorer.call(HistoryService, HISTORY, options, (stub, rpc) =>
        stub.recordInteractions(request, rpc),
      );
      nRecorded += answer.nRecorded;
      answer.unknownItemIds.forEach((itemId) => unknown.add(itemId));
    }
    return { nRecorded, unknownItemIds: [...unknown] };
  }

  /**
   * Takes back interactions that are stored with the same user, item, time and event id; others stay. Returns how many
   * were there; those of a call that was repeated after a lost answer are not counted.
   */
  async forget(
    interactions: RecordedInteraction | Iterable<RecordedInteraction> | AsyncIterable<RecordedInteraction>,
    options: CallOptions = {},
  ): Promise<number> {
    let nForgotten = 0;
    for await (const bulk of inBulks("userId" in interactions ? [interactions] : interactions)) {
      const request = { interactions: bulk, catalog: this.#catalog ?? "" };
      const answer = await this.#scorer.call(HistoryService, HISTORY, options, (stub, rpc) =>
        stub.forgetInteractions(request, rpc),
      );
      nForgotten += answer.nForgotten;
    }
    return nForgotten;
  }

  /** A user's history, ascending by time; empty for an unknown user. */
  async history(userId: string, options: HistoryOptions = {}): Promise<History> {
    const request = { userId, catalog: this.#catalog ?? "", limit: options.limit ?? 0 };
    const answer = await this.#scorer.call(HistoryService, HISTORY, options, (stub, rpc) =>
      stub.getHistory(request, rpc),
    );
    return { interactions: answer.interactions.map(recorded), isDeleted: answer.deleted };
  }

  /** Forgets a user; what happened before does not come back. Needs the role `admin`. */
  async deleteUser(userId: string, options: CallOptions = {}): Promise<void> {
    const request = { userId, catalog: this.#catalog ?? "" };
    await this.#scorer.call(HistoryService, HISTORY, options, (stub, rpc) => stub.deleteUser(request, rpc));
  }

  /** All data sets, the one imported last first; 1,000 at most. */
  async datasets(options: CallOptions = {}): Promise<Dataset[]> {
    return (await listDatasets(this.#coordinator, options)).datasets;
  }

  /**
   * Queues a training job. Throws `INVALID_ARGUMENT` with the wrong fields, `NOT_FOUND` for a data set that is not
   * there (the message names those that are), `RESOURCE_EXHAUSTED` when the queue is full.
   */
  async train(spec: TrainSpec, options: TrainOptions = {}): Promise<Job> {
    return train(this.#coordinator, spec, options);
  }

  /** One job, by its id or name. Throws `NOT_FOUND` when it does not exist. */
  async job(id: string, options: CallOptions = {}): Promise<Job> {
    return getJob(this.#coordinator, id, options);
  }

  /** Jobs, oldest first unless asked otherwise, page by page. */
  jobs(options: JobsOptions = {}): AsyncGenerator<Job, void, undefined> {
    return jobs(this.#coordinator, options);
  }

  /** A job's events until it ends; a connection that breaks is made again, and goes on after the last event. */
  watch(job: string, options: WatchOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    return watch(this.#coordinator, job, options);
  }

  /** Asks a job to stop. Throws `FAILED_PRECONDITION` when it has ended already. */
  async cancel(job: string, options: CallOptions = {}): Promise<Job> {
    return cancelJob(this.#coordinator, job, options);
  }

  /** Puts a job that failed or was cancelled back into the queue. Throws `FAILED_PRECONDITION` in other states. */
  async retry(job: string, options: CallOptions = {}): Promise<Job> {
    return retryJob(this.#coordinator, job, options);
  }

  /** Closes all connections. Calls that are under way and later ones fail with `CANCELLED`. */
  close(): void {
    this.#scorer.replicas.close();
    this.#coordinator.replicas.close();
  }
}

/** Gives those without a time this moment, so that a call that is made again records nothing twice. */
async function* withTimes(
  interactions: Iterable<Interaction> | AsyncIterable<Interaction>,
): AsyncGenerator<Interaction, void, undefined> {
  for await (const interaction of interactions) {
    yield interaction.time === undefined ? { ...interaction, time: new Date() } : interaction;
  }
}
