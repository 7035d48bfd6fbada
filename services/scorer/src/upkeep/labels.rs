//! Follows the labels: a version is verified, loaded and warmed before a label
//! moves to it, `live` first.

use std::time::Duration;

use domain::Label;

use crate::error::Error;
use crate::request::recommend::Recommender;
use crate::upkeep::states_ahead;

pub(super) async fn follow(recommender: &Recommender, every: Duration) {
    loop {
        if let Err(error) = follow_once(recommender).await {
            let error = service::chain(&error);
            tracing::warn!(
                error,
                "cannot follow the labels; serving what is loaded"
            );
        }
        tokio::time::sleep(every).await;
    }
}

/// Moves each label whose version can be loaded; one whose version fails stays
/// where it was. A version whose thread has ended is loaded again.
async fn follow_once(recommender: &Recommender) -> Result<(), Error> {
    let models = &recommender.models;
    let wanted = models.wanted_labels().await?;
    models.want(&wanted).await;
    let (live, others): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|(label, _)| *label == Label::live());
    for (label, version) in live.into_iter().chain(others) {
        if models.serves(&label, &version) {
            continue;
        }
        match models.load_for(&label, &version).await {
            Some(Ok(model)) => {
                states_ahead::warm(recommender, &model).await;
                tracing::info!(%label, %version, "label moved");
                models.move_label(label, version).await;
            }
            Some(Err(_)) => recommender.counters.add("label.not_moved"),
            None => {}
        }
    }
    Ok(())
}
