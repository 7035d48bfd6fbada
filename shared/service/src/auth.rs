//! A static bearer token, checked on the server and sent by the client.

use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The token that a server wants with each call, or none.
#[derive(Clone)]
pub struct Token {
    /// The header that calls must have; empty: no call needs one.
    expected: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Refuses calls that do not carry `token`; an empty one lets all calls in.
    pub fn required(token: &str) -> Self {
        let expected = if token.is_empty() {
            String::new()
        } else {
            format!("Bearer {token}")
        };
        Self { expected }
    }
}

impl Interceptor for Token {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let given = request.metadata().get("authorization");
        let given = given.map(MetadataValue::as_bytes).unwrap_or_default();
        if self.expected.is_empty()
            || bool::from(given.ct_eq(self.expected.as_bytes()))
        {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "a valid bearer token is required: set `authorization: Bearer …`",
        ))
    }
}

/// Puts a client's token on every call it makes.
#[derive(Debug, Clone)]
pub struct SendToken {
    value: Option<MetadataValue<Ascii>>,
}

impl SendToken {
    pub(crate) fn new(
        token: &str,
    ) -> Result<Self, tonic::metadata::errors::InvalidMetadataValue> {
        if token.is_empty() {
            return Ok(Self { value: None });
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse()?;
        value.set_sensitive(true);
        Ok(Self { value: Some(value) })
    }
}

impl Interceptor for SendToken {
    fn call(
        &mut self,
        mut request: Request<()>,
    ) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}
