//! The tally as CSV.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use cli::spreadsheet::{BYTE_ORDER_MARK, text_cell};
use utoipa::ToSchema;
use web::{NotModified, Problem, ProblemKind, RequestConditions, conditional_response};

use crate::{
    api::{Hidden, InvalidQuery, Unavailable, ensure_visible},
    snapshot::Snapshot,
    state::AppState,
};

/// The tally as a table
///
/// CSV with the columns `key`, `label`, `votes` and `percent`, in the poll's order. A key or a label that a spreadsheet would read
/// as a formula is prefixed with a single quote.
#[utoipa::path(get, path = "/api/tally.csv", tag = "result", operation_id = "get_tally_csv",
    params(RequestConditions, ("bom" = inline(Option<Bom>), Query, nullable = false,
        description = "1: the table starts with a byte order mark, so that spreadsheets detect UTF-8. 0 or not given: it does not.")),
    responses(
        (status = OK, description = "The current tally.", body = String, content_type = "text/csv",
            headers(("ETag" = String, description = "Id of this tally, the same on every replica.")),
            links(("again" = (operation_id = "get_tally_csv", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        InvalidQuery,
        Hidden,
        Unavailable,
    ),
)]
pub async fn tally_csv(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    tally_csv_response(&snapshot, &request)
}

/// Returns the tally of a poll as a table.
///
/// # Errors
/// The query is invalid, or the result is hidden.
pub(crate) fn tally_csv_response(
    snapshot: &Snapshot,
    request: &Request,
) -> Result<Response, Problem> {
    let bom = Bom::parse(request.uri().query().unwrap_or_default())?;
    ensure_visible(snapshot)?;
    Ok(conditional_response(
        &snapshot.id,
        request.headers(),
        "text/csv; charset=utf-8; header=present",
        || to_csv(snapshot, bom).into(),
    ))
}

/// The byte order mark at the start of a table.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
pub(crate) enum Bom {
    #[schema(rename = "0")]
    Without,
    #[schema(rename = "1")]
    With,
}

impl Bom {
    fn parse(query: &str) -> Result<Self, Problem> {
        let fields = query
            .split('&')
            .map(|field| field.split_once('=').unwrap_or((field, "")));
        let mut values = fields.filter(|(name, _)| *name == "bom");
        match (values.next(), values.next()) {
            (None | Some((_, "0")), None) => Ok(Self::Without),
            (Some((_, "1")), None) => Ok(Self::With),
            _ => {
                let detail = "The parameter bom must be 0 or 1 and may be given only once.";
                Err(Problem::new(ProblemKind::MalformedRequest, detail))
            }
        }
    }
}

fn to_csv(snapshot: &Snapshot, bom: Bom) -> Vec<u8> {
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
