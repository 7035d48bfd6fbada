//! What the number of users costs: the same steps on more and more of them, the
//! items fixed.

use std::time::{Duration, Instant};

use domain::RandomBackbone;
use model::recommender::{Example, Options};
use model::{
    Adam, Backbone, Objective, PairMoments, Precision, PromptTexts, Pull,
    Tables, Tokenizer, collaborative, recommender, step,
};
use serde_json::json;

use crate::machine;

/// How many users there are in turn, and what each step is on.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Numbers of users, with commas between.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,10000,100000,1000000"
    )]
    users: Vec<u32>,

    /// Items in the catalogue.
    #[arg(long, default_value_t = 1000)]
    items: u32,

    /// Width of the rows.
    #[arg(long, default_value_t = 768)]
    width: usize,

    /// Steps that are timed.
    #[arg(long, default_value_t = 24)]
    steps: u32,

    /// The device that computes.
    #[arg(long, default_value = "flex")]
    device: String,

    /// How many threads compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const N_USERS_A_STEP: u32 = 20;
const N_LAYERS: usize = 2;
const N_POSITIONS: usize = 128;

/// Prints a line for each number of users: how long tables and moments take to
/// start, a step of each stage, the process's memory.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device =
        machine::device(&arguments.device, Precision::F32, arguments.threads)?;
    let shape = RandomBackbone {
        n_embd: arguments.width,
        n_layer: N_LAYERS,
        n_head: 4,
        n_positions: N_POSITIONS,
        ..Default::default()
    };
    let backbone = Backbone::random(&shape, &device);
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let mut states = Vec::new();
    for &n_users in &arguments.users {
        states.push(TimedTables::start(n_users, arguments));
    }

    // In turn, so that what else the machine does meets all sizes alike.
    for number in 0..=arguments.steps {
        for state in &mut states {
            let collaborative = state.collaborative(number, &texts);
            let recommend = state.recommend(number, &texts);
            let collaborative = state.step(&backbone, &collaborative)?;
            let recommend = state.step(&backbone, &recommend)?;
            // The first steps fill caches.
            if number > 0 {
                state.collaborative_steps.push(collaborative);
                state.recommend_steps.push(recommend);
            }
        }
    }

    for state in &mut states {
        let line = json!({
            "users": state.n_users,
            "start_ms": milliseconds(state.started),
            "collaborative_ms": milliseconds(median(&mut state.collaborative_steps)),
            "recommend_ms": milliseconds(median(&mut state.recommend_steps)),
        });
        println!("{line}");
    }

    let peak = machine::peak_memory(std::process::id()).unwrap_or(0);
    let line = json!({"peak_memory_mb_of_all": peak / 1_000_000});
    println!("{line}");
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Tables for one number of users, and how long their steps took.
struct TimedTables {
    n_users: u32,
    n_items: u32,
    tables: Tables,
    moments: PairMoments,
    /// How long tables and moments took to start.
    started: Duration,
    collaborative_steps: Vec<Duration>,
    recommend_steps: Vec<Duration>,
}

impl TimedTables {
    fn start(n_users: u32, arguments: &Arguments) -> Self {
        let n_items = arguments.items;
        let start = Instant::now();
        let tables = Tables::normal(
            n_users as usize,
            n_items as usize,
            arguments.width,
            0,
        );
        let moments = PairMoments::zeros(&tables.collaborative);
        let started = start.elapsed();
        Self {
            n_users,
            n_items,
            tables,
            moments,
            started,
            collaborative_steps: Vec::new(),
            recommend_steps: Vec::new(),
        }
    }

    /// The users of a step, from all over the table, each with ten items: the
    /// same work for every number of users.
    fn users(&self, step: u32) -> Vec<User> {
        let mut users = Vec::new();
        for place in 0..N_USERS_A_STEP {
            let draw =
                (step * N_USERS_A_STEP + place).wrapping_mul(2_654_435_761);
            let mut items = Vec::new();
            for number in 0..10 {
                items
                    .push((draw >> 7).wrapping_add(number * 37) % self.n_items);
            }

            users.push(User {
                row: draw % self.n_users,
                items,
            });
        }

        users
    }

    fn collaborative(&self, step: u32, texts: &PromptTexts) -> Objective {
        let mut documents = Vec::new();
        for user in self.users(step) {
            documents.push(collaborative::document(
                texts,
                user.row,
                &user.items,
            ));
        }
        collaborative::objective(&documents)
    }

    fn recommend(&self, step: u32, texts: &PromptTexts) -> Objective {
        let mut examples = Vec::new();
        for user in self.users(step) {
            let prompt =
                texts.recommend(Some(user.row), &user.items[2..], N_POSITIONS);
            examples.push(Example {
                prompt,
                targets: user.items,
            });
        }
        recommender::objective(&examples, Options::default())
    }

    /// Takes a step; says how long it took.
    fn step(
        &mut self,
        backbone: &Backbone,
        objective: &Objective,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let pull = Pull {
            toward: &self.tables.content,
            lambda: 1.0,
            prior: 0.0,
        };
        let own = &mut self.tables.collaborative;
        let step = step::compute(backbone, own, Some(pull), objective)?;
        let adam = Adam::new(1e-3);
        self.moments.update(&adam, own, &step);
        Ok(start.elapsed())
    }
}

/// A user's row and the rows of their items.
struct User {
    row: u32,
    items: Vec<u32>,
}
