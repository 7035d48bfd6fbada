//! What is said of a model version: when and on what it was trained, how good it
//! is, and what it cost.

use domain::{Metric, RankedBy, best_simpler_method};
use proto::{milliseconds, pb};
use wording::{beside, short};

use crate::names::dataset_id;
use crate::output::plain::minute;

/// A version in one line.
pub(crate) fn line(model: &pb::ModelVersion) -> String {
    let key = RankedBy::Served.key(Metric::Ndcg100);
    let ndcg = match model.metrics.get(&key) {
        Some(value) => format!("{value:.4}"),
        None => "-".to_owned(),
    };
    format!(
        "{}  {}  {}  NDCG@100 {ndcg} ({})  {}  {}",
        model.name,
        date(model),
        dataset(model),
        lift(model),
        cost(model),
        model.labels.join(", ")
    )
    .trim_end()
    .to_owned()
}

/// A version with its metrics beside the simpler methods'.
pub(crate) fn page(model: &pb::ModelVersion, metrics_table: &str) -> String {
    let mut labels = model.labels.join(", ");
    if labels.is_empty() {
        "none".clone_into(&mut labels);
    }
    format!(
        "{}\nlabels    {labels}\ntrained   {}, {}, by {}\ndata set  {} ({})\ncatalog   {}\n\n{metrics_table}",
        model.name,
        date(model),
        cost(model),
        model.job,
        dataset(model),
        model.dataset,
        model.catalog
    )
}

/// The first digits of its name.
pub(crate) fn short_name(model: &pb::ModelVersion) -> String {
    short(model.name.trim_start_matches("modelVersions/"))
}

/// When it was published, to the minute.
pub(crate) fn date(model: &pb::ModelVersion) -> String {
    minute(model.create_time.map_or(0, milliseconds))
}

/// What people call its data set; the first digits of the id where that is not
/// known.
pub(crate) fn dataset(model: &pb::ModelVersion) -> String {
    if model.dataset_name.is_empty() {
        return short(dataset_id(&model.dataset));
    }
    model.dataset_name.clone()
}

/// How long the attempt took that trained it.
pub(crate) fn cost(model: &pb::ModelVersion) -> String {
    match model.train_seconds {
        seconds if seconds <= 0.0 => "time not known".to_owned(),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

/// How much more NDCG it has than the best simpler method, on its own test
/// split.
pub(crate) fn lift(model: &pb::ModelVersion) -> String {
    let served = RankedBy::Served.key(Metric::Ndcg100);
    let Some(served) = model.metrics.get(&served) else {
        return "not measured".to_owned();
    };
    let best = best_simpler_method(&model.metrics);
    let Some(best) = best.filter(|best| best.ndcg > 0.0) else {
        return "no simpler method".to_owned();
    };
    beside(served / best.ndcg, best.ranker.label())
}
