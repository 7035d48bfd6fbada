//! `BatchRecommend`: the requests of a stream, so many at once; each waits while the scorer is
//! busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Priority;
use futures::{Stream, StreamExt};
use proto::Asked;
use tokio::sync::Semaphore;

use crate::Error;
use crate::gate::{Call, Caller};

/// Requests of one stream that are worked on at once.
const AT_ONCE: usize = 32;
/// Item ids that they hold, but for a request that alone has more: 6 MB.
const MAX_IDS: usize = 20_000;
/// A request is tried again for so long while too much is waiting.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// What came of a request, by its number; the outer error ends the stream.
pub(crate) type Numbered<T, E> = Result<(u64, Result<T, Error>), E>;

/// The answers to a stream of requests, as they come. The stream is inside for as long as this is
/// kept, and is read no further than its requests find room.
pub(crate) fn answers<T, E, A>(
    requests: impl Stream<Item = Numbered<Asked, E>> + Send,
    stream: Call,
    answer: impl Fn(Asked, Caller) -> A + Clone + Send,
) -> impl Stream<Item = Numbered<T, E>> + Send
where
    T: Send,
    E: Send,
    A: Future<Output = Result<T, Error>> + Send,
{
    let room = Arc::new(Semaphore::new(MAX_IDS));
    let with_room = requests.then(move |request| {
        let room = Arc::clone(&room);
        async move {
            let (number, asked) = request?;
            let n_ids = asked
                .as_ref()
                .map_or(0, |asked| asked.query.n_ids())
                .min(MAX_IDS);
            // Nobody closes it.
            let place = room.acquire_many_owned(n_ids as u32).await.ok();
            Ok((number, asked, place))
        }
    });
    let answers = with_room.map(move |request| {
        let (answer, caller) = (answer.clone(), stream.caller.clone());
        async move {
            let (number, asked, _place) = request?;
            let answer = match asked {
                Ok(asked) => patient(asked, caller, answer).await,
                Err(error) => Err(error),
            };
            Ok((number, answer))
        }
    });
    answers.buffer_unordered(AT_ONCE)
}

/// The answer to one request; `INTERACTIVE` ones go before it.
async fn patient<T, A>(
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
            Err(Error::Overloaded { retry_after }) if Instant::now() + retry_after < caller.by => {
                tokio::time::sleep(retry_after).await;
            }
            other => return other,
        }
    }
}
