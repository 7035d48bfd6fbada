//! From the artifact store into memory: what a version needs is known from its
//! manifest, there is room for it before gigabytes are hashed, and its files
//! are verified before they are read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use domain::{ArtifactId, ModelVersion};
use model::{
    Artifact, ComputeDevice, Device, Precision, n_measured_bytes, read_manifest,
};
use storage::{Kind, Storage};
use tokio_util::task::TaskTracker;

use crate::compute::shared_backbone::SharedBackbone;
use crate::error::Error;
use crate::settings::Settings;
use crate::unloadable::{Cause, NoLanguageModel, Unloadable};
use crate::versions::failed_loads::FailedLoads;
use crate::versions::loaded::LoadedModel;
use crate::versions::shared_rows::SharedRows;
use crate::versions::snapshot::Current;

/// Loads versions, one at a time; clones share what is in memory.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) storage: Storage,
    pub(super) settings: Arc<Settings>,
    pub(super) current: Current,
    pub(super) failed: FailedLoads,
    pub(super) clock: Arc<AtomicU64>,
    device: Device,
    /// A load goes on when the request that asked for the version is gone: the
    /// next one finds it further.
    loads: TaskTracker,
}

struct BackboneNeeded {
    id: ArtifactId,
    /// The backbone itself, where a version in memory has it already.
    shared: Option<Arc<SharedBackbone>>,
}

impl Loader {
    pub(super) fn new(
        settings: &Settings,
        storage: Storage,
    ) -> Result<Self, model::Error> {
        let computing = model::compute_device(&settings.device)?;
        computing.check_backbone(settings.backbone_precision)?;
        let ComputeDevice {
            device,
            name,
            reason,
        } = computing;
        tracing::info!(device = name, reason, "computing");
        Ok(Self {
            storage,
            current: Current::new(settings.max_models),
            settings: Arc::new(settings.clone()),
            failed: FailedLoads::default(),
            clock: Arc::default(),
            device,
            loads: TaskTracker::new(),
        })
    }

    /// The version, from memory or loaded now. One that failed a moment ago is
    /// not tried again.
    pub(super) async fn load(
        &self,
        version: &ModelVersion,
    ) -> Result<Arc<LoadedModel>, Error> {
        let one_at_a_time = self.current.lock().await;
        if let Some(model) = self.current.snapshot().alive(version) {
            return Ok(Arc::clone(model));
        }
        if let Some(why) = self.failed.lately(version) {
            let version = version.clone();
            return Err(Error::Unloadable { version, why });
        }
        let this = self.clone();
        let version = version.clone();
        let load = self.loads.spawn(async move {
            let _one_at_a_time = one_at_a_time;
            this.load_and_add(&version).await
        });
        load.await.map_err(|_| Error::ModelStopped)?
    }

    async fn load_and_add(
        &self,
        version: &ModelVersion,
    ) -> Result<Arc<LoadedModel>, Error> {
        let artifacts = &self.storage.artifacts;
        let folder = artifacts
            .folder(Kind::Model, &ArtifactId::from(version))
            .await;
        let loaded = match folder {
            // It may be published later; to look for it costs nothing, so it is
            // not remembered.
            Err(storage::Error::NotFound { .. }) => {
                return Err(Error::NoSuchModel(format!(
                    "model version {version}"
                )));
            }
            Err(error) => Err(error.into()),
            Ok(folder) => self.read(version, folder).await,
        };
        let model = match loaded {
            Ok(model) => Arc::new(model),
            Err(why) => {
                self.failed.note(version, &why);
                let version = version.clone();
                return Err(Error::Unloadable { version, why });
            }
        };
        model.use_now(&self.clock);
        self.failed.forget(version);
        self.current.add(&model);
        tracing::info!(%version, "model version loaded");
        Ok(model)
    }

    /// Makes sure that there is room, verifies the files, and starts the
    /// version.
    async fn read(
        &self,
        version: &ModelVersion,
        folder: PathBuf,
    ) -> Result<LoadedModel, Unloadable> {
        let artifacts = &self.storage.artifacts;
        let backbone = self.backbone_needed(version, folder.clone()).await?;
        let n_bytes = self.bytes_needed(version, &folder, &backbone).await?;
        // Before gigabytes are hashed for nothing; nothing is dropped for a
        // version that is damaged.
        self.check_room(n_bytes, &backbone)?;
        self.verify(version).await?;
        let backbone_folder = artifacts
            .open_verified(Kind::Backbone, &backbone.id)
            .await?;
        self.make_room(n_bytes, &backbone)?;

        let mut artifact = blocking(move || Artifact::read(&folder)).await?;
        let rows = SharedRows::new(&self.storage.cache, version);
        rows.exchange(&mut artifact).await;
        let settings = Arc::clone(&self.settings);
        let device = self.device.clone();
        let version = version.clone();
        let model = blocking(move || {
            let precision = settings.backbone_precision;
            let backbone =
                backbone.get(&backbone_folder, &device, precision)?;
            LoadedModel::start(version, artifact, backbone, &settings)
        });
        let model = model.await?;
        let first_state = model.language.warm_up().await;
        first_state.map_err(|error| Unloadable::new(Cause::Broken, &error))?;
        Ok(model)
    }

    /// Which backbone the manifest names. Where it cannot be read, damage is
    /// the better reason.
    async fn backbone_needed(
        &self,
        version: &ModelVersion,
        folder: PathBuf,
    ) -> Result<BackboneNeeded, Unloadable> {
        let manifest = match blocking(move || read_manifest(&folder)).await {
            Ok(manifest) => manifest,
            Err(why) => {
                self.verify(version).await?;
                return Err(why);
            }
        };
        let Some(id) = manifest.backbone else {
            return Err(Unloadable::new(Cause::Unsupported, &NoLanguageModel));
        };
        let shared = self.current.snapshot().backbone(id.as_str());
        Ok(BackboneNeeded { id, shared })
    }

    /// Memory that loading the version takes beside what is there, in bytes.
    async fn bytes_needed(
        &self,
        version: &ModelVersion,
        folder: &Path,
        backbone: &BackboneNeeded,
    ) -> Result<u64, Unloadable> {
        let artifacts = &self.storage.artifacts;
        let of_backbone = match &backbone.shared {
            Some(_) => 0,
            None => artifacts.n_bytes(Kind::Backbone, &backbone.id).await?,
        };
        let model = ArtifactId::from(version);
        let of_model = artifacts.n_bytes(Kind::Model, &model).await?;
        let folder = folder.to_owned();
        let unread = blocking(move || Ok(n_measured_bytes(&folder))).await?;
        Ok(of_model.saturating_sub(unread) + of_backbone)
    }

    async fn verify(&self, version: &ModelVersion) -> Result<(), Unloadable> {
        let artifacts = &self.storage.artifacts;
        artifacts
            .open_verified(Kind::Model, &ArtifactId::from(version))
            .await?;
        Ok(())
    }

    fn check_room(
        &self,
        n_bytes: u64,
        backbone: &BackboneNeeded,
    ) -> Result<(), Unloadable> {
        let limit = self.memory_limit();
        let mut copy = self.current.copy();
        copy.make_room(n_bytes, backbone.shared.as_ref(), limit)
    }

    fn make_room(
        &self,
        n_bytes: u64,
        backbone: &BackboneNeeded,
    ) -> Result<(), Unloadable> {
        let limit = self.memory_limit();
        let mut copy = self.current.copy();
        copy.make_room(n_bytes, backbone.shared.as_ref(), limit)?;
        self.current.replace(copy);
        Ok(())
    }

    /// Memory for versions and backbones, in bytes; 0: as much as they take.
    fn memory_limit(&self) -> u64 {
        self.settings.model_memory_mb << 20
    }
}

impl BackboneNeeded {
    fn get(
        self,
        folder: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Arc<SharedBackbone>, model::Error> {
        if let Some(shared) = self.shared {
            return Ok(shared);
        }
        let id = self.id.into();
        let backbone = SharedBackbone::read(id, folder, device, precision)?;
        Ok(Arc::new(backbone))
    }
}

/// Runs work that reads files or computes, off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, model::Error> + Send + 'static,
) -> Result<T, Unloadable> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(panic) => Err(Unloadable::new(Cause::Broken, &panic)),
    }
}
