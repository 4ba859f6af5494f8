//! The body of `POST /`: `vote=a`, urlencoded or multipart, parsed strictly.
//!
//! The parser of urlencoded forms turns broken encodings into other text. Here a vote is exactly what the voter sent, or rejected.

use std::{borrow::Cow, convert::Infallible};

use axum::body::Bytes;
use futures_util::stream;
use multer::Multipart;
use percent_encoding::percent_decode;
use poll::{PollId, ballot::Choice};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{vote_error::VoteError, vote_request::VoteRequest, vote_service::SentVote};

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

const VOTE: &str = "vote";
/// Field by which the page names its poll.
const POLL: &str = "poll";
/// Field that our page has for browsers that send no fetch metadata.
const TOKEN: &str = "token";
/// Field by which a retry has the same new voter as a vote whose response was lost.
const ATTEMPT: &str = "attempt";
/// Field that our page has after the browser was given a cookie.
const HAS_COOKIE: &str = "has-cookie";

/// A vote, as the page's form sends it.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it is the schema of a body that is parsed by hand"
)]
pub struct VoteForm {
    /// Key of the option. Other fields than these have no effect.
    vote: Choice,
    /// Id of the poll. Not given: the current poll.
    #[schema(nullable = false)]
    poll: Option<PollId>,
}

/// The same as multipart form. The name of a part is in a header, which contains no control characters.
pub struct MultipartVoteForm;

impl PartialSchema for MultipartVoteForm {
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

impl ToSchema for MultipartVoteForm {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        VoteForm::schemas(schemas);
    }
}

/// Fields of a form.
#[derive(Debug, Default)]
pub struct Form<'a> {
    vote: Option<Cow<'a, str>>,
    poll: Option<Cow<'a, str>>,
    /// Token of the form, if it has one.
    pub token: Option<Cow<'a, str>>,
    /// True if the page was rendered for a browser that had been given a cookie.
    pub has_cookie: bool,
    /// Random text that the script sends with a vote and with its retries.
    pub attempt: Option<Cow<'a, str>>,
    has_two_votes: bool,
    has_two_polls: bool,
}

impl<'a> Form<'a> {
    /// Parses the form in the body of a request.
    pub async fn parse(request: &'a VoteRequest) -> Result<Self, VoteError> {
        let body = request.body()?;
        if request.has_content_type(URLENCODED) {
            Self::urlencoded(body)
        } else if request.has_content_type(MULTIPART) {
            Self::multipart(body, request.content_type()).await
        } else {
            Err(VoteError::ContentType(
                "application/x-www-form-urlencoded or multipart/form-data",
            ))
        }
    }

    pub(crate) fn urlencoded(body: &'a [u8]) -> Result<Self, VoteError> {
        check_encoding(body)?;
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            form.add(&name, || Ok(value))?;
        }
        Ok(form)
    }

    /// Parses a multipart form. Source: <https://www.rfc-editor.org/rfc/rfc7578>.
    pub(crate) async fn multipart(body: &Bytes, content_type: &str) -> Result<Self, VoteError> {
        let malformed = |error: multer::Error| VoteError::Malformed(error.to_string());
        let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
        let chunks = stream::iter([Ok::<_, Infallible>(body.clone())]);
        let mut parts = Multipart::new(chunks, boundary);
        let mut form = Self::default();
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            let value = part.bytes().await.map_err(malformed)?;
            let value = || String::from_utf8(value.into()).map_err(|_| not_utf8_error());
            form.add(&name, || value().map(Cow::Owned))?;
        }
        Ok(form)
    }

    fn add(
        &mut self,
        name: &str,
        value: impl FnOnce() -> Result<Cow<'a, str>, VoteError>,
    ) -> Result<(), VoteError> {
        match name {
            VOTE => self.has_two_votes |= self.vote.replace(value()?).is_some(),
            POLL => self.has_two_polls |= self.poll.replace(value()?).is_some(),
            TOKEN => self.token = Some(value()?),
            ATTEMPT => self.attempt = Some(value()?),
            HAS_COOKIE => self.has_cookie = true,
            _ => {}
        }
        Ok(())
    }

    /// Returns the vote in the fields `vote` and `poll`.
    ///
    /// # Errors
    /// The field `vote` is missing, or the form contains one of the fields twice.
    pub fn vote(&self) -> Result<SentVote<'_>, VoteError> {
        for (field, occurs_twice) in [(VOTE, self.has_two_votes), (POLL, self.has_two_polls)] {
            if occurs_twice {
                let fault = format!("the field {field:?} occurs twice; send it once");
                return Err(VoteError::Malformed(fault));
            }
        }
        let key = self.vote.as_deref().ok_or_else(|| {
            VoteError::Malformed(
                "the field \"vote\" is missing; send vote= and the key of an option".into(),
            )
        })?;
        Ok(SentVote {
            poll: self.poll.as_deref(),
            key,
        })
    }
}

fn not_utf8_error() -> VoteError {
    VoteError::Malformed("the form is not UTF-8".into())
}

/// Rejects a urlencoded body that the parser would decode to something else: it keeps a `%` without two digits, and replaces what
/// is not UTF-8. Source: <https://url.spec.whatwg.org/#urlencoded-parsing>.
fn check_encoding(body: &[u8]) -> Result<(), VoteError> {
    let mut after_percent_signs = body.split(|byte| *byte == b'%').skip(1);
    let has_digits = |rest: &[u8]| matches!(rest, [first, second, ..] if first.is_ascii_hexdigit() && second.is_ascii_hexdigit());
    if !after_percent_signs.all(has_digits) {
        let fault =
            "the form's percent-encoding is broken; write % and two hexadecimal digits".into();
        return Err(VoteError::Malformed(fault));
    }
    // Separators are ASCII, so no character of the decoded body spans two fields.
    match percent_decode(body).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(not_utf8_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vote(body: &[u8]) -> Result<String, VoteError> {
        let form = Form::urlencoded(body)?;
        form.vote().map(|vote| vote.key.to_owned())
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
    fn a_form_may_name_its_poll() {
        let poll = |body: &[u8]| {
            let form = Form::urlencoded(body).unwrap();
            form.vote().unwrap().poll.map(str::to_owned)
        };
        assert_eq!(poll(b"vote=a&poll=pets").as_deref(), Some("pets"));
        assert_eq!(poll(b"vote=a"), None);
    }

    #[test]
    fn token_and_cookie_fields_are_parsed() {
        let form = Form::urlencoded(b"token=abc&vote=a&has-cookie=1").unwrap();
        assert_eq!(
            (form.token.as_deref(), form.has_cookie),
            (Some("abc"), true)
        );
        let form = Form::urlencoded(b"vote=a").unwrap();
        assert_eq!((form.token, form.has_cookie), (None, false));
    }

    #[test]
    fn ambiguous_bodies_are_rejected() {
        for body in [
            &b""[..],
            b"x=a",
            b"vote=a&vote=a",
            b"vote=a&poll=x&poll=x",
            b"vote=%",
            b"vote=%6",
            b"vote=%zz",
            b"vote=%+1",
            b"vote=\xff",
            b"vote=%ff",
            b"vote=a&other=%zz",
            b"vote=a&other=%ff",
        ] {
            assert!(vote(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
    }

    async fn multipart(body: &[u8]) -> Result<String, VoteError> {
        let body = Bytes::copy_from_slice(body);
        let form = Form::multipart(&body, "multipart/form-data; boundary=\"x\"").await?;
        form.vote().map(|vote| vote.key.to_owned())
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
            let error = multipart(body.as_bytes()).await.unwrap_err();
            assert!(matches!(error, VoteError::Malformed(_)), "{body}");
        }
        let latin_1 = [
            part("vote", "").trim_end().as_bytes(),
            b"\r\n\r\n\xff\r\n--x--",
        ]
        .concat();
        assert!(multipart(&latin_1).await.is_err());
        let without_boundary = Form::multipart(&Bytes::new(), "multipart/form-data").await;
        assert!(matches!(
            without_boundary.unwrap_err(),
            VoteError::Malformed(_)
        ));
    }

    proptest! {
        #[test]
        fn values_survive_the_encoding_of_a_browser(value: String) {
            let body = form_urlencoded::Serializer::new(String::new()).append_pair(VOTE, &value).finish();
            prop_assert_eq!(vote(body.as_bytes()).unwrap(), value);
        }

        #[test]
        fn parsing_never_panics(body: Vec<u8>) {
            let _ = vote(&body);
            let framed = [b"--x\r\n", &body[..], b"\r\n--x--"].concat();
            let parsing = multipart(&framed);
            let _ = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(parsing);
        }
    }
}
