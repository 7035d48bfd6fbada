//! A static bearer token, checked on the server and sent by the client.

use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// A token; empty means that none is wanted or sent.
#[derive(Clone)]
pub struct Token {
    expected: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A server's side: refuses calls without the token.
    pub fn required(token: &str) -> Self {
        Self {
            expected: if token.is_empty() {
                String::new()
            } else {
                format!("Bearer {token}")
            },
        }
    }
}

impl Interceptor for Token {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = request
            .metadata()
            .get("authorization")
            .map(MetadataValue::as_bytes)
            .unwrap_or_default();
        if self.expected.is_empty() || bool::from(given.ct_eq(self.expected.as_bytes())) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "a valid bearer token is required: set `authorization: Bearer …`",
        ))
    }
}

/// A client's side: puts the token on every call.
#[derive(Debug, Clone)]
pub struct SendToken {
    value: Option<MetadataValue<Ascii>>,
}

impl SendToken {
    pub(crate) fn new(token: &str) -> Result<Self, tonic::metadata::errors::InvalidMetadataValue> {
        if token.is_empty() {
            return Ok(Self { value: None });
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        value.set_sensitive(true);
        Ok(Self { value: Some(value) })
    }
}

impl Interceptor for SendToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}
