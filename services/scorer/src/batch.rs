//! `BatchRecommend`: the requests of a stream, so many at once; each waits while the scorer is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Invalid, Priority, Query};
use futures::{Stream, StreamExt};
use proto::pb;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::Error;
use crate::gate::{Call, Caller};
use crate::rpc::Recommendations;

/// Requests of one stream that are worked on at once.
const AT_ONCE: usize = 32;
/// Item ids that they hold, but for a request that alone has more: 6 MB.
const MAX_IDS: u32 = 20_000;
/// A request is tried again for so long while too much is waiting.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// A request of a stream, by its number.
pub(crate) type Numbered = (u64, Result<Query, Invalid>);
/// Its answer.
pub(crate) type Answered = (u64, Result<pb::RecommendResponse, Error>);

impl Recommendations {
    /// The answers to a stream of requests, as they come. The stream is inside for as long as this is kept, and is read
    /// no further than its requests find room.
    pub(crate) fn answers(
        self,
        requests: impl Stream<Item = Result<Numbered, Status>> + Send,
        stream: Call,
    ) -> impl Stream<Item = Result<Answered, Status>> + Send {
        let room = Arc::new(Semaphore::new(MAX_IDS as usize));
        let with_room = requests.then(move |request| {
            let room = Arc::clone(&room);
            async move {
                let (number, query) = request?;
                let n_ids = query.as_ref().map_or(0, Query::n_ids);
                let n_permits = u32::try_from(n_ids).map_or(MAX_IDS, |n| n.clamp(1, MAX_IDS));
                let place =
                    room.acquire_many_owned(n_permits).await.map_err(|_| Status::cancelled("the stream ended"))?;
                Ok::<_, Status>((number, query, place))
            }
        });
        let answers = with_room.map(move |request| {
            let (this, caller) = (self.clone(), stream.caller.clone());
            async move {
                let (number, query, _place) = request?;
                let answer = match this.counted(query) {
                    Ok(query) => this.answer_patiently(query, caller).await,
                    Err(error) => Err(error),
                };
                Ok((number, answer))
            }
        });
        answers.buffer_unordered(AT_ONCE)
    }

    /// The answer to one request of a stream; `INTERACTIVE` requests go before it.
    async fn answer_patiently(&self, query: Query, caller: Caller) -> Result<pb::RecommendResponse, Error> {
        let caller = Caller { by: Instant::now() + TRIED_FOR, priority: Priority::Batch, ..caller };
        loop {
            let answered = async { self.answer(query.clone(), &self.enter(caller.clone())?).await };
            match answered.await {
                Err(Error::Overloaded { retry_after }) if Instant::now() + retry_after < caller.by => {
                    tokio::time::sleep(retry_after).await;
                }
                other => return other,
            }
        }
    }
}
