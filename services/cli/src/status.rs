//! `status`: what a scorer serves, what it does not, and how it fares.

use std::collections::BTreeMap;

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use serde_json::json;
use service::client::connect;

use crate::Settings;
use crate::output::Output;

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let mut client = RecommendationServiceClient::new(connect(&settings.scorer)?);
    let status = client.get_status(pb::GetStatusRequest {}).await?.into_inner();
    let counters: BTreeMap<_, _> = status.counters.iter().collect();
    let value = json!({
        "versions": status.versions.iter().map(|version| json!({
            "model_version": version.model_version, "labels": version.labels, "memory_bytes": version.memory_bytes,
            "backbone": version.backbone, "backbone_bytes": version.backbone_bytes,
        })).collect::<Vec<_>>(),
        "unloadable": status.unloadable.iter().map(|version| json!({
            "model_version": version.model_version, "cause": version.cause().as_str_name(), "message": version.message,
        })).collect::<Vec<_>>(),
        "counters": counters,
        "shadow": status.shadow.as_ref().map(|shadow| json!({
            "model_version": shadow.model_version, "n_requests": shadow.n_requests, "overlap": shadow.overlap,
            "live_ms": shadow.live_ms, "shadow_ms": shadow.shadow_ms,
        })),
    });
    output.write(&value, || describe(&status, &counters));
    Ok(())
}

/// A line for each version, counter and the shadow.
fn describe(status: &pb::ServingStatus, counters: &BTreeMap<&String, &u64>) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let loaded = status.versions.iter().map(|version| {
        let (own, backbone) = (mib(version.memory_bytes), mib(version.backbone_bytes));
        let labels = version.labels.join(", ");
        format!("{}  {own:.1} MiB  backbone {} {backbone:.1} MiB  {labels}", version.model_version, version.backbone)
    });
    let unloadable = status.unloadable.iter().map(|version| {
        format!("{}  not loaded: {}  {}", version.model_version, version.cause().as_str_name(), version.message)
    });
    let shadow = status.shadow.iter().map(|shadow| {
        let pb::ShadowReport { model_version, n_requests, overlap, live_ms, shadow_ms } = shadow;
        format!("{model_version}  shadow: {n_requests} lists, overlap {overlap:.3}, {shadow_ms:.1} ms beside {live_ms:.1} ms")
    });
    let counters = counters.iter().map(|(name, n)| format!("{n:>12}  {name}"));
    loaded.chain(unloadable).chain(shadow).chain(counters).collect::<Vec<_>>().join("\n")
}
