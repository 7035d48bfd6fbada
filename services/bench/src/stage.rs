//! One stage on one device, in a process of its own: seconds, losses, memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use model::metrics::{LONGEST, top_k};
use model::recommender::{ItemHead, user_states};
use model::{
    Adam, Device, Gpt2, Gpt2Config, Objective, PairMoments, Precision, Pull, Tables, TensorFile,
    TokenTables, Work, load_backbone, step,
};
use serde::{Deserialize, Serialize};

use crate::batches::{Data, Question, Workload};
use crate::machine;

/// Of the hidden command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    workload: Workload,
    /// Folder with `backbone/` and `tables.safetensors`.
    #[arg(long)]
    weights: PathBuf,
    /// `content`, `collaborative`, `recommend` or `predict`.
    #[arg(long)]
    stage: String,
    /// What computes.
    #[arg(long)]
    device: String,
    /// Of weights and activations: `f32` or `bf16`.
    #[arg(long, value_parser = machine::precision, default_value = "f32")]
    precision: Precision,
}

/// What a stage came to; the fields of the reference's line where it has them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) stage: String,
    /// Users ranked at once; absent where rows are learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<usize>,
    pub(crate) seconds: f64,
    /// Absent in the reference's ranking.
    #[serde(default)]
    pub(crate) real_tokens: Option<usize>,
    #[serde(default)]
    pub(crate) users: Option<usize>,
    /// Of each step.
    #[serde(default)]
    pub(crate) losses: Vec<f64>,
    /// Floating-point operations of this project's products.
    #[serde(default)]
    pub(crate) operations: Option<f64>,
}

/// Measures and prints.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let device = machine::device(
        &arguments.device,
        arguments.precision,
        arguments.workload.threads,
    )?;
    let data = Data::read(&arguments.workload.data)?;
    let (config, gpt2) = backbone(arguments, &device)?;
    let tables = tables(&arguments.weights, &data)?;
    let mut bench = Bench {
        arguments,
        data: &data,
        config,
        gpt2,
        tables,
    };
    match &*arguments.stage {
        "content" => bench.content(),
        "collaborative" => bench.collaborative(),
        "recommend" => bench.recommend(),
        "predict" => bench.predict(),
        other => bail!("`{other}` is not a stage: content, collaborative, recommend or predict"),
    }
}

/// In the precision asked for, and in no other.
fn backbone(arguments: &Arguments, device: &Device) -> anyhow::Result<(Gpt2Config, Gpt2)> {
    let (config, gpt2) = load_backbone(&arguments.weights.join("backbone"), device)?;
    Ok((config, gpt2.in_precision(arguments.precision)))
}

fn tables(weights: &Path, data: &Data) -> anyhow::Result<Tables> {
    let tables = Tables::read(&TensorFile::open(&weights.join("tables.safetensors"))?, "")?;
    let found = (tables.content.users.n_rows(), tables.content.items.n_rows());
    if found != (data.n_users, data.n_items) {
        bail!(
            "the tables in {} have {found:?} users and items, the data {:?}; remove the folder and they are written again",
            weights.display(),
            (data.n_users, data.n_items)
        );
    }
    Ok(tables)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    data: &'a Data,
    config: Gpt2Config,
    gpt2: Gpt2,
    tables: Tables,
}

/// Step sizes of the reference.
const PRETRAINING: f64 = 1e-3;
const FINETUNING: f64 = 1e-4;
/// Of each ranking size the first batch warms the caches and is not counted.
const SIZES: [usize; 2] = [256, 1];
const N_SINGLE_USERS: usize = 20;

impl Bench<'_> {
    fn content(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.content(
            self.arguments.workload.batch,
            self.arguments.workload.steps,
            self.config.n_positions,
        );
        let other = self.tables.collaborative.clone();
        let mut own = self.tables.content.clone();
        self.learn(objectives, (&mut own, &other), PRETRAINING, 0.0)
    }

    fn collaborative(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.collaborative(
            self.arguments.workload.batch,
            self.arguments.workload.steps,
            self.config.n_positions,
        );
        let other = self.tables.content.clone();
        let mut own = self.tables.collaborative.clone();
        self.learn(objectives, (&mut own, &other), PRETRAINING, 1.0)
    }

    fn recommend(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.recommend(
            self.arguments.workload.batch,
            self.arguments.workload.steps,
            self.config.n_positions,
        );
        let other = self.tables.content.clone();
        let mut own = self.tables.collaborative.clone();
        self.learn(objectives, (&mut own, &other), FINETUNING, 1.0)
    }

    /// Training steps with dense Adam; a batch is made inside its step's time.
    fn learn(
        &self,
        objectives: impl Iterator<Item = Objective>,
        (own, other): (&mut TokenTables, &TokenTables),
        learning_rate: f64,
        lambda: f64,
    ) -> anyhow::Result<()> {
        let (adam, mut moments) = (Adam::new(learning_rate), PairMoments::zeros(own));
        let (mut elapsed, mut losses) = (Duration::ZERO, Vec::new());
        let (mut n_tokens, mut operations) = (0, 0.0);
        let mut objectives = objectives;
        loop {
            let start = Instant::now();
            let Some(objective) = objectives.next() else {
                break;
            };
            let pull = (lambda > 0.0).then_some(Pull {
                toward: other,
                lambda,
                prior: 0.0,
            });
            let step = step::compute(&self.gpt2, own, pull, &objective)?;
            moments.update_dense(&adam, own, &step);
            elapsed += start.elapsed();
            losses.push(step.loss);
            n_tokens += step.n_tokens;
            operations += Work::of_step(&objective, &self.config, self.data.n_items).n_operations;
        }
        print(&Measured {
            stage: self.arguments.stage.clone(),
            batch: None,
            seconds: elapsed.as_secs_f64(),
            real_tokens: Some(n_tokens),
            users: None,
            losses,
            operations: Some(operations),
        })
    }

    /// Whole catalogues ranked, seen items left out, the best hundred kept.
    fn predict(&mut self) -> anyhow::Result<()> {
        let head = ItemHead::new(&self.gpt2, &self.tables.collaborative.items);
        for size in SIZES {
            let n_batches = if size > 1 {
                self.arguments.workload.steps
            } else {
                N_SINGLE_USERS
            };
            let batches = self.data.predict(size, n_batches, self.config.n_positions);
            let (mut elapsed, mut n_tokens, mut n_users, mut operations) =
                (Duration::ZERO, 0, 0, 0.0);
            for (number, questions) in batches.iter().enumerate() {
                let start = Instant::now();
                let prompts: Vec<_> = questions
                    .iter()
                    .map(|question| question.prompt.clone())
                    .collect();
                self.rank(&head, &prompts, questions)?;
                if number > 0 || batches.len() == 1 {
                    elapsed += start.elapsed();
                    let work = Work::of_ranking(&prompts, &self.config, self.data.n_items);
                    n_tokens += work.n_tokens;
                    operations += work.n_operations;
                    n_users += size;
                }
            }
            print(&Measured {
                stage: "predict".to_owned(),
                batch: Some(size),
                seconds: elapsed.as_secs_f64(),
                real_tokens: Some(n_tokens),
                users: Some(n_users),
                losses: Vec::new(),
                operations: Some(operations),
            })?;
        }
        Ok(())
    }

    fn rank(
        &self,
        head: &ItemHead,
        prompts: &[Vec<model::Token>],
        questions: &[Question],
    ) -> anyhow::Result<Vec<Vec<(u32, f32)>>> {
        let scores = head.scores(&user_states(
            &self.gpt2,
            &self.tables.collaborative,
            prompts,
        )?);
        let rows = scores.chunks(head.n_items()).zip(questions);
        Ok(rows
            .map(|(scores, question)| {
                let mut seen = question.seen.clone();
                seen.sort_unstable();
                top_k(scores, LONGEST, |item| seen.binary_search(&item).is_err())
            })
            .collect())
    }
}

fn print(measured: &Measured) -> anyhow::Result<()> {
    println!(
        "{}",
        serde_json::to_string(measured).context("a measurement becomes JSON")?
    );
    Ok(())
}
