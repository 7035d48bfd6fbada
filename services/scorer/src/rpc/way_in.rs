//! How the calls of a service come in and are counted.

use std::time::{Duration, Instant};

use domain::Priority;
use tonic::Request;

use crate::admission::caller::{Caller, Client};
use crate::admission::gate::{Call, Gate};
use crate::counters::Counters;
use crate::error::Error;

/// The metadata key by which a client names itself.
const CLIENT_ID: &str = "client-id";
/// Longest name of a client, in characters, that tells it apart from others.
const LONGEST_NAME: usize = 64;

/// The gate of a service, and the counters of what becomes of its calls.
#[derive(Debug, Clone)]
pub(crate) struct WayIn {
    pub(crate) gate: Gate,
    pub(crate) counters: Counters,
    /// Time for a call that names no deadline.
    pub(crate) default_deadline: Duration,
}

impl WayIn {
    /// Lets a request in, or refuses it at once: before anything is made of it.
    pub(super) fn admit<T>(
        &self,
        request: &Request<T>,
        priority: Priority,
    ) -> Result<Call, Error> {
        let caller = self.caller(request, priority);
        self.enter(caller)
    }

    pub(super) fn enter(&self, caller: Caller) -> Result<Call, Error> {
        self.counted(self.gate.enter(caller))
    }

    pub(super) fn counted<T>(
        &self,
        result: Result<T, impl Into<Error>>,
    ) -> Result<T, Error> {
        self.counters.counted(result)
    }

    /// Who calls, by their own name or by their address, and until when.
    pub(super) fn caller<T>(
        &self,
        request: &Request<T>,
        priority: Priority,
    ) -> Caller {
        let deadline = service::deadline(request.metadata())
            .unwrap_or(self.default_deadline);
        let name = client_name(request);
        let name: String = name.chars().take(LONGEST_NAME).collect();
        Caller {
            client: name.into(),
            by: Instant::now() + deadline,
            priority,
        }
    }
}

/// Where a request comes from, which its client does not choose: whose token it
/// carries, and the address.
pub(super) fn origin<T>(request: &Request<T>) -> Client {
    let holder = request.extensions().get::<service::Holder>();
    let holder = holder.map_or("", service::Holder::name);
    format!("{holder}@{}", address(request)).into()
}

fn address<T>(request: &Request<T>) -> String {
    let address = request.remote_addr();
    address
        .map(|address| address.ip().to_string())
        .unwrap_or_default()
}

fn client_name<T>(request: &Request<T>) -> String {
    let own = request.metadata().get(CLIENT_ID);
    if let Some(name) = own.and_then(|name| name.to_str().ok()) {
        return name.to_owned();
    }
    address(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_chooses_its_name_and_not_its_origin() {
        let mut request = Request::new(());
        let before = origin(&request);
        request
            .metadata_mut()
            .insert(CLIENT_ID, "somebody else".parse().unwrap());
        assert_eq!(client_name(&request), "somebody else");
        assert_eq!(origin(&request), before);
    }
}
