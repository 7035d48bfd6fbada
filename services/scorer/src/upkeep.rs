//! What a scorer does beside the requests: it follows the labels, warms a version before a label
//! moves to it, reads stale histories again, and compares the shadow's lists with the live ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Inline, Label, ModelChoice, Reader};
use futures::StreamExt;
use service::Health;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::behind::{Comparison, Task, Tasks};
use crate::gate::Call;
use crate::histories::Place;
use crate::loaded::Loaded;
use crate::reader::Read;
use crate::recommend::Recommender;

/// A version is warmed for at most this long before the label moves.
const WARM_FOR: Duration = Duration::from_secs(10);
/// Users of this time are warmed.
const LATELY: Duration = Duration::from_secs(60 * 60);
/// Users whose states are computed at once then: requests wait for a batch that has begun.
const WARM_AT_ONCE: usize = 16;
/// A background task may take this long.
const PATIENCE: Duration = Duration::from_secs(5);

impl Recommender {
    /// Looks at the labels again and again until `shutdown`.
    pub(crate) async fn follow_until(&self, every: Duration, shutdown: CancellationToken) {
        loop {
            let Some(followed) = shutdown.run_until_cancelled(self.follow()).await else {
                return;
            };
            if let Err(error) = followed {
                tracing::warn!(
                    error = service::chain(&error),
                    "cannot follow the labels; serving what is loaded"
                );
            }
            if shutdown
                .run_until_cancelled(tokio::time::sleep(every))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// Ready while the live model is, until `shutdown`; a version that is being loaded delays
    /// nothing here.
    pub(crate) async fn tell_readiness_until(
        &self,
        every: Duration,
        (health, shutdown): (Health, CancellationToken),
    ) {
        let tell = async {
            loop {
                health.set_ready(self.models.is_ready()).await;
                tokio::time::sleep(every).await;
            }
        };
        shutdown.run_until_cancelled(tell).await;
    }

    /// Moves the labels, each as soon as its version is loaded and warmed, `live` first; one whose
    /// version fails stays where it was. A version whose thread has ended is loaded again.
    async fn follow(&self) -> Result<(), Error> {
        let wanted = self.models.wanted_labels().await?;
        self.models.want(&wanted).await;
        let (live, others): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|(label, _)| *label == Label::live());
        for (label, version) in live.into_iter().chain(others) {
            if self.models.serves(&label, &version) {
                continue;
            }
            match self.models.load_for(&label, &version).await {
                Some(Ok(model)) => {
                    self.warm(&model).await;
                    tracing::info!(%label, %version, "label moved");
                    self.models.move_label(label, version).await;
                }
                Some(Err(_)) => self.counters.add("label.not_moved"),
                None => {}
            }
        }
        Ok(())
    }

    /// Does what waits, one thing after the other, until `shutdown`.
    pub(crate) async fn work_behind_until(&self, mut tasks: Tasks, shutdown: CancellationToken) {
        while let Some(Some(task)) = shutdown.run_until_cancelled(tasks.recv()).await {
            match task {
                Task::Refresh((catalog, user), model) => {
                    let Some(model) = model.upgrade() else {
                        continue;
                    };
                    let reader = stored(Some(catalog), user, Duration::ZERO);
                    self.know(&reader, &model, Instant::now() + PATIENCE).await;
                }
                Task::Compare(comparison) => self.compare(*comparison).await,
            }
        }
    }

    async fn compare(
        &self,
        Comparison {
            query,
            live,
            took,
            shadow,
            ..
        }: Comparison,
    ) {
        let Some(shadow) = shadow.upgrade() else {
            return;
        };
        let started = Instant::now();
        let call = Call::behind(started + PATIENCE);
        match call.in_time(self.answer(&query, &shadow, &call)).await {
            Ok(answer) => {
                let both = answer
                    .items
                    .iter()
                    .filter(|item| live.contains(&item.item))
                    .count();
                let overlap = both as f64 / live.len().max(1) as f64;
                self.behind
                    .note(&shadow.version, overlap, (took, started.elapsed()));
            }
            Err(error) => {
                self.counters.add("shadow.failed");
                tracing::debug!(error = service::chain(&error), "the shadow has no answer");
            }
        }
    }

    /// Computes the states of the users of the last hour, as far as there is time.
    async fn warm(&self, model: &Arc<Loaded>) {
        let until = Instant::now() + WARM_FOR;
        let places: Vec<Place> = self.histories.lately_seen().collect();
        let n = futures::stream::iter(places)
            .map(|(catalog, user)| async move {
                let reader = stored(Some(catalog), user, LATELY);
                Instant::now() < until && self.know(&reader, model, until).await
            })
            .buffer_unordered(WARM_AT_ONCE)
            .filter(|is_known| std::future::ready(*is_known))
            .count()
            .await;
        tracing::info!(version = %model.version, n_users = n, "version warmed");
    }

    /// Has a reader's state at hand; false when that was not possible.
    async fn know(&self, reader: &Reader, model: &Arc<Loaded>, by: Instant) -> bool {
        let call = Call::behind(by);
        let known = async {
            let read = Read::new(&self.histories, reader, model, by).await?;
            self.state(&read, model, &call).await
        };
        match call.in_time(known).await {
            Ok(_) => true,
            Err(error) => {
                self.counters.add("behind.failed");
                tracing::debug!(
                    error = service::chain(&error),
                    "a state was not computed ahead"
                );
                false
            }
        }
    }
}

/// A user by the stored history.
fn stored(
    catalog: Option<domain::Catalog>,
    user: domain::UserId,
    max_staleness: Duration,
) -> Reader {
    let model = ModelChoice::live();
    Reader {
        user: Some(user),
        catalog,
        inline: Inline::Absent,
        at_ms: None,
        max_staleness,
        model,
    }
}
