//! The body of `POST /`: `vote=a`, urlencoded or multipart, read strictly.
//!
//! Lenient readers turn broken encodings into other text; a vote must be what the voter sent, or refused.

use std::{borrow::Cow, convert::Infallible};

use axum::body::Bytes;
use futures_util::stream;
use multer::Multipart;
use poll::ballot::Choice;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{refusal::Refusal, sent::Sent};

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

const VOTE: &str = "vote";
/// The field that our page has for browsers which do not say where requests come from.
const TOKEN: &str = "token";
/// The field by which a vote that is sent again, because no answer came, is the same new voter's.
const ATTEMPT: &str = "attempt";
/// The field that our page has once the browser was given a cookie.
const HAS_COOKIE: &str = "has-cookie";

/// A vote, as the page's form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is read by hand here")]
pub struct VoteForm {
    /// The key of the option. Other fields are of no consequence.
    vote: Choice,
}

/// The same in parts. Each has its name in a header, which holds no control characters.
pub struct VoteFormInParts;

impl PartialSchema for VoteFormInParts {
    fn schema() -> RefOr<Schema> {
        let mut schema = VoteForm::schema();
        if let RefOr::T(Schema::Object(form)) = &mut schema {
            let name = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^[^\u0000-\u001f\u007f]*$"));
            form.property_names = Some(Box::new(name.into()));
        }
        schema
    }
}

impl ToSchema for VoteFormInParts {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        VoteForm::schemas(schemas);
    }
}

/// The fields of a form.
#[derive(Debug, Default)]
pub struct Form<'a> {
    vote: Option<Cow<'a, str>>,
    /// The token, if it is a form that has one.
    pub token: Option<Cow<'a, str>>,
    /// True where the page was made for a browser that had been given a cookie.
    pub has_cookie: bool,
    /// A random text that a script sends with a vote and with its repetitions.
    pub attempt: Option<Cow<'a, str>>,
    has_two_votes: bool,
}

impl<'a> Form<'a> {
    /// Reads the form that was sent.
    pub async fn read(sent: &'a Sent) -> Result<Self, Refusal> {
        let body = sent.body()?;
        if sent.is_of_type(URLENCODED) {
            Self::urlencoded(body)
        } else if sent.is_of_type(MULTIPART) {
            Self::multipart(body, sent.content_type()).await
        } else {
            Err(Refusal::ContentType(
                "application/x-www-form-urlencoded or multipart/form-data",
            ))
        }
    }

    pub(crate) fn urlencoded(body: &'a [u8]) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for pair in body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = split_once(pair);
            form.add(&decode(name)?, || decode(value))?;
        }
        Ok(form)
    }

    /// Source: <https://www.rfc-editor.org/rfc/rfc7578>.
    pub(crate) async fn multipart(body: &Bytes, content_type: &str) -> Result<Self, Refusal> {
        let unreadable = |error: multer::Error| Refusal::Malformed(error.to_string());
        let boundary = multer::parse_boundary(content_type).map_err(unreadable)?;
        let whole = stream::iter([Ok::<_, Infallible>(body.clone())]);
        let mut parts = Multipart::new(whole, boundary);
        let mut form = Self::default();
        while let Some(part) = parts.next_field().await.map_err(unreadable)? {
            let name = part.name().unwrap_or_default().to_owned();
            let value = part.bytes().await.map_err(unreadable)?;
            let value = || String::from_utf8(value.into()).map_err(|_| not_utf8());
            form.add(&name, || value().map(Cow::Owned))?;
        }
        Ok(form)
    }

    fn add(
        &mut self,
        name: &str,
        value: impl FnOnce() -> Result<Cow<'a, str>, Refusal>,
    ) -> Result<(), Refusal> {
        match name {
            VOTE => self.has_two_votes |= self.vote.replace(value()?).is_some(),
            TOKEN => self.token = Some(value()?),
            ATTEMPT => self.attempt = Some(value()?),
            HAS_COOKIE => self.has_cookie = true,
            _ => {}
        }
        Ok(())
    }

    /// The value of the field `vote`, which must be there once.
    pub fn vote(&self) -> Result<&str, Refusal> {
        if self.has_two_votes {
            return Err(Refusal::Malformed(
                "the field \"vote\" is there twice; send it once".into(),
            ));
        }
        self.vote.as_deref().ok_or_else(|| {
            Refusal::Malformed(
                "the field \"vote\" is missing; send vote= and the key of an option".into(),
            )
        })
    }
}

fn not_utf8() -> Refusal {
    Refusal::Malformed("the form is not UTF-8".into())
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

    fn vote(body: &[u8]) -> Result<String, Refusal> {
        Form::urlencoded(body)?.vote().map(str::to_owned)
    }

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
    fn what_a_page_says_of_itself_is_found_too() {
        let form = Form::urlencoded(b"token=abc&vote=a&has-cookie=1").unwrap();
        assert_eq!(
            (form.token.as_deref(), form.has_cookie),
            (Some("abc"), true)
        );
        let form = Form::urlencoded(b"vote=a").unwrap();
        assert_eq!((form.token, form.has_cookie), (None, false));
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

    async fn multipart(body: &[u8]) -> Result<String, Refusal> {
        let body = Bytes::copy_from_slice(body);
        let form = Form::multipart(&body, "multipart/form-data; boundary=\"x\"").await?;
        form.vote().map(str::to_owned)
    }

    fn part(name: &str, value: &str) -> String {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[tokio::test]
    async fn parts_are_fields() {
        let body = format!("{}{}--x--\r\n", part("other", "1"), part("vote", "a"));
        assert_eq!(multipart(body.as_bytes()).await.unwrap(), "a");
        for body in [
            String::new(),
            format!("{}--x--", part("other", "1")),
            format!("{}{}--x--", part("vote", "a"), part("vote", "a")),
            part("vote", "a").replace("--x\r\n", ""),
            part("vote", "a"),
        ] {
            let refusal = multipart(body.as_bytes()).await.unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed(_)), "{body}");
        }
        let latin_1 = [
            part("vote", "").trim_end().as_bytes(),
            b"\r\n\r\n\xff\r\n--x--",
        ]
        .concat();
        assert!(multipart(&latin_1).await.is_err());
        let unbounded = Form::multipart(&Bytes::new(), "multipart/form-data").await;
        assert!(matches!(unbounded.unwrap_err(), Refusal::Malformed(_)));
    }

    proptest! {
        #[test]
        fn any_value_survives_a_browsers_encoding(value: String) {
            let body = url::form_urlencoded::Serializer::new(String::new()).append_pair(VOTE, &value).finish();
            prop_assert_eq!(vote(body.as_bytes()).unwrap(), value);
        }

        #[test]
        fn no_body_makes_reading_panic(body: Vec<u8>) {
            let _ = vote(&body);
            let framed = [b"--x\r\n", &body[..], b"\r\n--x--"].concat();
            let reading = multipart(&framed);
            let _ = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reading);
        }
    }
}
