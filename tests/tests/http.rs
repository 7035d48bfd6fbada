//! HTTP with JSON on the services' own ports: every kind of path, and what is
//! refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, HttpAnswer, Options, http};
use serde_json::{Value, json};

async fn get(port: u16, path: &str) -> HttpAnswer {
    http(port, &format!("GET {path}"), "", "").await
}

async fn post(port: u16, path: &str, body: &Value) -> HttpAnswer {
    http(port, &format!("POST {path}"), "", &body.to_string()).await
}

#[tokio::test]
async fn what_a_shop_does_is_done_over_http() {
    let cluster = Cluster::start_with_model().await;
    let (scorer, coordinator) =
        (cluster.scorer_port(), cluster.coordinator_port());
    // An id with letters that a path has a meaning for.
    let user = "a/b c:d";
    let interactions = json!({"interactions": [
        {"user_id": user, "item_id": "i00", "time": "2024-05-01T09:30:00Z"},
        {"user_id": user, "item_id": "i01"},
    ]});
    let recorded = post(scorer, "/v1/interactions", &interactions).await;
    assert_eq!(recorded.json()["n_recorded"], 2, "{recorded:?}");
    let path = "/v1/users/a%2Fb%20c%3Ad/history?limit=5&catalog=default";
    let history = get(scorer, path).await.json();
    assert_eq!(history["interactions"][0]["time"], "2024-05-01T09:30:00Z");
    let list = json!({"user_id": user, "k": 3});
    let list = post(scorer, "/v1/recommend", &list).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert_eq!(list["history_length"], 2);
    let forgotten = json!({"interactions": [interactions["interactions"][0]]});
    let forgotten = post(scorer, "/v1/interactions:forget", &forgotten).await;
    assert_eq!(forgotten.json()["n_forgotten"], 1);
    let deleted = http(scorer, "DELETE /v1/users/a%2Fb%20c%3Ad", "", "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(get(scorer, path).await.json()["deleted"], true);
    let status = get(scorer, "/v1/status").await.json();
    let version = status["versions"][0]["model_version"].as_str().unwrap();

    let models = get(coordinator, "/v1/modelVersions?page_size=1")
        .await
        .json();
    assert_eq!(models["model_versions"][0]["name"], version);
    let label = json!({"model_version": version});
    let moved =
        http(coordinator, "PUT /v1/labels/shadow", "", &label.to_string())
            .await;
    assert_eq!(moved.json()["labels"], json!(["live", "shadow"]));
    let removed = http(coordinator, "DELETE /v1/labels/shadow", "", "").await;
    assert_eq!(removed.status, 200);
    let datasets = get(coordinator, "/v1/datasets").await.json();
    assert_eq!(datasets["datasets"][0]["n_users"], "60");
}

#[tokio::test]
async fn a_job_is_submitted_followed_and_cancelled_over_http() {
    let cluster = Cluster::start_without_worker().await;
    let port = cluster.coordinator_port();
    let dataset = cluster.import_two_groups();
    let job =
        json!({"spec": {"dataset": dataset, "seed": "7"}, "request_id": "r"});
    let job = post(port, "/v1/jobs", &job).await.json();
    let name = job["name"].as_str().unwrap();
    assert_eq!(
        (&job["state"], &job["spec"]["seed"]),
        (&json!("QUEUED"), &json!("7"))
    );
    let listed = get(port, "/v1/jobs?state=QUEUED&newest_first=true").await;
    assert_eq!(listed.json()["jobs"][0]["name"], name);
    let cancelled = post(port, &format!("/v1/{name}:cancel"), &json!({})).await;
    assert_eq!(cancelled.json()["state"], "CANCELLED");
    let again = http(port, &format!("POST /v1/{name}:cancel"), "", "").await;
    assert_eq!(again.status, 400);
    assert_eq!(again.json()["code"], "FAILED_PRECONDITION");

    let events = get(port, &format!("/v1/{name}/events")).await;
    assert_eq!(events.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = events
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.last().unwrap()["job"]["state"], "CANCELLED");
    assert_eq!(lines.len(), 2);
    let sse = "accept: text/event-stream\r\n";
    let path = format!("GET /v1/{name}/events?from_number=2");
    let events = http(port, &path, sse, "").await;
    assert!(
        events.body.starts_with("data: {\"number\":\"2\""),
        "{events:?}"
    );
    let nobody = get(port, "/v1/jobs/nobody/events").await;
    assert_eq!(
        (nobody.status, nobody.json()["code"].as_str()),
        (404, Some("NOT_FOUND"))
    );
}

/// Requests with their bodies, the status that each gets, and a part of what it
/// is told.
const REFUSED: &str = r#"
POST /v1/recommend            | {"user": 1}    | 400 | 'user' at line 1
POST /v1/recommend            | {"k": 1.5}     | 400 | line 1 column
POST /v1/recommend            | [1             | 400 | cannot be read
POST /v1/recommend            | {} {}          | 400 | trailing characters
POST /v1/recommend?k=3        | {}             | 400 | belongs into the body
GET /v1/recommend             |                | 405 | takes POST
GET /v1/nothing               |                | 404 | /v1/openapi.json
GET /v1/jobs/nobody           |                | 404 | nobody
GET /v1/jobs?page_size=x      |                | 400 | `page_size` must be a whole number
GET /v1/jobs?state=DONE       |                | 400 | one of STATE_UNSPECIFIED, QUEUED
GET /v1/jobs?newest_first=yes |                | 400 | true or false
GET /v1/jobs?stat=QUEUED      |                | 400 | there is no field `stat`
PUT /v1/labels/a              | {"label": "b"} | 400 | given twice
"#;

/// A status, and a part of what is said.
struct Told<'a>(u16, &'a str);

async fn assert_refused(port: u16, request: &str, body: &str, told: Told<'_>) {
    let Told(status, said) = told;
    let answer = http(port, request, "", body).await;
    let problem = answer.json();
    assert_eq!(answer.status, status, "{request}: {problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(said), "{request}: {detail}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{request}");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place() {
    let cluster = Cluster::start_without_worker().await;
    let (scorer, coordinator) =
        (cluster.scorer_port(), cluster.coordinator_port());
    for line in REFUSED.trim().lines() {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let is_coordinators =
            line.contains("/v1/jobs") || line.contains("/v1/labels");
        let port = if is_coordinators { coordinator } else { scorer };
        let told = Told(parts[2].parse().unwrap(), parts[3]);
        assert_refused(port, parts[0], parts[1], told).await;
    }
    let recommend = "POST /v1/recommend";
    let large = format!("{{\"user_id\": \"{}\"}}", "x".repeat(5 << 20));
    assert_refused(scorer, recommend, &large, Told(413, "than 4 MiB")).await;
    let many = format!("{{\"history\": [{}{{}}]}}", "{},".repeat(60_001));
    assert_refused(scorer, recommend, &many, Told(413, "60000 values")).await;
    let elsewhere = Told(501, "another service's");
    assert_refused(scorer, "GET /v1/jobs", "", elsewhere).await;

    let spec = json!({"spec": {"dataset": "x", "finetuning": {"batch": 0}}});
    let refused = post(coordinator, "/v1/jobs", &spec).await.json();
    let mut wrong = refused["violations"].as_array().unwrap().iter();
    assert!(wrong.any(|it| it["field"] == "spec.finetuning.batch"));
    let verbs = http(scorer, "GET /v1/interactions", "", "").await;
    assert_eq!(verbs.header("allow"), Some("POST"));
    // A page whose host's name was pointed here could send it.
    let grpc = "content-type: application/grpc\r\ncontent-length: 0\r\n";
    let path = "POST /cllm4rec.v1.HistoryService/DeleteUser";
    let grpc = http(scorer, path, grpc, "").await;
    assert_eq!(grpc.status, 400, "{grpc:?}");
    assert!(grpc.body.contains("gRPC needs HTTP/2"));
    let origin = "origin: https://shop.example\r\n";
    let page = http(scorer, "GET /v1/status", origin, "").await;
    assert_eq!(page.status, 403, "{page:?}");
}

#[tokio::test]
async fn the_same_tokens_open_the_same_methods() {
    let cluster = Cluster::start_with(
        Options::settings(&[
            ("SCORER__API__TOKENS__SHOP__TOKEN", "s3cret"),
            ("SCORER__API__TOKENS__SHOP__ROLES", "recommend"),
        ])
        .without_worker(),
    )
    .await;
    let port = cluster.scorer_port();
    let shop = "authorization: Bearer s3cret\r\n";
    let recommend = "POST /v1/recommend";
    let nobody = http(port, recommend, "", "{\"user_id\": \"u\"}").await;
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let served = http(port, recommend, shop, "{\"user_id\": \"u\"}").await;
    // It is let in, and there is no model yet.
    assert_eq!(served.json()["code"], "FAILED_PRECONDITION", "{served:?}");
    let deleted = http(port, "DELETE /v1/users/u", shop, "").await;
    assert_eq!(deleted.status, 403);
    assert_eq!(get(port, "/v1/openapi.json").await.status, 401);
    let described = http(port, "GET /v1/openapi.json", shop, "").await;
    assert_eq!(described.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_description_is_the_one_that_is_in_the_repository() {
    let cluster = Cluster::start_without_worker().await;
    let described = get(cluster.scorer_port(), "/v1/openapi.json").await;
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let written = std::fs::read_to_string(kept).unwrap_or_default();
    let kept: Value = serde_json::from_str(&written).unwrap_or_default();
    assert_eq!(
        described.json(),
        kept,
        "docs/openapi.json is old: `cllm4rec openapi > docs/openapi.json` writes it anew"
    );
}
