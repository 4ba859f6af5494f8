//! The body of `POST /api/votes`: `{"choice": "a"}` or `{"choice": "a", "poll": "6998f771"}`, parsed strictly.

use serde::Deserialize;
use serde_json::{Deserializer, Value};
use utoipa::ToSchema;

use crate::{vote_error::VoteError, vote_service::SentVote};

const CHOICE: &str = "choice";
const POLL: &str = "poll";

/// A vote, as `POST /api/votes` accepts it.
#[derive(Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteDocument {
    /// Key of the option.
    #[schema(value_type = poll::ballot::Choice)]
    choice: String,
    /// Id of the poll. Not given, or null: the current poll. A vote for another poll than the current one is rejected.
    #[schema(value_type = Option<poll::PollId>)]
    poll: Option<String>,
}

impl VoteDocument {
    /// Parses a body.
    ///
    /// # Errors
    /// The body is anything else than an object with these fields.
    pub fn parse(body: &[u8]) -> Result<Self, VoteError> {
        // serde would accept an array as an object without its field names.
        if body.trim_ascii_start().starts_with(b"{")
            && let Ok(vote) = serde_json::from_slice(body)
        {
            return Ok(vote);
        }
        let fault = fault(body);
        Err(VoteError::Malformed(format!(
            "{fault}; send {{\"choice\": KEY}} with the key of an option"
        )))
    }

    /// Returns the vote.
    pub fn vote(&self) -> SentVote<'_> {
        SentVote {
            poll: self.poll.as_deref(),
            key: &self.choice,
        }
    }
}

/// Returns the reason why a body is not a vote. The messages of the parser would contain names of our types.
fn fault(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return "its body is not UTF-8".into();
    };
    if text.trim().is_empty() {
        return "its body is empty".into();
    }
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if error.is_eof() => {
            return "its body ends in the middle of a JSON value".into();
        }
        Some(Err(error)) => {
            let (line, column) = (error.line(), error.column());
            return format!("its body is not JSON at line {line}, column {column}");
        }
        None => return "its body is empty".into(),
    };
    if !text[values.byte_offset()..].trim().is_empty() {
        return "its body continues after the JSON value".into();
    }
    let Value::Object(fields) = value else {
        return format!("its body is {}, not an object", kind(&value));
    };
    let is_unknown = |name: &&String| *name != CHOICE && *name != POLL;
    if let Some(name) = fields.keys().find(is_unknown) {
        return format!("the field {:?} is unknown", poll::abbreviate(name));
    }
    match (fields.get(CHOICE), fields.get(POLL)) {
        (None, _) => format!("the field {CHOICE:?} is missing"),
        (Some(Value::String(_)), Some(Value::String(_) | Value::Null)) => {
            // No other case is left: a map contains the last of several values.
            format!("the field {CHOICE:?} or the field {POLL:?} occurs twice")
        }
        (Some(Value::String(_)), None) => format!("the field {CHOICE:?} occurs twice"),
        (Some(Value::String(_)), Some(other)) => not_a_string(POLL, other),
        (Some(other), _) => not_a_string(CHOICE, other),
    }
}

fn not_a_string(field: &str, value: &Value) -> String {
    format!("the field {field:?} is {}, not a string", kind(value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rejection(body: &[u8]) -> String {
        let error = VoteDocument::parse(body).expect_err(&String::from_utf8_lossy(body));
        let error = error.to_string();
        let fault = error.strip_prefix("The request cannot be read: ").unwrap();
        let (fault, advice) = fault.split_once("; send ").unwrap();
        assert_eq!(advice, "{\"choice\": KEY} with the key of an option.");
        fault.to_owned()
    }

    #[test]
    fn a_vote_is_an_object_with_a_choice() {
        for body in [
            &br#"{"choice":"a"}"#[..],
            b" \n{ \"choice\" : \"a\" }\r\n",
            br#"{"\u0063hoice":"\u0061"}"#,
        ] {
            let vote = VoteDocument::parse(body).unwrap();
            assert_eq!((vote.vote().key, vote.vote().poll), ("a", None));
        }
        let vote = VoteDocument::parse(br#"{"poll":"pets","choice":"a"}"#).unwrap();
        assert_eq!((vote.vote().key, vote.vote().poll), ("a", Some("pets")));
    }

    #[test]
    fn errors_name_the_fault() {
        for (body, fault) in [
            (&b""[..], "its body is empty"),
            (b" \n", "its body is empty"),
            (b"\xff", "its body is not UTF-8"),
            (b"{\"choice\":\"\xff\"}", "its body is not UTF-8"),
            (b"{\"choice\":\"a\"}\xff", "its body is not UTF-8"),
            (b"{", "its body ends in the middle of a JSON value"),
            (
                b"{\"choice\":\"a\"",
                "its body ends in the middle of a JSON value",
            ),
            (b"choice=a", "its body is not JSON at line 1, column 1"),
            (
                b"{\n\"choice\": 'a'}",
                "its body is not JSON at line 2, column 11",
            ),
            (
                b"{\"choice\":\"a\",}",
                "its body is not JSON at line 1, column 15",
            ),
            (
                br#"{"choice":"\ud800"}"#,
                "its body is not JSON at line 1, column 18",
            ),
            (
                b"{\"choice\":1e999}",
                "its body is not JSON at line 1, column 15",
            ),
            (
                b"{\"choice\":\"a\"} {}",
                "its body continues after the JSON value",
            ),
            (
                b"{\"choice\":\"a\"}x",
                "its body continues after the JSON value",
            ),
            (b"[]", "its body is an array, not an object"),
            (b"[\"a\"]", "its body is an array, not an object"),
            (
                b"[{\"choice\":\"a\"}]",
                "its body is an array, not an object",
            ),
            (b"1", "its body is a number, not an object"),
            (b"\"a\"", "its body is a string, not an object"),
            (b"true", "its body is a boolean, not an object"),
            (b"null", "its body is null, not an object"),
            (b"{}", "the field \"choice\" is missing"),
            (b"{\"vote\":\"a\"}", "the field \"vote\" is unknown"),
            (b"{\"choice\":\"a\",\"x\":1}", "the field \"x\" is unknown"),
            (
                b"{\"choice\":null}",
                "the field \"choice\" is null, not a string",
            ),
            (
                b"{\"choice\":1}",
                "the field \"choice\" is a number, not a string",
            ),
            (
                b"{\"choice\":false}",
                "the field \"choice\" is a boolean, not a string",
            ),
            (
                b"{\"choice\":[\"a\"]}",
                "the field \"choice\" is an array, not a string",
            ),
            (
                b"{\"choice\":{\"choice\":\"a\"}}",
                "the field \"choice\" is an object, not a string",
            ),
            (
                b"{\"choice\":\"a\",\"choice\":\"b\"}",
                "the field \"choice\" occurs twice",
            ),
            (
                b"{\"choice\":\"a\",\"poll\":\"x\",\"poll\":\"y\"}",
                "the field \"choice\" or the field \"poll\" occurs twice",
            ),
            (
                b"{\"choice\":\"a\",\"poll\":1}",
                "the field \"poll\" is a number, not a string",
            ),
        ] {
            assert_eq!(rejection(body), fault, "{}", String::from_utf8_lossy(body));
        }
        let long = format!("{{\"{}\":1}}", "x".repeat(4000));
        assert!(rejection(long.as_bytes()).len() < 100);
        let deep = "[".repeat(4000);
        assert_eq!(
            rejection(deep.as_bytes()),
            "its body is not JSON at line 1, column 128"
        );
    }

    proptest! {
        #[test]
        fn values_survive_the_encoding(value: String) {
            let body = serde_json::json!({ CHOICE: value }).to_string();
            prop_assert_eq!(VoteDocument::parse(body.as_bytes()).unwrap().choice, value);
        }

        #[test]
        fn parsing_never_panics(body: Vec<u8>) {
            let _ = VoteDocument::parse(&body);
        }
    }
}
