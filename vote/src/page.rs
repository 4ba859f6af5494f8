//! Handlers of the voting page. It works without a script; with one, the script sends the vote and updates the page.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, IntoResponseParts, Response},
};
use jiff::Timestamp;
use poll::{Phase, PollOption};
use web::{csrf, html, html_uncompressed, language::Language};

use crate::{
    enqueue::Receipt,
    form::{Form, MultipartVoteForm, VoteForm},
    identity::Identity,
    openapi::VoteErrorPages,
    page_template::{Notice, PageContent, VotePage, VoterIdText},
    state::AppState,
    vote_error::VoteError,
    vote_request::VoteRequest,
    vote_service::RequestOrigin,
};

/// Location of the page after a vote. It is relative, so that it works below any path.
const PAGE: HeaderValue = HeaderValue::from_static("./");
/// Location of the page after a vote without a cookie. The browser should send the new cookie with that request.
const PAGE_AFTER_FIRST_VOTE: HeaderValue = HeaderValue::from_static("./?voted");
const VOTED: &str = "voted";
/// Query of the page that shows the voter's id.
const VOTER_ID: &str = "voter-id";

/// The voting page
///
/// In HTML; it works without a script and shows this voter's last choice, and with the query `voter-id` the voter's id.
#[utoipa::path(get, path = "/", tag = "page", operation_id = "get_voting_page",
    security((), ("voter" = [])), responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html",
        headers(("Set-Cookie" = String, description = "The voter's identity, if the form contains a token: for a client \
            that sends no Sec-Fetch-Site."))),
))]
pub async fn show(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let headers = request.headers();
    let context = PageContext::new(&state, headers);
    let follows_vote = request.uri().query() == Some(VOTED) && csrf::is_same_origin(headers);
    let notice = if context.last_choice().is_some() && context.is_open() {
        Notice::Accepted
    } else if follows_vote && !context.identity.has_cookie {
        Notice::CookieNotKept
    } else {
        Notice::Hint
    };
    let needs_token = !csrf::has_fetch_metadata(headers);
    let needs_cookie = needs_token && !context.identity.has_cookie;
    let shows_voter_id = request.uri().query() == Some(VOTER_ID);
    let mut page = context.content(notice);
    if shows_voter_id {
        page = page.with_voter_id(context.voter_id_text());
    }
    context.respond(StatusCode::OK, &page, needs_token, needs_cookie)
}

/// Vote by the page's form
///
/// The response is the page with the outcome of the vote. A browser that navigates is redirected to the page by 303.
#[utoipa::path(post, path = "/", tag = "page", operation_id = "vote_by_form",
    security((), ("voter" = [])),
    request_body(content(
        (VoteForm = "application/x-www-form-urlencoded"),
        (MultipartVoteForm = "multipart/form-data"),
    ), description = "The choice, in at most 4096 bytes."),
    responses(
        (status = OK, description = "The queue has stored the vote on its disk.", body = String, content_type = "text/html",
            headers(("Set-Cookie" = String, description = "The voter's identity."))),
        (status = SEE_OTHER, description = "The same, for a browser that navigates: a redirect to the page.",
            headers(("Set-Cookie" = String, description = "The voter's identity."), ("Location" = String, description = "The page."))),
        VoteErrorPages,
    ),
)]
pub async fn submit(State(state): State<Arc<AppState>>, request: VoteRequest) -> Response {
    let mut context = PageContext::new(&state, &request.headers);
    let form = Form::parse(&request).await;
    let fields = form.as_ref().ok();
    let token = context.identity.check_form_token(
        fields.and_then(|form| form.token.as_deref()),
        &state.cookie_keys,
    );
    let vote = form.as_ref().map_err(Clone::clone).and_then(Form::vote);
    if let Some(attempt) = fields.and_then(|form| form.attempt.as_deref()) {
        context.identity = context.identity.for_attempt(attempt, &state.cookie_keys);
    }
    let origin = RequestOrigin {
        voter: context.identity.voter,
        address: request.address,
        headers: &request.headers,
        token,
    };
    match state.votes.cast(origin, vote, request.traceparent()).await {
        Ok(receipt) => {
            let was_given_cookie = fields.is_some_and(|form| form.has_cookie);
            context.accepted(&receipt, was_given_cookie)
        }
        Err(error) => context.rejected(error),
    }
}

/// Context of a response with the page.
struct PageContext<'a> {
    state: &'a AppState,
    headers: &'a HeaderMap,
    now: Timestamp,
    identity: Identity,
}

impl<'a> PageContext<'a> {
    fn new(state: &'a AppState, headers: &'a HeaderMap) -> Self {
        let now = state.poll.schedule.now();
        Self {
            state,
            headers,
            now,
            identity: Identity::from_cookies(
                headers,
                &state.cookie_keys,
                state.cookie_context(now),
            ),
        }
    }

    /// Returns the index of the option that this voter last voted for.
    fn last_choice(&self) -> Option<usize> {
        let is_last_choice = |option: &PollOption| option.key.as_str() == self.identity.last_choice;
        self.state.poll.options.iter().position(is_last_choice)
    }

    fn is_open(&self) -> bool {
        self.state.poll.schedule.phase(self.now) == Phase::Open
    }

    /// Returns true if the response needs a form token. Programs send neither `Origin` nor fetch metadata and need none.
    fn needs_token_after_vote(&self) -> bool {
        let is_browser = self.headers.contains_key(header::ORIGIN);
        is_browser && !csrf::has_fetch_metadata(self.headers)
    }

    /// Responds to an accepted vote. `was_given_cookie` is true if the form's page came with a cookie.
    fn accepted(mut self, receipt: &Receipt, was_given_cookie: bool) -> Response {
        let had_cookie = self.identity.has_cookie;
        self.identity = self.identity.with_choice(&receipt.choice);
        let cookie_not_kept = !had_cookie && was_given_cookie;
        // After a redirect, the page recognises a browser without a cookie only by its fetch metadata.
        let can_redirect = !cookie_not_kept || csrf::has_fetch_metadata(self.headers);
        if csrf::is_navigation(self.headers) && can_redirect {
            return self.redirect(had_cookie);
        }
        let notice = if cookie_not_kept {
            Notice::CookieNotKept
        } else {
            Notice::Accepted
        };
        let content = self.content(notice);
        self.respond(
            StatusCode::OK,
            &content,
            self.needs_token_after_vote(),
            true,
        )
    }

    /// Responds to a vote that was not accepted.
    fn rejected(&self, error: VoteError) -> Response {
        let needs_cookie = error.is_ambiguous();
        let needs_token =
            self.needs_token_after_vote() && (self.identity.has_cookie || needs_cookie);
        let (status, retry_after) = (error.status(), error.retry_after());
        let content = self.content(Notice::Rejected(error));
        let mut response = self.respond(status, &content, needs_token, needs_cookie);
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    fn content(&self, notice: Notice) -> PageContent {
        let phase = self.state.poll.schedule.phase(self.now);
        PageContent::new(phase, self.last_choice(), notice)
    }

    fn voter_id_text(&self) -> VoterIdText {
        if self.identity.has_cookie {
            VoterIdText::Id(self.identity.voter.to_string())
        } else {
            VoterIdText::NoCookie
        }
    }

    /// Renders the page for this voter, with a cookie if `needs_cookie`. A page with a token is rendered for this voter
    /// only; other pages are rendered once for many voters.
    fn respond(
        &self,
        status: StatusCode,
        content: &PageContent,
        needs_token: bool,
        needs_cookie: bool,
    ) -> Response {
        let (state, headers) = (self.state, self.headers);
        let language = Language::negotiate(headers);
        let page = |token| VotePage::new(state, language, content, token);
        let page = if needs_token {
            let token = self.identity.form_token(&state.cookie_keys);
            html_uncompressed(&page(Some(token)), language)
        } else if content.is_shared() {
            let pages = &state.pages;
            pages.respond(headers, language, content.clone(), || page(None))
        } else {
            html(&page(None), language, headers)
        };
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        if needs_cookie {
            (status, no_store, self.set_cookies(), page).into_response()
        } else {
            (status, no_store, page).into_response()
        }
    }

    /// Redirects to the page, so that Back and Reload do not vote again.
    fn redirect(&self, had_cookie: bool) -> Response {
        let page = if had_cookie {
            PAGE
        } else {
            PAGE_AFTER_FIRST_VOTE
        };
        let headers = [
            (header::LOCATION, page),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (StatusCode::SEE_OTHER, headers, self.set_cookies()).into_response()
    }

    fn set_cookies(&self) -> impl IntoResponse + IntoResponseParts + use<> {
        let context = self.state.cookie_context(self.now);
        self.identity
            .set_cookies(&self.state.cookie_keys, context, self.headers)
    }
}
