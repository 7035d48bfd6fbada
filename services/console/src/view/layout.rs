//! Head, navigation and foot of every page.

use maud::{DOCTYPE, Markup, html};

use crate::visitor::Visitor;

/// The pages that every page leads to, by their paths.
const PAGES: [(&str, &str); 5] = [
    ("/", "Overview"),
    ("/jobs", "Jobs"),
    ("/models", "Models"),
    ("/datasets", "Data sets"),
    ("/try", "Try it"),
];

/// A page for a visitor who is inside.
pub(crate) fn page(visitor: &Visitor, title: &str, body: &Markup) -> Markup {
    let place = visitor.place.split('?').next().unwrap_or("/");
    document(
        title,
        &html! {
            header {
                (navigation(place))
                @if visitor.has_token {
                    form.logout method="post" action="/logout" {
                        (form_key(visitor))
                        button.quiet { "Log out" }
                    }
                }
            }
            main id="content" { (body) }
        },
    )
}

/// A page for what went wrong, whoever asked.
pub(crate) fn aside(title: &str, body: &Markup) -> Markup {
    document(
        title,
        &html! {
            header { (navigation("")) }
            main id="content" { (body) }
        },
    )
}

/// The ways to the pages; `place` is the path of the one that is shown.
fn navigation(place: &str) -> Markup {
    html! {
        a.skip href="#content" { "To the content" }
        a.name href="/" { "cllm4rec" }
        nav aria-label="Pages" {
            @for (path, name) in PAGES {
                @let is_here = is_below(place, path);
                a href=(path) aria-current=[is_here.then_some("page")] {
                    (name)
                }
            }
        }
    }
}

/// A page for somebody who is not inside.
pub(crate) fn bare(title: &str, body: &Markup) -> Markup {
    document(title, &html! { main id="content" { (body) } })
}

/// What every form has in it.
pub(crate) fn form_key(visitor: &Visitor) -> Markup {
    html! {
        input type="hidden" name="form_key" value=(visitor.form_key.0);
    }
}

fn is_below(place: &str, path: &str) -> bool {
    if path == "/" {
        place == "/"
    } else {
        place.starts_with(path)
    }
}

/// htmx is to load nothing from elsewhere, to run no text as a program, and to
/// leave the style sheet alone.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true}"#;

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · cllm4rec" }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/style.css";
                script src="/assets/htmx.min.js" defer {}
            }
            body { (body) }
        }
    }
}
