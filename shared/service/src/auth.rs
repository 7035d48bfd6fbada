//! A bearer token, sent with each call.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

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
