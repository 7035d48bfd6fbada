//! `status`: what a scorer serves, what it does not, and how it fares.

use proto::pb;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::connect;

use crate::output::writer::Output;
use crate::output::{json, text};
use crate::settings::Settings;

pub(crate) async fn run(
    settings: &Settings,
    output: Output,
) -> anyhow::Result<()> {
    let mut client =
        RecommendationServiceClient::new(connect(&settings.scorer)?);
    let answer = client.get_status(pb::GetStatusRequest {}).await?;
    let status = answer.into_inner();
    output.write(&json::serving_status(&status), || {
        text::serving_status(&status)
    });
    Ok(())
}
