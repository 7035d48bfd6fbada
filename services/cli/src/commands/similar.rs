//! `similar`: what is like an item, like a text, or like each item.

use std::path::PathBuf;
use std::time::Instant;

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use proto::pb::similar_items_request::Model;
use serde_json::json;
use service::client::{Target, connect};
use tokio::task::JoinSet;

use crate::commands::everybody::{bar, rows};
use crate::lists::part::{Finished, Part};
use crate::lists::source::Source;
use crate::lists::table::Format;
use crate::lists::users;
use crate::lookup;
use crate::output::writer::Output;
use crate::output::{json, text};
use crate::settings::Settings;

/// What is like an item, like a text, or like each item.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The item's id.
    #[arg(required_unless_present_any = ["text", "all"], conflicts_with_all = ["text", "all"])]
    item: Option<String>,

    /// Items that a text is about, such as a description.
    #[arg(long, conflicts_with = "all")]
    text: Option<String>,

    /// A list for each item of the catalogue, into the file `--output`.
    #[arg(long, requires = "output")]
    all: bool,

    /// Where the lists go: a row for each item, as the ending says: .parquet,
    /// .csv or .jsonl.
    #[arg(long, value_name = "FILE", requires = "all")]
    output: Option<PathBuf>,

    /// How many items are wanted.
    #[arg(short, default_value_t = 10)]
    k: u32,

    /// Only items for which this holds (docs/api.md).
    #[arg(long, default_value = "")]
    filter: String,

    /// A model version instead of the one that is live.
    #[arg(long, conflicts_with = "label")]
    version: Option<String>,

    /// A label instead of `live`.
    #[arg(long)]
    label: Option<String>,
}

/// Requests under way at a time.
const AT_A_TIME: usize = 16;

pub(crate) async fn run(
    arguments: Arguments,
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut request = pb::SimilarItemsRequest {
        item_id: arguments.item.unwrap_or_default(),
        text: arguments.text.unwrap_or_default(),
        k: Some(arguments.k),
        filter: arguments.filter,
        model: None,
    };
    let mut version = arguments.version;
    if let Some(typed) = &mut version {
        *typed = lookup::model_version(&settings.coordinator, typed).await?;
    }
    let Some(file) = arguments.output else {
        let label = arguments.label.map(Model::Label);
        request.model = version.map(Model::ModelVersion).or(label);
        let mut client =
            RecommendationServiceClient::new(connect(&settings.scorer)?);
        let answer = client.similar_items(request).await?.into_inner();
        output.write(&json::similar(&answer), || text::ranking(&answer.items));
        return Ok(());
    };

    Format::of(&file)?;
    Source::during(settings, async |source| {
        let version = match version {
            Some(version) => {
                lookup::model_version(&source.coordinator, &version).await?
            }
            None => {
                let label = arguments.label.as_deref().unwrap_or("live");
                source.version_of(label).await?
            }
        };
        let all = EachItem {
            request,
            version,
            output: file,
        };
        all.make_lists(source, output).await
    })
    .await
}

/// A list for each item of a version's catalogue.
struct EachItem {
    request: pb::SimilarItemsRequest,
    version: String,
    output: PathBuf,
}

impl EachItem {
    async fn make_lists(
        mut self,
        source: &Source,
        output: Output,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        self.request.model = Some(Model::ModelVersion(self.version.clone()));
        let all =
            users::items_of_version(&source.artifacts, &self.version).await?;
        let asked = json!(format!("{:?}", self.request));
        let mut part = Part::open(&self.output, asked)?;
        let missing: Vec<String> =
            all.iter().filter(|item| !part.has(item)).cloned().collect();
        let made = self.ask(&source.scorer, missing, &mut part).await;
        part.save()?;
        made?;
        let Finished { n_rows, .. } =
            part.finish(&self.output, &all, "of_item_id")?;
        let seconds = started.elapsed().as_secs_f64();
        let place = self.output.display();
        let summary = json!({
            "output": place.to_string(),
            "model_version": self.version,
            "n_items": all.len(),
            "n_rows": n_rows,
            "seconds": seconds,
        });
        let n_items = all.len();
        output.write(&summary, || {
            format!(
                "{place}: {n_rows} rows for {n_items} items in {seconds:.1} s"
            )
        });
        Ok(())
    }

    async fn ask(
        &self,
        scorer: &Target,
        items: Vec<String>,
        part: &mut Part,
    ) -> anyhow::Result<()> {
        let client = RecommendationServiceClient::new(connect(scorer)?);
        let bar = bar(items.len());
        let mut under_way = JoinSet::new();
        for item in items {
            if under_way.len() >= AT_A_TIME {
                keep(&mut under_way, part).await?;
                bar.inc(1);
            }
            let mut client = client.clone();
            let request = pb::SimilarItemsRequest {
                item_id: item.clone(),
                ..self.request.clone()
            };
            under_way.spawn(async move {
                let answer = client.similar_items(request).await?;
                Ok((item, answer.into_inner().items))
            });
        }
        while !under_way.is_empty() {
            keep(&mut under_way, part).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// An item and what is like it, once that is known.
type Answer = Result<(String, Vec<pb::RecommendedItem>), tonic::Status>;

/// Keeps the next list that comes.
async fn keep(
    under_way: &mut JoinSet<Answer>,
    part: &mut Part,
) -> anyhow::Result<()> {
    if let Some(answer) = under_way.join_next().await {
        let (item, list) = answer??;
        part.push(&item, &rows(&item, list))?;
    }
    Ok(())
}
