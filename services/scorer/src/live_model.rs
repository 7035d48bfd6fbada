//! Which model versions are in memory, and which one a request gets. A version that cannot be
//! loaded never takes a label's place; `upkeep.rs` follows the labels.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use domain::{ArtifactId, Label, ModelChoice, ModelManifest, ModelVersion, UserId};
use model::{Artifact, ComputeDevice, Device, read_manifest};
use sha2::{Digest, Sha256};
use storage::{Kind, Storage};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::backbone::Backbone;
use crate::gate::Call;
use crate::loaded::Loaded;
use crate::rows::{self, Sizes};
use crate::unloadable::NoLanguageModel;
use crate::{Cause, Error, Settings, Unloadable};

/// Which version each label points to.
pub(crate) type Labels = BTreeMap<Label, ModelVersion>;

/// What requests see: replaced as a whole, so that a request never meets half a change.
#[derive(Debug, Default, Clone)]
struct Snapshot {
    labels: Labels,
    /// Where the labels are to point as soon as they can.
    wanted: Labels,
    loaded: HashMap<ModelVersion, Arc<Loaded>>,
}

impl Snapshot {
    /// A version in memory whose thread has not ended.
    fn alive(&self, version: &ModelVersion) -> Option<&Arc<Loaded>> {
        self.loaded
            .get(version)
            .filter(|model| !model.forward.has_stopped())
    }

    /// A backbone that a version in memory stands on.
    fn backbone(&self, id: &str) -> Option<Arc<Backbone>> {
        self.loaded
            .values()
            .map(|model| &model.backbone)
            .find(|backbone| backbone.id == id)
            .cloned()
    }

    /// Memory of all versions and of each backbone once, also of one that is to be shared with the
    /// next version.
    fn n_bytes(&self, shared: Option<&Arc<Backbone>>) -> u64 {
        let backbones = self
            .loaded
            .values()
            .map(|model| &model.backbone)
            .chain(shared);
        let backbones: HashMap<&str, u64> = backbones
            .map(|backbone| (&*backbone.id, backbone.n_bytes()))
            .collect();
        self.loaded
            .values()
            .map(|model| model.n_bytes)
            .chain(backbones.into_values())
            .sum()
    }

    /// Drops the version asked for longest ago that no label points to or is to point to; false
    /// when there is none. Requests that hold it finish with it.
    fn drop_oldest(&mut self) -> bool {
        let has_label = |version: &ModelVersion| {
            self.labels
                .values()
                .chain(self.wanted.values())
                .any(|labelled| labelled == version)
        };
        let others = self
            .loaded
            .iter()
            .filter(|(version, _)| !has_label(version));
        let oldest = others
            .min_by_key(|(_, model)| model.last_used())
            .map(|(version, _)| version.clone());
        oldest.is_some_and(|oldest| self.loaded.remove(&oldest).is_some())
    }

    /// Drops versions until there are so many at most, or only such that have a label.
    fn keep_at_most(&mut self, n: usize) {
        while self.loaded.len() > n && self.drop_oldest() {}
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
    /// A load goes on when the request that asked for the version is gone: the next one finds it
    /// further.
    loads: TaskTracker,
    clock: Arc<AtomicU64>,
    /// Versions that could not be loaded, when that was tried and why it failed.
    failed: Arc<std::sync::Mutex<HashMap<ModelVersion, (Instant, Unloadable)>>>,
}

/// A version that could not be loaded is left alone for this long: reading it again costs what the
/// first time did.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// It is told for as long as the next try may take to begin and end.
const TOLD_FOR: Duration = Duration::from_secs(60);

impl Models {
    pub(crate) fn new(settings: &Settings, storage: Storage) -> Result<Self, model::Error> {
        let ComputeDevice {
            device,
            name,
            reason,
        } = model::compute_device(&settings.device)?;
        tracing::info!(device = name, reason, "computing");
        Ok(Self {
            storage,
            device,
            settings: Arc::new(settings.clone()),
            snapshot: Arc::default(),
            loading: Arc::default(),
            loads: TaskTracker::new(),
            clock: Arc::default(),
            failed: Arc::default(),
        })
    }

    /// The model that a request asks for; a version that is not in memory yet is loaded for it.
    /// Some of the users who ask for `live` get the canary's version, always the same ones.
    pub(crate) async fn choose(
        &self,
        choice: &ModelChoice,
        user: Option<&UserId>,
        call: &Call,
    ) -> Result<Arc<Loaded>, Error> {
        let snapshot = self.snapshot.load();
        let just_set;
        let is_for_live = *choice == ModelChoice::live();
        let canary = snapshot
            .labels
            .get(&Label::canary())
            .filter(|_| is_for_live && self.is_of_canary(user));
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
        let _aside = call.aside();
        self.load(version).await
    }

    /// The version that is tried beside this one, if this is the live one and the other is in
    /// memory.
    pub(crate) fn shadow_of(&self, version: &ModelVersion) -> Option<Arc<Loaded>> {
        let snapshot = self.snapshot.load();
        snapshot
            .labels
            .get(&Label::live())
            .filter(|live| *live == version)?;
        snapshot
            .labels
            .get(&Label::shadow())
            .and_then(|version| snapshot.loaded.get(version))
            .cloned()
    }

    fn is_of_canary(&self, user: Option<&UserId>) -> bool {
        user.is_some_and(|user| share_of("", user.as_str()) < self.settings.canary_share)
    }

    /// A label that this scorer has not followed yet: set a moment ago, or not at all.
    async fn look_up(&self, label: &Label) -> Result<ModelVersion, Error> {
        let mut labels = self.storage.registry.labels().await?;
        labels.versions.remove(label).ok_or_else(|| {
            if *label == Label::live() {
                Error::NoModel
            } else {
                Error::NoSuchModel(format!("label `{label}`"))
            }
        })
    }

    /// The labels of each version in memory, and the versions that could not be loaded.
    pub(crate) fn overview(&self) -> Overview {
        let snapshot = self.snapshot.load();
        let labels_of = |version: &ModelVersion| {
            let labels = snapshot
                .labels
                .iter()
                .filter(|(_, other)| *other == version);
            labels.map(|(label, _)| label.to_string()).collect()
        };
        let failed = self.failed();
        Overview {
            loaded: snapshot
                .loaded
                .values()
                .map(|model| (Arc::clone(model), labels_of(&model.version)))
                .collect(),
            unloadable: failed
                .iter()
                .filter(|(version, (at, _))| {
                    !snapshot.loaded.contains_key(*version) && at.elapsed() < TOLD_FOR
                })
                .map(|(version, (_, why))| (version.clone(), why.clone()))
                .collect(),
        }
    }

    /// True while `live` has a model whose thread is alive and moves.
    pub(crate) fn is_ready(&self) -> bool {
        let snapshot = self.snapshot.load();
        let live = snapshot
            .labels
            .get(&Label::live())
            .and_then(|version| snapshot.alive(version));
        live.is_some_and(|model| !model.forward.is_stuck())
    }

    /// Where the labels should point; one whose record cannot be read stays where it was.
    pub(crate) async fn wanted_labels(&self) -> Result<Labels, Error> {
        let stored = self.storage.registry.labels().await?;
        let mut wanted = stored.versions;
        for (label, version) in &self.snapshot.load().wanted {
            if stored.unreadable.iter().any(|key| key == label.as_str()) {
                wanted.insert(label.clone(), version.clone());
            }
        }
        Ok(wanted)
    }

    /// True when a label is where it should be and its version can answer.
    pub(crate) fn serves(&self, label: &Label, version: &ModelVersion) -> bool {
        let snapshot = self.snapshot.load();
        snapshot.labels.get(label) == Some(version) && snapshot.alive(version).is_some()
    }

    /// The version that a label is to move to, in memory; `None` when it could not be loaded a
    /// moment ago.
    pub(crate) async fn load_for(
        &self,
        label: &Label,
        version: &ModelVersion,
    ) -> Option<Result<Arc<Loaded>, Error>> {
        if self.failed_lately(version).is_some() {
            return None;
        }
        Some(
            self.load(version)
                .await
                .inspect_err(|_| tracing::error!(%label, %version, "label not moved")),
        )
    }

    /// Moves a label to a version that is in memory.
    pub(crate) async fn move_label(&self, label: Label, version: ModelVersion) {
        self.change(|snapshot| drop(snapshot.labels.insert(label, version)))
            .await;
    }

    /// Says where the labels are to point, and forgets those that are no more.
    pub(crate) async fn want(&self, wanted: &Labels) {
        if self.snapshot.load().wanted != *wanted {
            self.change(|snapshot| {
                snapshot
                    .labels
                    .retain(|label, _| wanted.contains_key(label));
                snapshot.wanted.clone_from(wanted);
            })
            .await;
        }
    }

    async fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let _no_load_meanwhile = self.loading.lock().await;
        let mut snapshot = self.snapshot.load().as_ref().clone();
        change(&mut snapshot);
        snapshot.keep_at_most(self.settings.max_models);
        self.replace(snapshot);
    }

    /// What requests see from now on.
    fn replace(&self, snapshot: Snapshot) {
        let before = self.snapshot.swap(Arc::new(snapshot));
        let after = self.snapshot.load();
        for version in before
            .loaded
            .keys()
            .filter(|version| !after.loaded.contains_key(*version))
        {
            tracing::info!(%version, "model version dropped from memory");
        }
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<ModelVersion, (Instant, Unloadable)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed_lately(&self, version: &ModelVersion) -> Option<Unloadable> {
        let failed = self.failed();
        failed
            .get(version)
            .filter(|(at, _)| at.elapsed() < RETRY_AFTER)
            .map(|(_, why)| why.clone())
    }

    /// Of a version that there is; one that there is not yet costs nothing to look for.
    fn note_failure(&self, error: &Error) {
        if let Error::Unloadable { version, why } = error {
            tracing::error!(%version, cause = %why.cause, reason = why.message, "model version not loaded");
            let mut failed = self.failed();
            failed.retain(|_, (at, _)| at.elapsed() < TOLD_FOR);
            failed.insert(version.clone(), (Instant::now(), why.clone()));
        }
    }

    async fn load(&self, version: &ModelVersion) -> Result<Arc<Loaded>, Error> {
        let one_at_a_time = Arc::clone(&self.loading).lock_owned().await;
        if let Some(model) = self.snapshot.load().alive(version) {
            return Ok(Arc::clone(model));
        }
        if let Some(why) = self.failed_lately(version) {
            return Err(Error::Unloadable {
                version: version.clone(),
                why,
            });
        }
        let (this, version) = (self.clone(), version.clone());
        let load = self.loads.spawn(async move {
            let _one_at_a_time = one_at_a_time;
            this.load_now(&version)
                .await
                .inspect_err(|error| this.note_failure(error))
        });
        load.await.map_err(|_| Error::ModelStopped)?
    }

    async fn load_now(&self, version: &ModelVersion) -> Result<Arc<Loaded>, Error> {
        let loaded = match self
            .storage
            .artifacts
            .folder(Kind::Model, &ArtifactId::from(version))
            .await
        {
            Err(storage::Error::NotFound { .. }) => {
                return Err(Error::NoSuchModel(format!("model version {version}")));
            }
            Ok(folder) => self.read(version, folder).await,
            Err(error) => Err(error.into()),
        };
        let model = Arc::new(loaded.map_err(|why| Error::Unloadable {
            version: version.clone(),
            why,
        })?);
        model.use_now(&self.clock);
        self.failed().remove(version);
        let mut snapshot = self.snapshot.load().as_ref().clone();
        snapshot.keep_at_most(self.settings.max_models.saturating_sub(1));
        snapshot.loaded.insert(version.clone(), Arc::clone(&model));
        self.replace(snapshot);
        tracing::info!(%version, "model version loaded");
        Ok(model)
    }

    /// Makes sure that there is room, verifies the files, reads them off the async threads, and
    /// takes the rows from the cache where they are.
    async fn read(&self, version: &ModelVersion, folder: PathBuf) -> Result<Loaded, Unloadable> {
        let artifacts = &self.storage.artifacts;
        let model = ArtifactId::from(version);
        let verified = async || artifacts.open_verified(Kind::Model, &model).await;
        let manifest_folder = folder.clone();
        let id = match blocking(move || read_manifest(&manifest_folder)).await {
            Ok(ModelManifest {
                backbone: Some(id), ..
            }) => id,
            Ok(_) => return Err(Unloadable::new(Cause::Unsupported, &NoLanguageModel)),
            Err(why) => return Err(verified().await.err().map_or(why, Unloadable::from)),
        };
        let shared = self.snapshot.load().backbone(id.as_str());
        let of_backbone = if shared.is_some() {
            0
        } else {
            artifacts.n_bytes(Kind::Backbone, &id).await?
        };
        let n_bytes = artifacts.n_bytes(Kind::Model, &model).await? + of_backbone;
        // Before gigabytes are hashed for nothing; nothing is dropped for a version that is
        // damaged.
        self.with_room_for(n_bytes, shared.as_ref())?;
        verified().await?;
        let backbone_folder = artifacts.open_verified(Kind::Backbone, &id).await?;
        self.replace(self.with_room_for(n_bytes, shared.as_ref())?);

        let mut artifact = blocking(move || Artifact::read(&folder)).await?;
        self.share_rows(version, &mut artifact).await;
        let (settings, device, version) = (
            Arc::clone(&self.settings),
            self.device.clone(),
            version.clone(),
        );
        let start = move || {
            let backbone = match shared {
                Some(backbone) => backbone,
                None => Arc::new(Backbone::load(id.into(), &backbone_folder, &device)?),
            };
            Loaded::start(version, artifact, backbone, &settings)
        };
        let model = blocking(start).await?;
        model
            .warm_up()
            .await
            .map_err(|error| Unloadable::new(Cause::Broken, &error))?;
        Ok(model)
    }

    async fn share_rows(&self, version: &ModelVersion, artifact: &mut Artifact) {
        let sizes = Sizes {
            n_users: artifact.users.len(),
            n_items: artifact.items.len(),
            width: artifact.tables.collaborative.items.width(),
        };
        match rows::fetch(
            &self.storage.cache,
            version,
            sizes,
            &artifact.manifest.rows_sha256,
        )
        .await
        {
            Some(tables) => artifact.tables.collaborative = tables,
            None => rows::share(&self.storage.cache, version, &artifact.tables.collaborative).await,
        }
    }

    /// The snapshot after versions without labels, those asked for longest ago first, have made
    /// room for so many bytes.
    fn with_room_for(
        &self,
        n_bytes: u64,
        shared: Option<&Arc<Backbone>>,
    ) -> Result<Snapshot, Unloadable> {
        let limit = self.settings.model_memory_mb << 20;
        let mut snapshot = self.snapshot.load().as_ref().clone();
        // What has stopped is of no use to anybody; a panic in it is why it is loaded again.
        snapshot
            .loaded
            .retain(|_, model| !model.forward.has_stopped());
        while limit > 0 && snapshot.n_bytes(shared) + n_bytes > limit {
            if !snapshot.drop_oldest() {
                let [wanted, taken, limit] =
                    [n_bytes, snapshot.n_bytes(shared), limit].map(|bytes| bytes >> 20);
                let message = format!(
                    "it needs about {wanted} MiB; versions with labels have {taken} of {limit} MiB: unlabel one, or raise \
                     `model_memory_mb`"
                );
                return Err(Unloadable {
                    cause: Cause::NoMemory,
                    message,
                });
            }
        }
        Ok(snapshot)
    }
}

/// Where a name lies between 0 and 1: the same on every replica, another for each purpose.
pub(crate) fn share_of(purpose: &str, name: &str) -> f64 {
    let hash = Sha256::new()
        .chain_update(purpose)
        .chain_update(name)
        .finalize();
    let first = hash
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    f64::from(first) / f64::from(u32::MAX)
}

/// What is in memory, for operators.
pub(crate) struct Overview {
    pub(crate) loaded: Vec<(Arc<Loaded>, Vec<String>)>,
    pub(crate) unloadable: HashMap<ModelVersion, Unloadable>,
}

/// Work that reads files or computes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, model::Error> + Send + 'static,
) -> Result<T, Unloadable> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(Unloadable::new(Cause::Broken, &panic)),
    }
}
