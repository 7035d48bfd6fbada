//! Which worker gets which job.
//!
//! Queues share the workers by their weights: the next job is of the queue that
//! has the smallest share of its due, among those that are below their limit and
//! have a job that the worker can take. Within a queue the priority decides, then
//! the age.

use std::collections::{BTreeMap, VecDeque};

use domain::{Equipment, QueueName};
use storage::{Lane, Ready};

/// The first jobs of a lane.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) lane: Lane,
    pub(crate) jobs: VecDeque<Ready>,
}

/// What a queue has of the workers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Share {
    pub(crate) weight: f64,
    /// Jobs of it that a worker has.
    pub(crate) n_held: usize,
    /// How many more it may have.
    pub(crate) n_free: usize,
    /// Grows by 1 / weight with each of its jobs that is given out.
    pub(crate) pass: f64,
}

/// What there is to give.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    pub(crate) lanes: Vec<Offer>,
    pub(crate) shares: BTreeMap<QueueName, Share>,
}

/// A job for one of those who ask.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gift {
    /// The worker's place in the line.
    pub(crate) asker: usize,
    pub(crate) job: Ready,
}

impl Offers {
    /// Gives jobs to those who ask, the first in the line first; at most so
    /// many.
    pub(crate) fn assign(
        &mut self,
        askers: &[&Equipment],
        most: usize,
    ) -> Vec<Gift> {
        let mut gifts = Vec::new();
        for (asker, equipment) in askers.iter().enumerate() {
            if gifts.len() == most {
                break;
            }

            if let Some(job) = self.next_for(equipment) {
                gifts.push(Gift { asker, job });
            }
        }

        gifts
    }

    fn next_for(&mut self, equipment: &Equipment) -> Option<Ready> {
        let mut best: Option<usize> = None;
        for (place, offer) in self.lanes.iter().enumerate() {
            let fits = offer.lane.needs.are_met_by(equipment);
            if !fits || offer.jobs.is_empty() || self.n_free(&offer.lane) == 0 {
                continue;
            }

            if best.is_none_or(|best| self.is_before(place, best)) {
                best = Some(place);
            }
        }

        let offer = self.lanes.get_mut(best?)?;
        let job = offer.jobs.pop_front()?;
        if let Some(share) = self.shares.get_mut(&offer.lane.queue) {
            share.n_held += 1;
            share.n_free -= 1;
            share.pass += 1.0 / share.weight;
        }

        Some(job)
    }

    fn n_free(&self, lane: &Lane) -> usize {
        self.shares.get(&lane.queue).map_or(0, |share| share.n_free)
    }

    /// Whether the first job of one lane comes before another lane's.
    fn is_before(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.lanes[one], &self.lanes[other]);
        if one.lane.queue == other.lane.queue {
            return one.jobs.front().map(|job| &job.place)
                < other.jobs.front().map(|job| &job.place);
        }

        let due = |offer: &Offer| {
            let share = self.shares.get(&offer.lane.queue)?;
            Some((share.n_held as f64 / share.weight, share.pass))
        };
        due(one) < due(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{JobId, Needs, WorkerLabel};

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    fn lane(name: &str, labels: &[&str], memory_gib: u32) -> Lane {
        let label = |name: &&str| WorkerLabel::new(*name).unwrap();
        Lane {
            queue: queue(name),
            needs: Needs {
                labels: labels.iter().map(label).collect(),
                memory_gib,
            },
        }
    }

    fn offer(lane: Lane, places: &[&str]) -> Offer {
        let ready = |place: &&str| {
            let (_, id) = place.split_once(':').unwrap();
            Ready {
                place: (*place).to_owned(),
                lane: lane.clone(),
                id: JobId::new(id).unwrap(),
            }
        };
        let jobs = places.iter().map(ready).collect();
        Offer { lane, jobs }
    }

    fn share(weight: f64, n_held: usize) -> Share {
        Share {
            weight,
            n_held,
            n_free: usize::MAX,
            pass: 0.0,
        }
    }

    fn worker(labels: &[&str], memory_gib: u32) -> Equipment {
        let label = |name: &&str| WorkerLabel::new(*name).unwrap();
        Equipment {
            labels: labels.iter().map(label).collect(),
            memory_gib,
        }
    }

    fn given(offers: &mut Offers, askers: &[Equipment]) -> Vec<String> {
        let askers: Vec<&Equipment> = askers.iter().collect();
        let gifts = offers.assign(&askers, 100);
        let line = |gift: &Gift| format!("{}<{}", gift.asker, gift.job.id);
        gifts.iter().map(line).collect()
    }

    #[test]
    fn within_a_queue_the_priority_decides_then_the_age_whatever_the_lane() {
        let mut offers = Offers {
            lanes: vec![
                offer(lane("a", &[], 0), &["450:c", "500:a"]),
                offer(lane("a", &["gpu"], 0), &["400:d", "500:b"]),
            ],
            shares: [(queue("a"), share(1.0, 0))].into(),
        };
        let plain = worker(&[], 0);
        let gpu = worker(&["gpu"], 0);
        let askers = [plain.clone(), gpu.clone(), gpu, plain];
        let expected = ["0<c", "1<d", "2<a"];
        assert_eq!(given(&mut offers, &askers), expected, "b needs a gpu");
    }

    #[test]
    fn a_job_waits_for_a_worker_that_has_what_it_needs_and_holds_up_nobody() {
        let mut offers = Offers {
            lanes: vec![
                offer(lane("a", &["gpu"], 80), &["400:big"]),
                offer(lane("a", &[], 0), &["500:small"]),
            ],
            shares: [(queue("a"), share(1.0, 0))].into(),
        };
        let askers = [worker(&["gpu"], 24), worker(&[], 80)];
        assert_eq!(given(&mut offers, &askers), ["0<small"]);
        assert_eq!(given(&mut offers, &[worker(&["gpu"], 80)]), ["0<big"]);
    }

    #[test]
    fn queues_share_the_workers_by_weight_whether_jobs_are_held_or_short() {
        let places = |name: &str| -> Vec<String> {
            (10..60).map(|n| format!("500:{name}{n}")).collect()
        };
        let [many, few] = ["m", "f"].map(places);
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let few: Vec<&str> = few.iter().map(String::as_str).collect();
        let offers = || Offers {
            lanes: vec![
                offer(lane("few", &[], 0), &few),
                offer(lane("many", &[], 0), &many),
            ],
            shares: [
                (queue("few"), share(1.0, 0)),
                (queue("many"), share(3.0, 0)),
            ]
            .into(),
        };
        let count = |given: &[String]| {
            given.iter().filter(|one| one.contains("<m")).count()
        };

        let askers = vec![worker(&[], 0); 16];
        let at_once = given(&mut offers(), &askers);
        assert_eq!(count(&at_once), 12);

        // One worker, whose jobs end before it asks again.
        let mut offers = offers();
        let mut one_by_one = Vec::new();
        for _ in 0..16 {
            one_by_one.extend(given(&mut offers, &askers[..1]));
            for share in offers.shares.values_mut() {
                share.n_held = 0;
            }
        }
        assert_eq!(count(&one_by_one), 12);
    }

    #[test]
    fn a_queue_at_its_limit_gets_nothing_more() {
        let limited = Share {
            n_free: 1,
            ..share(1.0, 4)
        };
        let mut offers = Offers {
            lanes: vec![
                offer(lane("a", &[], 0), &["500:a1", "500:a2"]),
                offer(lane("b", &[], 0), &["500:b1"]),
            ],
            shares: [(queue("a"), limited), (queue("b"), share(1.0, 9))].into(),
        };
        let askers = vec![worker(&[], 0); 4];
        assert_eq!(given(&mut offers, &askers), ["0<a1", "1<b1"]);
    }
}
