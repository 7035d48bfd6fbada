//! A connection to a scorer that, where that is wanted, stays away for as long as the scorer asks.

use std::sync::{Arc, Mutex, PoisonError};

use proto::pb::recommendation_service_client::RecommendationServiceClient;
use service::client::Connection;
use tokio::time::Instant;
use tonic::Status;

pub(crate) type Stub = RecommendationServiceClient<Connection>;

/// A connection; its clones stay away together.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) stub: Stub,
    /// Until when the scorer is left alone; `None`: its hints are not heeded.
    pause: Option<Arc<Mutex<Instant>>>,
}

impl Client {
    pub(crate) fn new(stub: Stub, heeds_hints: bool) -> Self {
        Self { stub, pause: heeds_hints.then(|| Arc::new(Mutex::new(Instant::now()))) }
    }

    /// True during a pause.
    pub(crate) fn is_held_back(&self) -> bool {
        self.pause.as_ref().is_some_and(|until| *until.lock().unwrap_or_else(PoisonError::into_inner) > Instant::now())
    }

    /// Makes a pause as long as a refusal's `RetryInfo` says.
    pub(crate) fn heed<T>(&self, answer: &Result<T, Status>) {
        if let (Some(until), Err(status)) = (&self.pause, answer)
            && let Some(retry_after) = proto::retry_after(status)
        {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + retry_after;
        }
    }
}
