/** cllm4rec's client. `Client` is where to begin; the rest are the types of what it takes and gives. */

export { timestampDate as toDate, timestampFromDate as toTimestamp } from "@bufbuild/protobuf/wkt";

export { Client } from "./client.js";
export type { HistoryOptions, RecommendManyOptions } from "./client.js";
export type { BulkResult } from "./bulk.js";
export type { CallOptions } from "./calls.js";
export type { ClientOptions } from "./config.js";
export { Cllm4recError, JobFailedError } from "./errors.js";
export type { ErrorCode, ErrorFacts, FieldViolation } from "./errors.js";
export type { History, Interaction, Recorded, RecordedInteraction } from "./histories.js";
export { Job } from "./jobs.js";
export type { JobsOptions, Schedule, TrainOptions, TrainSpec, WaitOptions, WatchOptions } from "./jobs.js";
export { Models } from "./models.js";
export type { ModelsOptions } from "./models.js";
export type {
  HistoryItem,
  ListOptions,
  ModelChoice,
  NewItem,
  RecommendOptions,
  ScoreOptions,
  SimilarOptions,
} from "./requests.js";

export type { Dataset } from "./generated/cllm4rec/v1/dataset_pb.js";
export type { ModelVersion } from "./generated/cllm4rec/v1/model_pb.js";
export {
  Degradation_Kind as DegradationKind,
  RecommendedItem_Source as Source,
  UnloadableVersion_Cause as UnloadableCause,
} from "./generated/cllm4rec/v1/recommendation_pb.js";
export type {
  Degradation,
  LoadedVersion,
  Reason,
  RecommendedItem,
  RecommendResponse,
  ScoreItemsResponse,
  ScoreItemsResponse_ItemScore as ItemScore,
  ServingStatus,
  ShadowReport,
  SimilarItemsResponse,
  UnloadableVersion,
} from "./generated/cllm4rec/v1/recommendation_pb.js";
export {
  Baselines,
  Cause_Kind as CauseKind,
  ColdItems,
  Job_State as JobState,
  Light,
  Optimizer,
  ReadTexts,
  TableInit,
  Target,
  ValuePath,
} from "./generated/cllm4rec/v1/training_pb.js";
export type { Cause, Job as JobRecord, JobEvent, Outage, Progress } from "./generated/cllm4rec/v1/training_pb.js";
