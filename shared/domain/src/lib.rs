//! The words of the product as types: identifiers, specifications, histories, queries and the job
//! state machine.
//!
//! Every other crate builds on this one. It does no I/O, knows no tensors and never waits.

// Identifiers, and what is wrong with an input.
mod field;
mod ids;

// What a job is to do, what it costs, and how it goes.
mod backbone;
mod cost;
mod job;
mod stage;
mod train_spec;
mod tried;
mod work;

// What comes out of it.
mod metric;
mod model_version;

// What is asked of it.
mod history;
mod item;
mod query;

pub use backbone::{Backbone, BackboneLocation, MIN_POSITIONS, RandomBackbone, ValuePath};
pub use cost::calibration::{Calibration, Rate};
pub use cost::operations::{Counts, N_TEXT_STEPS, TEXT_STEP, operations};
pub use cost::part::{Part, Spent};
pub use field::{Invalid, Violation};
pub use history::{History, Interaction, Retention};
pub use ids::{Catalog, DatasetId, EventId, ItemId, JobId, Label, ModelVersion, UserId};
pub use item::Item;
pub use job::{
    Cause, CauseKind, EpochReport, Event, Job, Lease, Progress, Refused, StageReport, State,
};
pub use metric::{EASE_LAMBDA, HYBRID_WEIGHT, Metric, RankedBy};
pub use model_version::{ModelInfo, ModelManifest, UserToken};
pub use query::{
    Allowed, Degradation, Inline, ItemScores, ModelChoice, Page, Priority, Query, Reader, Reason,
    Recommendation, ScoreQuery, ScoredItem, SimilarQuery, Source, TopK,
};
pub use stage::Stage;
pub use train_spec::{
    Baselines, ColdItems, Epochs, Evaluation, Finetuning, Hybrid, Light, MAX_LIGHT_ITEMS,
    Optimizer, Pretraining, TableInit, Target, TrainSpec,
};
pub use tried::{
    EASE_LAMBDAS, HYBRID_WEIGHTS, SPECTRAL_RANKS, UNCHOSEN_EASE_LAMBDA, UNCHOSEN_SPECTRAL_RANK,
    USER_TOKENS, ease_lambdas,
};
pub use work::{Pass, Shape};
