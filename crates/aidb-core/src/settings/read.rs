//! Reads `stack.json`: bytes, JSON, schema, types, meaning, in this order; the first of these that fails is said,
//! with all problems that it has.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::check::{Problem, below, check};
use super::file::{StackFile, json_schema};
use super::{Environment, Settings, is_absent, minimal, resolve};
use crate::error::IoContext;
use crate::{Error, Result};

/// Settings of a hundred guards are some 100 KiB; a file beyond this is not ours.
const LARGEST_BYTES: u64 = 16 << 20;

/// Returns the settings of a file.
///
/// # Errors
/// [`Error::Settings`] if it does not exist or says something that cannot be used, [`Error::Io`] if it cannot be read.
pub fn read(path: &Path, environment: &Environment) -> Result<Settings> {
    let refuse = |what: String, hint: Option<&str>| Error::Settings {
        file: Some(path.to_owned()),
        what,
        hint: hint.map(str::to_owned),
    };
    let metadata = match path.metadata() {
        Err(error) if is_absent(&error) => {
            return Err(if path.is_symlink() {
                refuse(
                    "expected a file, found a link that leads nowhere".to_owned(),
                    Some("run `home-manager switch`, which makes it anew"),
                )
            } else {
                refuse(
                    "expected a file, found nothing".to_owned(),
                    Some(&format!("name another file, or write to it: {}", minimal())),
                )
            });
        }
        other => other.doing("look at", path)?,
    };
    if !metadata.is_file() {
        return Err(refuse(
            "expected a regular file, found something else".to_owned(),
            None,
        ));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            return Err(refuse("expected text in UTF-8".to_owned(), None));
        }
        other => other.doing("read", path)?,
    };
    if text.len() as u64 > LARGEST_BYTES {
        return Err(refuse(
            format!("expected at most {} MiB, found more", LARGEST_BYTES >> 20),
            None,
        ));
    }
    parse(&text, path, environment).map_err(|problems| refuse(all(&problems), None))
}

/// Returns the settings that a text says, or all problems of it.
///
/// # Errors
/// The problems.
pub fn parse(text: &str, path: &Path, environment: &Environment) -> Result<Settings, Vec<Problem>> {
    let NoneTwice(raw) = serde_json::from_str(text).map_err(|error| vec![syntax(&error)])?;
    let schema: Value = serde_json::from_str(&json_schema())
        .map_err(|error| vec![Problem::new("", error.to_string())])?;
    let problems = check(&schema, &raw);
    if !problems.is_empty() {
        return Err(problems);
    }
    // The schema comes from the same types; this is for what a schema cannot say.
    let file: StackFile = serde_path_to_error::deserialize(&raw).map_err(|error| {
        let pointer = error.path().iter().fold(String::new(), |at, segment| {
            below(&at, &segment.to_string())
        });
        vec![Problem::new(pointer, error.into_inner().to_string())]
    })?;
    resolve::resolve(file, &raw, path, environment)
}

fn syntax(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Problem::new(
        format!("{}:{}", error.line(), error.column()),
        text.strip_suffix(&place).unwrap_or(&text),
    )
}

fn all(problems: &[Problem]) -> String {
    let line = |p: &Problem| {
        if p.pointer.is_empty() {
            p.what.clone()
        } else {
            format!("{}: {}", p.pointer, p.what)
        }
    };
    match problems {
        [one] => line(one),
        several => {
            let mut text = format!("{} problems", several.len());
            for problem in several {
                text.push_str("\n  ");
                text.push_str(&line(problem));
            }
            text
        }
    }
}

/// A JSON value in which no object has a key twice: the second would silently replace the first, and with it a guard.
struct NoneTwice(Value);

impl<'de> Deserialize<'de> for NoneTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(NoneTwice(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format!(
                    "key `{}` is written twice",
                    key.escape_debug()
                )));
            }
            let NoneTwice(value) = map.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
