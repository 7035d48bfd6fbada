//! Which model version a request gets, and where the labels point. A version
//! that cannot be loaded never takes a label's place; `upkeep` follows the
//! labels.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{Label, ModelChoice, ModelVersion, UserId};
use storage::Storage;

use crate::admission::gate::Call;
use crate::error::Error;
use crate::settings::Settings;
use crate::unloadable::Unloadable;
use crate::versions::loaded::LoadedModel;
use crate::versions::loading::Loader;
use crate::versions::snapshot::{Labels, Snapshot};
use crate::versions::user_share::Trial;

/// The model versions in memory; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    loader: Loader,
}

pub(crate) struct Overview {
    pub(crate) loaded: Vec<LabelledModel>,
    pub(crate) unloadable: HashMap<ModelVersion, Unloadable>,
}

/// A version in memory with the labels that point to it.
pub(crate) struct LabelledModel {
    pub(crate) model: Arc<LoadedModel>,
    pub(crate) labels: Vec<String>,
}

impl Models {
    pub(crate) fn new(
        settings: &Settings,
        storage: Storage,
    ) -> Result<Self, model::Error> {
        let loader = Loader::new(settings, storage)?;
        Ok(Self { loader })
    }

    /// The model that a request asks for; a version that is not in memory yet
    /// is loaded for it.
    pub(crate) async fn choose(
        &self,
        choice: &ModelChoice,
        user: Option<&UserId>,
        call: &Call,
    ) -> Result<Arc<LoadedModel>, Error> {
        let snapshot = self.loader.current.snapshot();
        let just_set;
        let version = match choice {
            ModelChoice::Version(version) => version,
            ModelChoice::Label(label) => {
                match self.followed(&snapshot, label, user) {
                    Some(version) => version,
                    None => {
                        just_set = self.look_up(label).await?;
                        &just_set
                    }
                }
            }
        };
        if let Some(model) = snapshot.alive(version) {
            model.use_now(&self.loader.clock);
            return Ok(Arc::clone(model));
        }
        let _aside = call.aside();
        self.loader.load(version).await
    }

    /// Where a label points for a user. Some of the users who ask for `live`
    /// get the canary's version, always the same ones.
    fn followed<'a>(
        &self,
        snapshot: &'a Snapshot,
        label: &Label,
        user: Option<&UserId>,
    ) -> Option<&'a ModelVersion> {
        let labels = &snapshot.labels;
        if *label == Label::live() && self.gets_canary(user) {
            let canary = labels.get(&Label::canary());
            return canary.or_else(|| labels.get(label));
        }
        labels.get(label)
    }

    fn gets_canary(&self, user: Option<&UserId>) -> bool {
        let share = self.loader.settings.canary_share;
        user.is_some_and(|user| Trial::Canary.includes(user.as_str(), share))
    }

    /// Where a label points that this scorer has not followed yet: it was set a
    /// moment ago, or not at all.
    async fn look_up(&self, label: &Label) -> Result<ModelVersion, Error> {
        let mut labels = self.wanted_labels().await?;
        match labels.remove(label) {
            Some(version) => Ok(version),
            None if *label == Label::live() => Err(Error::NoModel),
            None => Err(Error::NoSuchModel(format!("label `{label}`"))),
        }
    }

    /// The version that is tried beside this one, if this is the live one and
    /// the other is in memory.
    pub(crate) fn shadow_of(
        &self,
        version: &ModelVersion,
    ) -> Option<Arc<LoadedModel>> {
        let snapshot = self.loader.current.snapshot();
        if snapshot.labels.get(&Label::live())? != version {
            return None;
        }
        let shadow = snapshot.labels.get(&Label::shadow())?;
        snapshot.loaded.get(shadow).cloned()
    }

    pub(crate) fn in_memory(&self) -> Vec<Arc<LoadedModel>> {
        let snapshot = self.loader.current.snapshot();
        snapshot.loaded.values().cloned().collect()
    }

    pub(crate) fn overview(&self) -> Overview {
        let snapshot = self.loader.current.snapshot();
        let mut loaded = Vec::new();
        for (version, model) in &snapshot.loaded {
            let labels = snapshot.labels.iter();
            let own = labels.filter(|(_, labelled)| *labelled == version);
            loaded.push(LabelledModel {
                model: Arc::clone(model),
                labels: own.map(|(label, _)| label.to_string()).collect(),
            });
        }
        let mut unloadable = self.loader.failed.told();
        unloadable.retain(|version, _| !snapshot.loaded.contains_key(version));
        Overview { loaded, unloadable }
    }

    /// True while `live` has a model whose thread is alive and moves.
    pub(crate) fn is_ready(&self) -> bool {
        let snapshot = self.loader.current.snapshot();
        let live = snapshot.labels.get(&Label::live());
        let Some(model) = live.and_then(|version| snapshot.alive(version))
        else {
            return false;
        };
        !model.language.forward.is_stuck()
    }

    /// Where the labels should point, from the registry; one whose record
    /// cannot be read stays where it was.
    pub(crate) async fn wanted_labels(&self) -> Result<Labels, Error> {
        let stored = self.loader.storage.registry.labels().await?;
        let mut wanted = stored.versions;
        for (label, version) in &self.loader.current.snapshot().wanted {
            if stored.unreadable.iter().any(|key| key == label.as_str()) {
                wanted.insert(label.clone(), version.clone());
            }
        }
        Ok(wanted)
    }

    /// True when a label is where it should be and its version can answer.
    pub(crate) fn serves(&self, label: &Label, version: &ModelVersion) -> bool {
        let snapshot = self.loader.current.snapshot();
        snapshot.labels.get(label) == Some(version)
            && snapshot.alive(version).is_some()
    }

    /// The version that a label is to move to, in memory; `None` when it could
    /// not be loaded a moment ago.
    pub(crate) async fn load_for(
        &self,
        label: &Label,
        version: &ModelVersion,
    ) -> Option<Result<Arc<LoadedModel>, Error>> {
        if self.loader.failed.lately(version).is_some() {
            return None;
        }
        let loaded = self.loader.load(version).await;
        if loaded.is_err() {
            tracing::error!(%label, %version, "label not moved");
        }
        Some(loaded)
    }

    /// Moves a label to a version that is in memory.
    pub(crate) async fn move_label(&self, label: Label, version: ModelVersion) {
        let current = &self.loader.current;
        current
            .change(|snapshot| drop(snapshot.labels.insert(label, version)))
            .await;
    }

    /// Says where the labels are to point, and forgets those that are no more.
    pub(crate) async fn want(&self, wanted: &Labels) {
        let current = &self.loader.current;
        if current.snapshot().wanted == *wanted {
            return;
        }
        current
            .change(|snapshot| {
                let labels = &mut snapshot.labels;
                labels.retain(|label, _| wanted.contains_key(label));
                snapshot.wanted.clone_from(wanted);
            })
            .await;
    }
}
