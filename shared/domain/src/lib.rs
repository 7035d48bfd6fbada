//! The words of the product as types: identifiers, specifications, histories,
//! queries and the job state machine.
//!
//! Every other crate builds on this one. It does no I/O, knows no tensors and
//! never waits.

// Names, and what is wrong with an input.
/// Says what is wrong with an input, field by field.
mod field;
/// Identifiers, each with one fallible constructor.
mod ids;
/// Reads what people write and refuses fields that nobody knows.
mod strict;

// What a job is to do, what it costs, and how it goes.
/// The frozen language model that a job names.
mod backbone;
/// How long a job will take on a machine that was measured.
mod cost;
/// The job state machine and what is stored of a job.
mod job;
/// The stages of training, in their order.
mod stage;
/// A job's specification with its defaults and bounds.
mod train_spec;
/// What a job tries before it chooses, and how often it measures.
mod tried;
/// Floating-point operations of a backbone's passes.
mod work;

// What comes out of it.
/// Names of what is measured of a ranking.
mod metric;
/// What the registry and an artifact say about a model.
mod model_version;

// What is asked of it.
/// What a scorer answers.
mod answer;
/// Who interacted with what, and when.
mod history;
/// What is known about an item.
mod item;
/// What a scorer is asked, checked.
mod query;

pub use answer::{
    Degradation, ItemScores, Reason, Recommendation, ScoredItem, Source,
};
pub use backbone::{
    Backbone, BackboneLocation, MIN_POSITIONS, RandomBackbone, ValuePath,
};
pub use cost::body::{Body, SeenBackbone};
pub use cost::calibration::{Calibration, Rate};
pub use cost::operations::{
    Counts, N_TEXT_STEPS, TEXT_STEP, content_epoch, operations,
};
pub use cost::part::{Part, Spent};
pub use field::{Invalid, Violation, Violations, at_most, shortened};
pub use history::{History, Interaction, MAX_CLOCK_SKEW_MS, Retention};
pub use ids::{
    ArtifactId, Catalog, DatasetId, EventId, ItemId, JobId, Label,
    ModelVersion, QueueName, UserId, WorkerLabel,
};
pub use item::Item;
pub use job::{
    Cause, CauseKind, EndOfAttempt, EpochReport, Equipment, Event, Job, Lease,
    Losses, Needs, Outage, Progress, Refused, Schedule, StageReport, State,
    Waits,
};
pub use metric::{
    EASE_LAMBDA, EASE_TEXT_STRENGTH, HYBRID_NEARNESS, HYBRID_TEXT_STRENGTH,
    HYBRID_WEIGHT, LEARNED_BEFORE, Metric, RankedBy, SimplerMethod,
    best_simpler_method,
};
pub use model_version::{ModelInfo, ModelManifest, UserToken};
pub use query::{
    Allowed, Inline, ItemQuery, Likeness, ModelChoice, NewItem, Page, Priority,
    Query, Reader, ScoreQuery, SimilarQuery, TextQuery, TopK,
};
pub use stage::Stage;
pub use strict::read_strictly;
pub use train_spec::{
    Baselines, ColdItems, Epochs, Evaluation, Finetuning, Hybrid, Light,
    MAX_LIGHT_ITEMS, Optimizer, Pretraining, ReadTexts, Reading, TableInit,
    Target, TrainSpec,
};
pub use tried::{
    EASE_LAMBDAS, HYBRID_WEIGHTS, LIGHT_TEXT_STRENGTHS, PARTNER_NEARNESS,
    PARTNER_NEARNESS_LAMBDA_PART, PARTNER_TEXT_FACTOR, SPECTRAL_RANKS,
    START_TEXT_STRENGTHS, UNCHOSEN_EASE_LAMBDA, UNCHOSEN_LIGHT_TEXT_STRENGTH,
    UNCHOSEN_SPECTRAL_RANK, UNCHOSEN_START_TEXT_STRENGTH, USER_TOKENS,
    ease_lambdas,
};
pub use work::{Pass, Shape};
