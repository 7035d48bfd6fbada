//! What `GetStatus` tells operators: versions in memory, versions that cannot
//! be loaded, counts, and the shadow's report.

use domain::ModelVersion;
use proto::{pb, version_name};
use service::{MethodTraffic, Traffic};

use crate::request::recommend::Recommender;
use crate::unloadable::{Cause, Unloadable};
use crate::upkeep::shadow::{ShadowReport, ShadowReports};
use crate::versions::live_model::LabelledModel;

/// Where the parts of a status are found that no version knows.
#[derive(Debug, Clone)]
pub(crate) struct StatusSource {
    pub(crate) shadow_reports: ShadowReports,
    pub(crate) traffic: Traffic,
    /// Share of the users of `live` who get the canary, 0 to 1.
    pub(crate) canary_share: f64,
}

impl StatusSource {
    /// What the scorer serves now, and how it fares.
    pub(super) fn now(&self, recommender: &Recommender) -> pb::ServingStatus {
        let overview = recommender.models.overview();
        let mut unloadable = Vec::new();
        for (version, why) in overview.unloadable {
            unloadable.push(unloadable_version(&version, why));
        }
        let counters = recommender.counters.all().into_iter();
        let traffic = self.traffic.of_last_minute();
        let shadow = self.shadow_reports.latest();
        pb::ServingStatus {
            versions: overview.loaded.into_iter().map(loaded_version).collect(),
            unloadable,
            counters: counters.map(|(name, n)| (name.to_owned(), n)).collect(),
            shadow: shadow.as_ref().map(shadow_report),
            canary_share: self.canary_share,
            traffic: traffic.iter().map(of_method).collect(),
        }
    }
}

fn of_method(traffic: &MethodTraffic) -> pb::Traffic {
    pb::Traffic {
        method: traffic.method.to_owned(),
        per_second: traffic.per_second,
        median_ms: traffic.median_ms,
        p99_ms: traffic.p99_ms,
        failed: traffic.failed,
    }
}

fn loaded_version(loaded: LabelledModel) -> pb::LoadedVersion {
    let LabelledModel { model, labels } = loaded;
    let backbone = &model.language.shared;
    pb::LoadedVersion {
        model_version: version_name(&model.version),
        labels,
        memory_bytes: model.n_bytes,
        backbone: backbone.id.clone(),
        shared_bytes: backbone.n_bytes(),
    }
}

fn unloadable_version(
    version: &ModelVersion,
    why: Unloadable,
) -> pb::UnloadableVersion {
    pb::UnloadableVersion {
        model_version: version_name(version),
        cause: unloadable_cause(why.cause).into(),
        message: why.message,
    }
}

fn unloadable_cause(cause: Cause) -> pb::unloadable_version::Cause {
    use pb::unloadable_version::Cause as Wire;
    match cause {
        Cause::Damaged => Wire::Damaged,
        Cause::Missing => Wire::Missing,
        Cause::Unreachable => Wire::Unreachable,
        Cause::Unsupported => Wire::Unsupported,
        Cause::NoMemory => Wire::NoMemory,
        Cause::Broken => Wire::Broken,
    }
}

fn shadow_report(report: &ShadowReport) -> pb::ShadowReport {
    pb::ShadowReport {
        model_version: version_name(&report.version),
        n_requests: report.n_requests,
        overlap: report.overlap,
        live_ms: report.live_ms,
        shadow_ms: report.shadow_ms,
    }
}
