//! Which roles may call which method.

/// Asks for recommendations.
const RECOMMEND: &str = "recommend";
/// Writes and reads histories.
const RECORD: &str = "record";
/// Submits, watches and ends jobs.
const TRAIN: &str = "train";
/// Moves labels and removes versions: what customers get.
pub const PUBLISH: &str = "publish";
/// Everything, and what no other role may do.
const ADMIN: &str = "admin";
/// Does jobs.
const WORKER: &str = "worker";

/// The methods by their paths, with the roles that may call each; `admin` may
/// call all.
pub const ACCESS: &[(&str, &[&str])] = &[
    ("/cllm4rec.v1.RecommendationService/Recommend", &[RECOMMEND]),
    (
        "/cllm4rec.v1.RecommendationService/BatchRecommend",
        &[RECOMMEND],
    ),
    (
        "/cllm4rec.v1.RecommendationService/ScoreItems",
        &[RECOMMEND],
    ),
    (
        "/cllm4rec.v1.RecommendationService/SimilarItems",
        &[RECOMMEND],
    ),
    ("/cllm4rec.v1.RecommendationService/GetItem", &[RECOMMEND]),
    (
        "/cllm4rec.v1.RecommendationService/ListFields",
        &[RECOMMEND],
    ),
    (
        "/cllm4rec.v1.RecommendationService/GetStatus",
        &[RECOMMEND, PUBLISH],
    ),
    ("/cllm4rec.v1.HistoryService/RecordInteractions", &[RECORD]),
    ("/cllm4rec.v1.HistoryService/ForgetInteractions", &[RECORD]),
    ("/cllm4rec.v1.HistoryService/GetHistory", &[RECORD]),
    ("/cllm4rec.v1.HistoryService/ListUsers", &[RECORD]),
    ("/cllm4rec.v1.HistoryService/DeleteUser", &[ADMIN]),
    ("/cllm4rec.v1.TrainingService/TrainJob", &[TRAIN]),
    ("/cllm4rec.v1.TrainingService/GetJob", &[TRAIN]),
    ("/cllm4rec.v1.TrainingService/ListJobs", &[TRAIN]),
    ("/cllm4rec.v1.TrainingService/CancelJob", &[TRAIN]),
    ("/cllm4rec.v1.TrainingService/RetryJob", &[TRAIN]),
    ("/cllm4rec.v1.TrainingService/WatchJob", &[TRAIN]),
    (
        "/cllm4rec.v1.DatasetService/ListDatasets",
        &[TRAIN, PUBLISH],
    ),
    ("/cllm4rec.v1.DatasetService/GetDataset", &[TRAIN]),
    ("/cllm4rec.v1.DatasetService/ImportDataset", &[PUBLISH]),
    (
        "/cllm4rec.v1.ModelService/GetModelVersion",
        &[TRAIN, PUBLISH],
    ),
    (
        "/cllm4rec.v1.ModelService/ListModelVersions",
        &[TRAIN, PUBLISH],
    ),
    ("/cllm4rec.v1.ModelService/DeleteModelVersion", &[PUBLISH]),
    ("/cllm4rec.v1.ModelService/SetLabel", &[PUBLISH]),
    ("/cllm4rec.v1.ModelService/RemoveLabel", &[PUBLISH]),
    ("/cllm4rec.v1.UpkeepService/CollectGarbage", &[ADMIN]),
    ("/cllm4rec.v1.WorkerService/Lease", &[WORKER]),
    ("/cllm4rec.v1.WorkerService/Heartbeat", &[WORKER]),
    ("/cllm4rec.v1.WorkerService/CommitCheckpoint", &[WORKER]),
    ("/cllm4rec.v1.WorkerService/CommitModel", &[WORKER]),
    ("/cllm4rec.v1.WorkerService/EndAttempt", &[WORKER]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_has_a_role_and_every_entry_is_a_method() {
        let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
        let mut methods = BTreeSet::new();
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    methods.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        let listed: BTreeSet<String> =
            ACCESS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(methods, listed);
        assert!(ACCESS.iter().all(|(_, roles)| !roles.is_empty()));
    }
}
