//! The larger parts of a report's page: the lists and the curves.

use proto::pb;

use crate::output::chart::{Caption, EpochValue, curve};
use crate::output::html::escaped;

/// What the model recommends to a few users.
#[derive(Debug)]
pub(crate) enum SampleLists {
    Made(Vec<SampleList>),
    /// There are none, and why.
    LeftOut(String),
}

/// What one user has, and what is recommended to them.
#[derive(Debug)]
pub(crate) struct SampleList {
    pub(crate) user: String,
    /// Items of the whole history.
    pub(crate) n_history: usize,
    /// Titles of the latest ones, the latest first.
    pub(crate) latest: Vec<String>,
    /// Titles, best first.
    pub(crate) recommended: Vec<String>,
}

/// A row of a table of two columns.
pub(super) fn row(name: &str, value: &str) -> String {
    let (name, value) = (escaped(name), escaped(value));
    format!("<tr><td>{name}</td><td>{value}</td></tr>\n")
}

/// A box for each user, or why there are none.
pub(super) fn lists(lists: &SampleLists) -> String {
    let made = match lists {
        SampleLists::Made(made) => made,
        SampleLists::LeftOut(why) => {
            return format!("<p>{}</p>\n", escaped(why));
        }
    };
    let mut boxes = "<div class=\"many users\">\n".to_owned();
    for list in made {
        boxes.push_str(&user(list));
    }
    boxes.push_str("</div>\n");
    boxes
}

fn user(list: &SampleList) -> String {
    format!(
        "<div class=\"user\"><h3>{}</h3><p>Has {} items, the latest first:</p>\n<ul>{}</ul>\n\
         <p>Is recommended:</p>\n<ol>{}</ol></div>\n",
        escaped(&list.user),
        list.n_history,
        entries(&list.latest),
        entries(&list.recommended)
    )
}

fn entries(titles: &[String]) -> String {
    let mut entries = String::new();
    for title in titles {
        entries.push_str(&format!("<li>{}</li>", escaped(title)));
    }
    entries
}

/// How many words the language models choose among.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// Items: what the collaborative one chooses among.
    pub(super) n_items: usize,
    /// The backbone's vocabulary, where it is known: what the content one
    /// chooses among.
    pub(super) n_words: Option<f64>,
}

impl Words {
    /// The loss a token of a model that knows nothing, in nats.
    fn guessing(&self, stage: &str) -> Option<f64> {
        match stage {
            "content" => self.n_words.map(f64::ln),
            "collaborative" => Some((self.n_items as f64).max(1.0).ln()),
            _ => None,
        }
    }
}

/// The stage whose loss is summed over a user's items: it is not compared with
/// the losses a token of the others.
const RANKING_STAGE: &str = "finetuning";

/// A curve of the validation, and one of each stage's losses; those a token
/// have the same range.
pub(super) fn charts(progress: &pb::Progress, words: &Words) -> String {
    let mut validated = Vec::new();
    for (place, epoch) in progress.epochs.iter().enumerate() {
        let Some(value) = epoch.valid_ndcg_100 else {
            continue;
        };
        validated.push(EpochValue {
            epoch: place + 1,
            value,
        });
    }

    let caption = Caption {
        title: "Validation",
        unit: "NDCG@100, by epoch of the job",
        most: largest(&validated),
        guessing: None,
    };
    let mut charts = "<div class=\"many\">\n".to_owned();
    charts.push_str(&curve(caption, &validated));
    let mut stages = Vec::new();
    let mut most = 0.0_f64;
    for stage in &progress.stages {
        let losses = losses(progress, &stage.stage);
        if stage.stage != RANKING_STAGE {
            most = most.max(largest(&losses));
        }
        stages.push((&stage.stage, losses));
    }
    for (stage, losses) in stages {
        let caption = Caption {
            title: &format!("Loss of {stage}"),
            unit: "cross-entropy in nats, mean of each epoch",
            most: if stage == RANKING_STAGE {
                largest(&losses)
            } else {
                most
            },
            guessing: words.guessing(stage),
        };
        charts.push_str(&curve(caption, &losses));
    }

    charts.push_str("</div>\n");
    charts
}

fn largest(values: &[EpochValue]) -> f64 {
    let values = values.iter().map(|point| point.value);
    values.fold(0.0, f64::max)
}

fn losses(progress: &pb::Progress, stage: &str) -> Vec<EpochValue> {
    let mut losses = Vec::new();
    for epoch in &progress.epochs {
        if epoch.stage == stage {
            losses.push(EpochValue {
                epoch: epoch.epoch as usize,
                value: epoch.loss,
            });
        }
    }

    losses
}
