//! A step's work, counted: what a change may not make larger without saying so.
//!
//! Seconds differ from machine to machine; tokens, logits, rows and bytes
//! don't. `bench smoke` takes one step of each stage on a small model and
//! compares with `smoke.json` beside this crate's manifest.

use std::alloc::System;
use std::collections::BTreeMap;

use anyhow::bail;
use domain::RandomBackbone;
use model::prompt::Document;
use model::recommender::{Example, Options};
use model::{
    Adam, Backbone, Objective, PairMoments, PromptTexts, Pull, Tables, Token,
    TokenTables, Tokenizer, collaborative, compute_device, content,
    recommender, step,
};
use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

/// The whole program's allocator: the system's, which counts bytes here.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Whether the counts are compared or replaced.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Replace what is expected by what is counted.
    #[arg(long)]
    accept: bool,
}

/// What one step of a stage did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct StepCounts {
    /// Real tokens through the backbone.
    tokens: usize,
    /// Entries of all softmaxes.
    logits: usize,
    /// User and item rows that Adam moved.
    rows: usize,
    /// Bytes that were allocated, freed ones too.
    allocated: usize,
}

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/smoke.json");
/// Threads share work differently from run to run, and each has memory of its
/// own.
const TOLERANCE: f64 = 1.03;

const N_USERS: u32 = 500;
const N_ITEMS: u32 = 300;
const N_DOCUMENTS: u32 = 20;
const N_POSITIONS: usize = 128;

/// Counts a step of each stage and compares with what is expected.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let found = count()?;
    if arguments.accept {
        std::fs::write(EXPECTED, serde_json::to_string_pretty(&found)? + "\n")?;
        return Ok(());
    }

    let expected = std::fs::read_to_string(EXPECTED)?;
    let expected: BTreeMap<String, StepCounts> =
        serde_json::from_str(&expected)?;
    let mut grown = Vec::new();
    for (stage, found) in &found {
        let Some(expected) = expected.get(stage) else {
            bail!("{EXPECTED} does not know the stage `{stage}`")
        };
        println!("{stage}: {found:?}");
        for growth in found.beyond(expected) {
            grown.push(format!("{stage}: {growth}"));
        }
    }

    if !grown.is_empty() {
        bail!(
            "a step's work has grown; `bench smoke --accept` if that is wanted\n{}",
            grown.join("\n")
        );
    }

    Ok(())
}

impl StepCounts {
    /// What is more than is allowed, in words.
    fn beyond(&self, expected: &Self) -> Vec<String> {
        let allocated = (expected.allocated as f64 * TOLERANCE) as usize;
        let mut grown = Vec::new();
        for (what, found, allowed) in [
            ("tokens", self.tokens, expected.tokens),
            ("logits", self.logits, expected.logits),
            ("rows", self.rows, expected.rows),
            ("bytes allocated", self.allocated, allocated),
        ] {
            if found > allowed {
                grown.push(format!("{found} {what}, {allowed} allowed"));
            }
        }

        grown
    }
}

/// Counts the second step of each stage: the first one fills caches.
fn count() -> anyhow::Result<BTreeMap<String, StepCounts>> {
    let shape = RandomBackbone {
        n_embd: 64,
        n_layer: 3,
        n_head: 4,
        n_positions: N_POSITIONS,
        ..Default::default()
    };
    let backbone = Backbone::random(&shape, &compute_device("flex")?.device);
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let stages = [
        ("content", content_step(&texts)),
        ("collaborative", collaborative_step(&texts)),
        ("recommend", recommend_step(&texts)),
    ];
    let mut counts = BTreeMap::new();
    for (stage, objective) in stages {
        let second = second_step(&backbone, &objective)?;
        counts.insert(stage.to_owned(), second);
    }

    Ok(counts)
}

fn second_step(
    backbone: &Backbone,
    objective: &Objective,
) -> anyhow::Result<StepCounts> {
    let tables = Tables::normal(
        N_USERS as usize,
        N_ITEMS as usize,
        backbone.n_embd(),
        0,
    );
    let mut learner = Learner {
        backbone,
        moments: PairMoments::zeros(&tables.collaborative),
        own: tables.collaborative,
        other: tables.content,
    };
    learner.step(objective)?;
    learner.step(objective)
}

/// What a step reads and moves.
struct Learner<'a> {
    backbone: &'a Backbone,
    moments: PairMoments,
    own: TokenTables,
    other: TokenTables,
}

impl Learner<'_> {
    fn step(&mut self, objective: &Objective) -> anyhow::Result<StepCounts> {
        let region = Region::new(ALLOCATOR);
        let pull = Pull {
            toward: &self.other,
            lambda: 1.0,
            prior: 0.0,
        };
        let step =
            step::compute(self.backbone, &self.own, Some(pull), objective)?;
        let adam = Adam::new(1e-3);
        self.moments.update(&adam, &mut self.own, &step);
        Ok(StepCounts {
            tokens: step.n_tokens,
            logits: step.n_logits,
            rows: step.users.rows.len() + step.items.rows.len(),
            allocated: region.change().bytes_allocated,
        })
    }
}

/// Lengths between 3 and 60, the same every time.
fn length(document: u32) -> u32 {
    3 + document * 37 % 58
}

fn content_step(texts: &PromptTexts) -> Objective {
    let mut documents = Vec::new();
    for number in 0..N_DOCUMENTS {
        let (user, item) = (number * 7 % N_USERS, number * 11 % N_ITEMS);
        let words = (0..length(number)).map(|place| number * 1009 + place * 31);
        documents.push(Document {
            prompt: texts.review(user, item),
            main: words.map(Token::Word).collect(),
        });
    }

    content::objective(&documents)
}

fn history(number: u32) -> Vec<u32> {
    let places = 0..length(number);
    let items = places.map(|place| (number * 13 + place * 5) % N_ITEMS);
    items.collect()
}

fn collaborative_step(texts: &PromptTexts) -> Objective {
    let mut documents = Vec::new();
    for number in 0..N_DOCUMENTS {
        let user = number * 7 % N_USERS;
        documents.push(collaborative::document(texts, user, &history(number)));
    }
    collaborative::objective(&documents)
}

fn recommend_step(texts: &PromptTexts) -> Objective {
    let mut examples = Vec::new();
    for number in 0..N_DOCUMENTS {
        let user = number * 7 % N_USERS;
        let targets = history(number);
        let shown = &targets[targets.len() / 5..];
        let prompt = texts.recommend(Some(user), shown, N_POSITIONS);
        examples.push(Example { prompt, targets });
    }
    recommender::objective(&examples, Options::default())
}
