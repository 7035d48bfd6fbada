//! `cllm4rec-record`: records interactions as fast as a scorer takes them, or at
//! a rate, and says how it answered.
#![allow(clippy::print_stdout, reason = "a command line tool")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use proto::pb;
use proto::pb::history_service_client::HistoryServiceClient;
use service::client::{Connection, Target, connect};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Records interactions from several writers at once; prints one JSON line.
#[derive(Parser, Clone)]
#[command(version)]
struct Arguments {
    /// The scorer.
    #[arg(long, default_value = "http://127.0.0.1:7070")]
    url: String,

    /// The token that the scorer wants.
    #[arg(
        long,
        default_value = "",
        env = "CLLM4REC__SCORER__TOKEN",
        hide_env_values = true
    )]
    token: String,

    /// Writers that each make one call after the other.
    #[arg(long, default_value_t = 1)]
    writers: usize,

    /// Users in a call, each with one interaction.
    #[arg(long, default_value_t = 1)]
    users: usize,

    /// All writers record interactions of the same users.
    #[arg(long)]
    same_users: bool,

    /// Calls a second of each writer; 0: as many as it can.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,

    /// Seconds that it lasts.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What became of a writer's calls.
#[derive(Default)]
struct Calls {
    latencies_ms: Vec<f64>,
    n_recorded: u64,
    /// Calls that failed, by their code.
    failed: BTreeMap<String, u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    service::install_tls_provider();
    let arguments = Arguments::parse();
    let target = Target {
        url: arguments.url.clone(),
        token: arguments.token.clone(),
        ca: None,
    };
    let start = Instant::now();
    let mut writers = JoinSet::new();
    for number in 0..arguments.writers {
        let stub = HistoryServiceClient::new(connect(&target)?);
        writers.spawn(write(stub, arguments.clone(), number));
    }

    let mut all = Calls::default();
    while let Some(calls) = writers.join_next().await {
        let calls = calls.context("a writer panicked")?;
        all.latencies_ms.extend(calls.latencies_ms);
        all.n_recorded += calls.n_recorded;
        for (code, n) in calls.failed {
            *all.failed.entry(code).or_default() += n;
        }
    }
    println!("{}", all.report(start.elapsed()));
    Ok(())
}

/// Makes calls, one after the other, until the time is over.
async fn write(
    mut stub: HistoryServiceClient<Connection>,
    arguments: Arguments,
    writer: usize,
) -> Calls {
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(arguments.seconds);
    let mut calls = Calls::default();
    for call in 0.. {
        if arguments.rate > 0.0 {
            let due = f64::from(call) / arguments.rate;
            sleep_until(start + Duration::from_secs_f64(due)).await;
        }
        if Instant::now() >= end {
            break;
        }

        let mut interactions = Vec::with_capacity(arguments.users);
        for user in 0..arguments.users {
            let of = if arguments.same_users { 0 } else { writer };
            interactions.push(pb::Interaction {
                user_id: format!("writer-{of}-user-{user}"),
                item_id: format!("item-{writer}-{call}"),
                ..pb::Interaction::default()
            });
        }
        let request = pb::RecordInteractionsRequest {
            interactions,
            catalog: "recorded".to_owned(),
        };
        let sent = Instant::now();
        match stub.record_interactions(request).await {
            Ok(answer) => {
                calls.n_recorded += u64::from(answer.get_ref().n_recorded);
                let took = sent.elapsed().as_secs_f64();
                calls.latencies_ms.push(1_000.0 * took);
            }
            Err(status) => {
                let code = format!("{:?}", status.code());
                *calls.failed.entry(code).or_default() += 1;
            }
        }
    }
    calls
}

impl Calls {
    fn report(mut self, took: Duration) -> serde_json::Value {
        self.latencies_ms.sort_by(f64::total_cmp);
        serde_json::json!({
            "calls": self.latencies_ms.len(),
            "events_per_s": self.n_recorded as f64 / took.as_secs_f64(),
            "p50_ms": self.quantile(0.5),
            "p99_ms": self.quantile(0.99),
            "max_ms": self.quantile(1.0),
            "failed": self.failed,
        })
    }

    /// A quantile of the latencies, which are sorted; none without calls.
    fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.latencies_ms.len().checked_sub(1)?;
        let place = (share * last as f64).round() as usize;
        self.latencies_ms.get(place).copied()
    }
}
