//! A run of an MLflow server, over its REST interface (2.0). A job's run is
//! found again by its tag, and gets what it does not have.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use proto::pb::job::State;
use serde_json::{Value, json};
use ureq::{Agent, RequestBuilder};

use crate::tracking::run::{Point, Run};

/// The tag that a job's run is found by.
const TAG: &str = "cllm4rec.job";
/// Most metrics and most parameters that a server takes at once.
const MOST_METRICS: usize = 1_000;
const MOST_PARAMS: usize = 100;
/// Letters of a parameter's value: all servers take 500 bytes, and a letter has
/// four at most.
const LONGEST_PARAM: usize = 125;
/// How long a server may take for an answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// A server, and the experiment that runs are put into.
pub(crate) struct Mlflow {
    agent: Agent,
    url: String,
    token: String,
    experiment: String,
}

impl Mlflow {
    /// Finds the experiment of a name, or makes it. `token` is a bearer token;
    /// empty: none.
    pub(crate) fn open(
        url: &str,
        token: &str,
        experiment: &str,
    ) -> anyhow::Result<Self> {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        let mut mlflow = Self {
            agent: config.into(),
            url: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            experiment: String::new(),
        };
        let name = json!({"experiment_name": experiment});
        let found = mlflow.ask("experiments/get-by-name", &name)?;
        mlflow.experiment = match found {
            Some(found) => text(&found["experiment"]["experiment_id"])?,
            None => {
                let made = json!({"name": experiment});
                let made = mlflow.tell("experiments/create", &made)?;
                text(&made["experiment_id"])?
            }
        };
        Ok(mlflow)
    }

    /// Tells the server what it does not know of a run.
    pub(crate) fn log(&self, run: &Run) -> anyhow::Result<()> {
        let id = match self.find(run)? {
            Some(id) => id,
            None => self.create(run)?,
        };
        self.log_settings(run, &id)?;
        let known = self.known(&id)?;
        let new: Vec<&Point> =
            run.points.iter().filter(|it| !known.has(it)).collect();
        for points in new.chunks(MOST_METRICS) {
            let metrics: Vec<Value> = points.iter().map(metric).collect();
            let batch = json!({"run_id": id, "metrics": metrics});
            self.tell("runs/log-batch", &batch)?;
        }
        let mut update = json!({"run_id": id, "status": status(run.state)});
        if let Some(ended_ms) = run.ended_ms {
            update["end_time"] = ended_ms.into();
        }
        self.tell("runs/update", &update)?;
        if !run.model_version.is_empty() {
            let tag = json!({
                "run_id": id, "key": "cllm4rec.model_version",
                "value": run.model_version,
            });
            self.tell("runs/set-tag", &tag)?;
        }
        Ok(())
    }

    fn find(&self, run: &Run) -> anyhow::Result<Option<String>> {
        let search = json!({
            "experiment_ids": [self.experiment],
            "filter": format!("tags.`{TAG}` = '{}'", run.id),
            "max_results": 1,
        });
        let found = self.tell("runs/search", &search)?;
        let first = &found["runs"][0]["info"]["run_id"];
        Ok(first.as_str().map(str::to_owned))
    }

    fn create(&self, run: &Run) -> anyhow::Result<String> {
        let create = json!({
            "experiment_id": self.experiment,
            "run_name": run.id,
            "start_time": run.begun_ms,
            "tags": [{"key": TAG, "value": run.id}],
        });
        let made = self.tell("runs/create", &create)?;
        text(&made["run"]["info"]["run_id"])
    }

    /// Tells the settings; the same value again changes nothing.
    fn log_settings(&self, run: &Run, id: &str) -> anyhow::Result<()> {
        let mut params = Vec::new();
        for (key, value) in &run.settings {
            let value: String = value.chars().take(LONGEST_PARAM).collect();
            params.push(json!({"key": key, "value": value}));
        }
        for params in params.chunks(MOST_PARAMS) {
            let batch = json!({"run_id": id, "params": params});
            self.tell("runs/log-batch", &batch)?;
        }
        Ok(())
    }

    /// The latest step of each metric that the server has.
    fn known(&self, id: &str) -> anyhow::Result<Known> {
        let found = self.ask("runs/get", &json!({"run_id": id}))?;
        let found = found.with_context(|| format!("MLflow lost run {id}"))?;
        let metrics = found["run"]["data"]["metrics"].as_array();
        let mut known = BTreeSet::new();
        for metric in metrics.into_iter().flatten() {
            let step = metric["step"].as_i64().unwrap_or_default();
            known.insert((text(&metric["key"])?, step));
        }
        Ok(Known(known))
    }

    /// Reads something; `None` where it does not exist.
    fn ask(&self, what: &str, query: &Value) -> anyhow::Result<Option<Value>> {
        let mut request = self.agent.get(self.address(what));
        for (name, value) in query.as_object().into_iter().flatten() {
            request = request.query(name, value.as_str().unwrap_or_default());
        }
        let answer = self.with_token(request).call();
        let mut answer = answer.with_context(|| self.place(what))?;
        if answer.status() == 404 {
            return Ok(None);
        }
        self.read(what, &mut answer).map(Some)
    }

    /// Changes or searches something.
    fn tell(&self, what: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(self.address(what));
        let answer = self
            .with_token(request)
            .header("content-type", "application/json")
            .send(body.to_string());
        let mut answer = answer.with_context(|| self.place(what))?;
        self.read(what, &mut answer)
    }

    fn with_token<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        if self.token.is_empty() {
            return request;
        }
        request.header("authorization", format!("Bearer {}", self.token))
    }

    fn read(
        &self,
        what: &str,
        answer: &mut ureq::http::Response<ureq::Body>,
    ) -> anyhow::Result<Value> {
        let status = answer.status();
        let body = answer.body_mut().read_to_string();
        let body = body.with_context(|| self.place(what))?;
        if !status.is_success() {
            let said: String = body.chars().take(300).collect();
            bail!("{}: {status}: {said}", self.place(what));
        }
        serde_json::from_str(&body)
            .with_context(|| format!("{} gave no JSON", self.place(what)))
    }

    fn address(&self, what: &str) -> String {
        format!("{}/api/2.0/mlflow/{what}", self.url)
    }

    fn place(&self, what: &str) -> String {
        format!("MLflow at {}, {what}", self.url)
    }
}

/// Metrics by name, with the latest step of each.
struct Known(BTreeSet<(String, i64)>);

impl Known {
    fn has(&self, point: &Point) -> bool {
        let name = name(&point.metric);
        let mut steps = self.0.iter().filter(|(key, _)| *key == name);
        steps.any(|(_, step)| *step >= point.step)
    }
}

/// MLflow takes no `@` in the name of a metric.
fn name(metric: &str) -> String {
    metric.replace('@', "_at_")
}

fn metric(point: &&Point) -> Value {
    json!({
        "key": name(&point.metric),
        "value": point.value,
        "timestamp": point.at_ms,
        "step": point.step,
    })
}

fn status(state: State) -> &'static str {
    match state {
        State::Unspecified | State::Queued => "SCHEDULED",
        State::Running | State::Cancelling => "RUNNING",
        State::Succeeded => "FINISHED",
        State::Failed => "FAILED",
        State::Cancelled => "KILLED",
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    let text = value.as_str().context("MLflow gave no id")?;
    Ok(text.to_owned())
}
