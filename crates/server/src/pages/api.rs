//! The API as a page: the OpenAPI document as people read it, without a script or a file of others.

use maud::{Markup, html};
use serde_json::Value;

use super::frame::{Page, Place, command};

pub(crate) fn page(document: &Value) -> Page {
    let empty = serde_json::Map::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let mut tags: Vec<(String, Vec<Operation>)> = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for (verb, operation) in object(&item) {
            let tag = operation["tags"][0].as_str().unwrap_or("other").to_owned();
            let operation = Operation { verb, path: path.clone(), operation };
            match tags.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, operations)) => operations.push(operation),
                None => tags.push((tag, vec![operation])),
            }
        }
    }
    let main = html! {
        div.head { h1 { "API" } p.muted { "JSON over HTTP, described in " a href="/openapi.json" { "OpenAPI 3.1" } ". Problems are " code { "application/problem+json" } "." } }
        section.card {
            h2 { "How to ask" }
            (command("curl -H \"Authorization: Bearer $CLEARWAY_TOKEN\" \"$CLEARWAY_URL/api/v1/changes\""))
            p { "Proposing again with the same " code { "Idempotency-Key" } " answers with the same change. Unknown fields are refused." }
            h3 { "Schemas of files" }
            p { @for kind in crate::api::about::KINDS { a href={ "/api/v1/schemas/" (kind) } { (kind) } " " } }
        }
        @for (tag, operations) in &tags {
            section.card aria-labelledby={ "tag-" (tag) } {
                h2 id={ "tag-" (tag) } { (tag) }
                @for operation in operations { (operation.shown()) }
            }
        }
        section.card aria-labelledby="schemas-h" {
            h2 id="schemas-h" { "Schemas" }
            @for (name, schema) in object(&document["components"]["schemas"]) {
                details.table id={ "schema-" (name) } { summary { code { (name) } } pre { code { (pretty(&schema)) } } }
            }
        }
    };
    Page { title: "API".into(), place: Place::Api, events: None, main }
}

struct Operation {
    verb: String,
    path: String,
    operation: Value,
}

impl Operation {
    fn shown(&self) -> Markup {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let parameters = self.operation["parameters"].as_array().cloned().unwrap_or_default();
        let body = &self.operation["requestBody"]["content"];
        html! {
            details.operation id=(text(&self.operation["operationId"])) {
                summary { code.verb { (self.verb.to_uppercase()) } " " code { (self.path) } " " span.muted { (text(&self.operation["summary"])) } }
                @if let Some(description) = self.operation["description"].as_str() { p { (description) } }
                @if !parameters.is_empty() {
                    dl.facts {
                        @for parameter in &parameters {
                            dt { code { (text(&parameter["name"])) } span.muted { " in " (text(&parameter["in"])) } }
                            dd { (text(&parameter["description"])) }
                        }
                    }
                }
                dl.facts {
                    @if let Some(content) = body.as_object() { dt { "Body" } dd { @for (kind, media) in content { (media_line(kind, media)) } } }
                    @for (status, response) in self.operation["responses"].as_object().into_iter().flatten() {
                        dt { (status) }
                        dd {
                            (text(&response["description"]))
                            @for (kind, media) in response["content"].as_object().into_iter().flatten() { (media_line(kind, media)) }
                        }
                    }
                }
            }
        }
    }
}

fn media_line(kind: &str, media: &Value) -> Markup {
    let reference = media["schema"]["$ref"].as_str().and_then(|r| r.rsplit('/').next());
    html! {
        div { code { (kind) } @if let Some(name) = reference { " " a href={ "#schema-" (name) } { (name) } } }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_every_schema_is_on_the_page() {
        let document: Value = serde_json::from_str(crate::api::document::json()).expect("JSON");
        let text = page(&document).main.into_string();
        for (path, item) in document["paths"].as_object().expect("paths") {
            assert!(text.contains(&format!("<code>{path}</code>")), "{path}");
            for (_, operation) in item.as_object().expect("operations") {
                assert!(text.contains(operation["summary"].as_str().expect("a summary")), "{path}");
            }
        }
        for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
            assert!(text.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
    }
}
