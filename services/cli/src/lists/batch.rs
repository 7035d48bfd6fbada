//! Asks a scorer for many lists over one stream, a bounded number at a time. A
//! stream that breaks is opened again; what the scorer has no room for is asked
//! for again later.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use proto::pb;
use proto::pb::batch_recommend_response::Failure;
use proto::pb::batch_recommend_response::Result as Outcome;
use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::{Connection, is_passing};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

type Client = RecommendationServiceClient<Connection>;

/// Requests under way: as many as a scorer answers at a time, and as many
/// waiting behind them.
const WINDOW: usize = 64;
/// How often a stream may break without an answer between.
const MOST_BREAKS: u32 = 5;
/// Time before the first repeat; doubled for each further one.
const PAUSE: Duration = Duration::from_millis(200);

/// How long failures may come without a list between.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who is not served, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) user: String,
    pub(crate) why: Status,
}

/// Users to be asked for.
pub(crate) struct Batch {
    /// What is asked for each of them.
    request: pb::RecommendRequest,
    users: VecDeque<String>,
    last_answer: Instant,
}

impl Batch {
    /// The same request for each of some users.
    pub(crate) fn new(
        request: pb::RecommendRequest,
        users: VecDeque<String>,
    ) -> Self {
        Self {
            request,
            users,
            last_answer: Instant::now(),
        }
    }

    /// Hands each list to `take` as it comes. Returns who was refused.
    pub(crate) async fn run(
        mut self,
        client: &mut Client,
        mut take: impl FnMut(&str, pb::RecommendResponse) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Refused>> {
        let mut refused = Vec::new();
        let mut n_breaks = 0;
        while !self.users.is_empty() {
            let mut stream = OneStream {
                batch: &mut self,
                waiting: HashMap::new(),
                refused: &mut refused,
                n_answers: 0,
            };
            let ended = stream.run(client, &mut take).await;
            let n_answers = stream.n_answers;
            let unanswered = std::mem::take(&mut stream.waiting);
            self.users.extend(unanswered.into_values());
            let Err(error) = ended else {
                continue;
            };
            let why = error.downcast_ref::<Status>();
            if !why.is_some_and(is_passing) {
                return Err(error);
            }
            n_breaks = if n_answers > 0 { 0 } else { n_breaks + 1 };
            if n_breaks > MOST_BREAKS {
                return Err(error);
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(n_breaks)).await;
        }
        Ok(refused)
    }
}

/// What is under way on one stream.
struct OneStream<'a> {
    batch: &'a mut Batch,
    /// Users by the number of their request.
    waiting: HashMap<u64, String>,
    refused: &'a mut Vec<Refused>,
    n_answers: usize,
}

impl OneStream<'_> {
    async fn run(
        &mut self,
        client: &mut Client,
        take: &mut impl FnMut(&str, pb::RecommendResponse) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (requests, receiver) = mpsc::channel(WINDOW);
        let mut next = self.send(0, &requests).await?;
        let answers = client.batch_recommend(ReceiverStream::new(receiver));
        let mut answers: Streaming<_> = answers.await?.into_inner();
        while !self.waiting.is_empty() {
            let answer = answers.message().await?;
            let answer = answer.ok_or_else(|| {
                Status::unavailable("the scorer ended the stream")
            })?;
            let user = self
                .waiting
                .remove(&answer.id)
                .context("the scorer answered what nobody asked")?;
            match answer.result.context("the scorer's answer is empty")? {
                Outcome::Response(list) => {
                    self.n_answers += 1;
                    self.batch.last_answer = Instant::now();
                    take(&user, list)?;
                }
                Outcome::Failure(failure) => {
                    self.failed(user, &failure).await?;
                }
            }
            next = self.send(next, &requests).await?;
        }
        Ok(())
    }

    /// Asks for as many users as may be under way; returns the next number.
    async fn send(
        &mut self,
        mut next: u64,
        requests: &Sender<pb::BatchRecommendRequest>,
    ) -> anyhow::Result<u64> {
        while self.waiting.len() < WINDOW {
            let Some(user) = self.batch.users.pop_front() else {
                break;
            };
            let request = pb::RecommendRequest {
                user_id: user.clone(),
                ..self.batch.request.clone()
            };
            let numbered = pb::BatchRecommendRequest {
                id: next,
                request: Some(request),
            };
            self.waiting.insert(next, user);
            next += 1;
            if requests.send(numbered).await.is_err() {
                bail!(Status::unavailable("the scorer left the stream"));
            }
        }
        Ok(next)
    }

    /// Puts somebody back whom there was no room for; notes who is refused.
    async fn failed(
        &mut self,
        user: String,
        failure: &Failure,
    ) -> anyhow::Result<()> {
        let code = Code::from_i32(failure.code);
        let why = Status::new(code, failure.message.clone());
        let is_about_all = matches!(
            code,
            Code::NotFound | Code::FailedPrecondition | Code::DataLoss
        );
        if is_about_all {
            bail!(why);
        }
        if is_passing(&why) || code == Code::ResourceExhausted {
            if self.batch.last_answer.elapsed() > PATIENCE {
                bail!(why);
            }
            self.batch.users.push_back(user);
            tokio::time::sleep(PAUSE).await;
        } else {
            self.refused.push(Refused { user, why });
        }
        Ok(())
    }
}
