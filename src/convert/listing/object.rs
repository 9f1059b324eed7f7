//! JSON objects of strangers: rows of lists, and metadata beside videos. A name that stands twice is an error, for one of its
//! values would be lost.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Why bytes are no such object.
#[derive(Debug)]
pub(crate) enum NoObject {
    NotJson(serde_json::Error),
    /// JSON, but something else.
    Other,
    /// This name stands twice.
    Twice(String),
}

/// Reads one object; nothing but white space may follow.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, NoObject> {
    match serde_json::from_slice(bytes) {
        Ok(Entries { map, twice: None }) => Ok(map),
        Ok(Entries { twice: Some(name), .. }) => Err(NoObject::Twice(name)),
        Err(error) if error.is_data() && serde_json::from_slice::<Value>(bytes).is_ok() => Err(NoObject::Other),
        Err(error) => Err(NoObject::NotJson(error)),
    }
}

#[derive(Default)]
struct Entries {
    map: Map<String, Value>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Self, A::Error> {
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if self.map.contains_key(&name) {
                self.twice.get_or_insert(name);
            } else {
                self.map.insert(name, value);
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_told_apart() {
        let map = parse_object(br#" {"b": 1, "a": [{"x": 1}]} "#).unwrap();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["b", "a"]);
        assert!(matches!(parse_object(b"[1]"), Err(NoObject::Other)));
        assert!(matches!(parse_object(b"null"), Err(NoObject::Other)));
        assert!(matches!(parse_object(br#"{"a": 1, "b": 2, "a": 3}"#), Err(NoObject::Twice(name)) if name == "a"));
        for bad in ["", "{", "{} x", r#"{"a": NaN}"#, r#"{"a": "\ud800"}"#] {
            assert!(matches!(parse_object(bad.as_bytes()), Err(NoObject::NotJson(_))), "{bad}");
        }
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(parse_object(deep.as_bytes()), Err(NoObject::NotJson(_))));
    }
}
