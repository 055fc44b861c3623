//! JSON for people and for `grep`, of which a long list has a line for each of its items.
//!
//! A manifest of 100,000 files that gives every value a line of its own is twice as long, and takes twice the time.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// What lies deeper than this stands in one line.
const OPEN_DEPTH: usize = 2;

/// Returns a value as JSON that ends with a line feed.
///
/// # Errors
/// If the value cannot be rendered.
pub fn to_lines<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Lines::default());
    value.serialize(&mut serializer)?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Default)]
struct Lines {
    depth: usize,
    is_empty: bool,
}

impl Lines {
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer, self.depth)
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.is_empty && self.depth < OPEN_DEPTH {
            self.line(writer, self.depth)?;
        }
        self.is_empty = false;
        writer.write_all(bracket)
    }

    /// Begins a line, if what lies so deep has lines.
    fn line<W: ?Sized + Write>(&self, writer: &mut W, depth: usize) -> io::Result<()> {
        if self.depth > OPEN_DEPTH {
            return Ok(());
        }
        writer.write_all(b"\n")?;
        (0..depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.depth > OPEN_DEPTH { b":" } else { b": " })
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_of_a_list_has_a_line_and_the_same_value_comes_back() {
        let value = serde_json::json!({
            "format": 1,
            "none": [],
            "nothing": {},
            "pairing": { "image": "i", "deep": { "a": [1, {}] } },
            "entries": [{ "path": "a", "source": { "inode": 1 } }, { "path": "b" }],
        });
        let text = String::from_utf8(to_lines(&value).unwrap()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
        insta::assert_snapshot!(text, @r#"
        {
          "format": 1,
          "none": [],
          "nothing": {},
          "pairing": {
            "image": "i",
            "deep": {"a":[1,{}]}
          },
          "entries": [
            {"path":"a","source":{"inode":1}},
            {"path":"b"}
          ]
        }
        "#);
    }
}
