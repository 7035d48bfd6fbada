//! `status`: what a scorer serves, what it does not, and how it fares.

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::connect;

use crate::Settings;
use crate::output::{Output, serving_status, sorted};

pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<()> {
    let mut client = RecommendationServiceClient::new(connect(&settings.scorer)?);
    let status = client
        .get_status(pb::GetStatusRequest {})
        .await?
        .into_inner();
    output.write(&serving_status(&status), || describe(&status));
    Ok(())
}

/// A line for each version, counter and the shadow.
fn describe(status: &pb::ServingStatus) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let loaded = status.versions.iter().map(|version| {
        let (own, backbone) = (mib(version.memory_bytes), mib(version.backbone_bytes));
        let labels = version.labels.join(", ");
        format!(
            "{}  {own:.1} MiB  backbone {} {backbone:.1} MiB  {labels}",
            version.model_version, version.backbone
        )
    });
    let unloadable = status.unloadable.iter().map(|version| {
        format!(
            "{}  not loaded: {}  {}",
            version.model_version,
            version.cause().as_str_name(),
            version.message
        )
    });
    let shadow = status.shadow.iter().map(|shadow| {
        let pb::ShadowReport { model_version, n_requests, overlap, live_ms, shadow_ms } = shadow;
        format!("{model_version}  shadow: {n_requests} lists, overlap {overlap:.3}, {shadow_ms:.1} ms beside {live_ms:.1} ms")
    });
    let counters = sorted(&status.counters)
        .into_iter()
        .map(|(name, n)| format!("{n:>12}  {name}"));
    loaded
        .chain(unloadable)
        .chain(shadow)
        .chain(counters)
        .collect::<Vec<_>>()
        .join("\n")
}
