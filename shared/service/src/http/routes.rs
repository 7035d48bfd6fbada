//! Which method a path stands for: the options `google.api.http` of a
//! descriptor pool, as a table.

use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use tonic::codegen::http::Method;

/// The verbs of `google.api.HttpRule`.
const VERBS: [(&str, Method); 5] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("patch", Method::PATCH),
];

/// One way to call a method.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) verb: Method,
    pub(super) template: Template,
    /// Whether the body holds all fields that the path does not; else there is
    /// none, and the query may have them.
    pub(super) has_body: bool,
    pub(super) method: MethodDescriptor,
}

impl Route {
    /// `/package.Service/Method`.
    pub(super) fn grpc_path(&self) -> String {
        let service = self.method.parent_service().full_name();
        format!("/{service}/{}", self.method.name())
    }
}

/// All ways of a descriptor pool, in the order of the definition.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

/// What a path asks for.
pub(super) enum Found<'a> {
    /// A method, with the fields that the path gives, by name.
    Route(&'a Route, Vec<(String, String)>),
    /// The path is one, but with other verbs.
    OtherVerbs(Vec<&'a Method>),
    /// No path of ours.
    Nothing,
}

impl Routes {
    pub(super) fn of(pool: &DescriptorPool) -> anyhow::Result<Self> {
        let mut routes = Vec::new();
        let Some(http) = pool.get_extension_by_name("google.api.http") else {
            return Ok(Self(routes));
        };
        for service in pool.services() {
            for method in service.methods() {
                let options = method.options();
                if !options.has_extension(&http) {
                    continue;
                }
                let rule = options.get_extension(&http);
                let Some(rule) = rule.as_message() else {
                    continue;
                };
                routes.push(route(&method, rule)?);
            }
        }
        Ok(Self(routes))
    }

    pub(super) fn all(&self) -> &[Route] {
        &self.0
    }

    pub(super) fn find(&self, verb: &Method, path: &str) -> Found<'_> {
        let mut others = Vec::new();
        for route in &self.0 {
            let Some(fields) = route.template.fields_of(path) else {
                continue;
            };
            if route.verb == verb {
                return Found::Route(route, fields);
            }
            others.push(&route.verb);
        }
        if others.is_empty() {
            Found::Nothing
        } else {
            Found::OtherVerbs(others)
        }
    }
}

fn route(
    method: &MethodDescriptor,
    rule: &DynamicMessage,
) -> anyhow::Result<Route> {
    let name = method.full_name();
    let text = |field: &str| {
        let value = rule.get_field_by_name(field)?;
        value.as_str().map(str::to_owned)
    };
    let body = text("body").unwrap_or_default();
    anyhow::ensure!(
        body.is_empty() || body == "*",
        "{name}: a body that is one field ({body}) is not understood"
    );
    let further = rule.get_field_by_name("additional_bindings");
    let further = further.as_deref().and_then(Value::as_list);
    anyhow::ensure!(
        further.is_none_or(<[_]>::is_empty),
        "{name}: further bindings are not understood"
    );
    for (field, verb) in VERBS {
        let Some(path) = text(field).filter(|path| !path.is_empty()) else {
            continue;
        };
        return Ok(Route {
            verb,
            template: Template::parse(&path)?,
            has_body: !body.is_empty(),
            method: method.clone(),
        });
    }
    anyhow::bail!("{name} has an HTTP rule without a path")
}

/// A path with fields in it, such as `/v1/{name=jobs/*}:cancel`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Segment>,
    /// What stands behind the last segment, without its colon.
    verb: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// A field whose value is `prefix/` and one segment.
    Field {
        name: String,
        prefix: Option<String>,
    },
}

impl Template {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let (path, verb) = match text.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['}', '/']) => (path, verb),
            _ => (text, ""),
        };
        let mut segments = Vec::new();
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        while !rest.is_empty() {
            let Some(inside) = rest.strip_prefix('{') else {
                let (literal, after) =
                    rest.split_once('/').unwrap_or((rest, ""));
                segments.push(Segment::Literal(literal.to_owned()));
                rest = after;
                continue;
            };
            let Some((field, after)) = inside.split_once('}') else {
                anyhow::bail!("{text}: a field without its end");
            };
            segments.push(field_segment(text, field)?);
            rest = after.strip_prefix('/').unwrap_or(after);
        }
        Ok(Self {
            segments,
            verb: verb.to_owned(),
        })
    }

    /// The fields that a path gives; `None` where it is another one's.
    fn fields_of(&self, path: &str) -> Option<Vec<(String, String)>> {
        let path = path.strip_prefix('/')?;
        let path = if self.verb.is_empty() {
            path
        } else {
            path.strip_suffix(&self.verb)?.strip_suffix(':')?
        };
        let mut given = path.split('/');
        let mut fields = Vec::new();
        for segment in &self.segments {
            let next = given.next()?;
            match segment {
                Segment::Literal(literal) if literal == next => {}
                Segment::Literal(_) => return None,
                Segment::Field { name, prefix: None } => {
                    fields.push((name.clone(), decoded(next)?));
                }
                Segment::Field {
                    name,
                    prefix: Some(prefix),
                } => {
                    if prefix != next {
                        return None;
                    }
                    let last = decoded(given.next()?)?;
                    fields.push((name.clone(), format!("{prefix}/{last}")));
                }
            }
        }
        given.next().is_none().then_some(fields)
    }

    /// The path as OpenAPI writes it, and for each field its name and what
    /// stands before its value: `/v1/jobs/{job}:cancel`.
    pub(super) fn parts(&self) -> (String, Vec<(&str, Option<&str>)>) {
        let mut path = String::new();
        let mut fields = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => {
                    path.push_str(&format!("/{literal}"))
                }
                Segment::Field { name, prefix } => {
                    if let Some(prefix) = prefix {
                        path.push_str(&format!("/{prefix}"));
                    }
                    path.push_str(&format!("/{{{name}}}"));
                    fields.push((name.as_str(), prefix.as_deref()));
                }
            }
        }
        if !self.verb.is_empty() {
            path.push_str(&format!(":{}", self.verb));
        }
        (path, fields)
    }
}

fn field_segment(template: &str, field: &str) -> anyhow::Result<Segment> {
    let Some((name, pattern)) = field.split_once('=') else {
        return Ok(Segment::Field {
            name: field.to_owned(),
            prefix: None,
        });
    };
    let prefix = pattern.strip_suffix("/*");
    let prefix = prefix.filter(|prefix| !prefix.contains(['/', '*']));
    let Some(prefix) = prefix else {
        anyhow::bail!("{template}: {pattern} is not `name/*`");
    };
    Ok(Segment::Field {
        name: name.to_owned(),
        prefix: Some(prefix.to_owned()),
    })
}

/// A segment's text; `None` where it is empty or no text.
fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        Template::parse(template).unwrap().fields_of(path)
    }

    fn field(name: &str, value: &str) -> Option<Vec<(String, String)>> {
        Some(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_template_takes_its_own_paths_and_no_others() {
        let cancel = "/v1/{name=jobs/*}:cancel";
        assert_eq!(
            fields(cancel, "/v1/jobs/a:cancel"),
            field("name", "jobs/a")
        );
        assert_eq!(fields(cancel, "/v1/jobs/a:retry"), None);
        assert_eq!(fields(cancel, "/v1/jobs:cancel"), None);
        assert_eq!(fields(cancel, "/v1/models/a:cancel"), None);
        let history = "/v1/users/{user_id}/history";
        let anna = field("user_id", "anna/b c");
        assert_eq!(fields(history, "/v1/users/anna%2Fb%20c/history"), anna);
        assert_eq!(fields(history, "/v1/users//history"), None);
        assert_eq!(fields(history, "/v1/users/anna/history/more"), None);
        assert_eq!(fields("/v1/jobs", "/v1/jobs"), Some(Vec::new()));
        // A colon in an id is the id's own.
        let user = "/v1/users/{user_id}";
        assert_eq!(fields(user, "/v1/users/a:b"), field("user_id", "a:b"));
    }

    #[test]
    fn a_template_that_is_not_understood_is_refused() {
        assert!(Template::parse("/v1/{name=**}").is_err());
        assert!(Template::parse("/v1/{name").is_err());
    }
}
