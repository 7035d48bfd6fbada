//! How far a job is, in one line: now, or at the end of an epoch.

use proto::pb;
use wording::duration;

/// What a job is at: the stage, the loss, the latest validation, the time left.
pub(crate) fn now_line(progress: &pb::Progress) -> String {
    let mut parts = vec![format!(
        "{} {}/{}",
        progress.stage, progress.epoch, progress.n_epochs
    )];
    if progress.loss > 0.0 {
        parts.push(format!("loss {:.3}", progress.loss));
    }
    if let Some(ndcg) = latest_validation(progress) {
        parts.push(format!("validation NDCG@100 {ndcg:.4}"));
    }
    if progress.tokens_per_second > 0.0 {
        parts.push(format!("{:.0} tokens/s", progress.tokens_per_second));
    }
    parts.extend(time_left(progress));
    parts.join("  ")
}

/// How an epoch that has ended went, and the time left.
pub(crate) fn epoch_line(
    epoch: &pb::EpochReport,
    progress: &pb::Progress,
) -> String {
    let pb::EpochReport {
        stage,
        epoch: number,
        loss,
        valid_ndcg_100,
    } = epoch;
    let mut parts = vec![format!("{stage} epoch {number} ended")];
    parts.push(format!("loss {loss:.3}"));
    if let Some(ndcg) = valid_ndcg_100 {
        parts.push(format!("validation NDCG@100 {ndcg:.4}"));
    }
    parts.extend(time_left(progress));
    parts.join("  ")
}

fn latest_validation(progress: &pb::Progress) -> Option<f64> {
    let mut measured = progress.epochs.iter().rev();
    measured.find_map(|epoch| epoch.valid_ndcg_100)
}

fn time_left(progress: &pb::Progress) -> Option<String> {
    let left = progress.eta_seconds;
    (left >= 1.0).then(|| format!("{} left", duration(left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> pb::Progress {
        let epoch = |stage: &str, loss, valid_ndcg_100| pb::EpochReport {
            stage: stage.to_owned(),
            epoch: 2,
            loss,
            valid_ndcg_100,
        };
        pb::Progress {
            stage: "finetuning".to_owned(),
            epoch: 3,
            n_epochs: 10,
            loss: 5.25,
            eta_seconds: 75.0,
            epochs: vec![
                epoch("content", 7.0, None),
                epoch("finetuning", 5.5, Some(0.12345)),
                epoch("finetuning", 5.3, None),
            ],
            ..pb::Progress::default()
        }
    }

    #[test]
    fn a_line_says_stage_loss_validation_and_time_left() {
        let progress = progress();
        assert_eq!(
            now_line(&progress),
            "finetuning 3/10  loss 5.250  validation NDCG@100 0.1235  1 min 15 s left"
        );
        assert_eq!(
            epoch_line(&progress.epochs[1], &progress),
            "finetuning epoch 2 ended  loss 5.500  validation NDCG@100 0.1235  1 min 15 s left"
        );
    }
}
