//! `BatchRecommend`: the requests of a stream, so many at once; each waits
//! while the scorer is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Priority;
use futures::{Stream, StreamExt};
use proto::Asked;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admission::caller::Caller;
use crate::admission::gate::Call;
use crate::error::Error;

/// Requests of one stream that are worked on at once.
const AT_ONCE: usize = 32;
/// Item ids that they hold, but for a request that alone has more: 6 MB.
const MAX_IDS: usize = 20_000;
/// A request is tried again for so long while too much is waiting.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// A request of a stream or its answer, or why there is none, by the client's
/// number for it.
pub(super) struct Numbered<T> {
    pub(super) number: u64,
    pub(super) result: Result<T, Error>,
}

/// A request that has found room for its ids.
struct Held {
    request: Numbered<Asked>,
    /// Given back when the request is answered.
    _room: Option<OwnedSemaphorePermit>,
}

/// The answers to a stream of requests, as they come; an error of the stream
/// itself ends it. The stream is inside for as long as this is kept, and is
/// read no further than its requests find room.
pub(super) fn answers<T, E, A>(
    requests: impl Stream<Item = Result<Numbered<Asked>, E>> + Send,
    stream: Call,
    answer: impl Fn(Asked, Caller) -> A + Clone + Send,
) -> impl Stream<Item = Result<Numbered<T>, E>> + Send
where
    T: Send,
    E: Send,
    A: Future<Output = Result<T, Error>> + Send,
{
    let room = Arc::new(Semaphore::new(MAX_IDS));
    let with_room = requests.then(move |request| {
        let room = Arc::clone(&room);
        async move { Ok(hold(request?, room).await) }
    });
    let answers = with_room.map(move |held: Result<Held, E>| {
        let answer = answer.clone();
        let caller = stream.caller.clone();
        async move { Ok(answered(held?, caller, answer).await) }
    });
    answers.buffer_unordered(AT_ONCE)
}

async fn hold(request: Numbered<Asked>, room: Arc<Semaphore>) -> Held {
    let asked = request.result.as_ref();
    let n_ids = asked.map_or(0, |asked| asked.query.n_ids());
    let n_ids = n_ids.min(MAX_IDS) as u32;
    // Nobody closes it.
    let room = room.acquire_many_owned(n_ids).await.ok();
    Held {
        request,
        _room: room,
    }
}

async fn answered<T, A>(
    held: Held,
    caller: Caller,
    answer: impl Fn(Asked, Caller) -> A,
) -> Numbered<T>
where
    A: Future<Output = Result<T, Error>>,
{
    let Numbered { number, result } = held.request;
    let result = match result {
        Ok(asked) => patient_answer(asked, caller, answer).await,
        Err(error) => Err(error),
    };
    Numbered { number, result }
}

/// The answer to one request, asked for again while the scorer is busy;
/// `INTERACTIVE` ones go before it.
async fn patient_answer<T, A>(
    asked: Asked,
    caller: Caller,
    answer: impl Fn(Asked, Caller) -> A,
) -> Result<T, Error>
where
    A: Future<Output = Result<T, Error>>,
{
    let caller = Caller {
        by: Instant::now() + TRIED_FOR,
        priority: Priority::Batch,
        ..caller
    };
    loop {
        match answer(asked.clone(), caller.clone()).await {
            Err(Error::Overloaded { retry_after })
                if Instant::now() + retry_after < caller.by =>
            {
                tokio::time::sleep(retry_after).await;
            }
            other => return other,
        }
    }
}
