//! `pb` ⇄ domain. Names on the wire are resource names (`jobs/{job}`); inside they are ids.

mod calibration;
mod history;
mod job;
mod model;
mod query;
mod spec;

use domain::{Catalog, DatasetId, Invalid, JobId, ModelVersion};

pub use history::recorded;
pub use job::EndOfAttempt;
pub use query::priority;

/// `collection/{id}` → id.
fn id_of<'a>(field: &str, collection: &str, name: &'a str) -> Result<&'a str, Invalid> {
    name.strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Invalid::one(field, format!("`{name}` must be `{collection}/{{id}}`")))
}

/// `jobs/{job}` → id.
pub fn job_id(field: &str, name: &str) -> Result<JobId, Invalid> {
    JobId::new(id_of(field, "jobs", name)?).map_err(|invalid| invalid.under(field))
}

/// Id → `jobs/{job}`.
pub fn job_name(id: &JobId) -> String {
    format!("jobs/{id}")
}

/// `modelVersions/{version}` → id.
pub fn version_id(field: &str, name: &str) -> Result<ModelVersion, Invalid> {
    ModelVersion::new(id_of(field, "modelVersions", name)?).map_err(|invalid| invalid.under(field))
}

/// Id → `modelVersions/{version}`.
pub fn version_name(id: &ModelVersion) -> String {
    format!("modelVersions/{id}")
}

/// Id → `datasets/{dataset}`.
fn dataset_name(id: &DatasetId) -> String {
    format!("datasets/{id}")
}

/// A catalog's name; the default one when empty.
pub fn catalog(field: &str, name: &str) -> Result<Catalog, Invalid> {
    if name.is_empty() {
        Ok(Catalog::default())
    } else {
        Catalog::new(name).map_err(|invalid| invalid.under(field))
    }
}

/// Milliseconds since 1970 → timestamp.
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos,
    }
}

/// Timestamp → milliseconds since 1970.
fn millis(field: &str, time: prost_types::Timestamp) -> Result<i64, Invalid> {
    let nanos = i64::from(time.nanos);
    let ms = time
        .seconds
        .checked_mul(1_000)
        .and_then(|ms| ms.checked_add(nanos / 1_000_000));
    ms.filter(|_| (0..1_000_000_000).contains(&nanos))
        .ok_or_else(|| Invalid::one(field, "is no valid google.protobuf.Timestamp"))
}
