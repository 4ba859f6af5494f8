//! The result page. Its first paint is right without a script; with one it stays right.

use askama::Template;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use crate::{
    routes::App,
    snapshot::{OptionDocument, TallyDocument},
};

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage<'a> {
    question: &'a str,
    /// `None` before the store has answered once.
    tally: Option<&'a TallyDocument>,
    styles: Vec<&'a str>,
    script: &'a str,
    instance: &'a str,
}

/// `GET /`
pub async fn show(State(app): State<App>) -> Response {
    let snapshot = app.latest.borrow().clone();
    let page = ResultPage {
        question: &app.poll.question,
        tally: snapshot.as_ref().map(|snapshot| &snapshot.document),
        styles: app.styles.iter().map(|style| &*style.path).collect(),
        script: &app.script.path,
        instance: &app.instance,
    };
    let status = if page.tally.is_some() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match page.render() {
        Ok(html) => (status, [(header::CACHE_CONTROL, "no-cache")], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the page cannot be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page cannot be shown; please try again.",
            )
                .into_response()
        }
    }
}

impl TallyDocument {
    /// As the original app words it; the script words it the same.
    fn total_text(&self) -> String {
        match self.total {
            0 => "No votes yet".into(),
            1 => "1 vote".into(),
            many => format!("{many} votes"),
        }
    }
}

impl OptionDocument {
    fn percent_text(&self) -> String {
        self.percent
            .map_or_else(|| "–".into(), |percent| format!("{percent:.1}%"))
    }

    fn votes_text(&self) -> String {
        self.votes
            .map_or_else(String::new, |votes| votes.to_string())
    }
}
