//! The API description of a service.

use jsonschema::Validator;
use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

use super::viewer::get_json;

/// A service's OpenAPI document.
pub struct Document(pub Value);

impl Document {
    pub async fn of(service: &str) -> Self {
        let (status, document) = get_json(&format!("{service}/api/openapi.json")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(document["openapi"], "3.1.0");
        Self(document)
    }

    /// Method, path and description of every operation.
    pub fn operations(&self) -> Vec<(Method, &str, &Value)> {
        let paths = self.0["paths"].as_object().expect("there are paths");
        paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("a path has methods");
                methods.iter().map(move |(method, operation)| {
                    let method = method.to_uppercase().parse().expect("it is a method");
                    (method, path.as_str(), operation)
                })
            })
            .collect()
    }

    pub fn operation(&self, method: &Method, path: &str) -> &Value {
        &self.0["paths"][path][method.as_str().to_lowercase()]
    }

    /// Asserts that an instance is valid by a schema of the document.
    pub fn check(&self, schema: &Value, instance: &Value) {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator: Validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("the schema is valid");
        let errors: Vec<_> = validator
            .iter_errors(instance)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {instance}");
    }

    pub fn check_schema(&self, name: &str, instance: &Value) {
        self.check(
            &json!({"$ref": format!("#/components/schemas/{name}")}),
            instance,
        );
    }

    /// Asserts that the document describes this response of an operation: status, headers, content type and body.
    pub async fn check_response(&self, method: &Method, path: &str, response: Response) {
        let (status, headers) = (response.status(), response.headers().clone());
        let what = format!("{method} {path} → {status}");
        let documented = &self.operation(method, path)["responses"][status.as_str()];
        assert!(documented.is_object(), "{what} is not documented");
        for name in documented["headers"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys())
        {
            // Several responses share a status, and only some have this header.
            let optional = name == "Retry-After";
            assert!(optional || headers.contains_key(name), "{what}: no {name}");
        }
        let body = response.text().await.expect("the body is text");
        let Some(contents) = documented["content"].as_object() else {
            assert_eq!(body, "", "{what} has no body");
            return;
        };
        let content_type = essence(&headers);
        let content = contents
            .get(&content_type)
            .unwrap_or_else(|| panic!("{what}: {content_type} is not documented"));
        let instance = match &*content_type {
            "application/json" | "application/problem+json" => serde_json::from_str(&body)
                .unwrap_or_else(|error| panic!("{what}: {error}: {body}")),
            _ => Value::String(body),
        };
        self.check(&content["schema"], &instance);
        if content_type == "application/problem+json" {
            assert_eq!(instance["status"], status.as_u16(), "{what}");
            let name = instance["type"].as_str().expect("checked before");
            let name = name.trim_start_matches("/problems/");
            assert!(
                content["examples"][name].is_object(),
                "{what}: {name} is not documented"
            );
        }
    }
}

/// The content type without parameters.
pub fn essence(headers: &HeaderMap) -> String {
    let content_type = headers["content-type"].to_str().expect("it is text");
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned()
}
