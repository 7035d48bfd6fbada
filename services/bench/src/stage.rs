//! One stage on one device, in a process of its own: seconds, losses, memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use model::metrics::{LONGEST, top_k};
use model::recommender::{ItemHead, user_states};
use model::{
    Adam, Backbone, Device, Objective, PairMoments, Precision, Pull, Tables,
    TensorFile, Token, TokenTables, Work, step,
};
use serde::{Deserialize, Serialize};

use crate::batches::{Question, StageData, WorkSize};
use crate::data_set::DataSet;
use crate::machine;

/// Which stage is measured, and on what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    work: WorkSize,

    /// Folder with `backbone/` and `tables.safetensors`.
    #[arg(long)]
    weights: PathBuf,

    /// `content`, `collaborative`, `recommend` or `predict`.
    #[arg(long)]
    stage: String,

    /// The device that computes.
    #[arg(long)]
    device: String,

    /// Precision of weights and activations: `f32` or `bf16`.
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
    /// Users ranked in all; absent where rows are learned.
    #[serde(default)]
    pub(crate) users: Option<usize>,
    /// The loss of each step.
    #[serde(default)]
    pub(crate) losses: Vec<f64>,
    /// Floating-point operations of this project's products.
    #[serde(default)]
    pub(crate) operations: Option<f64>,
}

/// Measures the stage and prints a line for it.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let n_threads = arguments.work.threads;
    let device =
        machine::device(&arguments.device, arguments.precision, n_threads)?;
    let set = DataSet::read(&arguments.work.data)?;
    let tables = tables(&arguments.weights, &set)?;
    let backbone = backbone(arguments, &device)?;
    let data = StageData::new(set, backbone.tokenizer()?);
    let mut bench = Bench {
        arguments,
        data: &data,
        backbone,
        tables,
    };
    match &*arguments.stage {
        "content" => bench.content(),
        "collaborative" => bench.collaborative(),
        "recommend" => bench.recommend(),
        "predict" => bench.predict(),
        other => bail!(
            "`{other}` is not a stage: content, collaborative, recommend or predict"
        ),
    }
}

/// The backbone in the precision asked for, and in no other.
fn backbone(
    arguments: &Arguments,
    device: &Device,
) -> anyhow::Result<Backbone> {
    let backbone = Backbone::read(&arguments.weights.join("backbone"), device)?;
    Ok(backbone.in_precision(arguments.precision))
}

fn tables(weights: &Path, data: &DataSet) -> anyhow::Result<Tables> {
    let file = TensorFile::open(&weights.join("tables.safetensors"))?;
    let tables = Tables::read(&file, "")?;
    let found = (tables.content.users.n_rows(), tables.content.items.n_rows());
    let wanted = (data.n_users, data.n_items);
    if found != wanted {
        bail!(
            "the tables in {} have {found:?} users and items, the data {wanted:?}; remove the folder and they are written again",
            weights.display()
        );
    }

    Ok(tables)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    data: &'a StageData,
    backbone: Backbone,
    tables: Tables,
}

/// The reference's step size of the content and the collaborative LM.
const PRETRAINING: f64 = 1e-3;
/// The reference's step size of finetuning.
const FINETUNING: f64 = 1e-4;

/// Users ranked at once. The first batch of each size warms the caches and is
/// not counted.
const SIZES: [usize; 2] = [256, 1];
/// Batches of one user.
const N_SINGLE_USERS: usize = 20;

/// Where the reference cuts documents off, however long the decoder's may be.
const REFERENCE_POSITIONS: usize = 1024;

/// The tables that learn, and how.
struct Learner {
    own: TokenTables,
    /// What the own rows are pulled toward.
    other: TokenTables,
    learning_rate: f64,
    /// Strength of the pull.
    lambda: f64,
}

/// What the measured steps or batches come to.
#[derive(Default)]
struct Sum {
    elapsed: Duration,
    losses: Vec<f64>,
    n_tokens: usize,
    n_users: usize,
    n_operations: f64,
}

impl Bench<'_> {
    /// How long a document may be, in tokens.
    fn n_positions(&self) -> usize {
        self.backbone.n_positions().min(REFERENCE_POSITIONS)
    }

    fn content(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.content(
            self.arguments.work.batch,
            self.arguments.work.steps,
            self.n_positions(),
        );
        let learner = Learner {
            own: self.tables.content.clone(),
            other: self.tables.collaborative.clone(),
            learning_rate: PRETRAINING,
            lambda: 0.0,
        };
        self.learn(objectives, learner)
    }

    fn collaborative(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.collaborative(
            self.arguments.work.batch,
            self.arguments.work.steps,
            self.n_positions(),
        );
        self.learn(objectives, self.collaborative_learner(PRETRAINING))
    }

    fn recommend(&mut self) -> anyhow::Result<()> {
        let objectives = self.data.recommend(
            self.arguments.work.batch,
            self.arguments.work.steps,
            self.n_positions(),
        );
        self.learn(objectives, self.collaborative_learner(FINETUNING))
    }

    fn collaborative_learner(&self, learning_rate: f64) -> Learner {
        Learner {
            own: self.tables.collaborative.clone(),
            other: self.tables.content.clone(),
            learning_rate,
            lambda: 1.0,
        }
    }

    /// Training steps with dense Adam; a batch is made inside its step's time.
    fn learn(
        &self,
        mut objectives: impl Iterator<Item = Objective>,
        mut learner: Learner,
    ) -> anyhow::Result<()> {
        let adam = Adam::new(learner.learning_rate);
        let mut moments = PairMoments::zeros(&learner.own);
        let mut sum = Sum::default();
        loop {
            let start = Instant::now();
            let Some(objective) = objectives.next() else {
                break;
            };
            let step = step::compute(
                &self.backbone,
                &learner.own,
                learner.pull(),
                &objective,
            )?;
            moments.update_dense(&adam, &mut learner.own, &step);
            sum.elapsed += start.elapsed();

            let work = Work::of_step(
                &objective,
                &self.backbone.shape(),
                self.data.set.n_items,
            );
            sum.losses.push(step.loss);
            sum.n_tokens += step.n_tokens;
            sum.n_operations += work.n_operations;
        }

        print(&Measured {
            stage: self.arguments.stage.clone(),
            batch: None,
            seconds: sum.elapsed.as_secs_f64(),
            real_tokens: Some(sum.n_tokens),
            users: None,
            losses: sum.losses,
            operations: Some(sum.n_operations),
        })
    }

    /// Whole catalogues ranked, seen items left out, the best hundred kept.
    fn predict(&mut self) -> anyhow::Result<()> {
        let head =
            ItemHead::new(&self.backbone, &self.tables.collaborative.items);
        for size in SIZES {
            let sum = self.predict_batches(&head, size)?;
            print(&Measured {
                stage: "predict".to_owned(),
                batch: Some(size),
                seconds: sum.elapsed.as_secs_f64(),
                real_tokens: Some(sum.n_tokens),
                users: Some(sum.n_users),
                losses: sum.losses,
                operations: Some(sum.n_operations),
            })?;
        }

        Ok(())
    }

    fn predict_batches(
        &self,
        head: &ItemHead,
        size: usize,
    ) -> anyhow::Result<Sum> {
        let n_batches = if size > 1 {
            self.arguments.work.steps
        } else {
            N_SINGLE_USERS
        };
        let n_positions = self.n_positions();
        let batches = self.data.predict(size, n_batches, n_positions);
        let mut sum = Sum::default();
        for (number, questions) in batches.iter().enumerate() {
            let start = Instant::now();
            let mut prompts = Vec::new();
            for question in questions {
                prompts.push(question.prompt.clone());
            }

            self.rank(head, &prompts, questions)?;
            if number == 0 && batches.len() > 1 {
                continue;
            }

            sum.elapsed += start.elapsed();
            let work = Work::of_ranking(
                &prompts,
                &self.backbone.shape(),
                self.data.set.n_items,
            );
            sum.n_tokens += work.n_tokens;
            sum.n_operations += work.n_operations;
            sum.n_users += size;
        }

        Ok(sum)
    }

    /// The best rows of each question, with their scores.
    fn rank(
        &self,
        head: &ItemHead,
        prompts: &[Vec<Token>],
        questions: &[Question],
    ) -> anyhow::Result<Vec<Vec<(u32, f32)>>> {
        let states =
            user_states(&self.backbone, &self.tables.collaborative, prompts)?;
        let scores = head.scores(&states);
        let mut ranked = Vec::new();
        for (scores, question) in scores.chunks(head.n_items()).zip(questions) {
            let mut seen = question.seen.clone();
            seen.sort_unstable();
            let best = top_k(scores, LONGEST, |item| {
                seen.binary_search(&item).is_err()
            });
            ranked.push(best);
        }

        Ok(ranked)
    }
}

impl Learner {
    fn pull(&self) -> Option<Pull<'_>> {
        if self.lambda == 0.0 {
            return None;
        }
        Some(Pull {
            toward: &self.other,
            lambda: self.lambda,
            prior: 0.0,
        })
    }
}

fn print(measured: &Measured) -> anyhow::Result<()> {
    let line = serde_json::to_string(measured)
        .context("a measurement becomes JSON")?;
    println!("{line}");
    Ok(())
}
