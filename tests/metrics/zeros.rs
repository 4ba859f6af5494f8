//! Every counter is exported at 0 before its first event, so that the first event shows as an increase.

use super::services;
use crate::harness::{scrape::Scrape, skip::or_skip, storage::Backend};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_label_combination_is_exported_from_the_start() {
    let (_storage, services) = or_skip!(services(Backend::Servers).await);
    for (name, service) in &services {
        // The first request to the service.
        let first = Scrape::of(&service.url).await;
        for (metric, labels) in combinations(name) {
            let series = format!("{metric}{{{labels}}}");
            assert!(
                first.find(&series).is_some(),
                "{name} has no {series} in:\n{}",
                first.0
            );
        }
        for (series, value) in first.series() {
            let counts = series.starts_with("http_server_request_duration_seconds_count");
            assert!(!counts || value == 0.0, "{name}: {series} is {value}");
        }
    }
}

/// The combinations of labels that a service exports from the start.
fn combinations(service: &str) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut add = |metric: &'static str, label: &str, values: &[&str]| {
        for value in values {
            all.push((metric, format!("{label}=\"{value}\"")));
        }
    };
    let methods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "_OTHER",
    ];
    add(
        "http_server_active_requests",
        "http_request_method",
        &methods,
    );
    let dependencies: &[&str] = match service {
        "vote" => &["queue"],
        "worker" => &["queue", "store"],
        _ => &["store"],
    };
    add("dependency_up", "dependency", dependencies);
    add(
        "dependency_probe_timestamp_seconds",
        "dependency",
        dependencies,
    );
    if service == "vote" {
        let enqueued = ["accepted", "error", "timeout"];
        add("vote_enqueue_duration_seconds_count", "outcome", &enqueued);
    } else {
        add("db_pool_connections", "state", &["idle", "used"]);
        let classes = ["transient", "timeout", "permanent"];
        add("db_errors_total", "class", &classes);
    }
    match service {
        "worker" => {
            let outcomes = ["applied", "stale", "dead_letter", "retry"];
            add("worker_ballots_processed_total", "outcome", &outcomes);
        }
        "result" => add("result_sse_events_total", "outcome", &["sent", "skipped"]),
        _ => {}
    }
    if service == "vote" {
        let mut submitted = |choice: &str, outcomes: &str| {
            for outcome in outcomes.split(' ') {
                let labels = format!("choice=\"{choice}\",outcome=\"{outcome}\"");
                all.push(("vote_submissions_total", labels));
            }
        };
        for choice in ["a", "b", "none"] {
            submitted(choice, "accepted rejected error timeout rate_limited shed");
        }
        submitted("none", "connection_limit address_limit");
    }
    for (method, route, statuses) in routes(service) {
        for status in statuses.split(' ') {
            all.push((
                "http_server_request_duration_seconds_count",
                format!(
                    "http_request_method=\"{method}\",http_response_status_code=\"{status}\",http_route=\"{route}\""
                ),
            ));
        }
    }
    all
}

/// Methods and routes, each with its possible statuses.
fn routes(service: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut routes = vec![
        ("GET", "/health", "200 500 503"),
        ("GET", "/ready", "200 500 503"),
        ("GET", "/metrics", "200 500 503"),
        ("GET", "unmatched", "404"),
    ];
    let rejections = "400 403 408 413 415 422 429 500 503";
    routes.extend(match service {
        "vote" => vec![
            ("GET", "/", "200 500 503"),
            ("POST", "/", "200"),
            ("POST", "/", rejections),
            ("POST", "/api/votes", "202"),
            ("POST", "/api/votes", rejections),
            ("GET", "/api/poll", "200 500 503"),
            ("GET", "/static/{file}", "200 500 503"),
        ],
        "result" => vec![
            ("GET", "/", "200 500 503"),
            ("GET", "/embed", "200 500 503"),
            ("GET", "/events", "200 500 503"),
            ("GET", "/api/tally", "200 304 500 503"),
            ("GET", "/api/tally.csv", "200 304 500 503"),
            ("GET", "/api/timeline", "200 304 500 503"),
            ("GET", "/static/{file}", "200 500 503"),
        ],
        _ => vec![],
    });
    routes
}
