//! What there is to give: the heads of the lanes that somebody in the line can
//! serve, and how much of the workers each queue has and may have.

use std::collections::BTreeSet;

use domain::QueueName;
use storage::{Lane, Turn};

use crate::error::Error;
use crate::queue::assign::{Offer, Offers, Share};
use crate::queue::line::Asker;
use crate::train_job::TrainJobs;

/// Most jobs of a queue that are counted, where it has no limit.
const MOST_COUNTED: usize = 10_000;

/// What there is to give, and the turns that whoever gives it takes.
#[derive(Debug, Default)]
pub(super) struct Stock {
    pub(super) offers: Offers,
    pub(super) turns: Vec<Turn>,
}

impl TrainJobs {
    /// Reads at most so many jobs of each lane.
    pub(super) async fn stock(
        &self,
        askers: &[Asker],
        most: usize,
    ) -> Result<Stock, Error> {
        let mut stock = Stock::default();
        for lane in self.storage.jobs.lanes().await? {
            if !is_served(&lane, askers) {
                continue;
            }

            let jobs = self.storage.jobs.ready(&lane, most).await?;
            if !jobs.is_empty() {
                let jobs = jobs.into();
                stock.offers.lanes.push(Offer { lane, jobs });
            }
        }

        let lanes = &stock.offers.lanes;
        let queues: BTreeSet<QueueName> =
            lanes.iter().map(|offer| offer.lane.queue.clone()).collect();
        let is_alone = queues.len() == 1;
        for queue in queues {
            self.add_share(&mut stock, &queue, is_alone).await?;
        }

        Ok(stock)
    }

    /// Adds what a queue has of the workers. One that is alone and has no limit
    /// need not be counted.
    async fn add_share(
        &self,
        stock: &mut Stock,
        queue: &QueueName,
        is_alone: bool,
    ) -> Result<(), Error> {
        let limits = self.queues.limits(queue);
        let mut share = Share {
            weight: limits.weight,
            n_held: 0,
            n_free: usize::MAX,
            pass: self.queue.pass(queue),
        };
        let jobs = &self.storage.jobs;
        if limits.max_running > 0 {
            stock.turns.push(jobs.turn(queue).await?);
            let most = limits.max_running;
            share.n_held = jobs.n_held(queue, most).await?;
            share.n_free = most - share.n_held;
        } else if !is_alone {
            share.n_held = jobs.n_held(queue, MOST_COUNTED).await?;
        }

        stock.offers.shares.insert(queue.clone(), share);
        Ok(())
    }
}

fn is_served(lane: &Lane, askers: &[Asker]) -> bool {
    let needs = &lane.needs;
    askers
        .iter()
        .any(|asker| needs.are_met_by(&asker.equipment))
}
