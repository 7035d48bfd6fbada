//! Which model versions are in memory, and which one a request gets. A version that cannot be loaded never takes a
//! label's place; `upkeep.rs` follows the labels.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use domain::{Label, ModelChoice, ModelVersion, UserId};
use model::{Artifact, ComputeDevice, Device};
use sha2::{Digest, Sha256};
use storage::{Kind, Storage};
use tokio::sync::Mutex;

use crate::loaded::Loaded;
use crate::rows::{self, Sizes};
use crate::{Error, Settings};

/// Which version each label points to.
pub(crate) type Labels = BTreeMap<Label, ModelVersion>;

/// What requests see: replaced as a whole, so that a request never meets half a change.
#[derive(Debug, Default)]
struct Snapshot {
    labels: Labels,
    loaded: HashMap<ModelVersion, Arc<Loaded>>,
}

impl Snapshot {
    /// A version in memory whose thread has not ended.
    fn alive(&self, version: &ModelVersion) -> Option<&Arc<Loaded>> {
        self.loaded.get(version).filter(|model| !model.forward.has_stopped())
    }
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

    /// The model that a request asks for; a version that is not in memory yet is loaded for it. Some of the users who
    /// ask for `live` get the canary's version, always the same ones.
    pub(crate) async fn choose(&self, choice: &ModelChoice, user: Option<&UserId>) -> Result<Arc<Loaded>, Error> {
        let snapshot = self.snapshot.load();
        let just_set;
        let is_for_live = *choice == ModelChoice::live();
        let canary = snapshot.labels.get(&Label::canary()).filter(|_| is_for_live && self.is_of_canary(user));
        let version = match choice {
            ModelChoice::Version(version) => version,
            ModelChoice::Label(label) => match canary.or(snapshot.labels.get(label)) {
                Some(version) => version,
                None => {
                    just_set = self.look_up(label).await?;
                    &just_set
                }
            },
        };
        if let Some(model) = snapshot.alive(version) {
            model.use_now(&self.clock);
            return Ok(Arc::clone(model));
        }
        if let Some(reason) = self.failed_lately(version) {
            return Err(Error::Unloadable { version: version.to_string(), reason });
        }
        self.load(version).await
    }

    /// The version that is tried beside this one, if this is the live one and the other is in memory.
    pub(crate) fn shadow_of(&self, version: &ModelVersion) -> Option<Arc<Loaded>> {
        let snapshot = self.snapshot.load();
        snapshot.labels.get(&Label::live()).filter(|live| *live == version)?;
        snapshot.labels.get(&Label::shadow()).and_then(|version| snapshot.loaded.get(version)).cloned()
    }

    fn is_of_canary(&self, user: Option<&UserId>) -> bool {
        user.is_some_and(|user| share_of("", user.as_str()) < self.settings.canary_share)
    }

    /// A label that this scorer has not followed yet: set a moment ago, or not at all.
    async fn look_up(&self, label: &Label) -> Result<ModelVersion, Error> {
        let mut labels = self.storage.registry.labels().await?;
        labels.remove(label).ok_or_else(|| {
            if *label == Label::live() { Error::NoModel } else { Error::NoSuchModel(format!("label `{label}`")) }
        })
    }

    /// The labels of each version in memory, and the versions that could not be loaded.
    pub(crate) fn overview(&self) -> Overview {
        let snapshot = self.snapshot.load();
        let labels_of = |version: &ModelVersion| {
            let labels = snapshot.labels.iter().filter(|(_, other)| *other == version);
            labels.map(|(label, _)| label.to_string()).collect()
        };
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        Overview {
            loaded: snapshot.loaded.values().map(|model| (Arc::clone(model), labels_of(&model.version))).collect(),
            unloadable: failed
                .iter()
                .filter(|(version, _)| !snapshot.loaded.contains_key(*version))
                .map(|(version, (_, reason))| (version.clone(), reason.clone()))
                .collect(),
        }
    }

    /// True while `live` has a model whose thread is alive and moves.
    pub(crate) fn is_ready(&self) -> bool {
        let snapshot = self.snapshot.load();
        let live = snapshot.labels.get(&Label::live()).and_then(|version| snapshot.alive(version));
        live.is_some_and(|model| !model.forward.is_stuck())
    }

    /// Where the labels should point.
    pub(crate) async fn wanted_labels(&self) -> Result<Labels, Error> {
        Ok(self.storage.registry.labels().await?)
    }

    /// True when a label is where it should be and its version can answer.
    pub(crate) fn serves(&self, label: &Label, version: &ModelVersion) -> bool {
        let snapshot = self.snapshot.load();
        snapshot.labels.get(label) == Some(version) && snapshot.alive(version).is_some()
    }

    /// The version that a label is to move to, in memory; `None` when it could not be loaded a moment ago.
    pub(crate) async fn load_for(&self, label: &Label, version: &ModelVersion) -> Option<Result<Arc<Loaded>, Error>> {
        if self.failed_lately(version).is_some() {
            return None;
        }
        let loaded = self.load(version).await;
        Some(loaded.inspect_err(|error| tracing::error!(%label, %version, reason = reason(error), "label not moved")))
    }

    /// Moves a label to a version that is in memory.
    pub(crate) async fn move_label(&self, label: Label, version: ModelVersion) {
        self.change_labels(|labels| drop(labels.insert(label, version))).await;
    }

    /// Forgets the labels that are no more.
    pub(crate) async fn keep_labels(&self, is_kept: impl Fn(&Label) -> bool) {
        if !self.snapshot.load().labels.keys().all(&is_kept) {
            self.change_labels(|labels| labels.retain(|label, _| is_kept(label))).await;
        }
    }

    async fn change_labels(&self, change: impl FnOnce(&mut Labels)) {
        let _no_load_meanwhile = self.loading.lock().await;
        let before = self.snapshot.load();
        let (mut labels, loaded) = (before.labels.clone(), before.loaded.clone());
        change(&mut labels);
        self.snapshot.store(Arc::new(self.within_limit(Snapshot { labels, loaded }, None)));
    }

    fn failed_lately(&self, version: &ModelVersion) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(version).filter(|(at, _)| at.elapsed() < RETRY_AFTER).map(|(_, reason)| reason.clone())
    }

    /// Of a version that there is; one that there is not yet costs nothing to look for.
    fn note_failure(&self, version: &ModelVersion, error: &Error) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (at, _)| at.elapsed() < RETRY_AFTER);
        if !matches!(error, Error::NoSuchModel(_)) {
            failed.insert(version.clone(), (Instant::now(), reason(error)));
        }
    }

    async fn load(&self, version: &ModelVersion) -> Result<Arc<Loaded>, Error> {
        let _one_at_a_time = self.loading.lock().await;
        if let Some(model) = self.snapshot.load().alive(version) {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(self.read(version).await.inspect_err(|error| self.note_failure(version, error))?);
        model.use_now(&self.clock);
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
                .min_by_key(|(_, model)| model.last_used())
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
        let start = move || Loaded::start(artifact, (version, &backbone), &device, &settings);
        let model = blocking(start).await.map_err(unloadable)?;
        model.warm_up().await?;
        Ok(model)
    }
}

/// Why a version cannot be loaded, with all causes.
fn reason(error: &Error) -> String {
    if let Error::Unloadable { reason, .. } = error { reason.clone() } else { service::chain(error) }
}

/// Where a name lies between 0 and 1: the same on every replica, another for each purpose.
pub(crate) fn share_of(purpose: &str, name: &str) -> f64 {
    let hash = Sha256::new().chain_update(purpose).chain_update(name).finalize();
    let first = hash.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    f64::from(first) / f64::from(u32::MAX)
}

/// What is in memory, for operators.
pub(crate) struct Overview {
    pub(crate) loaded: Vec<(Arc<Loaded>, Vec<String>)>,
    pub(crate) unloadable: HashMap<ModelVersion, String>,
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
