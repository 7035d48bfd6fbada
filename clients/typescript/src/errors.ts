/** What the client throws: one class for failed calls, with the gRPC code by its name, and one for jobs without a model. */

import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";

import type { BatchRecommendResponse_Failure } from "./generated/cllm4rec/v1/recommendation_pb.js";
import type { Job } from "./generated/cllm4rec/v1/training_pb.js";
import { Job_State } from "./generated/cllm4rec/v1/training_pb.js";
import { BadRequestSchema, RetryInfoSchema } from "./generated/google/rpc/error_details_pb.js";

const CODE_NAMES = {
  [Code.Canceled]: "CANCELLED",
  [Code.Unknown]: "UNKNOWN",
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.NotFound]: "NOT_FOUND",
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.PermissionDenied]: "PERMISSION_DENIED",
  [Code.ResourceExhausted]: "RESOURCE_EXHAUSTED",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
  [Code.Aborted]: "ABORTED",
  [Code.OutOfRange]: "OUT_OF_RANGE",
  [Code.Unimplemented]: "UNIMPLEMENTED",
  [Code.Internal]: "INTERNAL",
  [Code.Unavailable]: "UNAVAILABLE",
  [Code.DataLoss]: "DATA_LOSS",
  [Code.Unauthenticated]: "UNAUTHENTICATED",
} as const;

/** The name of a gRPC status code, such as `"NOT_FOUND"`. */
export type ErrorCode = (typeof CODE_NAMES)[Code];

/** One field of a request that the service refused. */
export interface FieldViolation {
  /** The path of the field as the protos name it, such as `new_items[2].title`. */
  readonly field: string;
  /** What is wrong with it, for people. */
  readonly description: string;
}

/** What is known of a failure beside its code and message. */
export interface ErrorFacts {
  /** All fields that the service refused. */
  readonly fieldViolations?: readonly FieldViolation[];
  /** Milliseconds after which the service wants to be asked again. */
  readonly retryAfterMs?: number | undefined;
  /** The failure underneath. */
  readonly cause?: unknown;
}

/** A call that failed; `code` says what the caller can do about it. */
export class Cllm4recError extends Error {
  override readonly name: string = "Cllm4recError";

  /** @param code the gRPC status by its name; @param message what happened, for people. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    facts: ErrorFacts = {},
  ) {
    super(message, { cause: facts.cause });
    this.fieldViolations = facts.fieldViolations ?? [];
    this.retryAfterMs = facts.retryAfterMs;
  }

  /** All wrong fields at once when `code` is `INVALID_ARGUMENT`; empty otherwise. */
  readonly fieldViolations: readonly FieldViolation[];

  /** Milliseconds after which it is worth trying again; `undefined` where nobody said. */
  readonly retryAfterMs: number | undefined;
}

/** A job that ended without a model: it failed or was cancelled. */
export class JobFailedError extends Error {
  override readonly name = "JobFailedError";

  /** @param job the job as it ended; `job.cause` says why. */
  constructor(readonly job: Job) {
    const why = job.cause === undefined ? "" : `: ${job.cause.message}`;
    super(`${job.name} is ${Job_State[job.state]}${why}`);
  }
}

/** A failed attempt, as the code that decides about repeats sees it. */
export interface Failure {
  readonly error: Cllm4recError;
  /** The connection failed, not the service: another replica may answer. */
  readonly isConnectionLost: boolean;
  /** The deadline passed and the service said nothing. */
  readonly isUnanswered: boolean;
}

const ORDINARY = { isConnectionLost: false, isUnanswered: false };

/** Reads what a gRPC call threw; `signal` is the caller's. */
export function readFailure(thrown: unknown, signal: AbortSignal | undefined): Failure {
  if (thrown instanceof Cllm4recError) {
    return { ...ORDINARY, error: thrown };
  }
  if (signal?.aborted === true) {
    return { ...ORDINARY, error: aborted(signal) };
  }
  const failure = ConnectError.from(thrown);
  const isFromService = failure.metadata.has("grpc-status");
  if (isFromService || !isTransport(failure)) {
    const isUnanswered = !isFromService && failure.code === Code.DeadlineExceeded;
    return { ...ORDINARY, error: statusError(failure, isFromService), isUnanswered };
  }
  const error = new Cllm4recError("UNAVAILABLE", failure.rawMessage, { cause: failure });
  return { error, isConnectionLost: true, isUnanswered: false };
}

/** The error of a call whose signal was aborted: late where a timer did it, `CANCELLED` otherwise. */
export function aborted(signal: AbortSignal): Cllm4recError {
  const cause: unknown = signal.reason;
  const isTimer = cause instanceof Error && cause.name === "TimeoutError";
  return isTimer
    ? new Cllm4recError("DEADLINE_EXCEEDED", "the deadline has passed", { cause })
    : new Cllm4recError("CANCELLED", "the caller aborted the call", { cause });
}

/** The error of a request that `BatchRecommend` did not answer with a list; undefined for an answer that is empty. */
export function errorOfFailure(failure: BatchRecommendResponse_Failure | undefined): Cllm4recError {
  if (failure === undefined) {
    return new Cllm4recError("UNKNOWN", "the scorer's answer is empty");
  }
  const { code, message, retryDelay } = failure;
  const retryAfterMs = retryDelay === undefined ? undefined : durationMs(retryDelay);
  return new Cllm4recError(CODE_NAMES[code as Code] ?? "UNKNOWN", message, { retryAfterMs });
}

function statusError(failure: ConnectError, isFromService: boolean): Cllm4recError {
  const violations = failure.findDetails(BadRequestSchema).flatMap((found) => found.fieldViolations);
  const delay = failure.findDetails(RetryInfoSchema)[0]?.retryDelay;
  // Nobody here cancelled: the service's own timer ends what is late with CANCELLED.
  const isLate = isFromService && failure.code === Code.Canceled;
  return new Cllm4recError(isLate ? "DEADLINE_EXCEEDED" : CODE_NAMES[failure.code], failure.rawMessage, {
    fieldViolations: violations.map(({ field, description }) => ({ field, description })),
    retryAfterMs: delay === undefined ? undefined : durationMs(delay),
    cause: failure,
  });
}

/** Whether a failure without a status came from the connection, and not from a deadline or from encoding the request. */
function isTransport(failure: ConnectError): boolean {
  switch (failure.code) {
    case Code.Canceled:
    case Code.Aborted:
    case Code.Unavailable:
    case Code.Unknown:
      return true;
    case Code.Internal:
      return failure.rawMessage.startsWith("http/2") || systemCode(failure.cause) !== undefined;
    default:
      return false;
  }
}

/** Node's own code of an error, such as `ECONNREFUSED`, or that of its cause. */
function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) {
    return undefined;
  }
  return "code" in thrown && typeof thrown.code === "string" ? thrown.code : systemCode(thrown.cause);
}
