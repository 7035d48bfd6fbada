//! The words of the product as types: identifiers, specifications, histories, queries and the job
//! state machine.
//!
//! Every other crate builds on this one. It does no I/O, knows no tensors and never waits.

mod backbone;
mod cost;
mod field;
mod history;
mod ids;
mod item;
mod job;
mod model_version;
mod query;
mod train_spec;
mod work;

pub use backbone::{Backbone, BackboneLocation, MIN_POSITIONS, RandomBackbone, ValuePath};
pub use cost::{Calibration, Counts, N_TEXT_STEPS, Part, Rate, Spent, TEXT_STEP, operations};
pub use field::{Invalid, Violation};
pub use history::{History, Interaction, Retention};
pub use ids::{Catalog, DatasetId, EventId, ItemId, JobId, Label, ModelVersion, UserId};
pub use item::Item;
pub use job::{
    Cause, CauseKind, EpochReport, Event, Job, Lease, Progress, Refused, StageReport, State,
};
pub use model_version::{ModelInfo, ModelManifest, UserToken};
pub use query::{
    Allowed, Degradation, Inline, ItemScores, ModelChoice, Page, Priority, Query, Reader, Reason,
    Recommendation, ScoreQuery, ScoredItem, SimilarQuery, Source, TopK,
};
pub use train_spec::{
    Baselines, ColdItems, Epochs, Evaluation, Finetuning, Hybrid, Light, MAX_LIGHT_ITEMS,
    Optimizer, Pretraining, TableInit, Target, TrainSpec,
};
pub use work::{Pass, Shape};
