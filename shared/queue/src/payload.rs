//! The payload of a dead letter: the fields of its entry as JSON, readable for people and exact for a replay.
//!
//! An object of strings, `{"choice":"c","voter":"…"}`, if names are unique and everything is UTF-8, as in nearly all cases.
//! Otherwise a list of pairs in their order, with `{"hex":"ff00"}` for bytes that are not UTF-8.

use std::collections::BTreeMap;

use serde_json::{Value, json};

type Field = (Vec<u8>, Vec<u8>);

const HEX: &str = "hex";

pub(super) fn write(fields: &[Field]) -> String {
    let object = object(fields).map(|object| json!(object));
    let pairs = || fields.iter().map(|(name, value)| [part(name), part(value)]);
    object
        .unwrap_or_else(|| pairs().map(Value::from).collect())
        .to_string()
}

/// Returns the fields as an object; `None` if an object cannot represent them exactly.
fn object(fields: &[Field]) -> Option<BTreeMap<&str, &str>> {
    let mut object = BTreeMap::new();
    for (name, value) in fields {
        let (name, value) = (
            std::str::from_utf8(name).ok()?,
            std::str::from_utf8(value).ok()?,
        );
        if object.insert(name, value).is_some() {
            return None;
        }
    }
    Some(object)
}

fn part(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({HEX: hex::encode(bytes)}), Value::from)
}

pub(super) fn read(payload: &str) -> Result<Vec<Field>, UnreadablePayload> {
    let fields = match serde_json::from_str(payload) {
        Ok(Value::Object(object)) => object
            .into_iter()
            .map(|(name, value)| Some((name.into_bytes(), value.as_str()?.into())))
            .collect(),
        Ok(Value::Array(pairs)) => pairs.iter().map(pair).collect(),
        _ => None,
    };
    fields.ok_or(UnreadablePayload)
}

fn pair(pair: &Value) -> Option<Field> {
    match &pair.as_array()?[..] {
        [name, value] => Some((bytes(name)?, bytes(value)?)),
        _ => None,
    }
}

fn bytes(part: &Value) -> Option<Vec<u8>> {
    match part {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(object) if object.len() == 1 => hex::decode(object.get(HEX)?.as_str()?).ok(),
        _ => None,
    }
}

/// Error of a text that is no payload.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the payload cannot be read; write an object of strings, or a list of pairs whose parts are strings or {{\"hex\":…}}"
)]
pub struct UnreadablePayload;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(fields: &[(&str, &[u8])]) -> Vec<Field> {
        let field = |(name, value): &(&str, &[u8])| (name.as_bytes().to_vec(), value.to_vec());
        fields.iter().map(field).collect()
    }

    #[test]
    fn a_payload_is_readable() {
        let usual = write(&fields(&[("voter", b"x\0"), ("choice", b"y")]));
        assert_eq!(usual, r#"{"choice":"y","voter":"x\u0000"}"#);
        let odd = write(&fields(&[("voter", b"x\xff"), ("a", b"1"), ("a", b"2")]));
        assert_eq!(odd, r#"[["voter",{"hex":"78ff"}],["a","1"],["a","2"]]"#);
    }

    #[test]
    fn an_invalid_payload_is_rejected() {
        for bad in [
            "",
            "x",
            "1",
            r#"{"a":1}"#,
            r#"[["a"]]"#,
            r#"[["a","b","c"]]"#,
            r#"[["a",{"hex":"0"}]]"#,
            r#"[["a",{"hex":"00","more":""}]]"#,
        ] {
            assert_eq!(read(bad), Err(UnreadablePayload), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn fields_are_equal_after_writing_and_reading(fields: Vec<Field>) {
            let read = read(&write(&fields)).unwrap();
            if object(&fields).is_some() {
                // Names are unique, and an object has no order.
                let sorted = |mut fields: Vec<Field>| { fields.sort(); fields };
                prop_assert_eq!(sorted(read), sorted(fields));
            } else {
                prop_assert_eq!(read, fields);
            }
        }

        #[test]
        fn fields_of_text_are_equal_after_writing_and_reading(fields: Vec<(String, String)>) {
            let fields: Vec<Field> = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let sorted = |mut fields: Vec<Field>| { fields.sort(); fields };
            prop_assert_eq!(sorted(read(&write(&fields)).unwrap()), sorted(fields));
        }

        #[test]
        fn reading_never_panics(text: String) {
            let _ = read(&text);
        }
    }
}
