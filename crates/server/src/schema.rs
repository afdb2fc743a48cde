//! Schemas: the types of the API, which have JSON Schemas, as components of the OpenAPI document.
//!
//! One description for each type: what serde reads and writes is what `schemars` describes, and nothing is described twice. OpenAPI 3.1 uses the same
//! dialect; the only work is to write a few forms as the document's model can hold them, without loss (a test compares both sides).

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};

/// Gives types with a JSON Schema a place in the OpenAPI document.
macro_rules! documented {
    ($($name:ident),+ $(,)?) => {$(
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::schema::component::<Self>()
            }
        }
        impl utoipa::ToSchema for $name {
            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                schemas.extend($crate::schema::components::<Self>());
            }
        }
    )+};
}
pub(crate) use documented;

/// A type's own schema.
pub(crate) fn component<T: JsonSchema>() -> RefOr<Schema> {
    let name = T::schema_name();
    let own = components::<T>().into_iter().find(|(n, _)| *n == name);
    // INVARIANT: types of the API are named types, so the generator lists them among the definitions.
    own.expect("a named type is among its own definitions").1
}

/// A type's schema and those of the types in it, by name.
pub(crate) fn components<T: JsonSchema>() -> Vec<(String, RefOr<Schema>)> {
    let read = |(name, schema): (String, Value)| {
        // INVARIANT: a test reads every type of the API and compares what comes out with what went in.
        let schema = serde_json::from_value(plain(&schema)).expect("a generated schema fits the document");
        (name, schema)
    };
    definitions::<T>().into_iter().map(read).collect()
}

fn definitions<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<T>();
    generator.take_definitions(true)
}

const COMBINERS: [&str; 3] = ["oneOf", "anyOf", "allOf"];
const ANNOTATIONS: [&str; 2] = ["description", "title"];

/// The same schema without the forms that the document's model has no place for: no type at all, `const`, and a combiner beside other keywords.
fn plain(schema: &Value) -> Value {
    let map = schema.as_object().cloned().unwrap_or_default();
    let mut map: Map<String, Value> =
        map.into_iter().map(|(key, value)| (key.clone(), plain_part(&key, value))).collect();
    if let Some(constant) = map.remove("const") {
        map.insert("enum".into(), json!([constant]));
    }
    if !["type", "$ref"].into_iter().chain(COMBINERS).any(|key| map.contains_key(key)) {
        map.insert("type".into(), json!(["null", "boolean", "object", "array", "number", "string"]));
    }
    let Some(combiner) = COMBINERS.into_iter().find(|c| map.contains_key(*c)) else { return beside_ref(map) };
    let is_beside = |key: &String| key != combiner && !ANNOTATIONS.contains(&key.as_str()) && key != "default";
    if !map.keys().any(is_beside) {
        return Value::Object(map);
    }
    let combined = map.remove(combiner).unwrap_or_default();
    let (notes, rest): (Map<_, _>, Map<_, _>) =
        map.into_iter().partition(|(key, _)| ANNOTATIONS.contains(&key.as_str()));
    let mut whole = notes;
    whole.insert("allOf".into(), json!([plain(&Value::Object(rest)), {combiner: combined}]));
    Value::Object(whole)
}

fn beside_ref(map: Map<String, Value>) -> Value {
    let has_more = map.contains_key("$ref")
        && map.keys().any(|k| k != "$ref" && k != "default" && !ANNOTATIONS.contains(&k.as_str()));
    if !has_more {
        return Value::Object(map);
    }
    let (reference, rest): (Map<_, _>, Map<_, _>) = map.into_iter().partition(|(key, _)| key == "$ref");
    json!({"allOf": [reference, rest]})
}

fn plain_part(key: &str, value: Value) -> Value {
    match (key, value) {
        ("properties", Value::Object(properties)) => {
            Value::Object(properties.into_iter().map(|(name, schema)| (name, plain(&schema))).collect())
        }
        ("oneOf" | "anyOf" | "allOf", Value::Array(schemas)) => schemas.iter().map(plain).collect(),
        ("items" | "propertyNames" | "not", schema) => plain(&schema),
        ("additionalProperties", schema @ Value::Object(_)) => plain(&schema),
        (_, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lossless<T: JsonSchema>() {
        for (name, schema) in definitions::<T>() {
            let wanted = plain(&schema);
            let read: Result<RefOr<Schema>, _> = serde_json::from_value(wanted.clone());
            let Ok(read) = read else { panic!("{name} can't be read: {wanted:#}") };
            let found = serde_json::to_value(read).expect("the schema can be written");
            assert_eq!(found, wanted, "{name}");
        }
    }

    #[test]
    fn no_schema_loses_anything_on_its_way_into_the_document() {
        lossless::<crate::api::about::WhoAmI>();
        lossless::<crate::api::about::Drivers>();
        lossless::<crate::api::about::Measures>();
        lossless::<crate::view::ChangeView>();
        lossless::<crate::view::ChangeList>();
        lossless::<crate::view::Log>();
        lossless::<crate::view::Looks>();
        lossless::<crate::view::Checked>();
        lossless::<crate::api::plans::PlanView>();
        lossless::<crate::problem::ProblemDetails>();
        lossless::<crate::api::diffs::DiffView>();
        lossless::<crate::api::votes::StatementView>();
        lossless::<crate::api::changes::Replay>();
        lossless::<crate::api::changes::ReplayView>();
        lossless::<crate::api::standards::StandardView>();
        lossless::<crate::api::standards::Given>();
        lossless::<crate::api::commands::Approve>();
        lossless::<crate::api::commands::Resume>();
        lossless::<crate::events::Moved>();
    }

    #[test]
    fn a_combiner_beside_other_keywords_is_written_as_all_of_both() {
        let choice = |key: &str, value: Value| json!({"oneOf": [{"type": "string", key: value}]});
        let given = json!({"type": "object", "oneOf": choice("const", json!("x"))["oneOf"], "description": "d"});
        let wanted = json!({"description": "d", "allOf": [{"type": "object"}, choice("enum", json!(["x"]))]});
        assert_eq!(plain(&given), wanted);
    }
}
