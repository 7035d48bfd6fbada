/** Training jobs: submitted, watched over as many connections as that takes, waited for. */

import { randomUUID } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";

import type { Attempt, CallOptions, Calls } from "./calls.js";
import { backoff, mayOpenAgain, pauseFor } from "./calls.js";
import { datasetName } from "./datasets.js";
import { aborted, Cllm4recError, JobFailedError, readFailure } from "./errors.js";
import type {
  Job as JobRecord,
  JobEvent,
  Progress,
  ScheduleSchema,
  TrainSpecSchema,
} from "./generated/cllm4rec/v1/training_pb.js";
import { Job_State as JobState, TrainingService } from "./generated/cllm4rec/v1/training_pb.js";
import { resourceName } from "./names.js";
import { COORDINATION } from "./policies.js";

/**
 * What a job is to do: `dataset` (its id, or its display name, of which the latest is meant) and any field of the
 * protos' `TrainSpec`.
 */
export type TrainSpec = Exclude<MessageInitShape<typeof TrainSpecSchema>, { $typeName: string }> & {
  readonly dataset: string;
};

/** When and where a job is to run: the protos' `Schedule`. */
export type Schedule = MessageInitShape<typeof ScheduleSchema>;

/** What `train` takes. */
export interface TrainOptions extends CallOptions {
  /** As soon as a worker is free when left out. */
  readonly schedule?: Schedule;
  /** The same id gives the same job; made up when left out, so that a repeat after a lost answer is harmless. */
  readonly requestId?: string;
}

/** Which jobs `jobs` lists. */
export interface JobsOptions extends CallOptions {
  /** Only jobs in this state. */
  readonly state?: JobState;
  /** Only jobs on this data set, by its id or display name. */
  readonly dataset?: string;
  /** Only jobs whose model gets this label. */
  readonly label?: string;
  /** From the newest job on. */
  readonly newestFirst?: boolean;
  /** Jobs of a call, 1 to 1,000; 50 when left out. */
  readonly pageSize?: number;
}

/** What `watch` takes. */
export interface WatchOptions {
  /** Number of the first event wanted; the first when left out. */
  readonly fromNumber?: bigint | number;
  /** Ends the watch. */
  readonly signal?: AbortSignal;
}

/** What `wait` takes. */
export interface WaitOptions {
  /** Called with each event and whenever there is fresher progress; what it throws ends the wait. */
  readonly onProgress?: (progress: Progress | undefined, event: JobEvent) => void;
  /** Ends the wait, not the job. */
  readonly signal?: AbortSignal;
}

/** Failures in a row that a watch survives. */
const MOST_FAILURES = 10;
/** Milliseconds before a watch connects again to a coordinator that ended the stream. */
const PAUSE_MS = 500;

/** A job, as it was last seen, and what can be done with it. */
export class Job {
  /** @param record as it was last seen. */
  constructor(
    private readonly calls: Calls,
    public record: JobRecord,
  ) {}

  /** `jobs/ID`. */
  get name(): string {
    return this.record.name;
  }

  /** As it was last seen; `JobState[job.state]` is its name. */
  get state(): JobState {
    return this.record.state;
  }

  /** Whether it had succeeded, failed or been cancelled when it was last seen. */
  get hasEnded(): boolean {
    return hasEnded(this.record);
  }

  /** Looks at the job again. Throws `NOT_FOUND` when it is gone. */
  async refresh(options: CallOptions = {}): Promise<this> {
    this.record = await this.calls.call(TrainingService, COORDINATION, options, (stub, rpc) =>
      stub.getJob({ name: this.name }, rpc),
    );
    return this;
  }

  /** Waits until the job has succeeded, from its latest event on. Throws a `JobFailedError` when it ends otherwise. */
  async wait(options: WaitOptions = {}): Promise<this> {
    const { onProgress, ...watching } = options;
    for await (const event of this.watch({ ...watching, fromNumber: this.record.nEvents })) {
      onProgress?.(event.job?.progress, event);
    }
    await this.refresh(watching);
    if (this.state !== JobState.SUCCEEDED) {
      throw new JobFailedError(this.record);
    }
    return this;
  }

  /** The job's events until it ends; between two of them the latest comes again with fresher progress. */
  watch(options: WatchOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    return watch(this.calls, this.name, options);
  }

  /**
   * Asks the job to stop; a running one does within a second or so. Throws `FAILED_PRECONDITION` when it has ended
   * already.
   */
  async cancel(options: CallOptions = {}): Promise<this> {
    this.record = await cancelled(this.calls, this.name, options);
    return this;
  }

  /**
   * Puts a job that failed or was cancelled back into the queue; it goes on from its last checkpoint. Throws
   * `FAILED_PRECONDITION` when it is in another state.
   */
  async retry(options: CallOptions = {}): Promise<this> {
    this.record = await retried(this.calls, this.name, options);
    return this;
  }
}

/** Queues a job; see `Client.train`. */
export async function train(calls: Calls, spec: TrainSpec, options: TrainOptions): Promise<Job> {
  const request = {
    spec: {
      ...spec,
      dataset: await datasetName(calls, spec.dataset, options),
      startFrom: spec.startFrom ? resourceName("modelVersions", spec.startFrom) : "",
    },
    requestId: options.requestId ?? randomUUID(),
    ...(options.schedule === undefined ? {} : { schedule: options.schedule }),
  };
  const record = await calls.call(TrainingService, COORDINATION, options, (stub, rpc) => stub.trainJob(request, rpc));
  return new Job(calls, record);
}

/** One job by its id or name; see `Client.job`. */
export async function getJob(calls: Calls, id: string, options: CallOptions): Promise<Job> {
  const name = resourceName("jobs", id);
  const record = await calls.call(TrainingService, COORDINATION, options, (stub, rpc) => stub.getJob({ name }, rpc));
  return new Job(calls, record);
}

/** Asks a job to stop; see `Client.cancel`. */
export async function cancelJob(calls: Calls, id: string, options: CallOptions): Promise<Job> {
  return new Job(calls, await cancelled(calls, resourceName("jobs", id), options));
}

/** Puts a job back into the queue; see `Client.retry`. */
export async function retryJob(calls: Calls, id: string, options: CallOptions): Promise<Job> {
  return new Job(calls, await retried(calls, resourceName("jobs", id), options));
}

/** All jobs, page by page; see `Client.jobs`. */
export async function* jobs(calls: Calls, options: JobsOptions): AsyncGenerator<Job, void, undefined> {
  const filter = {
    pageSize: options.pageSize ?? 0,
    state: options.state ?? JobState.STATE_UNSPECIFIED,
    dataset: await datasetName(calls, options.dataset ?? "", options),
    label: options.label ?? "",
    newestFirst: options.newestFirst ?? false,
  };
  let pageToken = "";
  do {
    const page = await calls.call(TrainingService, COORDINATION, options, (stub, rpc) =>
      stub.listJobs({ ...filter, pageToken }, rpc),
    );
    for (const record of page.jobs) {
      yield new Job(calls, record);
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** A job's events until it ends; a stream that breaks goes on after the last event seen. See `Client.watch`. */
export async function* watch(
  calls: Calls,
  id: string,
  options: WatchOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  const name = resourceName("jobs", id);
  let next = BigInt(options.fromNumber ?? 1);
  let nFailures = 0;
  for (;;) {
    try {
      for await (const event of eventsOfOneStream(calls, name, next, options.signal)) {
        nFailures = 0;
        const isNew = event.number >= next;
        next = isNew ? event.number + 1n : next;
        yield event;
        if (isNew && event.job !== undefined && hasEnded(event.job) && (await isOver(calls, name, next, options))) {
          return;
        }
      }
      // The coordinator is leaving, or the job had ended before the first event that was asked for.
      if (await isOver(calls, name, next, options)) {
        return;
      }
      await pauseFor(PAUSE_MS, options.signal);
    } catch (thrown) {
      const { error } = readFailure(thrown, options.signal);
      nFailures += 1;
      if (!mayOpenAgain(error) || nFailures > MOST_FAILURES) {
        throw error;
      }
      await pauseFor(Math.max(error.retryAfterMs ?? 0, backoff(nFailures)), options.signal);
    }
  }
}

/** Whether nothing comes after the events before `next`: a job that was retried has ended before, and goes on. */
async function isOver(calls: Calls, name: string, next: bigint, options: WatchOptions): Promise<boolean> {
  const job = await getJob(calls, name, options);
  return job.hasEnded && job.record.nEvents < next;
}

/** Events while one connection lasts; the stream ends with its reader. */
async function* eventsOfOneStream(
  calls: Calls,
  name: string,
  fromNumber: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<JobEvent, void, undefined> {
  if (signal?.aborted === true) {
    throw aborted(signal);
  }
  const { stub, replica } = calls.open(TrainingService);
  const ended = new AbortController();
  const abort = (): void => ended.abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    // No deadline: a job may take days. Pings find out that the coordinator is gone.
    for await (const event of stub.watchJob({ name, fromNumber }, { signal: ended.signal, timeoutMs: 0 })) {
      replica.hasAnswered();
      yield event;
    }
  } catch (thrown) {
    if (readFailure(thrown, signal).isConnectionLost) {
      replica.hasFailed();
    }
    throw thrown;
  } finally {
    signal?.removeEventListener("abort", abort);
    ended.abort();
  }
}

async function cancelled(calls: Calls, name: string, options: CallOptions): Promise<JobRecord> {
  const cancel: Change = (stub, rpc) => stub.cancelJob({ name }, rpc);
  return changed(calls, name, options, { make: cancel, isMade: (job) => job.state === JobState.CANCELLED });
}

async function retried(calls: Calls, name: string, options: CallOptions): Promise<JobRecord> {
  const retry: Change = (stub, rpc) => stub.retryJob({ name }, rpc);
  return changed(calls, name, options, { make: retry, isMade: (job) => !hasEnded(job) });
}

type Change = Attempt<typeof TrainingService, JobRecord>;

/** Changes a job. Where an attempt's answer was lost and the next one is refused, the job says whether it was made. */
async function changed(
  calls: Calls,
  name: string,
  options: CallOptions,
  change: { readonly make: Change; readonly isMade: (job: JobRecord) => boolean },
): Promise<JobRecord> {
  let nAttempts = 0;
  try {
    return await calls.call(TrainingService, COORDINATION, options, (stub, rpc) => {
      nAttempts += 1;
      return change.make(stub, rpc);
    });
  } catch (thrown) {
    if (nAttempts > 1 && thrown instanceof Cllm4recError && thrown.code === "FAILED_PRECONDITION") {
      const { record } = await getJob(calls, name, options);
      if (change.isMade(record)) {
        return record;
      }
    }
    throw thrown;
  }
}

function hasEnded(job: JobRecord): boolean {
  switch (job.state) {
    case JobState.SUCCEEDED:
    case JobState.FAILED:
    case JobState.CANCELLED:
      return true;
    default:
      return false;
  }
}
