//! A YAML document as a tree that knows where everything stands.
//!
//! Deserializing straight into structs would end at the first error of a document. From a tree each reader
//! reports everything it finds, at its place.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::{Fault, quoted};
use super::origin::Position;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub(super) position: Position,
    /// What it is.
    pub(super) content: Content,
}

/// A value. Scalars keep their spelling (`1.10` is a name as good as any): the reader of a key knows what it wants.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing.
    Null,
    /// A text or a number.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the document.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    /// Where it stands.
    pub(super) position: Position,
    /// Its name.
    pub(super) name: String,
}

impl Node {
    /// What stands here, for an error.
    pub(super) fn found(&self) -> String {
        match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::Scalar(text) => quoted(text),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// Whether nothing stands here.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }
}

/// A node as the deserializer gives it, without the spelling of what it took for a number or a boolean.
#[derive(Debug)]
pub(super) enum Raw {
    Null,
    Text(String),
    Spelled,
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<Self>, Spanned<Self>)>),
}

/// The tree of a document that begins after `lines_before` lines of its file.
pub(super) fn tree(raw: Spanned<Raw>, text: &str, lines_before: usize) -> Result<Node, (Position, Fault)> {
    let position = position(raw.referenced, lines_before);
    let content = match raw.value {
        Raw::Null => Content::Null,
        Raw::Text(text) => Content::Scalar(text),
        Raw::Spelled => Content::Scalar(spelling(raw.defined, text).to_owned()),
        Raw::List(items) => Content::List(
            items.into_iter().map(|item| tree(item, text, lines_before)).collect::<Result<_, _>>()?,
        ),
        Raw::Mapping(entries) => Content::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| {
                    Ok((self::key(key, text, lines_before)?, tree(value, text, lines_before)?))
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(Node { position, content })
}

/// A place in a document as a place in its file.
pub(super) fn position(location: Location, lines_before: usize) -> Position {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    Position { line: number(location.line()).saturating_add(lines_before), column: number(location.column()) }
}

fn key(raw: Spanned<Raw>, text: &str, lines_before: usize) -> Result<Key, (Position, Fault)> {
    let position = position(raw.referenced, lines_before);
    let name = match raw.value {
        Raw::Null | Raw::Spelled => spelling(raw.defined, text).to_owned(),
        Raw::Text(name) => name,
        Raw::List(_) | Raw::Mapping(_) => return Err((position, Fault::KeyNotText)),
    };
    Ok(Key { position, name })
}

/// What the document says at a location.
fn spelling(location: Location, text: &str) -> &str {
    let span = location.span();
    let slice = || {
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let len = usize::try_from(span.byte_len()?).ok()?;
        text.get(start..start.checked_add(len)?)
    };
    slice().unwrap_or_default().trim()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Spelled)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Spelled)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Spelled)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Spelled)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}
