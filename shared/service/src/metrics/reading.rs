//! Numbers that are read when somebody asks for them: services say what they
//! measure without knowing how it is written.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Says what it measures, now.
pub trait Measure: fmt::Debug + Send + Sync + 'static {
    /// All measurements, always the same ones in the same order; one may have no
    /// readings.
    fn measurements(&self) -> Vec<Measurement>;
}

/// Whether a number can go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name is written with `_total`.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// Something that is measured.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// Its name, without `_total`.
    pub name: &'static str,
    /// What it is, with its unit; without a full stop.
    pub help: &'static str,
    /// Whether it can go down.
    pub kind: Kind,
    /// Its values, by label.
    pub readings: Vec<Reading>,
}

/// A value, and what it is the value of.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Names and values of its labels: few different ones in all.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

impl Measurement {
    /// A number that is what it is now, without labels.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            name,
            help,
            kind: Kind::Gauge,
            readings: vec![Reading {
                labels: Vec::new(),
                value,
            }],
        }
    }

    /// A number that only grows, without labels.
    pub fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self {
            kind: Kind::Counter,
            ..Self::gauge(name, help, value)
        }
    }
}

/// What is measured, as the registry asks for it.
#[derive(Debug)]
pub(super) struct Collected<M>(pub(super) M);

impl<M: Measure> Collector for Collected<M> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for measurement in self.0.measurements() {
            let Measurement {
                name,
                help,
                kind,
                readings,
            } = measurement;
            let metric_type = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut of_metric =
                encoder.encode_descriptor(name, help, None, metric_type)?;
            if let [Reading { labels, value }] = &readings[..]
                && labels.is_empty()
            {
                write(kind, *value, of_metric)?;
                continue;
            }
            for Reading { labels, value } in readings {
                write(kind, value, of_metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn write(kind: Kind, value: f64, to: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(to),
        Kind::Gauge => ConstGauge::new(value).encode(to),
    }
}
