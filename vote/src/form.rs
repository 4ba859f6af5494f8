//! The body of `POST /`: `vote=a`, read strictly.
//!
//! Lenient readers turn broken encodings into other text; a vote must be what the voter sent, or refused.

use std::borrow::Cow;

use shared::ballot::Choice;
use utoipa::ToSchema;

use crate::refusal::Refusal;

const FIELD: &str = "vote";

/// A vote, as the page's form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read by hand here")]
pub struct VoteForm {
    /// The key of the option. Other fields are of no consequence.
    vote: Choice,
}

/// The value of the field `vote`, which must be there once.
pub fn vote(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let mut found = None;
    for pair in body
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = split_once(pair);
        if decode(name)? != FIELD {
            continue;
        }
        if found.replace(decode(value)?).is_some() {
            return Err(Refusal::Malformed(
                "the field \"vote\" is there twice; send it once".into(),
            ));
        }
    }
    found.ok_or_else(|| {
        Refusal::Malformed(
            "the field \"vote\" is missing; send vote= and the key of an option".into(),
        )
    })
}

fn split_once(pair: &[u8]) -> (&[u8], &[u8]) {
    let end = pair
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(pair.len());
    (&pair[..end], pair.get(end + 1..).unwrap_or_default())
}

/// Source: <https://url.spec.whatwg.org/#application/x-www-form-urlencoded>, without its leniency.
fn decode(raw: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let not_utf8 = || Refusal::Malformed("the form is not UTF-8".into());
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| not_utf8());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(rest.next())? << 4 | hex_digit(rest.next())?,
            other => *other,
        });
    }
    String::from_utf8(bytes)
        .map(Cow::Owned)
        .map_err(|_| not_utf8())
}

fn hex_digit(byte: Option<&u8>) -> Result<u8, Refusal> {
    let digit = byte
        .and_then(|byte| char::from(*byte).to_digit(16))
        .and_then(|digit| u8::try_from(digit).ok());
    digit.ok_or_else(|| {
        Refusal::Malformed(
            "the form's percent-encoding is broken; write % and two hexadecimal digits".into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vote_is_found_among_other_fields() {
        for body in [
            "vote=a",
            "x=1&vote=a",
            "vote=a&x=%41",
            "&vote=a&",
            "vo%74e=%61",
        ] {
            assert_eq!(vote(body.as_bytes()).unwrap(), "a", "{body}");
        }
        assert_eq!(vote(b"vote=a+b%2Bc").unwrap(), "a b+c");
        assert_eq!(vote(b"vote=").unwrap(), "");
        assert_eq!(vote(b"vote").unwrap(), "");
    }

    #[test]
    fn what_cannot_be_read_for_sure_is_refused() {
        for body in [
            &b""[..],
            b"x=a",
            b"vote=a&vote=a",
            b"vote=%",
            b"vote=%6",
            b"vote=%zz",
            b"vote=%+1",
            b"vote=\xff",
            b"vote=%ff",
        ] {
            assert!(vote(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_a_browsers_encoding(value: String) {
            let body = url::form_urlencoded::Serializer::new(String::new()).append_pair(FIELD, &value).finish();
            prop_assert_eq!(vote(body.as_bytes()).unwrap(), value);
        }

        #[test]
        fn no_body_makes_reading_panic(body: Vec<u8>) {
            let _ = vote(&body);
        }
    }
}
