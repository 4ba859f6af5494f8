//! A real Prometheus scrapes OpenMetrics and stores the exemplars.

use serde_json::Value;

use crate::{
    faults::start_ready,
    harness::{
        collector::Collector,
        eventually,
        prometheus::Prometheus,
        skip::or_skip,
        storage::{Backend, Storage},
        voter::Voter,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_stores_exemplars_with_trace_ids() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let collector = Collector::start().await;
    let vote = start_ready("vote", &storage, &collector.settings()).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    let request = "POST /";
    let traced = async || {
        let spans = collector.spans().into_iter();
        let mut requests = spans.filter(|seen| seen.span.name == request);
        requests.next().map(|seen| seen.trace())
    };
    let trace = eventually(request, Option::is_some, traced).await.unwrap();

    let prometheus = or_skip!(Prometheus::of(&vote.url));
    let exemplars = async || {
        let path = "query_exemplars?query=http_server_request_duration_seconds_bucket&start=0&end=9999999999";
        prometheus.query(path).await
    };
    let has_trace = |found: &Value| found.to_string().contains(&trace);
    eventually("the exemplar", has_trace, exemplars).await;
    // The whole scrape was parsed, and counters have the same names as in the text format.
    for query in [
        "up",
        "vote_submissions_total{choice=\"a\",outcome=\"accepted\"}",
    ] {
        let value = async || {
            let found = prometheus.query(&format!("query?query={query}")).await;
            found["result"][0]["value"][1].clone()
        };
        eventually(query, |value| *value == "1", value).await;
    }
}
