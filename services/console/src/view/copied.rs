//! A request as programs and terminals send it.

use serde_json::Value;

/// What a request is made of.
pub(crate) struct Copied<'a> {
    /// The request as JSON.
    pub(crate) body: &'a Value,
    /// Where the scorer is.
    pub(crate) url: &'a str,
    /// Whether it takes a token.
    pub(crate) has_token: bool,
}

impl Copied<'_> {
    pub(crate) fn curl(&self) -> String {
        let token = self.token();
        format!(
            "curl {}/v1/recommend -H 'content-type: application/json' {token}-d {}",
            self.url,
            quoted(&self.body.to_string())
        )
    }

    pub(crate) fn grpcurl(&self) -> String {
        let (scheme, address) =
            self.url.split_once("://").unwrap_or(("http", self.url));
        let plaintext = if scheme == "https" { "" } else { "-plaintext " };
        let token = self.token();
        format!(
            "grpcurl {plaintext}{token}-d {} {address} cllm4rec.v1.RecommendationService/Recommend",
            quoted(&self.body.to_string())
        )
    }

    pub(crate) fn python(&self) -> String {
        let mut arguments = Vec::new();
        let fields = self.body.as_object().into_iter().flatten();
        for (name, value) in fields {
            let value = match (name.as_str(), value) {
                ("history", Value::Array(items)) => {
                    let ids = items.iter().map(|item| python(&item["item_id"]));
                    format!("[{}]", ids.collect::<Vec<_>>().join(", "))
                }
                (_, value) => python(value),
            };
            let name = if name == "user_id" { "user" } else { name };
            arguments.push(format!("{name}={value}"));
        }
        let token = if self.has_token {
            ", token=os.environ[\"TOKEN\"]"
        } else {
            ""
        };
        let os = if self.has_token { "import os\n\n" } else { "" };
        format!(
            "{os}from cllm4rec import Client\n\nwith Client(\"{}\"{token}) as client:\n    for item in client.recommend({}):\n        print(item.rank, item.title)",
            self.url,
            arguments.join(", ")
        )
    }

    fn token(&self) -> &'static str {
        if self.has_token {
            "-H \"authorization: Bearer $TOKEN\" "
        } else {
            ""
        }
    }
}

/// A text in a shell's single quotes, which a quote inside would end.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value as Python writes it: its texts are JSON's.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_written_for_each_kind_of_program() {
        let body = json!({
            "user_id": "o'neil",
            "history": [{"item_id": "a"}],
            "explain": true,
        });
        let copied = Copied {
            body: &body,
            url: "https://scorer:50052",
            has_token: true,
        };
        let curl = copied.curl();
        assert!(curl.contains(r"o'\''neil"), "{curl}");
        assert!(curl.contains("Bearer $TOKEN"), "{curl}");
        let grpcurl = copied.grpcurl();
        assert!(!grpcurl.contains("-plaintext"), "{grpcurl}");
        assert!(grpcurl.contains(" scorer:50052 "), "{grpcurl}");
        let python = copied.python();
        assert!(python.contains(r#"user="o'neil""#), "{python}");
        assert!(python.contains(r#"history=["a"], "#), "{python}");
        assert!(python.contains("explain=True"), "{python}");

        let copied = Copied {
            url: "http://127.0.0.1:50052",
            has_token: false,
            ..copied
        };
        assert!(copied.grpcurl().starts_with("grpcurl -plaintext -d"));
        assert!(!copied.python().contains("token"));
    }
}
