//! Responses to requests that no route handles.

use axum::http::{Method, Uri};

use crate::{Problem, ProblemKind};

pub(super) async fn not_found(uri: Uri) -> Problem {
    let detail = format!("There is nothing at {}.", uri.path());
    Problem::new(ProblemKind::NotFound, detail)
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "The method {method} is not allowed at {}. The header Allow lists the allowed methods.",
        uri.path()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}
