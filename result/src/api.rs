//! The result for programs.

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    response::Response,
};
use cli::spreadsheet::{BYTE_ORDER_MARK, text_cell};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{RefOr, response},
};
use web::{
    NotModified, Problem, ProblemKind, RequestConditions, conditional_response, problem_responses,
};

use crate::{
    routes::App,
    snapshot::{Snapshot, TallyDocument},
    timeline::TimelineDocument,
};

/// There is no result to show.
pub struct Unavailable;

impl IntoResponses for Unavailable {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::ResultUnavailable])
    }
}

/// The result may not be shown yet.
pub struct Hidden;

impl IntoResponses for Hidden {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::ResultHidden])
    }
}

/// The query is none that the table knows.
pub struct UnknownQuery;

impl IntoResponses for UnknownQuery {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::MalformedRequest])
    }
}

/// The tally
///
/// All votes and those for each option; the latter are `null` while they are hidden. It changes with every vote: ask
/// with `If-None-Match`, or better listen to `/events`.
#[utoipa::path(get, path = "/api/tally", tag = "result", operation_id = "get_tally",
    params(RequestConditions),
    responses(
        (status = OK, description = "The tally of now.", body = TallyDocument,
            headers(("ETag" = String, description = "The id of this tally, the same on every replica.")),
            links(("again" = (operation_id = "get_tally", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        Unavailable,
    ),
)]
pub async fn tally(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    Ok(conditional_response(
        &snapshot.id,
        request.headers(),
        "application/json",
        || snapshot.json.clone(),
    ))
}

/// The tally as a table
///
/// With the columns `key`, `label`, `votes` and `percent`, in the poll's order. A key or a label that a spreadsheet would take
/// for a formula has a single quote in front.
#[utoipa::path(get, path = "/api/tally.csv", tag = "result", operation_id = "get_tally_csv",
    params(RequestConditions, ("bom" = inline(Option<Bom>), Query, nullable = false,
        description = "1: the table begins with a byte order mark, by which spreadsheets know that it is in UTF-8. 0, or nothing: it does not.")),
    responses(
        (status = OK, description = "The tally of now.", body = String, content_type = "text/csv",
            headers(("ETag" = String, description = "The id of this tally, the same on every replica.")),
            links(("again" = (operation_id = "get_tally_csv", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        UnknownQuery,
        Hidden,
        Unavailable,
    ),
)]
pub async fn tally_csv(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let bom = Bom::of(request.uri().query().unwrap_or_default())?;
    let snapshot = app.snapshot()?;
    refuse_hidden(&snapshot)?;
    Ok(conditional_response(
        &snapshot.id,
        request.headers(),
        "text/csv; charset=utf-8; header=present",
        || csv_of(&snapshot, bom).into(),
    ))
}

/// The byte order mark at the start of a table.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
enum Bom {
    #[schema(rename = "0")]
    Without,
    #[schema(rename = "1")]
    With,
}

impl Bom {
    fn of(query: &str) -> Result<Self, Problem> {
        let fields = query
            .split('&')
            .map(|field| field.split_once('=').unwrap_or((field, "")));
        let mut values = fields.filter(|(name, _)| *name == "bom");
        match (values.next(), values.next()) {
            (None | Some((_, "0")), None) => Ok(Self::Without),
            (Some((_, "1")), None) => Ok(Self::With),
            _ => {
                let detail = "The parameter bom may be given once, and is 0 or 1.";
                Err(Problem::new(ProblemKind::MalformedRequest, detail))
            }
        }
    }
}

/// When the standing votes were cast
///
/// At most 48 steps, whose length follows from how long voting has been going on. Steps without votes are left out.
#[utoipa::path(get, path = "/api/timeline", tag = "result", operation_id = "get_timeline",
    params(RequestConditions),
    responses(
        (status = OK, description = "The votes over time.", body = TimelineDocument,
            headers(("ETag" = String, description = "The same on every replica, as long as the votes over time are.")),
            links(("again" = (operation_id = "get_timeline", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        Hidden,
        Unavailable,
    ),
)]
pub async fn timeline(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    refuse_hidden(&snapshot)?;
    let timeline = app.timeline()?;
    Ok(conditional_response(
        &timeline.id,
        request.headers(),
        "application/json",
        || timeline.json.clone(),
    ))
}

/// Keeps from viewers what they may not see yet.
pub(crate) fn refuse_hidden(snapshot: &Snapshot) -> Result<(), Problem> {
    match snapshot.document.visible_at {
        Some(moment) if !snapshot.document.visible => {
            let detail = format!("The result is shown from {moment} on, when voting has ended.");
            Err(Problem::new(ProblemKind::ResultHidden, detail))
        }
        _ => Ok(()),
    }
}

fn csv_of(snapshot: &Snapshot, bom: Bom) -> Vec<u8> {
    let mark = match bom {
        Bom::With => BYTE_ORDER_MARK,
        Bom::Without => &[],
    };
    let mut table = csv::Writer::from_writer(mark.to_vec());
    let rows = snapshot.document.options.iter().map(|option| {
        let number = |value: Option<String>| value.unwrap_or_default();
        [
            text_cell(option.key.as_str()).into_owned(),
            text_cell(&option.label).into_owned(),
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
