//! A model version that is ready to serve: its tables, its catalogue, the way to its thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use domain::{Catalog, Item, ItemId, ModelVersion, Source, UserId, UserToken};
use fixedbitset::FixedBitSet;
use model::hybrid::{Mixed, Origin};
use model::{Artifact, ItemWeights, PromptTexts, ScoringTables, Token, Tokenizer};

use crate::Settings;
use crate::backbone::Backbone;
use crate::forward::Forward;
use crate::gate::Call;
use crate::states::TokenRow;

/// A version that is ready to serve.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) version: ModelVersion,
    pub(crate) catalog: Catalog,
    pub(crate) backbone: Arc<Backbone>,
    pub(crate) forward: Forward,
    /// With the mean user as the last user row.
    pub(crate) catalogue: Arc<ScoringTables>,
    pub(crate) items: Arc<Vec<Item>>,
    light: Option<Light>,
    users: HashMap<UserId, u32>,
    rows: HashMap<ItemId, u32>,
    known_user: UserToken,
    new_user: UserToken,
    /// The mean of the user rows.
    mean_user: u32,
    /// Share of all training interactions that each item has; absent in older versions.
    popularity: Option<Vec<f32>>,
    /// Items that nobody had interacted with.
    cold: FixedBitSet,
    /// Made when similar items are first asked for.
    item_lengths: OnceLock<Vec<f32>>,
    n_positions: usize,
    /// Memory that is this version's alone, about: rows, light weights, ids, titles, what filters
    /// look at.
    pub(crate) n_bytes: u64,
    last_used: AtomicU64,
}

/// The light model of a hybrid.
#[derive(Debug)]
struct Light {
    weights: ItemWeights,
    /// How much it counts.
    weight: f64,
    /// Items that it does not know.
    unknown: Vec<u32>,
}

/// A version whose first state takes longer is not one to serve.
const WARM_UP: Duration = Duration::from_secs(60);

/// The words of the prompts: the same for all versions of this program.
static TEXTS: LazyLock<PromptTexts> = LazyLock::new(|| PromptTexts::new(&Tokenizer::gpt2()));

/// Memory of an item, about, beside its row: itself, its place, its popularity and length, and its
/// texts.
fn item_bytes(item: &Item) -> usize {
    let categories: usize = item
        .categories
        .iter()
        .map(|category| 24 + category.len())
        .sum();
    // Each is a node of a tree with a key and a value.
    let attributes: usize = item
        .attributes
        .iter()
        .map(|(name, value)| 64 + name.len() + value_bytes(value))
        .sum();
    170 + 2 * item.id.as_str().len() + item.title.len() + categories + attributes
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len(),
        Value::Array(values) => 32 + values.iter().map(value_bytes).sum::<usize>(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| 64 + name.len() + value_bytes(value))
            .sum(),
    }
}

/// A user's scores over the catalogue and where each comes from.
pub(crate) struct Scores {
    pub(crate) values: Vec<f32>,
    origins: Origins,
}

enum Origins {
    Model,
    Hybrid(Mixed),
    Popularity,
}

impl Loaded {
    /// Starts a version's thread, on its backbone's device.
    pub(crate) fn start(
        version: ModelVersion,
        mut artifact: Artifact,
        backbone: Arc<Backbone>,
        settings: &Settings,
    ) -> Result<Self, model::Error> {
        artifact.check_backbone(&backbone.gpt2)?;
        let mean_user = artifact.tables.collaborative.push_mean_user();
        let catalogue = Arc::new(ScoringTables::new(
            artifact.tables.collaborative.into(),
            settings.scoring_precision,
        ));
        let forward = Forward::start(backbone.gpt2.clone(), Arc::clone(&catalogue), settings)
            .map_err(|source| model::Error::File {
                path: "thread `model`".into(),
                source,
            })?;
        let light = artifact.light.map(|weights| Light {
            unknown: weights.unknown_items(),
            weights,
            weight: artifact.manifest.light_weight,
        });
        let mut cold = FixedBitSet::with_capacity(artifact.items.len());
        match (&artifact.popularity, &light) {
            (Some(counts), _) => (0..)
                .zip(counts)
                .filter(|(_, n)| **n == 0)
                .for_each(|(row, _)| cold.insert(row)),
            (None, Some(light)) => light
                .unknown
                .iter()
                .for_each(|&row| cold.insert(row as usize)),
            (None, None) => {}
        }
        let popularity = artifact.popularity.map(|counts| {
            let all = counts.iter().map(|&n| f64::from(n)).sum::<f64>().max(1.0);
            counts
                .into_iter()
                .map(|n| (f64::from(n) / all) as f32)
                .collect()
        });
        let n_light = light.as_ref().map_or(0, |light| light.weights.n_bytes());
        let n_texts = artifact
            .users
            .iter()
            .map(|user| 64 + user.as_str().len())
            .sum::<usize>()
            + artifact.items.iter().map(item_bytes).sum::<usize>();
        let n_bytes = (catalogue.n_bytes() + n_light + n_texts) as u64;
        Ok(Self {
            version,
            catalog: artifact.manifest.catalog,
            forward,
            catalogue,
            rows: artifact
                .items
                .iter()
                .map(|item| item.id.clone())
                .zip(0..)
                .collect(),
            items: Arc::new(artifact.items),
            light,
            users: artifact.users.into_iter().zip(0..).collect(),
            known_user: artifact.manifest.known_user,
            new_user: artifact.manifest.new_user,
            mean_user,
            popularity,
            cold,
            item_lengths: OnceLock::new(),
            n_positions: backbone.gpt2.n_positions(),
            n_bytes,
            backbone,
            last_used: AtomicU64::new(0),
        })
    }

    /// A user's row; none for somebody who was not in the training data.
    pub(crate) fn user_row(&self, user: &UserId) -> Option<u32> {
        self.users.get(user).copied()
    }

    /// An item's row.
    pub(crate) fn item_row(&self, item: &ItemId) -> Option<u32> {
        self.rows.get(item).copied()
    }

    /// The item of a row.
    pub(crate) fn item(&self, row: u32) -> &Item {
        &self.items[row as usize]
    }

    pub(crate) fn n_items(&self) -> usize {
        self.items.len()
    }

    /// How many items of a history a prompt holds.
    pub(crate) fn max_history(&self) -> usize {
        TEXTS.max_history(self.n_positions)
    }

    /// The user token in the prompt of a user with this row, or without one: as was best on
    /// validation.
    pub(crate) fn token(&self, user: Option<u32>) -> TokenRow {
        match if user.is_some() {
            self.known_user
        } else {
            self.new_user
        } {
            UserToken::Own => user.map_or(TokenRow::Absent, TokenRow::Own),
            UserToken::Absent => TokenRow::Absent,
            UserToken::Mean => TokenRow::Mean(self.mean_user),
        }
    }

    /// The prompt for a user token and a history that fits.
    pub(crate) fn prompt(&self, token: TokenRow, items: &[u32]) -> Vec<Token> {
        TEXTS.recommend(token.row(), items, self.n_positions)
    }

    /// What serves: the language model's scores, mixed with the light model's where there is one.
    /// `history` is all of it, as the light model was measured. With nothing to go by, popularity.
    pub(crate) fn scores(&self, language: &[f32], history: &[u32], is_stranger: bool) -> Scores {
        if let Some(popularity) = self
            .popularity
            .as_ref()
            .filter(|_| is_stranger && history.is_empty())
        {
            return Scores {
                values: popularity.clone(),
                origins: Origins::Popularity,
            };
        }
        let Some(Light {
            weights,
            weight,
            unknown,
        }) = &self.light
        else {
            return Scores {
                values: language.to_vec(),
                origins: Origins::Model,
            };
        };
        let mixed = Mixed::new(language.to_vec(), weights.scores(history), *weight, unknown);
        Scores {
            values: mixed.scores(),
            origins: Origins::Hybrid(mixed),
        }
    }

    /// Where an item's score comes from.
    pub(crate) fn source(&self, scores: &Scores, row: u32) -> Source {
        match &scores.origins {
            Origins::Popularity => Source::Popularity,
            Origins::Model | Origins::Hybrid(_) if self.cold.contains(row as usize) => {
                Source::ColdStart
            }
            Origins::Model => Source::Model,
            Origins::Hybrid(mixed) => match mixed.origin(row) {
                Origin::LanguageModel => Source::Model,
                Origin::CoOccurrence => Source::CoOccurrence,
                Origin::Both => Source::Both,
            },
        }
    }

    /// What the language model's contributions to some items' scores come to in the served scores,
    /// and what the light model adds for each item of the history.
    ///
    /// Shapes: `language [items][history]`, its scores `[catalogue]` → `[items][history]`.
    pub(crate) fn served_contributions(
        &self,
        (rows, language): (&[u32], Vec<Vec<f32>>),
        language_scores: &[f32],
        history: &[u32],
    ) -> Vec<Vec<f32>> {
        let Some(Light {
            weights,
            weight,
            unknown,
        }) = &self.light
        else {
            return language;
        };
        let light_scores = weights.scores(history);
        let share = Mixed::shares(language_scores, &light_scores, *weight);
        let of_item = |(&row, language): (&u32, Vec<f32>)| {
            let (of_language, of_light_share) = if unknown.contains(&row) {
                (share.alone, 0.0)
            } else {
                (share.language, share.light)
            };
            let both = language.into_iter().zip(history);
            both.map(|(language, &item)| {
                of_language * language + of_light_share * weights.weight(item, row)
            })
            .collect()
        };
        rows.iter().zip(language).map(of_item).collect()
    }

    /// Length of each item row.
    pub(crate) fn item_lengths(&self) -> &[f32] {
        self.item_lengths.get_or_init(|| {
            let items = &self.catalogue.tables().items;
            items
                .values()
                .chunks_exact(items.width())
                .map(|row| row.iter().map(|value| value * value).sum::<f32>().sqrt())
                .collect()
        })
    }

    /// Notes that a request asked for it, at a place in the order of requests.
    pub(crate) fn use_now(&self, clock: &AtomicU64) {
        self.last_used
            .store(clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The place of the latest request.
    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Computes one state, so that the thread's pace is known and its memory is warm.
    pub(crate) async fn warm_up(&self) -> Result<(), crate::Error> {
        let items: Vec<u32> = (0..self.n_items().min(self.max_history()).min(20) as u32).collect();
        let prompt = self.prompt(TokenRow::Absent, &items);
        let call = Call::behind(Instant::now() + WARM_UP);
        call.in_time(self.forward.state(prompt, &call.caller))
            .await
            .map(drop)
    }
}
