//! An event file, which TensorBoard reads: records with a length and checksums
//! (TFRecord), each an `Event` of protobuf (tensorflow/core/util/event.proto).

use std::path::{Path, PathBuf};

use anyhow::Context;
use prost::Message;

use crate::tracking::run::{Point, Run};

/// What TensorBoard wants as the first event of a file.
const VERSION: &str = "brain.Event:2";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970-01-01 UTC.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// Writes a run as a folder below `root`, over an earlier export of the same
/// run; returns the file.
pub(crate) fn write(root: &Path, run: &Run) -> anyhow::Result<PathBuf> {
    let folder = root.join(&run.id);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    // TensorBoard goes on reading a file that grows, and looks for further ones:
    // one of the same name that was replaced is read from its beginning.
    let seconds = run.begun_ms / 1_000;
    let file = folder.join(format!("events.out.tfevents.{seconds}.cllm4rec"));
    let written = folder.join("written");
    std::fs::write(&written, records(run))
        .and_then(|()| std::fs::rename(&written, &file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn records(run: &Run) -> Vec<u8> {
    let mut bytes = Vec::new();
    let version = Event {
        wall_time: run.begun_ms as f64 / 1e3,
        file_version: Some(VERSION.to_owned()),
        ..Event::default()
    };
    record(&mut bytes, &version);
    for point in &run.points {
        record(&mut bytes, &event(point));
    }
    bytes
}

fn event(point: &Point) -> Event {
    let value = Value {
        tag: point.metric.clone(),
        simple_value: point.value as f32,
    };
    Event {
        wall_time: point.at_ms as f64 / 1e3,
        step: point.step,
        file_version: None,
        summary: Some(Summary { value: vec![value] }),
    }
}

/// Adds a record: the length and its checksum, the bytes and theirs.
fn record(bytes: &mut Vec<u8>, event: &Event) {
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
    bytes.extend_from_slice(&event);
    bytes.extend_from_slice(&masked_crc(&event).to_le_bytes());
}

/// CRC-32C, rotated and offset as TFRecord defines it.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}
