//! The table as an OpenAPI 3.1 document.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::desk::Desk;
use super::error::Code;
#[cfg(test)]
use super::path;
use super::reply::Reply;
use super::route::{Answer, Doc, Parameter, Place, Route, handler};
use crate::ids::Scope;

/// What any request can come to.
const ALWAYS: [Code; 5] =
    [Code::BadRequest, Code::Unauthorized, Code::Forbidden, Code::TooManyRequests, Code::Internal];

/// What a request with a body can come to, besides.
const WITH_BODY: [Code; 3] = [Code::RequestTimeout, Code::TooLarge, Code::UnsupportedMediaType];

static DOC: Doc = Doc {
    operation: "getOpenApi",
    summary: "Tells of everything that can be asked here, as an OpenAPI 3.1 document.",
    parameters: &[],
    body: None,
    answers: &[Answer {
        status: 200,
        about: "The document.",
        schema: || {
            json!({
                "type": "object",
                "required": ["openapi", "info", "paths"],
                "properties": {"openapi": {"type": "string"}, "info": {"type": "object"}, "paths": {"type": "object"}},
                "additionalProperties": true,
            })
        },
        example: || json!({"openapi": "3.1.0", "info": {"title": "pve-sentinel", "version": "0.1.0"}, "paths": {}}),
    }],
    errors: &[],
};

/// What the document says of a route.
#[derive(Clone)]
struct Entry {
    method: Method,
    pattern: &'static str,
    scope: Scope,
    doc: &'static Doc,
}

/// The route that tells of the others, and of itself.
pub(super) fn route(routes: &[Route], version: &'static str) -> Route {
    let entry = |route: &Route| Entry {
        method: route.method.clone(),
        pattern: route.pattern,
        scope: route.scope,
        doc: route.doc,
    };
    let own = Entry { method: Method::GET, pattern: Desk::OPENAPI, scope: Scope::Read, doc: &DOC };
    let entries: Vec<Entry> = routes.iter().map(entry).chain([own]).collect();
    let tell = move |_| std::future::ready(Reply::ok(&document(&entries, version)));
    Route { method: Method::GET, pattern: Desk::OPENAPI, scope: Scope::Read, handler: handler(tell), doc: &DOC }
}

fn document(entries: &[Entry], version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in entries {
        let path = paths.entry(entry.pattern).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(entry.method.as_str().to_lowercase(), operation(entry));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pve-sentinel",
            "version": version,
            "description": "What pve-sentinel knows of Proxmox VE clusters and hosts. Times are seconds since 1970, in UTC. \
                Fields may be added; those that there are stay.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of [control] in the configuration; pve-sentinel hash-token makes one.",
            }},
            "schemas": {"Error": error_schema()},
        },
    })
}

fn operation(entry: &Entry) -> Value {
    let Entry { method, pattern, scope, doc } = entry;
    let mut operation = json!({
        "operationId": doc.operation,
        "summary": doc.summary,
        "description": format!("The token needs the scope `{}`.", scope.as_str()),
        "tags": [pattern.split('/').nth(3).unwrap_or_default().trim_end_matches(".json")],
        "responses": responses(method, doc),
    });
    if !doc.parameters.is_empty() {
        operation["parameters"] = doc.parameters.iter().map(parameter).collect();
    }
    if let Some(body) = &doc.body {
        let content = json!({"application/json": {"schema": (body.schema)(), "example": (body.example)()}});
        operation["requestBody"] = json!({"required": false, "content": content});
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter { name, place, about, schema } = parameter;
    let schema = schema();
    match place {
        Place::Path => json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema}),
        Place::Query => json!({"name": name, "in": "query", "required": false, "description": about, "schema": schema}),
        Place::Header => {
            json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema})
        }
        Place::Repeatable => json!({
            "name": name, "in": "query", "required": false, "description": about, "style": "form", "explode": true,
            "schema": {"type": "array", "items": schema},
        }),
    }
}

fn responses(method: &Method, doc: &Doc) -> Value {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    let with_body: &[Code] = if *method == Method::POST { &WITH_BODY } else { &[] };
    let mut codes: Vec<Code> = ALWAYS.iter().chain(with_body).chain(doc.errors).copied().collect();
    codes.sort_unstable();
    codes.dedup();
    for code in codes {
        let told = format!("`{}`: {}", code.as_str(), code.about());
        let before = responses.get(code.status().as_str()).and_then(|response| response["description"].as_str());
        let description = before.map_or_else(|| told.clone(), |before| format!("{before} {told}"));
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
        responses.insert(code.status().as_str().to_owned(), json!({"description": description, "content": content}));
    }
    for Answer { status, about, schema, example } in doc.answers {
        let content = json!({"application/json": {"schema": schema(), "example": example()}});
        responses.insert(status.to_string(), json!({"description": about, "content": content}));
    }
    json!(responses)
}

fn error_schema() -> Value {
    let words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let about: Vec<String> = Code::ALL.iter().map(|code| format!("`{}`: {}", code.as_str(), code.about())).collect();
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "enum": words, "description": about.join(" ")},
                "message": {"type": "string", "description": "What is wrong, for people."},
            },
        }},
    })
}

/// What of the table is not told as it should be.
#[cfg(test)]
pub(crate) fn gaps(routes: &[Route]) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut operations = Vec::new();
    for Route { method, pattern, doc, .. } in routes {
        let mut gap = |wrong: &str| gaps.push(format!("{method} {pattern}: {wrong}"));
        if doc.operation.is_empty() || operations.contains(&doc.operation) {
            gap("its operation has no name of its own");
        }
        operations.push(doc.operation);
        let mut in_path: Vec<&str> = doc
            .parameters
            .iter()
            .filter(|parameter| parameter.place == Place::Path)
            .map(|parameter| parameter.name)
            .collect();
        let mut names: Vec<&str> = path::names(pattern).collect();
        in_path.sort_unstable();
        names.sort_unstable();
        if in_path != names {
            gap("the names of its pattern and the parameters of its path differ");
        }
        let texts =
            doc.parameters.iter().map(|parameter| parameter.about).chain(doc.answers.iter().map(|answer| answer.about));
        if !texts.chain([doc.summary]).all(|text| text.ends_with('.')) {
            gap("a text is no sentence");
        }
        if doc.answers.is_empty() || (doc.body.is_some() && *method != Method::POST) {
            gap("it has no answer, or a body without POST");
        }
    }
    for (index, Route { method, pattern, .. }) in routes.iter().enumerate() {
        let shape = |pattern: &'static str| -> Vec<&str> {
            pattern.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }).collect()
        };
        let same = |other: &&Route| {
            shape(other.pattern) == shape(pattern) && (other.method == *method || other.pattern != *pattern)
        };
        if routes.iter().take(index).any(|other| same(&other)) {
            gaps.push(format!("{method} {pattern}: another route answers the same"));
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route_of(method: Method, pattern: &'static str, doc: &'static Doc) -> Route {
        let tell = |_| std::future::ready(Reply::ok(&1));
        Route { method, pattern, scope: Scope::Read, handler: handler(tell), doc }
    }

    #[test]
    fn every_code_is_told_with_its_status() {
        let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let about =
            error_schema().pointer("/properties/error/properties/code/description").cloned().unwrap().to_string();
        for code in Code::ALL {
            assert!(about.contains(&format!("`{}`: {}", code.as_str(), code.about())), "{code:?}");
            assert!(code.about().ends_with('.') && code.status().as_u16() >= 400, "{code:?}");
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn gaps_are_seen() {
        static NAMELESS: Doc =
            Doc { operation: "", summary: "no sentence", parameters: &[], body: None, answers: &[], errors: &[] };
        static FINE: Doc = Doc {
            operation: "getX",
            summary: "X.",
            parameters: &[Parameter { name: "x", place: Place::Path, about: "X.", schema: || json!({}) }],
            body: None,
            answers: &[Answer { status: 200, about: "X.", schema: || json!({}), example: || json!(1) }],
            errors: &[Code::NotFound],
        };
        assert_eq!(gaps(&[route_of(Method::GET, "/api/{x}", &FINE)]), Vec::<String>::new());
        assert_eq!(gaps(&[route_of(Method::GET, "/api/{y}", &FINE)]).len(), 1);
        assert_eq!(gaps(&[route_of(Method::GET, "/api", &NAMELESS)]).len(), 3);
        assert_eq!(
            gaps(&[route_of(Method::GET, "/api/{x}", &FINE), route_of(Method::POST, "/api/{x}", &FINE)]).len(),
            1
        );
        let said = responses(&Method::GET, &FINE);
        assert!(said["404"]["description"].as_str().is_some_and(|text| text.starts_with("`not_found`: ")));
        assert!(said["413"].is_null() && !responses(&Method::POST, &FINE)["413"].is_null());
    }
}
