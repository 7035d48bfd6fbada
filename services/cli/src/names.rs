//! Resource names as people type them: the collection in front may be left out.

/// The name of a job in the API: `jobs/{job}`.
pub(crate) fn job(typed: &str) -> String {
    in_collection("jobs/", typed)
}

/// The name of a model version in the API: `modelVersions/{version}`.
pub(crate) fn model_version(typed: &str) -> String {
    in_collection("modelVersions/", typed)
}

/// The name of a data set in the API: `datasets/{dataset}`.
pub(crate) fn dataset(typed: &str) -> String {
    in_collection("datasets/", typed)
}

/// The bare id of a data set, which the store and a specification know it by.
pub(crate) fn dataset_id(typed: &str) -> &str {
    typed.strip_prefix("datasets/").unwrap_or(typed)
}

fn in_collection(collection: &str, typed: &str) -> String {
    if typed.starts_with(collection) {
        return typed.to_owned();
    }
    format!("{collection}{typed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collection_may_be_left_out() {
        assert_eq!(job("jobs/j1"), job("j1"));
        assert_eq!(model_version("v1"), "modelVersions/v1");
        assert_eq!(dataset_id("datasets/d1"), dataset_id("d1"));
    }
}
