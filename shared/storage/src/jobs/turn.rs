//! Turns: whoever adds to what is counted in a queue with a limit takes a turn, so
//! that two coordinators never add upon the same count.

use domain::QueueName;

use crate::error::Error;
use crate::jobs::Jobs;
use crate::store::Commit;

const TURNS: &str = "job-queue-turns";

/// The right to add to a queue, as long as nobody else has since it was asked
/// for.
#[derive(Debug, Clone)]
pub struct Turn {
    queue: QueueName,
    before: Option<Vec<u8>>,
}

impl Turn {
    /// Lets a commit go through only where nobody took a turn since, and takes
    /// one.
    pub(super) fn take(&self, commit: &mut Commit) {
        let queue = self.queue.as_str();
        commit.check(TURNS, queue, self.before.clone());
        let mine = uuid::Uuid::now_v7().as_bytes().to_vec();
        commit.set(TURNS, queue, mine);
    }
}

impl Jobs {
    /// Asks for a turn; what is counted afterwards holds until it is taken.
    pub async fn turn(&self, queue: &QueueName) -> Result<Turn, Error> {
        Ok(Turn {
            queue: queue.clone(),
            before: self.store.get(TURNS, queue.as_str()).await?,
        })
    }
}
