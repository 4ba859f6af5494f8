//! Traces from the request of a voter through the queue to the commit, as a collector receives them.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    faults::start_ready,
    harness::{
        collector::{Collector, ReceivedSpan},
        eventually,
        process::Service,
        redis,
        skip::or_skip,
        storage::{Backend, Storage, on_both_storages},
        voter::client,
    },
};

on_both_storages! {
    a_trace_covers_the_request_and_the_commit,
    a_batch_is_one_span_with_a_link_to_each_ballot,
    a_dead_letter_is_an_error_in_its_trace_and_in_the_log,
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CLIENT}-{flags}")
}

/// Votes with or without a traceparent.
async fn vote(url: &str, traceparent: Option<&str>) -> StatusCode {
    let mut request = client().post(url).form(&[("vote", "a")]);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    request.send().await.unwrap().status()
}

/// The name of the destination in spans.
fn destination(storage: &Storage) -> &str {
    match messaging_system(storage) {
        "redis" => &storage.stream,
        _ => "ballots",
    }
}

/// The messaging system of the queue.
fn messaging_system(storage: &Storage) -> &'static str {
    let is_redis = storage.queue_url.starts_with("redis");
    if is_redis { "redis" } else { "sqlite" }
}

async fn a_batch_is_one_span_with_a_link_to_each_ballot(storage: Storage) {
    let collector = Collector::start().await;
    let settings = collector.settings();
    let vote_service = start_ready("vote", &storage, &settings).await;
    let mut sent = Vec::new();
    for last in ["6", "7"] {
        let trace = TRACE.replace("4736", &format!("473{last}"));
        let traced = traceparent(&trace, "01");
        assert_eq!(vote(&vote_service.url, Some(&traced)).await, StatusCode::OK);
        let name = format!("send {}", destination(&storage));
        sent.push(collector.span(&trace, &name).await);
    }
    // An untraced ballot is in the batch, without a link.
    let untraced = traceparent(&TRACE.replace('4', "5"), "00");
    assert_eq!(
        vote(&vote_service.url, Some(&untraced)).await,
        StatusCode::OK
    );
    // A ratio of 0 applies only to traces that start here, and these started in the client.
    let mut ratio = settings.to_vec();
    ratio.push(("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"));
    ratio.push(("OTEL_TRACES_SAMPLER_ARG", "0"));
    let _worker = start_ready("worker", &storage, &ratio).await;

    let name = format!("process {}", destination(&storage));
    let batch = collector.span_linked_to(&sent[0], &name).await;
    let links: Vec<_> = sent.iter().map(|sent| (sent.trace(), sent.id())).collect();
    assert_eq!((batch.links(), batch.parent()), (links, String::new()));
    assert_eq!(batch.attribute("messaging.batch.message_count"), "3");
    let insert = collector.span(&batch.trace(), "BATCH INSERT votes").await;
    assert_eq!(insert.attribute("db.operation.batch.size"), "3");
}

async fn a_trace_covers_the_request_and_the_commit(storage: Storage) {
    let collector = Collector::start().await;
    let service = async |name| start_ready(name, &storage, &collector.settings()).await;
    let (vote_service, _worker) = (service("vote").await, service("worker").await);
    let (system, queue) = (messaging_system(&storage), destination(&storage));

    let sampled = traceparent(TRACE, "01");
    assert_eq!(
        vote(&vote_service.url, Some(&sampled)).await,
        StatusCode::OK
    );
    let request = collector.span(TRACE, "POST /").await;
    let sent = collector.span(TRACE, &format!("send {queue}")).await;
    let commit = format!("process {queue}");
    let processed = collector.span_linked_to(&sent, &commit).await;
    let inserted = collector.span(&processed.trace(), "INSERT votes").await;

    let all = [&request, &sent, &processed, &inserted];
    assert_eq!(
        all.map(|seen| (seen.service.as_str(), seen.kind())),
        [
            ("vote", SpanKind::Server),
            ("vote", SpanKind::Producer),
            ("worker", SpanKind::Consumer),
            ("worker", SpanKind::Client),
        ]
    );
    assert_eq!(
        all.map(ReceivedSpan::parent),
        [
            CLIENT.to_owned(),
            request.id(),
            String::new(),
            processed.id()
        ]
    );
    let (group, database) = match system {
        "redis" => ("workers", "postgresql"),
        _ => ("", "sqlite"),
    };
    assert_eq!(processed.attribute("messaging.consumer.group.name"), group);
    assert_eq!(processed.attribute("messaging.batch.message_count"), "1");
    for (name, value) in [
        ("db.system.name", database),
        ("db.operation.name", "INSERT"),
        ("db.collection.name", "votes"),
    ] {
        assert_eq!(inserted.attribute(name), value, "{name}");
    }
    assert_eq!(
        inserted.attribute("db.namespace").is_empty(),
        database == "sqlite"
    );
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
    ] {
        assert_eq!(request.attribute(name), value, "{name}");
    }
    for (part, operation) in [(&sent, "send"), (&processed, "process")] {
        for (name, value) in [
            ("messaging.system", system),
            ("messaging.operation.name", operation),
            ("messaging.operation.type", operation),
            ("messaging.destination.name", queue),
        ] {
            assert_eq!(part.attribute(name), value, "{name}");
        }
    }
    let ballot = sent.attribute("messaging.message.id");
    assert!(ballot.contains('-'), "{ballot}");
    assert!(format!("{:?}", processed.span.links).contains(&ballot));
    assert!(request.span.start_time_unix_nano <= sent.span.start_time_unix_nano);
    assert!(processed.span.start_time_unix_nano <= processed.span.end_time_unix_nano);
    assert!(!all.iter().any(|seen| seen.failed()));

    // A request without a traceparent starts a new trace.
    assert_eq!(vote(&vote_service.url, None).await, StatusCode::OK);
    let is_other = |name: &str| {
        let spans = collector.spans().into_iter();
        let mut others = spans.filter(|seen| seen.trace() != TRACE && seen.span.name == name);
        others.next()
    };
    let other = eventually("a new trace", Option::is_some, async || {
        is_other(&format!("send {queue}"))
    });
    let sent = other.await.unwrap();
    let request = collector.span(&sent.trace(), "POST /").await;
    assert_eq!(request.parent(), "");
    collector.span_linked_to(&sent, &commit).await;

    let all = format!("{:?}", collector.spans());
    assert!(!all.contains("postgres:postgres"), "{all}");
    for (voter, _) in storage.rows("SELECT id, cast_ms FROM votes").await {
        assert!(!all.contains(&voter), "{voter} in {all}");
    }
    assert!(!all.contains("127.0.0.1"), "{all}");
    let probed = collector.spans();
    let probe = probed.iter().find(|seen| seen.span.name.contains("/ready"));
    assert!(probe.is_none(), "{probe:?}");
}

async fn a_dead_letter_is_an_error_in_its_trace_and_in_the_log(storage: Storage) {
    let collector = Collector::start().await;
    let mut settings = collector.settings().to_vec();
    settings.push(("LOG_FORMAT", "json"));
    let worker = start_ready("worker", &storage, &settings).await;
    let sampled = traceparent(TRACE, "01");
    storage
        .enqueue_raw(&[("choice", "a"), ("traceparent", &sampled)])
        .await;
    let line = worker.process.wait_for_line("cannot be stored and becomes");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&TRACE.into(), &CLIENT.into())
    );
    let name = format!("process {}", destination(&storage));
    let letter = (TRACE.to_owned(), CLIENT.to_owned());
    let find = async || {
        let spans = collector.spans().into_iter();
        let mut processed = spans.filter(|seen| seen.span.name == name);
        processed.find(|seen| seen.links() == [letter.clone()])
    };
    let processed = eventually("the span of its batch", Option::is_some, find)
        .await
        .unwrap();
    assert!(processed.failed(), "{processed:?}");
    assert_eq!(processed.attribute("error.type"), "dead_letter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_to_store_a_batch_is_a_span_of_its_own() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let collector = Collector::start().await;
    let settings = collector.settings();
    let vote_service = start_ready("vote", &storage, &settings).await;
    let _worker = start_ready("worker", &storage, &settings).await;
    storage
        .execute("ALTER TABLE votes ADD CONSTRAINT no_cats CHECK (vote <> 'a')")
        .await;
    let sampled = traceparent(TRACE, "01");
    assert_eq!(
        vote(&vote_service.url, Some(&sampled)).await,
        StatusCode::OK
    );
    let sent = collector
        .span(TRACE, &format!("send {}", storage.stream))
        .await;
    let attempts = async || {
        let mut spans = collector.spans();
        spans.retain(|seen| seen.links() == [(sent.trace(), sent.id())]);
        spans
    };
    eventually("two attempts", |seen| seen.len() >= 2, attempts).await;
    storage
        .execute("ALTER TABLE votes DROP CONSTRAINT no_cats")
        .await;
    let succeeded = |seen: &Vec<ReceivedSpan>| seen.last().is_some_and(|last| !last.failed());
    let all = eventually("success", succeeded, attempts).await;
    let failed = &all[..all.len() - 1];
    for attempt in failed {
        assert!(attempt.failed(), "{attempt:?}");
        assert!(!attempt.attribute("error.type").is_empty(), "{attempt:?}");
    }
    for pair in all.windows(2) {
        assert!(
            pair[0].span.end_time_unix_nano <= pair[1].span.start_time_unix_nano,
            "{pair:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_vote_is_an_error_in_its_trace_and_in_the_log() {
    let mut storage = or_skip!(Storage::new(Backend::Embedded).await);
    // No server listens at this address.
    storage.queue_url = "redis://127.0.0.1:1".into();
    let collector = Collector::start().await;
    let mut settings = collector.settings().to_vec();
    settings.push(("ENQUEUE_TIMEOUT", "100ms"));
    let vote_service = Service::start("vote", &storage, &settings);
    let status = vote(&vote_service.url, Some(&traceparent(TRACE, "01"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let request = collector.span(TRACE, "POST /").await;
    assert!(request.failed(), "{request:?}");
    assert_eq!(request.attribute("error.type"), "503");
    let sent = collector
        .span(TRACE, &format!("send {}", storage.stream))
        .await;
    assert!(sent.failed(), "{sent:?}");
    assert!(!sent.attribute("error.type").is_empty());
    let line = vote_service.process.wait_for_line("could not be queued");
    let ids = format!("trace_id={TRACE} span_id={}", request.id());
    assert!(line.ends_with(&ids), "{line}");
    // Its span is not in it otherwise.
    assert!(!line.contains("otel.name"), "{line}");
    // Log lines outside requests have no trace.
    assert!(
        !vote_service
            .process
            .wait_for_line("listening")
            .contains("trace_id")
    );
}

/// Exemplars lead from a latency in a graph to its trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_buckets_have_exemplars_in_openmetrics() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let collector = Collector::start().await;
    let vote_service = start_ready("vote", &storage, &collector.settings()).await;
    let sampled = traceparent(TRACE, "01");
    assert_eq!(
        vote(&vote_service.url, Some(&sampled)).await,
        StatusCode::OK
    );
    let request = collector.span(TRACE, "POST /").await;
    let metrics = async |accept: &str| {
        let scrape = client().get(format!("{}/metrics", vote_service.url));
        let response = scrape.header("accept", accept).send().await.unwrap();
        let content_type = response.headers()["content-type"].to_str().unwrap();
        (content_type.to_owned(), response.text().await.unwrap())
    };
    // The Accept header of Prometheus 3.
    let (content_type, text) = metrics("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2").await;
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let ids = format!(" # {{trace_id=\"{TRACE}\",span_id=\"{}\"}} ", request.id());
    let exemplar = text.lines().find(|line| line.contains(&ids));
    let exemplar = exemplar.unwrap_or_else(|| panic!("no {ids} in {text}"));
    assert!(
        exemplar.starts_with("http_server_request_duration_seconds_bucket{")
            && exemplar.contains("http_route=\"/\""),
        "{exemplar}"
    );
    let (content_type, text) = metrics("*/*").await;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!text.contains(TRACE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsampled_traces_are_not_exported_and_keep_the_client_context() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let collector = Collector::start().await;
    let mut settings = collector.settings().to_vec();
    settings.push(("OTEL_TRACES_SAMPLER", "parentbased_always_off"));
    settings.push(("OTEL_SERVICE_NAME", "polling-station"));
    let vote_service = start_ready("vote", &storage, &settings).await;
    let other = TRACE.replace('4', "5");
    let headers = [traceparent(&other, "00"), traceparent(TRACE, "01")];
    assert_eq!(vote(&vote_service.url, None).await, StatusCode::OK);
    for header in &headers {
        assert_eq!(vote(&vote_service.url, Some(header)).await, StatusCode::OK);
    }
    let last = collector.span(TRACE, "POST /").await;
    assert_eq!(last.service, "polling-station");
    let sent = collector
        .span(TRACE, &format!("send {}", storage.stream))
        .await;
    let traces: Vec<_> = collector.spans().iter().map(ReceivedSpan::trace).collect();
    assert_eq!(traces, [TRACE, TRACE]);
    // The worker may trace even if vote does not, so ballots keep the traceparent of the client.
    let expected = [
        None,
        Some(headers[0].clone()),
        Some(format!("00-{TRACE}-{}-01", sent.id())),
    ];
    assert_eq!(traceparents(&storage), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tracing_a_ballot_keeps_the_traceparent_of_its_client() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote_service = start_ready("vote", &storage, &[]).await;
    let sampled = traceparent(TRACE, "01");
    assert_eq!(
        vote(&vote_service.url, Some(&sampled)).await,
        StatusCode::OK
    );
    assert_eq!(
        vote(&vote_service.url, Some("nonsense")).await,
        StatusCode::OK
    );
    assert_eq!(traceparents(&storage), [Some(sampled), None]);
}

/// The traceparents of the ballots in the queue, oldest first.
fn traceparents(storage: &Storage) -> Vec<Option<String>> {
    let mut all = ::redis::cmd("XRANGE");
    all.arg(&storage.stream).arg("-").arg("+");
    let entries: Vec<(String, Vec<String>)> =
        all.query(&mut redis::shared().unwrap().connect()).unwrap();
    let traceparent = |fields: &Vec<String>| {
        let at = fields.iter().position(|field| field == "traceparent")?;
        fields.get(at + 1).cloned()
    };
    entries
        .iter()
        .map(|(_, fields)| traceparent(fields))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_filter_does_not_affect_spans() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let collector = Collector::start().await;
    let mut settings = collector.settings().to_vec();
    // The test reads the address of the service from its log.
    settings.push(("RUST_LOG", "web=info"));
    let vote_service = start_ready("vote", &storage, &settings).await;
    let sampled = traceparent(TRACE, "01");
    assert_eq!(
        vote(&vote_service.url, Some(&sampled)).await,
        StatusCode::OK
    );
    let request = collector.span(TRACE, "POST /").await;
    let sent = collector
        .span(TRACE, &format!("send {}", destination(&storage)))
        .await;
    assert_eq!(sent.parent(), request.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_spans_are_exported_at_shutdown() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let collector = Collector::start().await;
    let no_export = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let mut vote_service = start_ready("vote", &storage, &no_export).await;
    vote(&vote_service.url, None).await;
    assert!(collector.spans().is_empty());
    assert!(vote_service.process.terminate().success());
    let names: Vec<_> = collector
        .spans()
        .into_iter()
        .map(|seen| seen.span.name)
        .collect();
    assert!(names.contains(&"POST /".to_owned()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_or_hanging_collector_does_not_affect_votes() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    // The system accepts connections, and no response is ever sent.
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs = format!("http://{}", hangs.local_addr().unwrap());
    for collector in ["http://127.0.0.1:1", &hangs] {
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"),
            ("SHUTDOWN_TIMEOUT", "1h"),
        ];
        let mut vote_service = start_ready("vote", &storage, &settings).await;
        // More spans than the queue of the exporter can hold.
        for _ in 0..50 {
            assert_eq!(vote(&vote_service.url, None).await, StatusCode::OK);
        }
        assert!(vote_service.process.terminate().success(), "{collector}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_the_result_service_are_traced() {
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let collector = Collector::start().await;
    let result = start_ready("result", &storage, &collector.settings()).await;
    for (path, name, route) in [
        ("/api/tally", "GET /api/tally", "/api/tally"),
        ("/no/such/path", "GET", ""),
        // An unknown method does not appear in the name of a span.
        ("/api/tally.csv", "HTTP /api/tally.csv", "/api/tally.csv"),
    ] {
        let method = match name {
            "HTTP /api/tally.csv" => Method::from_bytes(b"BREW").unwrap(),
            _ => Method::GET,
        };
        let request = client().request(method, format!("{}{path}", result.url));
        let request = request.header("traceparent", traceparent(TRACE, "01"));
        request.send().await.unwrap();
        let seen = collector.span(TRACE, name).await;
        assert_eq!(
            (seen.attribute("http.route"), seen.failed()),
            (route.into(), false)
        );
    }
    assert!(!format!("{:?}", collector.spans()).contains("such/path"));
}
