//! Paths below a data folder, of any bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::hex::{from_hex, to_hex};

/// A path below a data folder. Any bytes; in JSON a string, or `{"hex": "…"}` where they are no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

impl RelPath {
    /// Returns the path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Returns whether it stays below the folder that it is relative to.
    #[must_use]
    pub fn stays_below(&self) -> bool {
        use std::path::Component;
        self.0.components().next().is_some()
            && self
                .0
                .components()
                .all(|c| matches!(c, Component::Normal(_)))
    }
}

impl<P: Into<PathBuf>> From<P> for RelPath {
    fn from(path: P) -> Self {
        Self(path.into())
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Bytes {
            hex: String,
        }
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Bytes {
                hex: to_hex(self.0.as_os_str().as_bytes()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = RelPath;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path, or its bytes as hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RelPath, E> {
                Ok(RelPath(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RelPath, A::Error> {
                #[derive(Deserialize)]
                struct Bytes {
                    hex: String,
                }
                let Bytes { hex } = Bytes::deserialize(MapAccessDeserializer::new(map))?;
                let bytes = from_hex(&hex).ok_or_else(|| {
                    serde::de::Error::custom("expected pairs of hexadecimal digits")
                })?;
                Ok(RelPath(OsString::from_vec(bytes).into()))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_survives_the_way_through_json() {
        for bytes in [
            &b"uploads/a b.pdf"[..],
            b"uploads/\xff\xfe",
            "uploads/ä".as_bytes(),
        ] {
            let path = RelPath(OsString::from_vec(bytes.to_vec()).into());
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(
                serde_json::from_str::<RelPath>(&json).unwrap(),
                path,
                "{json}"
            );
        }
    }

    #[test]
    fn a_path_that_leaves_its_folder_is_told() {
        for (path, below) in [
            ("a/b", true),
            ("..", false),
            ("a/../b", false),
            ("/a", false),
            ("", false),
            ("./a", false),
        ] {
            assert_eq!(RelPath::from(path).stays_below(), below, "{path}");
        }
    }
}
