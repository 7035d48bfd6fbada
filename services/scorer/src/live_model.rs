//! Which model versions are in memory, and which one a request gets. Follows the labels without a restart; a version
//! that cannot be loaded never takes a label's place.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use domain::{Catalog, Item, ItemId, Label, ModelChoice, ModelVersion, UserId, UserToken};
use model::hybrid::Mixed;
use model::{Artifact, ComputeDevice, Device, ItemWeights, PromptTexts, Token, Tokenizer};
use service::Health;
use storage::{Kind, Storage};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::batcher::Batcher;
use crate::rows::{self, Sizes};
use crate::states::TokenRow;
use crate::{Error, Settings};

/// A version that is ready to serve.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) version: ModelVersion,
    pub(crate) catalog: Catalog,
    pub(crate) batcher: Batcher,
    /// Width of a user state.
    pub(crate) width: usize,
    light: Option<Light>,
    users: Vec<UserId>,
    known_user: UserToken,
    new_user: UserToken,
    /// The mean of the user rows.
    mean_user: u32,
    items: Vec<Item>,
    texts: PromptTexts,
    n_positions: usize,
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

impl Loaded {
    /// A user's row; none for somebody who was not in the training data.
    pub(crate) fn user_row(&self, user: &UserId) -> Option<u32> {
        self.users.binary_search(user).ok().and_then(|row| u32::try_from(row).ok())
    }

    /// An item's row.
    pub(crate) fn item_row(&self, item: &ItemId) -> Option<u32> {
        self.items.binary_search_by(|known| known.id.cmp(item)).ok().and_then(|row| u32::try_from(row).ok())
    }

    /// The item of a row.
    pub(crate) fn item(&self, row: u32) -> &Item {
        &self.items[row as usize]
    }

    /// The language model's scores mixed with the light model's, where there is one.
    pub(crate) fn mixed(&self, scores: &[f32], history: &[u32]) -> Option<Mixed> {
        let Light { weights, weight, unknown } = self.light.as_ref()?;
        Some(Mixed::new(scores.to_vec(), weights.scores(history), *weight, unknown))
    }

    /// How many items of a history a prompt holds.
    pub(crate) fn max_history(&self) -> usize {
        self.texts.max_history(self.n_positions)
    }

    /// The user token in the prompt of a user with this row, or without one: as was best on validation.
    pub(crate) fn token(&self, user: Option<u32>) -> TokenRow {
        match if user.is_some() { self.known_user } else { self.new_user } {
            UserToken::Own => user.map_or(TokenRow::Absent, TokenRow::Own),
            UserToken::Absent => TokenRow::Absent,
            UserToken::Mean => TokenRow::Mean(self.mean_user),
        }
    }

    /// The prompt for a user token and a history that fits.
    pub(crate) fn prompt(&self, token: TokenRow, items: &[u32]) -> Vec<Token> {
        self.texts.recommend(token.row(), items, self.n_positions)
    }
}

/// What requests see: replaced as a whole, so that a request never meets half a change.
#[derive(Debug, Default)]
struct Snapshot {
    labels: BTreeMap<Label, ModelVersion>,
    loaded: HashMap<ModelVersion, Arc<Loaded>>,
}

/// The model versions in memory.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    storage: Storage,
    settings: Arc<Settings>,
    device: Device,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// One load at a time: memory for one more version, not for many.
    loading: Arc<Mutex<()>>,
    clock: Arc<AtomicU64>,
    /// Versions that could not be loaded, when that was tried and why it failed.
    failed: Arc<std::sync::Mutex<HashMap<ModelVersion, (Instant, String)>>>,
}

/// A version that could not be loaded is left alone for this long: reading it again costs what the first time did.
const RETRY_AFTER: Duration = Duration::from_secs(30);

impl Models {
    pub(crate) fn new(settings: &Settings, storage: Storage) -> Result<Self, model::Error> {
        let ComputeDevice { device, name, reason } = model::compute_device(&settings.device)?;
        tracing::info!(device = name, reason, "computing");
        Ok(Self {
            storage,
            device,
            settings: Arc::new(settings.clone()),
            snapshot: Arc::default(),
            loading: Arc::default(),
            clock: Arc::default(),
            failed: Arc::default(),
        })
    }

    /// The model that a request asks for; a version that is not in memory yet is loaded for it.
    pub(crate) async fn choose(&self, choice: &ModelChoice) -> Result<Arc<Loaded>, Error> {
        let snapshot = self.snapshot.load();
        let just_set;
        let version = match choice {
            ModelChoice::Version(version) => version,
            ModelChoice::Label(label) => match snapshot.labels.get(label) {
                Some(version) => version,
                None => {
                    just_set = self.look_up(label).await?;
                    &just_set
                }
            },
        };
        if let Some(model) = snapshot.loaded.get(version).filter(|model| !model.batcher.has_stopped()) {
            model.last_used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            return Ok(Arc::clone(model));
        }
        if let Some(reason) = self.failed_lately(version) {
            return Err(Error::Unloadable { version: version.to_string(), reason });
        }
        let model = self.load(version).await;
        model.inspect_err(|error| self.note_failure(version, error))
    }

    /// A label that this scorer has not followed yet: set a moment ago, or not at all.
    async fn look_up(&self, label: &Label) -> Result<ModelVersion, Error> {
        let mut labels = self.storage.registry.labels().await?;
        labels.remove(label).ok_or_else(|| {
            if *label == Label::live() { Error::NoModel } else { Error::NoSuchModel(format!("label `{label}`")) }
        })
    }

    /// The versions in memory.
    pub(crate) fn loaded(&self) -> Vec<Arc<Loaded>> {
        self.snapshot.load().loaded.values().cloned().collect()
    }

    /// Looks at the labels again and again until `shutdown`; ready while `live` has a model.
    pub(crate) async fn follow_until(&self, every: Duration, health: Health, shutdown: CancellationToken) {
        loop {
            let Some(followed) = shutdown.run_until_cancelled(self.follow()).await else { return };
            if let Err(error) = followed {
                tracing::warn!(error = service::chain(&error), "cannot follow the labels; serving what is loaded");
            }
            health.set_ready(self.snapshot.load().labels.contains_key(&Label::live())).await;
            if shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
                return;
            }
        }
    }

    /// Loads what labels newly point to, then moves the labels; one whose version fails stays where it was.
    async fn follow(&self) -> Result<(), Error> {
        let wanted = self.storage.registry.labels().await?;
        let current = self.snapshot.load_full();
        if wanted == current.labels {
            return Ok(());
        }
        let mut labels = BTreeMap::new();
        for (label, version) in wanted {
            if current.labels.get(&label) == Some(&version) {
                labels.insert(label, version);
                continue;
            }
            if self.failed_lately(&version).is_some() {
                labels.extend(
                    current.labels.get_key_value(&label).map(|(label, before)| (label.clone(), before.clone())),
                );
                continue;
            }
            match self.load(&version).await {
                Ok(_) => {
                    tracing::info!(%label, %version, "label moved");
                    labels.insert(label, version);
                }
                Err(error) => {
                    let reason = if let Error::Unloadable { reason, .. } = &error { reason } else { &String::new() };
                    tracing::error!(%label, %version, %error, reason, "label not moved");
                    self.note_failure(&version, &error);
                    if let Some(before) = current.labels.get(&label) {
                        labels.insert(label, before.clone());
                    }
                }
            }
        }
        let _no_load_meanwhile = self.loading.lock().await;
        let loaded = self.snapshot.load().loaded.clone();
        self.snapshot.store(Arc::new(self.within_limit(Snapshot { labels, loaded }, None)));
        Ok(())
    }

    fn failed_lately(&self, version: &ModelVersion) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(version).filter(|(at, _)| at.elapsed() < RETRY_AFTER).map(|(_, reason)| reason.clone())
    }

    fn note_failure(&self, version: &ModelVersion, error: &Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (at, _)| at.elapsed() < RETRY_AFTER);
        if let Error::Unloadable { reason, .. } = error {
            failed.insert(version.clone(), (Instant::now(), reason.clone()));
        }
    }

    async fn load(&self, version: &ModelVersion) -> Result<Arc<Loaded>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        if let Some(model) = self.snapshot.load().loaded.get(version).filter(|model| !model.batcher.has_stopped()) {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(self.read(version).await?);
        model.last_used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let before = self.snapshot.load();
        let mut loaded = before.loaded.clone();
        loaded.insert(version.clone(), Arc::clone(&model));
        let snapshot = Snapshot { labels: before.labels.clone(), loaded };
        self.snapshot.store(Arc::new(self.within_limit(snapshot, Some(version))));
        tracing::info!(%version, "model version loaded");
        Ok(model)
    }

    /// Drops the versions asked for longest ago but for `newest`; requests that hold one finish with it.
    fn within_limit(&self, mut snapshot: Snapshot, newest: Option<&ModelVersion>) -> Snapshot {
        while snapshot.loaded.len() > self.settings.max_models {
            let stays = |version: &ModelVersion| {
                newest == Some(version) || snapshot.labels.values().any(|other| other == version)
            };
            let oldest = snapshot
                .loaded
                .iter()
                .filter(|(version, _)| !stays(version))
                .min_by_key(|(_, model)| model.last_used.load(Ordering::Relaxed))
                .map(|(version, _)| version.clone());
            let Some(oldest) = oldest else { break };
            snapshot.loaded.remove(&oldest);
            tracing::info!(version = %oldest, "model version dropped from memory");
        }
        snapshot
    }

    /// Verifies the files, reads them off the async threads, and takes the rows from the cache where they are.
    async fn read(&self, version: &ModelVersion) -> Result<Loaded, Error> {
        let unloadable = |reason: String| Error::Unloadable { version: version.to_string(), reason };
        let artifacts = &self.storage.artifacts;
        let folder = match artifacts.open_verified(Kind::Model, version.as_str()).await {
            Err(storage::Error::NotFound { .. }) => return Err(Error::NoSuchModel(format!("model version {version}"))),
            other => other.map_err(|error| unloadable(service::chain(&error)))?,
        };
        let mut artifact = blocking(move || Artifact::read(&folder)).await.map_err(&unloadable)?;
        let backbone = artifacts.open_verified(Kind::Backbone, &artifact.manifest.backbone).await;
        let backbone: PathBuf = backbone.map_err(|error| unloadable(service::chain(&error)))?;
        let sizes = Sizes {
            n_users: artifact.users.len(),
            n_items: artifact.items.len(),
            width: artifact.tables.collaborative.items.width(),
        };
        let cached = rows::fetch(&self.storage.cache, version, sizes, &artifact.manifest.rows_sha256).await;
        match cached {
            Some(tables) => artifact.tables.collaborative = tables,
            None => rows::share(&self.storage.cache, version, &artifact.tables.collaborative).await,
        }
        let (settings, device, version) = (Arc::clone(&self.settings), self.device.clone(), version.clone());
        blocking(move || start(artifact, (version, &backbone), &device, &settings)).await.map_err(unloadable)
    }
}

fn start(
    mut artifact: Artifact,
    (version, backbone): (ModelVersion, &std::path::Path),
    device: &Device,
    settings: &Settings,
) -> Result<Loaded, model::Error> {
    let (config, gpt2) = artifact.load_backbone(backbone, device)?;
    let width = artifact.tables.collaborative.items.width();
    let mean_user = artifact.tables.collaborative.push_mean_user();
    let batcher = Batcher::start(gpt2, artifact.tables.collaborative, settings)
        .map_err(|source| model::Error::File { path: "thread `model`".into(), source })?;
    Ok(Loaded {
        version,
        catalog: artifact.manifest.catalog,
        batcher,
        width,
        light: artifact.light.map(|weights| Light {
            unknown: weights.unknown_items(),
            weights,
            weight: artifact.manifest.light_weight,
        }),
        users: artifact.users,
        known_user: artifact.manifest.known_user,
        new_user: artifact.manifest.new_user,
        mean_user,
        items: artifact.items,
        texts: PromptTexts::new(&Tokenizer::gpt2()),
        n_positions: config.n_positions,
        last_used: AtomicU64::new(0),
    })
}

/// Work that reads files or computes, with its causes in one line.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, model::Error> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| service::chain(&error)),
        Err(panic) => Err(panic.to_string()),
    }
}
