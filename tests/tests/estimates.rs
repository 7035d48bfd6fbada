//! How long a job will take: what `--validate-only` says of it, beside what the
//! job then does.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use e2e::{
    Cluster, Newcomer, TINY_JOB, bad_fields, entries, eventually,
    write_two_groups,
};
use proto::pb;
use serde_json::Value;
use tonic::{Code, Status};

/// Every part that a job may have.
const PARTS: [&str; 10] = [
    "start",
    "ease",
    "warmup",
    "content",
    "collaborative",
    "finetuning",
    "validation",
    "choice",
    "test",
    "saving",
];

/// A machine so slow that each part of the smallest job takes seconds.
fn slow_machine(seconds_an_operation: f64) -> pb::Calibration {
    let mut rates = Vec::new();
    for part in PARTS {
        rates.push(pb::Rate {
            part: part.to_owned(),
            n_embd: 256,
            seconds: seconds_an_operation,
            tokens_per_second: 0.0,
            block_weights: 0.0,
        });
    }
    pb::Calibration {
        device: "abacus".to_owned(),
        precision: "f32".to_owned(),
        n_threads: 1,
        gemm_f32: 1.0,
        gemm_bf16: None,
        rates,
    }
}

/// Asks for work as a worker that was measured; there is none.
async fn ask_for_work(
    cluster: &Cluster,
    machine: pb::Calibration,
) -> Result<(), Status> {
    let request = pb::LeaseRequest {
        worker: "hand-made".to_owned(),
        calibration: Some(machine),
        ..Default::default()
    };
    let answer = cluster.worker_service().lease(request).await?;
    assert_eq!(answer.into_inner().leased, None);
    Ok(())
}

/// What a job is said to take on one machine, in seconds.
#[derive(Debug)]
struct Estimate {
    total: f64,
    parts: BTreeMap<String, f64>,
}

impl Estimate {
    /// Reads the sentence of a machine, if it is among the notes: `about 9 s on
    /// abacus (f32, 1 cores), less when it stops early; in seconds: start 4,
    /// ease 5`.
    fn find(notes: &Value, device: &str) -> Option<Self> {
        let notes = notes.as_array().unwrap().iter();
        let mut notes = notes.map(|note| note.as_str().unwrap());
        let sentence =
            notes.find(|note| note.contains(&format!(" s on {device} (")))?;
        let sentence = sentence.strip_prefix("about ")?;
        let (total, rest) = sentence.split_once(' ')?;
        let (_, list) = rest.split_once("; in seconds: ")?;
        let mut parts = BTreeMap::new();
        for entry in list.split(", ").filter(|entry| *entry != "below one each")
        {
            let (part, seconds) = entry.split_once(' ')?;
            parts.insert(part.to_owned(), seconds.parse().unwrap());
        }
        Some(Self {
            total: total.parse().unwrap(),
            parts,
        })
    }

    fn names(&self) -> BTreeSet<&str> {
        self.parts.keys().map(String::as_str).collect()
    }

    /// Every number is rounded to seconds.
    fn assert_parts_add_up(&self) {
        let sum: f64 = self.parts.values().sum();
        let rounding = 0.5 * (self.parts.len() + 1) as f64;
        assert!((self.total - sum).abs() <= rounding, "{self:?}");
    }
}

fn estimated(cluster: &Cluster, dataset: &str, fields: &[&str]) -> Estimate {
    let job = cluster.submit_with(&["--validate-only"], dataset, fields);
    assert_eq!(job["name"], "", "nothing is queued");
    let estimate = Estimate::find(&job["notes"], "abacus");
    estimate.unwrap_or_else(|| panic!("{job}"))
}

#[tokio::test]
async fn each_part_that_a_job_has_is_estimated_and_the_parts_add_up() {
    let mut cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    let before = cluster.submit_with(&["--validate-only"], &dataset, &[]);
    let notes = before["notes"].to_string();
    assert!(notes.contains("worker calibrate"), "it says how: {notes}");

    ask_for_work(&cluster, slow_machine(1e-3)).await.unwrap();
    let estimate = estimated(&cluster, &dataset, &[]);
    estimate.assert_parts_add_up();
    assert!(
        estimate.parts.values().all(|seconds| *seconds >= 1.0),
        "{estimate:?}"
    );

    let worker = cluster.start_process("worker");
    cluster.workers.push(worker);
    let job = cluster.train(&dataset, &[]).await;
    let spent = job.progress.unwrap().parts;
    let done: BTreeSet<&str> = spent.keys().map(String::as_str).collect();
    assert_eq!(estimate.names(), done);
    assert!(spent.values().all(|part| part.seconds >= 0.0), "{spent:?}");
    let seconds: f64 = spent.values().map(|part| part.seconds).sum();
    assert!(seconds > 0.0, "{spent:?}");

    let stored = entries(&cluster.artifacts().join("backbones"));
    let id = stored[0].file_name().unwrap().to_str().unwrap();
    let field = format!("backbone={{path=\"artifact://{id}\"}}");
    let again = estimated(&cluster, &dataset, &[&field]);
    assert_eq!(again.parts, estimate.parts, "it is the same backbone");
    let field = "backbone={path=\"artifact://0a1b\"}";
    let note = unknown(&cluster, &dataset, field);
    assert!(note.contains("has no backbone `0a1b`"), "{note}");
}

/// The note that says why no time can be said.
fn unknown(cluster: &Cluster, dataset: &str, field: &str) -> String {
    let job = cluster.submit_with(&["--validate-only"], dataset, &[field]);
    let notes = job["notes"].as_array().unwrap().iter();
    let mut notes = notes.map(|note| note.as_str().unwrap());
    let note = notes.find(|note| note.contains("is not known"));
    note.unwrap_or_else(|| panic!("{job}")).to_owned()
}

/// Puts a decoder of the Llama family where workers look, with so many times
/// its blocks; its weights are of no use then.
fn put_decoder(cluster: &Cluster, name: &str, n_times: u64) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/model/tests/decoders/llama/backbone/config.json");
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(from).unwrap()).unwrap();
    let n_layer = config["num_hidden_layers"].as_u64().unwrap();
    config["num_hidden_layers"] = (n_times * n_layer).into();
    let folder = cluster.backbones().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

#[tokio::test]
async fn a_backbone_that_a_worker_sees_is_estimated_and_a_wrong_name_is_told() {
    let mut cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    ask_for_work(&cluster, slow_machine(1e-3)).await.unwrap();
    let note = unknown(&cluster, &dataset, "backbone={path=\"llama\"}");
    assert!(note.contains("`llama`"), "{note}");
    assert!(note.ends_with("they see none"), "{note}");

    put_decoder(&cluster, "own/llama", 1);
    put_decoder(&cluster, "own/deep", 10);
    let worker = cluster.start_process("worker");
    cluster.workers.push(worker);
    let typo = "backbone={path=\"own/lama\"}";
    eventually("a worker", Duration::from_secs(30), async || {
        let note = unknown(&cluster, &dataset, typo);
        note.contains("they see: own/deep, own/llama").then_some(())
    })
    .await;

    let llama = "backbone={path=\"own/llama\"}";
    let shallow = estimated(&cluster, &dataset, &[llama]);
    shallow.assert_parts_add_up();
    let deep = "backbone={path=\"own/deep\"}";
    let deep = estimated(&cluster, &dataset, &[deep]);
    let grows = deep.parts["finetuning"] / shallow.parts["finetuning"];
    // The first and the last block compute less than those between them.
    assert!(
        (10.0..20.0).contains(&grows),
        "ten times the blocks: {grows}"
    );
    assert_eq!(deep.parts["ease"], shallow.parts["ease"], "it has none");
}

/// Within a thousandth: what is said is rounded to seconds, of which there are
/// many.
fn assert_is_about(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-3, "{value} {expected}");
}

#[tokio::test]
async fn an_estimate_grows_with_the_epochs_and_shrinks_with_the_machine() {
    let cluster = Cluster::start_without_worker().await;
    let dataset = cluster.import_two_groups();
    ask_for_work(&cluster, slow_machine(1e-3)).await.unwrap();
    let short = estimated(&cluster, &dataset, &[]);
    let long = estimated(&cluster, &dataset, &["finetuning.epochs=12"]);
    assert_is_about(long.parts["finetuning"], 3.0 * short.parts["finetuning"]);
    assert!(long.parts["validation"] > short.parts["validation"]);
    for same in [
        "start",
        "ease",
        "content",
        "collaborative",
        "test",
        "saving",
    ] {
        assert_eq!(long.parts[same], short.parts[same], "{same}");
    }
    let warm =
        estimated(&cluster, &dataset, &["backbone.random.warmup_epochs=1"]);
    assert!(warm.parts["warmup"] > 0.0 && !short.parts.contains_key("warmup"));

    ask_for_work(&cluster, slow_machine(2e-3)).await.unwrap();
    let slower = estimated(&cluster, &dataset, &[]);
    assert_is_about(slower.total, 2.0 * short.total);

    let mut impossible = slow_machine(1e-3);
    impossible.rates[0].seconds = -1.0;
    let refused = ask_for_work(&cluster, impossible).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert_eq!(bad_fields(&refused), ["calibration.rates"]);
}

/// Trains for a minute or so: there is no shorter way to measure a machine.
#[tokio::test]
async fn a_machine_that_was_measured_has_a_rate_for_each_part_that_a_job_has() {
    let newcomer = Newcomer::new();
    let measured = newcomer.json(&["worker", "calibrate"]);
    let kept = newcomer.folder().join("data/calibration.json");
    let kept: Value =
        serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(measured, kept, "a worker reads what was shown");
    assert!(measured["n_threads"].as_u64().unwrap() >= 1);
    assert!(measured["gemm_f32"].as_f64().unwrap() > 0.0);
    let mut rates = BTreeSet::new();
    for rate in measured["rates"].as_array().unwrap() {
        assert!(rate["seconds"].as_f64().unwrap() > 0.0, "{rate}");
        assert!(rate["tokens_per_second"].as_f64().unwrap() >= 0.0, "{rate}");
        rates.insert(rate["part"].as_str().unwrap());
    }
    assert_eq!(rates, BTreeSet::from(PARTS));

    let _up = newcomer.up().await;
    let data = newcomer.folder().join("mine");
    write_two_groups(&data);
    let imported =
        newcomer.json(&["dataset", "import", data.to_str().unwrap()]);
    let id = imported["dataset"].as_str().unwrap();
    let mut submit = vec!["train", "submit", "--dataset", id];
    for field in TINY_JOB {
        submit.extend(["--set", field]);
    }
    let device = measured["device"].as_str().unwrap();
    let estimate =
        eventually("an estimate", Duration::from_secs(30), async || {
            let job =
                newcomer.json(&[&submit[..], &["--validate-only"]].concat());
            Estimate::find(&job["notes"], device)
        })
        .await;
    estimate_fits(&estimate);
    let ended = newcomer.json(&[&submit[..], &["--watch"]].concat());
    assert_eq!(ended["job"]["state"], "SUCCEEDED");
    for (part, spent) in ended["job"]["parts"].as_object().unwrap() {
        assert!(rates.contains(&**part), "{part} has a rate");
        assert!(spent["seconds"].as_f64().unwrap() >= 0.0, "{part}: {spent}");
    }
}

/// Parts below a second are not told one by one.
fn estimate_fits(estimate: &Estimate) {
    let told: f64 = estimate.parts.values().sum();
    let untold = PARTS.len() as f64;
    let rounding = 0.5 * (estimate.parts.len() + 1) as f64;
    assert!(
        told - rounding <= estimate.total
            && estimate.total <= told + rounding + untold,
        "{estimate:?}"
    );
}
