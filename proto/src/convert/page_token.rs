//! The tokens with which a list goes on: opaque to clients, and each fits one
//! request only.

use domain::{Invalid, ModelVersion, Page};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::pb;

/// The pages of one request's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Tells apart requests whose pages are of different lists.
    digest: u64,
}

impl Pages {
    /// Looks at what a request asks for, without what may differ from page to
    /// page: that is set aside meanwhile, so that nothing of a size that the
    /// client chose is copied.
    pub(crate) fn of(request: &mut pb::RecommendRequest) -> Self {
        let varying = pb::RecommendRequest {
            page_token: std::mem::take(&mut request.page_token),
            k: request.k.take(),
            priority: std::mem::take(&mut request.priority),
            max_staleness: request.max_staleness.take(),
            explain: std::mem::take(&mut request.explain),
            ..pb::RecommendRequest::default()
        };

        let hash = Sha256::digest(request.encode_to_vec());
        request.page_token = varying.page_token;
        request.k = varying.k;
        request.priority = varying.priority;
        request.max_staleness = varying.max_staleness;
        request.explain = varying.explain;
        let first = hash.first_chunk();
        Self {
            digest: first.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        }
    }

    /// Makes the token of a page: `{version}.{at_ms}.{offset}.{digest}`.
    pub(crate) fn token(self, page: &Page) -> String {
        let Page {
            version,
            at_ms,
            offset,
        } = page;
        format!("{version}.{at_ms}.{offset}.{:016x}", self.digest)
    }

    /// Reads a token; `None` for an empty one, which is the first page's.
    pub(crate) fn page(self, token: &str) -> Result<Option<Page>, Invalid> {
        if token.is_empty() {
            return Ok(None);
        }

        let Some(token) = Token::read(token) else {
            let reason = "is no token of an answer; start again without one";
            return Err(Invalid::one("page_token", reason));
        };

        if token.pages != self {
            let reason =
                "is of another request; only `k` may differ from page to page";
            return Err(Invalid::one("page_token", reason));
        }

        Ok(Some(token.page))
    }
}

/// A page, and the list that it is of.
struct Token {
    page: Page,
    pages: Pages,
}

impl Token {
    fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let version = ModelVersion::new(parts.next()?).ok()?;
        let at_ms = parts.next()?.parse().ok()?;
        let offset = parts.next()?.parse().ok()?;
        let digest = u64::from_str_radix(parts.next()?, 16).ok()?;
        if parts.next().is_some() || offset >= Page::LAST {
            return None;
        }

        let page = Page {
            version,
            at_ms,
            offset,
        };

        Some(Self {
            page,
            pages: Pages { digest },
        })
    }
}
