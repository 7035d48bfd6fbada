//! What a scorer measures beside its calls.

use service::{Kind, Measure, Measurement, Reading};

use crate::admission::gate::{Gate, Occupancy};
use crate::request::recommend::Recommender;
use crate::rpc::StatusSource;
use crate::versions::live_model::{LabelledModel, Overview};

/// A scorer, as a Prometheus sees it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) recommender: Recommender,
    pub(crate) status: StatusSource,
    /// The way in of `RecommendationService`.
    pub(crate) gate: Gate,
}

impl Measure for Measured {
    fn measurements(&self) -> Vec<Measurement> {
        let Occupancy { inside, running } = self.gate.occupancy();
        let models = &self.recommender.models;
        let is_ready = models.is_ready();
        let Overview { loaded, unloadable } = models.overview();
        vec![
            Measurement::gauge(
                "cllm4rec_scorer_ready",
                "1 while the label live has a model that computes",
                f64::from(u8::from(is_ready)),
            ),
            Measurement::gauge(
                "cllm4rec_scorer_requests_inside",
                "Requests that were let in and are not answered",
                inside as f64,
            ),
            Measurement::gauge(
                "cllm4rec_scorer_requests_running",
                "Those among them that do not wait for the model",
                running as f64,
            ),
            Measurement::gauge(
                "cllm4rec_scorer_canary_share",
                "Share of the users of live who get the canary",
                self.status.canary_share,
            ),
            Measurement::gauge(
                "cllm4rec_scorer_unloadable_versions",
                "Versions that could not be loaded lately",
                unloadable.len() as f64,
            ),
            self.events(),
            versions(loaded),
            self.shadow(),
        ]
    }
}

impl Measured {
    /// What the status calls counters: states by their source, degradations,
    /// refusals, failures.
    fn events(&self) -> Measurement {
        let counters = self.recommender.counters.all().into_iter();
        Measurement {
            name: "cllm4rec_scorer_events",
            help: "What happened to requests: states by their source, degradations, refusals, failures",
            kind: Kind::Counter,
            readings: counters
                .map(|(event, n)| Reading {
                    labels: vec![("event", event.to_owned())],
                    value: n as f64,
                })
                .collect(),
        }
    }

    fn shadow(&self) -> Measurement {
        let report = self.status.shadow_reports.latest();
        let readings = report.map(|report| Reading {
            labels: vec![("model_version", report.version.to_string())],
            value: report.overlap,
        });
        Measurement {
            name: "cllm4rec_scorer_shadow_overlap",
            help: "Share of the live lists that is in the shadow's too",
            kind: Kind::Gauge,
            readings: readings.into_iter().collect(),
        }
    }
}

fn versions(loaded: Vec<LabelledModel>) -> Measurement {
    let mut readings = Vec::new();
    for LabelledModel { model, mut labels } in loaded {
        labels.sort_unstable();
        readings.push(Reading {
            labels: vec![
                ("model_version", model.version.to_string()),
                ("catalog", model.catalog.to_string()),
                ("labels", labels.join(" ")),
            ],
            value: model.n_bytes as f64,
        });
    }
    Measurement {
        name: "cllm4rec_scorer_version_bytes",
        help: "Memory of each version that is loaded, without its backbone",
        kind: Kind::Gauge,
        readings,
    }
}
