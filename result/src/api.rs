//! The result for programs.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::http::Problem;

use crate::{routes::App, snapshot::Snapshot};

const REVALIDATE: &str = "no-cache";

/// `GET /api/tally`
pub async fn tally(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    Ok(unless_known(
        &snapshot.id,
        &headers,
        "application/json",
        || snapshot.json.clone(),
    ))
}

/// `GET /api/tally.csv`
pub async fn tally_csv(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    refuse_hidden(&snapshot)?;
    Ok(unless_known(
        &snapshot.id,
        &headers,
        "text/csv; charset=utf-8; header=present",
        || csv_of(&snapshot),
    ))
}

/// `GET /api/timeline`
pub async fn timeline(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    refuse_hidden(&snapshot)?;
    let timeline = app.timeline()?;
    Ok(unless_known(
        &timeline.id,
        &headers,
        "application/json",
        || timeline.json.clone(),
    ))
}

/// The content, or 304 where the client has it already.
fn unless_known<B: IntoResponse>(
    id: &str,
    headers: &HeaderMap,
    content_type: &str,
    content: impl FnOnce() -> B,
) -> Response {
    let tag = format!("\"{id}\"");
    let asked = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .unwrap_or_default();
    // A cache on the way may have made the tag a weak one.
    let known = asked
        .split(',')
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let about = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, REVALIDATE),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, content_type)], content()).into_response()
}

/// Keeps from viewers what they may not see yet.
pub(crate) fn refuse_hidden(snapshot: &Snapshot) -> Result<(), Problem> {
    match snapshot.document.visible_at {
        Some(moment) if !snapshot.document.visible => {
            let detail = format!("the result is shown from {moment} on, when voting has ended");
            Err(Problem::new(StatusCode::FORBIDDEN, "result-hidden", detail))
        }
        _ => Ok(()),
    }
}

fn csv_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let rows = snapshot.document.options.iter().map(|option| {
        let number = |value: Option<String>| value.unwrap_or_default();
        [
            option.key.to_string(),
            option.label.clone(),
            number(option.votes.map(|votes| votes.to_string())),
            number(option.percent.map(|percent| format!("{percent:.1}"))),
        ]
    });
    let header = ["key", "label", "votes", "percent"].map(str::to_owned);
    for row in std::iter::once(header).chain(rows) {
        table
            .write_record(&row)
            .expect("rows of equal length can be written to memory");
    }
    table.into_inner().expect("memory can be flushed")
}
