//! What requests see of the versions in memory. It is replaced as a whole, so
//! that a request never meets half a change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use domain::{Label, ModelVersion};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::compute::shared_backbone::SharedBackbone;
use crate::unloadable::{Cause, Unloadable};
use crate::versions::loaded::LoadedModel;

/// Which version each label points to.
pub(crate) type Labels = BTreeMap<Label, ModelVersion>;

/// The versions in memory and the labels that point to them, at one moment.
#[derive(Debug, Default, Clone)]
pub(super) struct Snapshot {
    pub(super) labels: Labels,
    /// Where the labels are to point as soon as they can.
    pub(super) wanted: Labels,
    pub(super) loaded: HashMap<ModelVersion, Arc<LoadedModel>>,
}

impl Snapshot {
    /// A version in memory whose thread has not ended.
    pub(super) fn alive(
        &self,
        version: &ModelVersion,
    ) -> Option<&Arc<LoadedModel>> {
        let model = self.loaded.get(version)?;
        (!model.language.forward.has_stopped()).then_some(model)
    }

    pub(super) fn backbone(&self, id: &str) -> Option<Arc<SharedBackbone>> {
        let mut backbones = self.backbones();
        backbones.find(|backbone| backbone.id == id).cloned()
    }

    fn backbones(&self) -> impl Iterator<Item = &Arc<SharedBackbone>> {
        let models = self.loaded.values();
        models.map(|model| &model.language.shared)
    }

    /// Memory of all versions and of each backbone once, also of one that is to
    /// be shared with the next version; in bytes.
    fn n_bytes(&self, shared: Option<&Arc<SharedBackbone>>) -> u64 {
        let mut bytes_by_backbone = HashMap::new();
        for backbone in self.backbones().chain(shared) {
            bytes_by_backbone.insert(&*backbone.id, backbone.n_bytes());
        }
        let of_backbones: u64 = bytes_by_backbone.into_values().sum();
        let of_models: u64 =
            self.loaded.values().map(|model| model.n_bytes).sum();
        of_models + of_backbones
    }

    /// Drops what has stopped, then versions without labels, those asked for
    /// longest ago first, until there is room for `n_bytes` more within `limit`
    /// (0: there is always room).
    pub(super) fn make_room(
        &mut self,
        n_bytes: u64,
        shared: Option<&Arc<SharedBackbone>>,
        limit: u64,
    ) -> Result<(), Unloadable> {
        // What has stopped is of no use to anybody; a panic in it is why it is
        // loaded again.
        self.loaded
            .retain(|_, model| !model.language.forward.has_stopped());
        if limit == 0 {
            return Ok(());
        }
        while self.n_bytes(shared) + n_bytes > limit {
            if !self.drop_oldest() {
                return Err(no_room(n_bytes, self.n_bytes(shared), limit));
            }
        }
        Ok(())
    }

    /// Drops versions until there are so many at most, or only such that have a
    /// label.
    pub(super) fn keep_at_most(&mut self, n: usize) {
        while self.loaded.len() > n && self.drop_oldest() {}
    }

    /// Drops the version asked for longest ago that no label points to or is to
    /// point to; false when there is none. Requests that hold it finish with
    /// it.
    fn drop_oldest(&mut self) -> bool {
        let models = self.loaded.values();
        let oldest = models
            .filter(|model| !self.has_label(&model.version))
            .min_by_key(|model| model.last_used());
        let Some(oldest) = oldest.map(|model| model.version.clone()) else {
            return false;
        };
        self.loaded.remove(&oldest).is_some()
    }

    fn has_label(&self, version: &ModelVersion) -> bool {
        let mut labelled = self.labels.values().chain(self.wanted.values());
        labelled.any(|labelled| labelled == version)
    }
}

fn no_room(needed: u64, taken: u64, limit: u64) -> Unloadable {
    let [needed, taken, limit] =
        [needed, taken, limit].map(|bytes| bytes >> 20);
    let message = format!(
        "it needs about {needed} MiB; versions with labels have {taken} of {limit} MiB: unlabel one, or raise \
         `model_memory_mb`"
    );
    Unloadable {
        cause: Cause::NoMemory,
        message,
    }
}

/// The snapshot of this moment, and the only way to replace it; clones share
/// it.
#[derive(Debug, Clone)]
pub(super) struct Current {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Held by whoever is about to replace the snapshot. A load holds it from
    /// its begin to its end: there is memory for one more version, not for
    /// many.
    changing: Arc<Mutex<()>>,
    max_models: usize,
}

impl Current {
    pub(super) fn new(max_models: usize) -> Self {
        Self {
            snapshot: Arc::default(),
            changing: Arc::default(),
            max_models,
        }
    }

    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(super) fn copy(&self) -> Snapshot {
        self.snapshot.load().as_ref().clone()
    }

    /// Waits until nobody else changes the snapshot.
    pub(super) async fn lock(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changing).lock_owned().await
    }

    /// Changes what requests see from now on.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let _alone = self.lock().await;
        let mut snapshot = self.copy();
        change(&mut snapshot);
        snapshot.keep_at_most(self.max_models);
        self.replace(snapshot);
    }

    /// Adds a version; the caller holds the lock.
    pub(super) fn add(&self, model: &Arc<LoadedModel>) {
        let mut snapshot = self.copy();
        snapshot.keep_at_most(self.max_models.saturating_sub(1));
        let version = model.version.clone();
        snapshot.loaded.insert(version, Arc::clone(model));
        self.replace(snapshot);
    }

    /// Puts another in the snapshot's place; the caller holds the lock.
    pub(super) fn replace(&self, snapshot: Snapshot) {
        let before = self.snapshot.swap(Arc::new(snapshot));
        let after = self.snapshot.load();
        for version in before.loaded.keys() {
            if !after.loaded.contains_key(version) {
                tracing::info!(%version, "model version dropped from memory");
            }
        }
    }
}
