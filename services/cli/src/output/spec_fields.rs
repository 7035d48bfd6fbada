//! The fields of a specification that matter to who looks at a job: those that
//! are not the defaults, and a few that always count.

use domain::TrainSpec;
use proto::pb;

/// Fields that are shown whatever they are.
const ALWAYS: [&str; 8] = [
    "seed",
    "backbone.path",
    "backbone.random.n_embd",
    "backbone.random.n_layer",
    "pretraining.content_epochs",
    "pretraining.epochs",
    "finetuning.epochs",
    "hybrid.light",
];

/// A field by its path, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpecField {
    pub(crate) path: String,
    pub(crate) value: String,
    pub(crate) is_default: bool,
}

/// The fields that are not the defaults; none where the specification cannot be
/// read.
pub(super) fn changed(job: &pb::Job) -> Vec<SpecField> {
    let mut fields = all(job);
    fields.retain(|field| !field.is_default);
    fields
}

/// The fields that are not the defaults, and those that always count.
pub(crate) fn important(job: &pb::Job) -> Vec<SpecField> {
    let mut fields = all(job);
    fields.retain(|field| {
        !field.is_default || ALWAYS.contains(&field.path.as_str())
    });
    fields
}

fn all(job: &pb::Job) -> Vec<SpecField> {
    let spec = job.spec.clone().map(TrainSpec::try_from);
    let Some(Ok(spec)) = spec else {
        return Vec::new();
    };
    let defaults = TrainSpec::new(spec.dataset.clone()).fields();
    let mut fields = Vec::new();
    for (path, value) in spec.fields() {
        if path == "dataset" {
            continue;
        }
        let is_default = defaults.get(&path) == Some(&value);
        fields.push(SpecField {
            path,
            value,
            is_default,
        });
    }
    fields
}

/// True for two specifications that differ in the seed at most.
pub(super) fn are_alike_but_for_the_seed(
    one: &pb::Job,
    other: &pb::Job,
) -> bool {
    let (one, other) = (seedless(one), seedless(other));
    one.is_some() && one == other
}

/// What a job is to do, without its seed and the labels that move.
fn seedless(job: &pb::Job) -> Option<pb::TrainSpec> {
    let mut spec = job.spec.clone()?;
    spec.seed = 0;
    spec.labels.clear();
    Some(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Backbone, BackboneLocation, DatasetId};

    fn job(change: impl FnOnce(&mut TrainSpec)) -> pb::Job {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        change(&mut spec);
        pb::Job {
            spec: Some((&spec).into()),
            ..pb::Job::default()
        }
    }

    fn typed(fields: &[SpecField]) -> Vec<String> {
        let typed =
            |field: &SpecField| format!("{}={}", field.path, field.value);
        fields.iter().map(typed).collect()
    }

    #[test]
    fn only_what_is_not_the_default_is_named() {
        assert_eq!(changed(&job(|_| {})), []);
        let job = job(|spec| {
            spec.seed = 3;
            spec.finetuning.epochs = 2;
            let location = BackboneLocation::new("smollm2").unwrap();
            spec.backbone = Backbone::Path(location);
        });
        assert_eq!(
            typed(&changed(&job)),
            ["backbone.path=smollm2", "finetuning.epochs=2", "seed=3"]
        );
        let important = typed(&important(&job));
        assert!(
            important
                .iter()
                .any(|field| field.starts_with("hybrid.light=")),
            "{important:?}"
        );
    }

    #[test]
    fn jobs_of_other_seeds_are_alike() {
        let first = job(|_| {});
        let seed = job(|spec| spec.seed = 7);
        let other = job(|spec| spec.finetuning.epochs = 2);
        assert!(are_alike_but_for_the_seed(&first, &seed));
        assert!(!are_alike_but_for_the_seed(&first, &other));
    }
}
