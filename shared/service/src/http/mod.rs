//! HTTP with JSON on the ports of gRPC: a request that is none of gRPC's
//! becomes one, goes the same way (token, roles, bounds, deadline), and its
//! answer becomes JSON. Which path is which method stands in the wire's own
//! definition (`google.api.http`), and so nothing here knows a method.

/// Makes JSON of what a method answers.
mod answer;
/// Is in front of a port's services, and tells JSON from gRPC.
mod layer;
/// Describes the paths for programs: OpenAPI.
mod openapi;
/// Refuses browsers that were sent by somebody else's page.
mod origin;
/// Makes a problem (RFC 9457) of a status.
mod problem;
/// Makes a method's request of a path, a query and a body.
mod request;
/// Says what every answer says beside its body.
mod response;
/// Finds the method for a path.
mod routes;

pub(crate) use layer::JsonLayer;
pub use openapi::openapi;
pub use origin::check_origin;
