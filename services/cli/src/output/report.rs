//! What a finished job says about itself: does the model add anything, what
//! does it recommend, and how did training go? As text and as one HTML page that
//! needs nothing else.

use dataset::{Band, Manifest, Profile, date_of};
use domain::{Backbone, Metric, RankedBy, Shape, TrainSpec};
use proto::{milliseconds, pb};
use wording::duration;

use crate::output::advice::advice;
use crate::output::html::escaped;
use crate::output::job_page::parts_by_length;
use crate::output::report_parts::{SampleLists, Words, charts, lists, row};
use crate::output::seeds::Seeds;
use crate::output::spec_fields::important;
use crate::output::text::{FINAL_FIT, is_fitted_finally, metrics_table};

/// A finished job, its data, and what else the report tells.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) job: &'a pb::Job,
    pub(crate) manifest: &'a Manifest,
    /// What its interactions look like.
    pub(crate) profile: Profile,
    /// The jobs that differ from this one in the seed.
    pub(crate) seeds: Seeds,
    pub(crate) lists: SampleLists,
}

impl Report<'_> {
    /// The report for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = metrics_table(self.job);
        text.push_str("\n\n");
        text.push_str(&self.advice().join("\n"));
        text
    }

    fn advice(&self) -> Vec<String> {
        let mut advice = advice(self.job, self.manifest.n_users);
        advice.extend(self.seeds.sentence(self.job));
        advice
    }

    /// The report as a page.
    pub(crate) fn html(&self) -> String {
        let mut page = self.head();
        for line in self.advice() {
            let line = escaped(&line);
            page.push_str(&format!("<p><strong>{line}</strong></p>\n"));
        }

        page.push_str("<h2>Test split</h2>\n");
        page.push_str(&metrics(self.job));
        page.push_str(&self.seeds.table(self.job));
        page.push_str("<h2>What three users get</h2>\n");
        page.push_str(&lists(&self.lists));
        page.push_str("<h2>Data</h2>\n");
        page.push_str(&self.data());
        page.push_str("<h2>Settings</h2>\n");
        page.push_str(&settings(self.job));
        page.push_str("<h2>Time</h2>\n");
        page.push_str(&time(self.job));
        page.push_str("<h2>Training</h2>\n");
        if let Some(progress) = &self.job.progress {
            page.push_str(&charts(progress, &self.words()));
        }

        page.push_str("</body></html>\n");
        page
    }

    fn head(&self) -> String {
        let what = escaped(&self.manifest.name);
        let ended_ms = self.job.update_time.map_or(0, milliseconds);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>cllm4rec: {what}</title>\n<style>{STYLE}</style></head><body>\n\
             <h1>{what}</h1>\n<p class=\"ids\">{}<br>{}<br>{}</p>\n",
            escaped(&self.job.name),
            escaped(&self.job.model_version),
            date_of(ended_ms)
        )
    }

    fn data(&self) -> String {
        let Manifest {
            n_users,
            n_items,
            n_interactions,
            n_train,
            n_valid,
            n_test,
            n_titles,
            n_texts,
            ..
        } = self.manifest;
        let mut table = "<table>\n".to_owned();
        table.push_str(&row("users", &grouped(*n_users)));
        table.push_str(&row("items", &grouped(*n_items)));
        table.push_str(&row("interactions", &grouped(*n_interactions)));
        let splits = format!(
            "{} train, {} validation, {} test",
            grouped(*n_train),
            grouped(*n_valid),
            grouped(*n_test)
        );
        table.push_str(&row("splits", &splits));
        let times = match self.profile.times_ms {
            Some((first, last)) => {
                format!("{} to {}", date_of(first), date_of(last))
            }
            None => "no times".to_owned(),
        };
        table.push_str(&row("time range", &times));
        let titles = format!("{} of {}", grouped(*n_titles), grouped(*n_items));
        table.push_str(&row("items with a title", &titles));
        table.push_str(&row("texts", &grouped(*n_texts)));
        table.push_str("</table>\n");
        table.push_str(&spread(&self.profile));
        table
    }

    /// What the language models choose among.
    fn words(&self) -> Words {
        let spec = self.job.spec.clone().and_then(|it| it.try_into().ok());
        let n_words = spec.and_then(|spec: TrainSpec| match &spec.backbone {
            Backbone::Random(shape) => Some(Shape::from(shape).n_words),
            Backbone::Path(_) => None,
        });
        Words {
            n_items: self.manifest.n_items,
            n_words,
        }
    }
}

/// How interactions are spread over users and items.
fn spread(profile: &Profile) -> String {
    let mut page = "<div class=\"many\">\n".to_owned();
    page.push_str(&bands(
        "Users by their number of interactions",
        &profile.users_by_interactions,
    ));
    page.push_str(&bands(
        "Items by their number of interactions",
        &profile.items_by_interactions,
    ));
    let mut tail = String::new();
    for share in &profile.popular_items {
        tail.push_str(&bar(&Bar {
            name: &format!("top {:.0} %", 100.0 * share.of_items),
            share: share.of_interactions,
            shown: &format!("{:.0} %", 100.0 * share.of_interactions),
        }));
    }
    page.push_str(&format!(
        "<div><h3>Interactions with the most popular items</h3>\n{tail}</div>\n</div>\n"
    ));
    page
}

fn bands(title: &str, bands: &[Band]) -> String {
    let most = bands.iter().map(|band| band.n).max().unwrap_or(1);
    let mut bars = String::new();
    for band in bands {
        bars.push_str(&bar(&Bar {
            name: &wording::range(band.from, band.to),
            share: band.n as f64 / most.max(1) as f64,
            shown: &wording::grouped(band.n),
        }));
    }
    format!("<div><h3>{title}</h3>\n{bars}</div>\n")
}

/// A bar beside its name and its number.
struct Bar<'a> {
    name: &'a str,
    /// How much of its column it fills, 0 to 1.
    share: f64,
    shown: &'a str,
}

fn bar(bar: &Bar<'_>) -> String {
    format!(
        "<div class=\"bar\"><span>{}</span><i style=\"width:{:.1}%\"></i><span>{}</span></div>\n",
        escaped(bar.name),
        100.0 * bar.share,
        escaped(bar.shown)
    )
}

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222}\
h1,h2{line-height:1.2;overflow-wrap:anywhere}h2{margin-top:2em}\
.ids{color:#555;font-size:.85em;overflow-wrap:anywhere}\
.wide{overflow-x:auto}\
table{border-collapse:collapse}td,th{padding:.3em 1em .3em 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}\
.numbers td,.numbers th{text-align:right;padding:.3em 0 .3em 1.2em;white-space:nowrap}\
.numbers td:first-child,.numbers th:first-child{text-align:left;padding-left:0}\
.served{font-weight:bold}\
.settings td{overflow-wrap:anywhere}.settings .default{color:#777}\
.many{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20em,100%),1fr));gap:1.5em}\
.users{grid-template-columns:repeat(auto-fit,minmax(min(14em,100%),1fr));gap:1em}\
.user{border:1px solid #ddd;border-radius:.5em;padding:0 1em;overflow-wrap:anywhere}.user h3{font-size:1em}.user ul,.user ol{padding-left:1.5em}\
.bar{display:grid;grid-template-columns:8em 1fr 6em;gap:.7em;align-items:center}.bar i{display:block;height:.8em;background:#1565c0}\
figure{margin:0}figcaption small{color:#555}svg{width:100%;height:auto}";

/// A row for each ranking that is compared.
fn metrics(job: &pb::Job) -> String {
    let mut table =
        "<div class=\"wide\"><table class=\"numbers\"><tr><th></th>".to_owned();
    for metric in Metric::ALL {
        table.push_str(&format!("<th>{}</th>", metric.name()));
    }

    table.push_str("</tr>\n");
    for ranker in RankedBy::COMPARED {
        let is_served = ranker == RankedBy::Served;
        let class = if is_served { " class=\"served\"" } else { "" };
        table.push_str(&format!("<tr{class}><td>{}</td>", ranker.label()));
        for metric in Metric::ALL {
            let value = job.metrics.get(&ranker.key(metric));
            let cell =
                value.map_or("–".to_owned(), |value| format!("{value:.4}"));
            table.push_str(&format!("<td>{cell}</td>"));
        }

        table.push_str("</tr>\n");
    }

    table.push_str("</table></div>\n");
    if is_fitted_finally(job) {
        table.push_str(&format!("<p>{FINAL_FIT}.</p>\n"));
    }
    table
}

/// The fields that are not the defaults, and the important ones.
fn settings(job: &pb::Job) -> String {
    let mut table = "<table class=\"settings\">\n".to_owned();
    for field in important(job) {
        let mut value = escaped(&field.value);
        if field.is_default {
            value.push_str(" <span class=\"default\">(default)</span>");
        }
        table.push_str(&format!(
            "<tr><td>{}</td><td>{value}</td></tr>\n",
            escaped(&field.path)
        ));
    }
    table.push_str("</table>\n");
    table
}

/// How long the job took, and what its time went to.
fn time(job: &pb::Job) -> String {
    let created_ms = job.create_time.map_or(0, milliseconds);
    let ended_ms = job.update_time.map_or(created_ms, milliseconds);
    let seconds = (ended_ms - created_ms).max(0) as f64 / 1_000.0;
    let device = job.progress.as_ref().map(|progress| &progress.device);
    let device = device.filter(|device| !device.is_empty());
    let on = device
        .map_or(String::new(), |device| format!(" on {}", escaped(device)));
    let mut text = format!(
        "<p>{} from submission to model{on}.</p>\n",
        duration(seconds)
    );
    let parts = parts_by_length(job);
    let longest = parts.first().map_or(1.0, |(_, seconds)| *seconds);
    for (name, seconds) in parts {
        text.push_str(&bar(&Bar {
            name,
            share: seconds / longest,
            shown: &duration(seconds),
        }));
    }
    text
}

/// A count with its thousands apart.
fn grouped(number: usize) -> String {
    wording::grouped(number as u64)
}

#[cfg(test)]
mod tests;
