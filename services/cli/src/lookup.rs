//! What people type for a job, a model version or a data set: the whole id, the
//! beginning of one, or a name. Asked of the coordinator and of the artifact
//! store; where those are out of reach, what was typed counts as it is.

use anyhow::bail;
use dataset::Manifest;
use proto::pb;
use proto::pb::model_service_client::ModelServiceClient;
use service::client::{Connection, Target, connect};
use storage::{Artifacts, Kind};
use tonic::{Code, Status};

use crate::jobs::client::TrainingClient;
use crate::names;
use crate::output::plain::one_line;
use crate::settings::Settings;

/// Candidates that an error names.
const N_NAMED: usize = 5;
/// Digits of a whole hash: there is nothing to look up.
const N_DIGITS: usize = 32;

/// Something that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    id: String,
    /// What else it is called by: a data set's name, a version's labels.
    names: Vec<String>,
    /// When it got that name, in milliseconds since 1970-01-01 UTC; 0 where
    /// nobody else can have it.
    named_ms: i64,
}

/// The name of a job in the API, of its id or the beginning of one; `job-` in
/// front may be left out.
pub(crate) async fn job(
    client: &mut TrainingClient,
    typed: &str,
) -> anyhow::Result<String> {
    let start = typed.strip_prefix("jobs/").unwrap_or(typed);
    let starts = [start.to_owned(), format!("job-{start}")];
    let mut candidates = Vec::new();
    for start in &starts {
        let request = pb::ListJobsRequest {
            // A page begins after this id, whether or not there is such a job.
            page_token: start.clone(),
            page_size: N_NAMED as i32 + 1,
            ..pb::ListJobsRequest::default()
        };
        let page = match client.list_jobs(request).await {
            Ok(page) => page.into_inner(),
            Err(status) if is_no_answer(&status) => continue,
            Err(status) => return Err(status.into()),
        };
        for job in page.jobs {
            let id = job.name.trim_start_matches("jobs/").to_owned();
            candidates.push(Candidate {
                id,
                names: Vec::new(),
                named_ms: 0,
            });
        }
    }

    candidates
        .retain(|one| starts.iter().any(|start| one.id.starts_with(start)));
    // A job may stand on both pages.
    candidates.sort_by(|one, other| one.id.cmp(&other.id));
    candidates.dedup();
    let found = the_only("job", start, candidates)?;
    Ok(names::job(&found.unwrap_or_else(|| start.to_owned())))
}

/// The name of a model version in the API, of its id, the beginning of one, or
/// a label that points to it.
pub(crate) async fn model_version(
    coordinator: &Target,
    typed: &str,
) -> anyhow::Result<String> {
    let start = typed.strip_prefix("modelVersions/").unwrap_or(typed);
    if start.len() >= N_DIGITS {
        return Ok(names::model_version(start));
    }

    let mut client = ModelServiceClient::new(connect(coordinator)?);
    let mut candidates = Vec::new();
    let listed = match versions(&mut client).await {
        Ok(listed) => listed,
        Err(status) if is_no_answer(&status) => Vec::new(),
        Err(status) => return Err(status.into()),
    };
    for version in listed {
        let id = version.name.trim_start_matches("modelVersions/");
        candidates.push(Candidate {
            id: id.to_owned(),
            names: version.labels,
            named_ms: 0,
        });
    }

    let found = meant("model version", start, candidates)?;
    Ok(names::model_version(
        &found.unwrap_or_else(|| start.to_owned()),
    ))
}

type ModelClient = ModelServiceClient<Connection>;

/// All model versions, newest first.
async fn versions(
    client: &mut ModelClient,
) -> Result<Vec<pb::ModelVersion>, Status> {
    let mut versions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListModelVersionsRequest {
            page_size: 1_000,
            page_token,
        };
        let page = client.list_model_versions(request).await?.into_inner();
        versions.extend(page.model_versions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(versions);
        }
    }
}

/// The version that a label points to, where it points to one.
pub(crate) async fn labelled(
    client: &mut ModelClient,
    label: &str,
) -> anyhow::Result<Option<pb::ModelVersion>> {
    let mut versions = versions(client).await?;
    versions.retain(|version| version.labels.iter().any(|one| one == label));
    Ok(versions.pop())
}

/// The model version that is meant.
pub(crate) async fn version(
    coordinator: &Target,
    typed: &str,
) -> anyhow::Result<pb::ModelVersion> {
    let name = model_version(coordinator, typed).await?;
    let mut client = ModelServiceClient::new(connect(coordinator)?);
    let request = pb::GetModelVersionRequest { name };
    Ok(client.get_model_version(request).await?.into_inner())
}

/// The id of a data set, of its id, the beginning of one, or its name.
pub(crate) async fn dataset(
    settings: &Settings,
    typed: &str,
) -> anyhow::Result<String> {
    let start = names::dataset_id(typed);
    if start.len() >= N_DIGITS {
        return Ok(start.to_owned());
    }

    let Ok(artifacts) = Artifacts::open(&settings.storage) else {
        return Ok(start.to_owned());
    };
    dataset_in(&artifacts, start).await
}

/// The same, in a store.
pub(crate) async fn dataset_in(
    artifacts: &Artifacts,
    typed: &str,
) -> anyhow::Result<String> {
    let start = names::dataset_id(typed);
    let Ok(ids) = artifacts.list(Kind::Dataset).await else {
        return Ok(start.to_owned());
    };
    let mut candidates = Vec::new();
    for id in ids {
        // A damaged one may still be meant by its id.
        let name = name_of(artifacts, id.as_str()).await;
        let put_ms = artifacts.put_ms(Kind::Dataset, &id).await;
        candidates.push(Candidate {
            id: id.into(),
            names: name.into_iter().collect(),
            named_ms: put_ms.ok().flatten().unwrap_or_default(),
        });
    }

    let found = meant("data set", start, candidates)?;
    Ok(found.unwrap_or_else(|| start.to_owned()))
}

/// What people call a data set, where its manifest can be read.
pub(crate) async fn name_of(artifacts: &Artifacts, id: &str) -> Option<String> {
    manifest_of(artifacts, id)
        .await
        .map(|manifest| manifest.name)
}

/// What a stored data set says of itself, where that can be read.
pub(crate) async fn manifest_of(
    artifacts: &Artifacts,
    id: &str,
) -> Option<Manifest> {
    let id = domain::ArtifactId::new(id).ok()?;
    let read = artifacts.read(Kind::Dataset, &id, "dataset.json").await;
    serde_json::from_slice(&read.ok()?).ok()
}

/// Nobody is there to ask, or what was typed cannot be an id.
fn is_no_answer(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::Unauthenticated
            | Code::PermissionDenied
    )
}

/// The one that has the name or whose id begins so; `None` where there is none.
/// A whole id goes first, then a name; of data sets of the same name the one
/// that was imported last has taken the others' place.
fn meant(
    kind: &str,
    typed: &str,
    candidates: Vec<Candidate>,
) -> anyhow::Result<Option<String>> {
    if candidates.iter().any(|one| one.id == typed) {
        return Ok(Some(typed.to_owned()));
    }

    let typed_name = typed.to_owned();
    let mut called = candidates.clone();
    called.retain(|one| one.names.contains(&typed_name));
    let latest = called.iter().map(|one| one.named_ms).max();
    if let Some(latest) = latest {
        called.retain(|one| one.named_ms == latest);
        return the_only(kind, typed, called);
    }

    let mut candidates = candidates;
    candidates.retain(|one| !typed.is_empty() && one.id.starts_with(typed));
    the_only(kind, typed, candidates)
}

fn the_only(
    kind: &str,
    typed: &str,
    candidates: Vec<Candidate>,
) -> anyhow::Result<Option<String>> {
    if candidates.len() <= 1 {
        return Ok(candidates.into_iter().next().map(|one| one.id));
    }

    let mut named = Vec::new();
    for one in candidates.iter().take(N_NAMED) {
        let names = one_line(&one.names.join(", "));
        named.push(if names.is_empty() {
            one.id.clone()
        } else {
            format!("{} ({names})", one.id)
        });
    }
    let more = if candidates.len() > N_NAMED {
        ", …"
    } else {
        ""
    };
    bail!(
        "`{}` may be more than one {kind}: {}{more}; type more of the id",
        one_line(typed),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(typed: &str) -> Result<Option<String>, String> {
        let candidate = |id: &str, name: &str, named_ms| Candidate {
            id: id.to_owned(),
            names: vec![name.to_owned()],
            named_ms,
        };
        let candidates = vec![
            candidate("ab1", "orders", 1),
            candidate("ab2", "games", 2),
            candidate("c", "games", 2),
            candidate("cd", "ab", 3),
            candidate("e", "orders", 4),
        ];
        let found = meant("data set", typed, candidates);
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_its_beginning_and_a_name_are_found() {
        assert_eq!(found("ab1"), Ok(Some("ab1".to_owned())));
        assert_eq!(found("c"), Ok(Some("c".to_owned())), "a whole id");
        assert_eq!(found("orders"), Ok(Some("e".to_owned())), "the latest");
        assert_eq!(found("ab"), Ok(Some("cd".to_owned())), "a whole name");
        assert_eq!(found("never"), Ok(None));
        assert_eq!(found(""), Ok(None));
    }

    #[test]
    fn what_may_be_more_than_one_is_refused_with_all_of_them() {
        let refused = found("games").unwrap_err();
        assert!(refused.contains("ab2 (games), c (games)"), "{refused}");
        let refused = found("a").unwrap_err();
        assert!(refused.contains("ab1 (orders), ab2 (games)"), "{refused}");
        assert!(refused.contains("more than one data set"), "{refused}");
    }
}
