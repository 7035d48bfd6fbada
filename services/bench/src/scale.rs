//! What the number of users costs: the same steps on more and more of them, the items fixed.

use std::time::{Duration, Instant};

use domain::RandomBackbone;
use model::recommender::{Example, Options};
use model::{
    Adam, Objective, PairMoments, Precision, PromptTexts, Pull, Tables, Tokenizer, collaborative,
    random_backbone, recommender, step,
};
use serde_json::json;

use crate::machine;

/// Of the command.
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
    /// What computes.
    #[arg(long, default_value = "flex")]
    device: String,
    /// Threads that compute.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

const N_USERS_A_STEP: u32 = 20;
const N_LAYERS: usize = 2;

/// One line a number of users: how long tables and moments take to start, a step of each stage, the
/// process's memory.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device = machine::device(&arguments.device, Precision::F32, arguments.threads)?;
    let shape = RandomBackbone {
        n_embd: arguments.width,
        n_layer: N_LAYERS,
        n_head: 4,
        n_positions: 128,
        ..Default::default()
    };
    let (_, gpt2) = random_backbone(&shape, &device);
    let texts = PromptTexts::new(&Tokenizer::gpt2());
    let mut states: Vec<State> = arguments
        .users
        .iter()
        .map(|&n_users| State::start(n_users, arguments))
        .collect();
    // In turn, so that what else the machine does meets all sizes alike.
    for number in 0..=arguments.steps {
        for state in &mut states {
            let objectives = [
                state.collaborative(number, &texts),
                state.recommend(number, &texts),
            ];
            for (place, objective) in objectives.iter().enumerate() {
                let start = Instant::now();
                let pull = Pull {
                    toward: &state.tables.content,
                    lambda: 1.0,
                    prior: 0.0,
                };
                let step =
                    step::compute(&gpt2, &state.tables.collaborative, Some(pull), objective)?;
                let adam = Adam::new(1e-3);
                let tables = &mut state.tables.collaborative;
                state.moments.update(&adam, tables, &step);
                if number > 0 {
                    state.elapsed[place].push(start.elapsed()); // the first step fills caches
                }
            }
        }
    }
    for state in &mut states {
        let [collaborative, recommend] = &mut state.elapsed;
        println!(
            "{}",
            json!({
                "users": state.n_users,
                "start_ms": milliseconds(state.started),
                "collaborative_ms": milliseconds(median(collaborative)),
                "recommend_ms": milliseconds(median(recommend)),
            })
        );
    }
    let peak = machine::peak_memory(std::process::id()).unwrap_or(0);
    println!("{}", json!({"peak_memory_mb_of_all": peak / 1_000_000}));
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Of one number of users.
struct State {
    n_users: u32,
    n_items: u32,
    tables: Tables,
    moments: PairMoments,
    started: Duration,
    /// Of each step, by stage.
    elapsed: [Vec<Duration>; 2],
}

impl State {
    fn start(n_users: u32, arguments: &Arguments) -> Self {
        let start = Instant::now();
        let tables = Tables::normal(
            n_users as usize,
            arguments.items as usize,
            arguments.width,
            0,
        );
        let moments = PairMoments::zeros(&tables.collaborative);
        let started = start.elapsed();
        Self {
            n_users,
            n_items: arguments.items,
            tables,
            moments,
            started,
            elapsed: Default::default(),
        }
    }

    /// The users of a step, from all over the table, each with ten items: the same work for every
    /// number of users.
    fn users(&self, step: u32) -> impl Iterator<Item = (u32, Vec<u32>)> + '_ {
        (0..N_USERS_A_STEP).map(move |place| {
            let draw = (step * N_USERS_A_STEP + place).wrapping_mul(2_654_435_761);
            let items = (0..10)
                .map(|t| (draw >> 7).wrapping_add(t * 37) % self.n_items)
                .collect();
            (draw % self.n_users, items)
        })
    }

    fn collaborative(&self, step: u32, texts: &PromptTexts) -> Objective {
        let documents: Vec<_> = self
            .users(step)
            .map(|(user, items)| collaborative::document(texts, user, &items))
            .collect();
        collaborative::objective(&documents)
    }

    fn recommend(&self, step: u32, texts: &PromptTexts) -> Objective {
        let examples: Vec<_> = self
            .users(step)
            .map(|(user, items)| Example {
                prompt: texts.recommend(Some(user), &items[2..], 128),
                targets: items,
            })
            .collect();
        recommender::objective(&examples, Options::default())
    }
}
