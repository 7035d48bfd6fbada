//! The body of a job's backbone: its sizes, as far as they can be known before
//! a worker has the job.

use std::collections::BTreeMap;

use domain::{ArtifactId, Backbone, BackboneLocation, Body, TrainSpec};
use storage::{Artifacts, Kind};

use crate::error::Error;

/// Names of backbones that people are told at once.
const MOST_TOLD: usize = 12;

/// What is known of a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KnownBody {
    /// Sizes that work can be counted with.
    Sizes(Body),
    /// Nothing; in words for people, why.
    Unknown(String),
}

/// Finds the body that a specification names: in it, among what workers see, or
/// in the artifact store.
pub(crate) async fn find(
    spec: &TrainSpec,
    seen: &BTreeMap<String, Body>,
    artifacts: &Artifacts,
) -> Result<KnownBody, Error> {
    let location = match &spec.backbone {
        Backbone::Random(random) => {
            return Ok(KnownBody::Sizes(random.into()));
        }
        Backbone::Path(location) => location,
    };
    if let BackboneLocation::Artifact(id) = location {
        return stored(id, artifacts).await;
    }
    let name = location.to_string();
    Ok(match seen.get(&name) {
        Some(body) => KnownBody::Sizes(*body),
        None => KnownBody::Unknown(unseen(location, seen)),
    })
}

/// Reads the sizes of an artifact.
async fn stored(
    id: &ArtifactId,
    artifacts: &Artifacts,
) -> Result<KnownBody, Error> {
    let read = artifacts.read(Kind::Backbone, id, "config.json").await;
    Ok(match read {
        Ok(json) => match Body::of_config(&json) {
            Ok(body) => KnownBody::Sizes(body),
            Err(error) => KnownBody::Unknown(format!(
                "the configuration of `artifact://{id}` cannot be used: {error}"
            )),
        },
        Err(storage::Error::NotFound { .. }) => KnownBody::Unknown(format!(
            "the artifact store has no backbone `{id}`"
        )),
        Err(error) => return Err(error.into()),
    })
}

/// Why nobody knows the sizes of a location, and what there is instead.
fn unseen(
    location: &BackboneLocation,
    seen: &BTreeMap<String, Body>,
) -> String {
    let mut names: Vec<String> = seen.keys().take(MOST_TOLD).cloned().collect();
    if seen.len() > MOST_TOLD {
        names.push(format!("and {} more", seen.len() - MOST_TOLD));
    }
    let there_is = if names.is_empty() {
        "they see none".to_owned()
    } else {
        format!("they see: {}", names.join(", "))
    };
    match location {
        BackboneLocation::Hub { .. } => format!(
            "no worker has `{location}` on its disk yet, the first job on it \
             fetches it; {there_is}"
        ),
        BackboneLocation::Folder(_) | BackboneLocation::Artifact(_) => format!(
            "no worker sees a backbone named `{location}` below its backbone \
             root; {there_is}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RandomBackbone;

    fn told(location: &str, seen: &[&str]) -> String {
        let body = Body::from(&RandomBackbone::default());
        let seen = seen.iter().map(|name| ((*name).to_owned(), body));
        unseen(&BackboneLocation::new(location).unwrap(), &seen.collect())
    }

    #[test]
    fn a_name_that_nobody_sees_is_told_with_those_that_somebody_does() {
        let note = told("smolm2", &["smollm2", "gpt2"]);
        assert!(note.contains("`smolm2`"), "{note}");
        assert!(note.ends_with("they see: gpt2, smollm2"), "{note}");
        assert!(told("x", &[]).ends_with("they see none"));
        let note = told("hf://own/tiny@v1", &["gpt2"]);
        assert!(note.contains("`hf://own/tiny@v1`"), "{note}");
        assert!(note.contains("fetches it"), "{note}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> =
            (10..40).map(|number| format!("b{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let note = told("x", &names);
        assert!(note.ends_with("b20, b21, and 18 more"), "{note}");
    }
}
