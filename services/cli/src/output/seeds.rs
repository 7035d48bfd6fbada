//! How much chance there is in a figure: the jobs that differ from one in the
//! seed alone.

use domain::{Metric, RankedBy};
use proto::pb;

use crate::output::html::escaped;
use crate::output::spec_fields::are_alike_but_for_the_seed;

/// Finished jobs that are alike but for the seed, each seed once.
#[derive(Debug, Default)]
pub(crate) struct Seeds {
    /// The other jobs.
    others: Vec<pb::Job>,
}

/// The mean of some values and how far they lie apart.
struct Spread {
    n: usize,
    mean: f64,
    least: f64,
    most: f64,
}

impl Seeds {
    /// Those of the finished jobs on a data set, the newest first, that differ
    /// from one in the seed alone. Of the same seed the newest counts.
    pub(crate) fn of(job: &pb::Job, finished: Vec<pb::Job>) -> Self {
        let mut seen = vec![seed(job)];
        let mut others = Vec::new();
        for other in finished {
            let is_other = other.name != job.name
                && !other.metrics.is_empty()
                && are_alike_but_for_the_seed(job, &other);
            if is_other && !seen.contains(&seed(&other)) {
                seen.push(seed(&other));
                others.push(other);
            }
        }
        Self { others }
    }

    /// The spread in words, where there are other seeds.
    pub(crate) fn sentence(&self, job: &pb::Job) -> Option<String> {
        let spread = self.spread(job)?;
        Some(format!(
            "Over {} seeds NDCG@100 is {:.4} on average, {:.4} to {:.4}.",
            spread.n, spread.mean, spread.least, spread.most
        ))
    }

    /// A row for each seed; empty where there is one only.
    pub(crate) fn table(&self, job: &pb::Job) -> String {
        if self.spread(job).is_none() {
            return String::new();
        }
        let mut table = "<h3>The same job with other seeds</h3>\n\
             <div class=\"wide\"><table class=\"numbers\"><tr><th>seed</th>"
            .to_owned();
        for metric in Metric::ALL {
            table.push_str(&format!("<th>{}</th>", metric.name()));
        }
        table.push_str("<th>job</th></tr>\n");
        for job in std::iter::once(job).chain(&self.others) {
            table.push_str(&format!("<tr><td>{}</td>", seed(job)));
            for metric in Metric::ALL {
                let value = job.metrics.get(&RankedBy::Served.key(metric));
                let cell = value
                    .map_or("–".to_owned(), |value| format!("{value:.4}"));
                table.push_str(&format!("<td>{cell}</td>"));
            }
            table.push_str(&format!("<td>{}</td></tr>\n", escaped(&job.name)));
        }
        table.push_str("</table></div>\n");
        table
    }

    fn spread(&self, job: &pb::Job) -> Option<Spread> {
        let key = RankedBy::Served.key(Metric::Ndcg100);
        let mut values = Vec::new();
        for job in std::iter::once(job).chain(&self.others) {
            values.extend(job.metrics.get(&key).copied());
        }
        if values.len() < 2 {
            return None;
        }
        let n = values.len();
        Some(Spread {
            n,
            mean: values.iter().sum::<f64>() / n as f64,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

fn seed(job: &pb::Job) -> u64 {
    job.spec.as_ref().map_or(0, |spec| spec.seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DatasetId, TrainSpec};

    fn job(name: &str, seed: u64, ndcg: f64) -> pb::Job {
        let mut spec = TrainSpec::new(DatasetId::new("d").unwrap());
        spec.seed = seed;
        pb::Job {
            name: name.to_owned(),
            spec: Some((&spec).into()),
            metrics: [("ndcg@100".to_owned(), ndcg)].into(),
            ..pb::Job::default()
        }
    }

    #[test]
    fn the_spread_is_over_each_seed_once() {
        let own = job("own", 0, 0.10);
        let mut other_spec = job("e", 3, 0.9);
        other_spec.spec.as_mut().unwrap().spectral_rank = 9;
        let finished = vec![
            job("b", 1, 0.12),
            job("a", 1, 0.5),
            job("c", 2, 0.14),
            job("own", 0, 0.10),
            job("d", 0, 0.8),
            other_spec,
        ];
        let seeds = Seeds::of(&own, finished);
        assert_eq!(
            seeds.sentence(&own).unwrap(),
            "Over 3 seeds NDCG@100 is 0.1200 on average, 0.1000 to 0.1400."
        );
        assert_eq!(seeds.table(&own).matches("<tr>").count(), 4);
        let alone = Seeds::of(&own, vec![own.clone()]);
        assert_eq!(alone.sentence(&own), None);
        assert_eq!(alone.table(&own), "");
    }
}
