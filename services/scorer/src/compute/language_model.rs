//! The language model's part of a model version: a history becomes a prompt,
//! the prompt becomes a user state on the model thread, and the state is
//! multiplied with the item rows.
//!
//! Nothing here knows a light model, popularity, or what a list is.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use domain::{ModelManifest, UserToken};
use model::{ScoringTables, Token, TokenTables};

use crate::admission::gate::Call;
use crate::compute::forward::Forward;
use crate::compute::shared_backbone::SharedBackbone;
use crate::compute::state_key::Precisions;
use crate::error::Error;
use crate::settings::Settings;

/// A version whose first state takes longer than this is not one to serve.
const WARM_UP: Duration = Duration::from_secs(60);
/// Items in the prompt of that first state.
const WARM_UP_ITEMS: usize = 20;

/// A version's language model, with its thread running.
#[derive(Debug)]
pub(crate) struct LanguageModel {
    pub(crate) shared: Arc<SharedBackbone>,
    pub(crate) forward: Forward,
    /// User and item rows, with the mean user as the last user row.
    pub(crate) scoring: Arc<ScoringTables>,
    /// What stands in the prompt of a user with a row.
    known_user: UserToken,
    /// What stands in the prompt of a user without one.
    new_user: UserToken,
    mean_user: u32,
    /// Made when similar items are first asked for.
    item_lengths: OnceLock<Vec<f32>>,
}

/// Who a prompt says that the history belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptUser {
    /// The token of the user's own row.
    Own(u32),
    /// The token of the row that is the mean of all users.
    Mean(u32),
    /// The prompt has no user token.
    Absent,
}

impl LanguageModel {
    /// Starts the version's thread, on its backbone's device.
    pub(crate) fn start(
        mut tables: TokenTables,
        manifest: &ModelManifest,
        shared: Arc<SharedBackbone>,
        settings: &Settings,
    ) -> Result<Self, model::Error> {
        let mean_user = tables.push_mean_user();
        let scoring =
            ScoringTables::new(tables.into(), settings.scoring_precision);
        let scoring = Arc::new(scoring);
        let backbone = shared.backbone.clone();
        let forward = Forward::start(backbone, Arc::clone(&scoring), settings)
            .map_err(no_model_thread)?;
        Ok(Self {
            shared,
            forward,
            scoring,
            known_user: manifest.known_user,
            new_user: manifest.new_user,
            mean_user,
            item_lengths: OnceLock::new(),
        })
    }

    pub(crate) fn max_history(&self) -> usize {
        self.shared.texts.max_history(self.n_positions())
    }

    /// The user token in the prompt of a user with this row, or without one: as
    /// was best on validation.
    pub(crate) fn prompt_user(&self, row: Option<u32>) -> PromptUser {
        let token = match row {
            Some(_) => self.known_user,
            None => self.new_user,
        };
        match token {
            UserToken::Own => row.map_or(PromptUser::Absent, PromptUser::Own),
            UserToken::Mean => PromptUser::Mean(self.mean_user),
            UserToken::Absent => PromptUser::Absent,
        }
    }

    /// The prompt for a user token and the rows of a history that fits.
    pub(crate) fn prompt(&self, user: PromptUser, items: &[u32]) -> Vec<Token> {
        let texts = &self.shared.texts;
        texts.recommend(user.row(), items, self.n_positions())
    }

    pub(crate) fn item_lengths(&self) -> &[f32] {
        self.item_lengths.get_or_init(|| {
            let items = &self.scoring.tables().items;
            let values = items.values();
            let rows = values.chunks_exact(items.width());
            rows.map(length).collect()
        })
    }

    /// What its states are rounded to, on their way and in the end.
    pub(crate) fn precisions(&self) -> Precisions {
        Precisions {
            scoring: self.scoring.precision(),
            backbone: self.shared.precision,
        }
    }

    /// Memory of the rows, in bytes; the backbone is shared and counted by
    /// itself.
    pub(crate) fn n_bytes(&self) -> usize {
        self.scoring.n_bytes()
    }

    /// Computes one state, so that the thread's pace is known and its memory is
    /// warm.
    pub(crate) async fn warm_up(&self) -> Result<(), Error> {
        let n_items = self.scoring.tables().items.n_rows();
        let n = n_items.min(self.max_history()).min(WARM_UP_ITEMS);
        let items: Vec<u32> = (0..n as u32).collect();
        let prompt = self.prompt(PromptUser::Absent, &items);
        let call = Call::in_background(Instant::now() + WARM_UP);
        call.in_time(self.forward.state(prompt, &call.caller))
            .await?;
        Ok(())
    }

    fn n_positions(&self) -> usize {
        self.shared.backbone.n_positions()
    }
}

impl PromptUser {
    fn row(self) -> Option<u32> {
        match self {
            Self::Own(row) | Self::Mean(row) => Some(row),
            Self::Absent => None,
        }
    }
}

fn length(row: &[f32]) -> f32 {
    row.iter().map(|value| value * value).sum::<f32>().sqrt()
}

fn no_model_thread(source: std::io::Error) -> model::Error {
    model::Error::File {
        path: "thread `model`".into(),
        source,
    }
}
