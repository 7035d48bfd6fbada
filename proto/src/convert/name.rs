//! Resource names (`jobs/{job}`), catalogs and times.

use domain::{Catalog, DatasetId, Invalid, JobId, ModelVersion};

/// Reads `collection/{id}`; the error names the field.
pub(crate) fn id_of<'a>(
    field: &str,
    collection: &str,
    name: &'a str,
) -> Result<&'a str, Invalid> {
    name.strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|id| !id.is_empty())
        .ok_or_else(|| {
            Invalid::one(
                field,
                format!("`{name}` must be `{collection}/{{id}}`"),
            )
        })
}

/// Reads the id of `jobs/{job}`.
pub fn job_id(field: &str, name: &str) -> Result<JobId, Invalid> {
    JobId::new(id_of(field, "jobs", name)?)
        .map_err(|invalid| invalid.under(field))
}

/// Makes `jobs/{job}` of an id.
pub fn job_name(id: &JobId) -> String {
    format!("jobs/{id}")
}

/// Reads the id of `modelVersions/{version}`.
pub fn version_id(field: &str, name: &str) -> Result<ModelVersion, Invalid> {
    ModelVersion::new(id_of(field, "modelVersions", name)?)
        .map_err(|invalid| invalid.under(field))
}

/// Makes `modelVersions/{version}` of an id.
pub fn version_name(id: &ModelVersion) -> String {
    format!("modelVersions/{id}")
}

/// Reads the id of `datasets/{dataset}`.
pub fn dataset_id(field: &str, name: &str) -> Result<DatasetId, Invalid> {
    DatasetId::new(id_of(field, "datasets", name)?)
        .map_err(|invalid| invalid.under(field))
}

/// Makes `datasets/{dataset}` of an id.
pub(crate) fn dataset_name(id: &DatasetId) -> String {
    format!("datasets/{id}")
}

/// Reads a catalog's name; the default one when empty.
pub fn catalog(field: &str, name: &str) -> Result<Catalog, Invalid> {
    if name.is_empty() {
        Ok(Catalog::default())
    } else {
        Catalog::new(name).map_err(|invalid| invalid.under(field))
    }
}

/// Makes a timestamp of milliseconds since 1970-01-01 UTC.
pub fn timestamp(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos,
    }
}

/// Makes milliseconds since 1970-01-01 UTC of a timestamp that a service wrote.
pub fn milliseconds(time: prost_types::Timestamp) -> i64 {
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

/// Makes milliseconds since 1970-01-01 UTC of a timestamp that a client wrote.
pub(crate) fn millis(
    field: &str,
    time: prost_types::Timestamp,
) -> Result<i64, Invalid> {
    let nanos = i64::from(time.nanos);
    let ms = time
        .seconds
        .checked_mul(1_000)
        .and_then(|ms| ms.checked_add(nanos / 1_000_000));
    ms.filter(|_| (0..1_000_000_000).contains(&nanos))
        .ok_or_else(|| {
            Invalid::one(field, "is no valid google.protobuf.Timestamp")
        })
}
