//! Checks a JSON value with the JSON Schema of its types and names every problem by its JSON pointer.
//!
//! serde stops at the first problem of a file; a person who repairs settings wants all of them. Only the words of
//! JSON Schema that schemars writes for our types are understood.

use serde_json::{Map, Value};

use crate::words::nearest;

/// One problem of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The JSON pointer (RFC 6901) of the value.
    pub pointer: String,
    /// What was expected and what was found.
    pub what: String,
}

impl Problem {
    /// Returns the problem of the value at that pointer.
    pub fn new(pointer: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            what: what.into(),
        }
    }
}

/// Returns the pointer of a key below another pointer.
#[must_use]
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Returns all that keeps a value from being what the schema says.
#[must_use]
pub fn check(schema: &Value, value: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    let check = Check { root: schema };
    check.at(schema, value, "", &mut problems);
    problems
}

struct Check<'a> {
    root: &'a Value,
}

impl<'a> Check<'a> {
    fn at(&self, schema: &'a Value, value: &Value, pointer: &str, problems: &mut Vec<Problem>) {
        let schema = self.resolve(schema);
        if let Some(choices) = self.choices(schema) {
            let fits = choices.iter().any(|choice| value.as_str() == Some(*choice));
            let absent = value.is_null() && self.allows_null(schema);
            if !fits && !absent {
                problems.push(Problem::new(
                    pointer,
                    format!("expected {}, found {}", one_of(&choices), found(value)),
                ));
            }
            return;
        }
        if let Some(variants) = schema.get("anyOf").and_then(Value::as_array) {
            if value.is_null() && self.allows_null(schema) {
                return;
            }
            if let Some(variant) = variants.iter().find(|v| !is_null_type(v)) {
                self.at(variant, value, pointer, problems);
            }
            return;
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|t| has_type(value, t)) {
            problems.push(Problem::new(
                pointer,
                format!(
                    "expected {}, found {}",
                    expected(schema, &types),
                    found(value)
                ),
            ));
            return;
        }
        match value {
            Value::Number(_) => {
                let low = schema.get("minimum").and_then(Value::as_f64);
                let high = schema.get("maximum").and_then(Value::as_f64);
                let number = value.as_f64().unwrap_or(f64::NAN);
                if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
                    problems.push(Problem::new(
                        pointer,
                        format!(
                            "expected {}, found {}",
                            expected(schema, &types),
                            found(value)
                        ),
                    ));
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.at(schema, item, &format!("{pointer}/{index}"), problems);
                    }
                }
            }
            Value::Object(object) => self.object(schema, object, pointer, problems),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    fn object(
        &self,
        schema: &'a Value,
        object: &Map<String, Value>,
        pointer: &str,
        problems: &mut Vec<Problem>,
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties
            .iter()
            .flat_map(|p| p.keys())
            .map(String::as_str)
            .collect();
        for (key, value) in object {
            let at = below(pointer, key);
            if let Some(schema) = properties.and_then(|p| p.get(key)) {
                self.at(schema, value, &at, problems);
            } else {
                match schema.get("additionalProperties") {
                    Some(Value::Bool(false)) => {
                        problems.push(Problem::new(at, unknown_key(key, &known)));
                    }
                    Some(schema) => self.at(schema, value, &at, problems),
                    None => {}
                }
            }
        }
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(key) = key.as_str()
                && !object.contains_key(key)
            {
                let wanted =
                    properties
                        .and_then(|p| p.get(key))
                        .map_or("a value".to_owned(), |schema| {
                            let schema = self.resolve(schema);
                            expected(schema, &types(schema))
                        });
                problems.push(Problem::new(
                    below(pointer, key),
                    format!("expected {wanted}, found nothing"),
                ));
            }
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|r| r.strip_prefix('#'))
            .and_then(|pointer| self.root.pointer(pointer));
        match target {
            Some(target) => self.resolve(target),
            None => schema,
        }
    }

    /// Returns the texts that a schema allows, if it allows only some texts (and null).
    fn choices(&self, schema: &'a Value) -> Option<Vec<&'a str>> {
        let schema = self.resolve(schema);
        if let Some(text) = schema.get("const").and_then(Value::as_str) {
            return Some(vec![text]);
        }
        if let Some(texts) = schema.get("enum").and_then(Value::as_array) {
            return Some(texts.iter().filter_map(Value::as_str).collect());
        }
        let variants = schema.get("oneOf").or(schema.get("anyOf"))?.as_array()?;
        let mut choices = Vec::new();
        for variant in variants.iter().filter(|v| !is_null_type(v)) {
            choices.extend(self.choices(variant)?);
        }
        Some(choices)
    }

    fn allows_null(&self, schema: &'a Value) -> bool {
        let schema = self.resolve(schema);
        is_null_type(schema)
            || types(schema).contains(&"null")
            || ["oneOf", "anyOf"].iter().any(|word| {
                schema
                    .get(*word)
                    .and_then(Value::as_array)
                    .is_some_and(|v| v.iter().any(is_null_type))
            })
    }
}

fn is_null_type(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn expected(schema: &Value, types: &[&str]) -> String {
    let bound = |word| schema.get(word).and_then(Value::as_u64);
    let name = types
        .iter()
        .find(|t| **t != "null")
        .copied()
        .unwrap_or("null");
    match name {
        "integer" | "number" => match (bound("minimum"), bound("maximum")) {
            (Some(low), Some(high)) if low == high => format!("{low}"),
            (Some(low), Some(high)) if high <= 100 => format!("{low} to {high}"),
            (Some(low), _) => format!("{low} or more"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => "a number".to_owned(),
        },
        "string" => "a text".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "array" => "a list".to_owned(),
        "object" => "an object".to_owned(),
        _ => "`null`".to_owned(),
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "`null`".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
            if text.chars().nth(60).is_some() {
                shown.push('…');
            }
            format!("`{shown}`")
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Returns the names as a choice: one of them in backticks, or `one of` several.
#[must_use]
pub fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        several => format!("one of `{}`", several.join("`, `")),
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key, did you mean `{near}`?"),
        None => format!("unknown key, expected {}", one_of(known)),
    }
}
