//! A step's work, counted: what a change may not make larger without saying so.
//!
//! Seconds differ from machine to machine; tokens, logits, rows and bytes don't. `bench smoke`
//! takes one step of each stage on a small model and compares with `smoke.json` beside this crate's
//! manifest.

use std::collections::BTreeMap;

use anyhow::bail;
use domain::RandomBackbone;
use model::prompt::Document;
use model::recommender::{Example, Options};
use model::{
    Adam, Gpt2, Objective, PairMoments, PromptTexts, Pull, Tables, Token, Tokenizer, collaborative,
    compute_device, content, random_backbone, recommender, step,
};
use serde::{Deserialize, Serialize};
use stats_alloc::Region;

/// Of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Replace what is expected by what is counted.
    #[arg(long)]
    accept: bool,
}

/// What one step of a stage did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Counts {
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
/// Threads share work differently from run to run, and each has memory of its own.
const TOLERANCE: f64 = 1.03;

const N_USERS: u32 = 500;
const N_ITEMS: u32 = 300;
const N_DOCUMENTS: u32 = 20;
const N_POSITIONS: usize = 128;

/// Counts and compares.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let found = count()?;
    if arguments.accept {
        std::fs::write(EXPECTED, serde_json::to_string_pretty(&found)? + "\n")?;
        return Ok(());
    }
    let expected: BTreeMap<String, Counts> =
        serde_json::from_str(&std::fs::read_to_string(EXPECTED)?)?;
    let mut grown = Vec::new();
    for (stage, found) in &found {
        let Some(expected) = expected.get(stage) else {
            bail!("{EXPECTED} does not know the stage `{stage}`")
        };
        println!("{stage}: {found:?}");
        let allowed = (expected.allocated as f64 * TOLERANCE) as usize;
        for (what, found, allowed) in [
            ("tokens", found.tokens, expected.tokens),
            ("logits", found.logits, expected.logits),
            ("rows", found.rows, expected.rows),
            ("bytes allocated", found.allocated, allowed),
        ] {
            if found > allowed {
                grown.push(format!("{stage}: {found} {what}, {allowed} allowed"));
            }
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

/// The second step of each stage: the first one fills caches.
fn count() -> anyhow::Result<BTreeMap<String, Counts>> {
    let shape = RandomBackbone {
        n_embd: 64,
        n_layer: 3,
        n_head: 4,
        n_positions: N_POSITIONS,
        ..Default::default()
    };
    let (_, gpt2) = random_backbone(&shape, &compute_device("flex")?.device);
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let stages = [
        ("content", content_step(&texts)),
        ("collaborative", collaborative_step(&texts)),
        ("recommend", recommend_step(&texts)),
    ];
    stages
        .into_iter()
        .map(|(name, objective)| Ok((name.to_owned(), counts(&gpt2, &objective)?)))
        .collect()
}

fn counts(gpt2: &Gpt2, objective: &Objective) -> anyhow::Result<Counts> {
    let tables = Tables::normal(N_USERS as usize, N_ITEMS as usize, gpt2.n_embd(), 0);
    let (mut own, other) = (tables.collaborative, tables.content);
    let (adam, mut moments) = (Adam::new(1e-3), PairMoments::zeros(&own));
    let mut one_step = || -> anyhow::Result<Counts> {
        let region = Region::new(crate::ALLOCATOR);
        let pull = Pull {
            toward: &other,
            lambda: 1.0,
            prior: 0.0,
        };
        let step = step::compute(gpt2, &own, Some(pull), objective)?;
        moments.update(&adam, &mut own, &step);
        Ok(Counts {
            tokens: step.n_tokens,
            logits: step.n_logits,
            rows: step.users.rows.len() + step.items.rows.len(),
            allocated: region.change().bytes_allocated,
        })
    };
    one_step()?;
    one_step()
}

/// Lengths between 3 and 60, the same every time.
fn length(document: u32) -> u32 {
    3 + document * 37 % 58
}

fn content_step(texts: &PromptTexts) -> Objective {
    let document = |n: u32| Document {
        prompt: texts.review(n * 7 % N_USERS, n * 11 % N_ITEMS),
        main: (0..length(n))
            .map(|t| Token::Word(n * 1009 + t * 31))
            .collect(),
    };
    content::objective(&(0..N_DOCUMENTS).map(document).collect::<Vec<_>>())
}

fn history(user: u32) -> Vec<u32> {
    (0..length(user))
        .map(|t| (user * 13 + t * 5) % N_ITEMS)
        .collect()
}

fn collaborative_step(texts: &PromptTexts) -> Objective {
    let document = |n: u32| collaborative::document(texts, n * 7 % N_USERS, &history(n));
    collaborative::objective(&(0..N_DOCUMENTS).map(document).collect::<Vec<_>>())
}

fn recommend_step(texts: &PromptTexts) -> Objective {
    let example = |n: u32| {
        let targets = history(n);
        let prompt = texts.recommend(
            Some(n * 7 % N_USERS),
            &targets[targets.len() / 5..],
            N_POSITIONS,
        );
        Example { prompt, targets }
    };
    recommender::objective(
        &(0..N_DOCUMENTS).map(example).collect::<Vec<_>>(),
        Options::default(),
    )
}
