//! Who may call what: the tokens of a port, and the roles that each method
//! wants.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::server::TcpConnectInfo;
use tower_layer::Layer;

use crate::places::Places;
use crate::port::{ADMIN, Port, PortError, opens};

/// The methods of an API by their paths (`/package.Service/Method`), with the
/// roles that may call each. A method that is not in it wants a valid token and
/// no role.
pub type Access = &'static [(&'static str, &'static [&'static str])];

/// Whether a process is alive is no secret.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Within this time a question for the health must be whole.
const HEALTH_TIME: Duration = Duration::from_secs(5);
/// How many may ask for it at a time, three quarters of them from one address.
/// Each takes 9 kB while its question is not whole.
const MOST_ASKING: usize = 256;

/// Whose token a call carries, and what it opens; an extension of each request.
#[derive(Debug, Clone)]
pub struct Holder {
    name: Arc<str>,
    roles: Arc<[String]>,
}

impl Holder {
    fn new(name: &str, roles: &[String]) -> Self {
        Self {
            name: name.into(),
            roles: roles.into(),
        }
    }

    /// Whose token it was; `anybody` where none is wanted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the token has a role.
    pub fn has(&self, role: &str) -> bool {
        opens(&self.roles, role)
    }
}

/// Lets calls in that carry a token with the right role.
#[derive(Clone)]
pub(crate) struct RoleCheck {
    keys: Arc<Keys>,
}

struct Keys {
    /// Each header that lets somebody in; none: everybody may do everything.
    headers: Vec<(String, Holder)>,
    anybody: Holder,
    access: Access,
    /// Of those who ask for the health.
    asking: Arc<Places>,
}

impl RoleCheck {
    /// The check of a port.
    ///
    /// # Errors
    /// A token is blank or somebody else's, or a role is none.
    pub(crate) fn of(port: &Port, access: Access) -> Result<Self, PortError> {
        let mut headers = Vec::new();
        let is_blank = |token: &str| token.trim().is_empty();
        if !port.token.is_empty() {
            if is_blank(&port.token) {
                return Err(PortError::Token {
                    name: "token".to_owned(),
                    reason: "it is blank".to_owned(),
                });
            }
            let owner = Holder::new("token", &[ADMIN.to_owned()]);
            headers.push((header(&port.token), owner));
        }
        let mut known: BTreeSet<&str> = access
            .iter()
            .flat_map(|(_, roles)| roles.iter().copied())
            .collect();
        known.insert(ADMIN);
        for (name, named) in &port.tokens {
            let wrong = |reason: String| PortError::Token {
                name: name.clone(),
                reason,
            };
            if is_blank(&named.token) {
                return Err(wrong("its `token` is blank".to_owned()));
            }
            let unknown =
                named.roles.iter().find(|role| !known.contains(&***role));
            if named.roles.is_empty() || unknown.is_some() {
                let known: Vec<&str> = known.iter().copied().collect();
                return Err(wrong(format!(
                    "`roles` must be some of {}",
                    known.join(", ")
                )));
            }
            let value = header(&named.token);
            if headers.iter().any(|(other, _)| *other == value) {
                return Err(wrong("another one has the same token".to_owned()));
            }
            headers.push((value, Holder::new(name, &named.roles)));
        }
        Ok(Self {
            keys: Arc::new(Keys {
                headers,
                anybody: Holder::new("anybody", &[ADMIN.to_owned()]),
                access,
                asking: Arc::new(Places::new(MOST_ASKING)),
            }),
        })
    }
}

impl RoleCheck {
    /// Whether calls need a token.
    pub(crate) fn wants_token(&self) -> bool {
        !self.keys.headers.is_empty()
    }

    /// Lets in who may see what is at a path beside the methods: whoever has a
    /// token.
    pub(crate) fn admit(
        &self,
        path: &str,
        headers: &http::HeaderMap,
    ) -> Result<(), Status> {
        self.keys.holder(path, headers).map(drop)
    }
}

fn header(token: &str) -> String {
    format!("Bearer {token}")
}

impl Keys {
    /// Whose token opens a method; refuses those who may not call it.
    fn holder(
        &self,
        path: &str,
        headers: &http::HeaderMap,
    ) -> Result<Holder, Status> {
        if self.headers.is_empty() || path.starts_with(HEALTH) {
            return Ok(self.anybody.clone());
        }
        let given = headers.get(http::header::AUTHORIZATION);
        let given = given.map(|value| value.as_bytes()).unwrap_or_default();
        let mut found = None;
        // All are compared: how long it takes says nothing of the token.
        for (header, holder) in &self.headers {
            if bool::from(given.ct_eq(header.as_bytes())) {
                found = Some(holder);
            }
        }
        let Some(holder) = found else {
            return Err(Status::unauthenticated(
                "a valid bearer token is required: set `authorization: Bearer …`",
            ));
        };
        let wanted = self.access.iter().find(|(method, _)| *method == path);
        let Some((_, roles)) = wanted else {
            return Ok(holder.clone());
        };
        if roles.iter().any(|role| holder.has(role)) {
            return Ok(holder.clone());
        }
        Err(Status::permission_denied(format!(
            "the token of `{}` may not call {path}: that takes a role of {}",
            holder.name,
            roles.join(", ")
        )))
    }
}

impl<S> Layer<S> for RoleCheck {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Checked {
            inner,
            keys: Arc::clone(&self.keys),
        }
    }
}

/// The address of a request's connection.
fn peer(extensions: &http::Extensions) -> Option<SocketAddr> {
    let info = extensions.get::<TcpConnectInfo>()?;
    info.remote_addr()
}

/// A service behind the check.
#[derive(Clone)]
pub(crate) struct Checked<S> {
    inner: S,
    keys: Arc<Keys>,
}

impl<S> Service<http::Request<Body>> for Checked<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let is_health = path.starts_with(HEALTH);
        match self.keys.holder(path, request.headers()) {
            Ok(_) if is_health => self.health(request),
            Ok(holder) => {
                request.extensions_mut().insert(holder);
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}

impl<S> Checked<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    /// Answers a question for the health, which wants no token: only so many
    /// are asked at a time, and each must be whole soon.
    fn health(
        &mut self,
        request: http::Request<Body>,
    ) -> BoxFuture<S::Response, S::Error> {
        let mut place = None;
        if let Some(peer) = peer(request.extensions()) {
            place = Places::take(&self.keys.asking, peer);
            if place.is_none() {
                let status = Status::resource_exhausted(
                    "too many ask for the health at a time",
                );
                return Box::pin(async move { Ok(status.into_http()) });
            }
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _until_answered = place;
            match tokio::time::timeout(HEALTH_TIME, answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded(
                    "the request did not come to its end",
                )
                .into_http()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::NamedToken;
    use tonic::Code;

    const ACCESS: Access = &[
        ("/s/Read", &["reader", "writer"]),
        ("/s/Write", &["writer"]),
    ];

    fn port(tokens: &[(&str, &str, &[&str])]) -> Port {
        let named = |(name, token, roles): &(&str, &str, &[&str])| {
            let token = NamedToken {
                token: (*token).to_owned(),
                roles: roles.iter().map(|&role| role.to_owned()).collect(),
            };
            ((*name).to_owned(), token)
        };
        Port {
            address: "127.0.0.1:1".parse().unwrap(),
            token: "owner's".to_owned(),
            tokens: tokens.iter().map(named).collect(),
            tls: None,
            insecure: false,
        }
    }

    fn code(check: &RoleCheck, path: &str, token: &str) -> Code {
        let mut headers = http::HeaderMap::new();
        headers.insert("authorization", header(token).parse().unwrap());
        let holder = check.keys.holder(path, &headers);
        holder.err().map_or(Code::Ok, |status| status.code())
    }

    #[test]
    fn a_token_opens_what_its_roles_may_call() {
        let tokens: [(&str, &str, &[&str]); 2] =
            [("shop", "r", &["reader"]), ("import", "w", &["writer"])];
        let check = RoleCheck::of(&port(&tokens), ACCESS).unwrap();
        for (token, read, write, other) in [
            ("owner's", Code::Ok, Code::Ok, Code::Ok),
            ("r", Code::Ok, Code::PermissionDenied, Code::Ok),
            ("w", Code::Ok, Code::Ok, Code::Ok),
            (
                "",
                Code::Unauthenticated,
                Code::Unauthenticated,
                Code::Unauthenticated,
            ),
        ] {
            assert_eq!(code(&check, "/s/Read", token), read, "{token}");
            assert_eq!(code(&check, "/s/Write", token), write, "{token}");
            assert_eq!(code(&check, "/reflection/x", token), other, "{token}");
            let health = "/grpc.health.v1.Health/Check";
            assert_eq!(code(&check, health, token), Code::Ok);
        }
    }

    #[test]
    fn a_token_that_is_no_use_or_no_secret_is_refused_at_the_start() {
        let refusal = |tokens: &[(&str, &str, &[&str])]| {
            let refused = RoleCheck::of(&port(tokens), ACCESS).err();
            refused.map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal(&[("a", "x", &["reader"])]), "");
        assert!(refusal(&[("a", "", &["reader"])]).contains("is blank"));
        assert!(refusal(&[("a", " ", &["reader"])]).contains("is blank"));
        let unknown = refusal(&[("a", "x", &["redaer"])]);
        assert!(unknown.contains("admin, reader, writer"), "{unknown}");
        assert!(refusal(&[("a", "x", &[])]).contains("`roles` must be"));
        let same = [("a", "x", &["reader"][..]), ("b", "x", &["writer"][..])];
        assert!(refusal(&same).contains("the same token"));
    }
}
