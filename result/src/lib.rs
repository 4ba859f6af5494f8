//! The live result page and its API.
//!
//! `tally_poller` reads the tally after each change and publishes it as one `snapshot`, from which the page, the events and
//! the API are served: a thousand viewers cost the store no more than one. `timeline_poller` does the same for the votes over time.

mod api;
mod archive;
mod assets;
mod chart;
#[cfg(test)]
mod colours;
mod counting;
mod events;
mod metrics;
mod openapi;
mod outcome;
mod page;
mod percent;
mod routes;
mod settings;
mod snapshot;
mod sse_connection;
mod state;
mod tally_csv;
mod tally_poller;
mod texts;
mod timeline;
mod timeline_document;
mod timeline_poller;

use std::sync::Arc;

use retry::Throttle;
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use store::Store;
use telemetry::metrics::ServiceMetrics;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use web::{
    AddressLimit, HttpMetrics, Listeners, Probes, content_security_policy, serve_management,
};

use archive::Archive;
use assets::Assets;
use metrics::ResultMetrics;
pub use settings::{Config, EmbedSettings, PageConfig, Settings, ViewerSettings};
pub use sse_connection::HEARTBEAT_INTERVAL;
use state::AppState;
use tally_poller::{CurrentSnapshot, TallyPoller};
use timeline_poller::TimelinePoller;

/// The default port of this service.
pub const DEFAULT_PORT: u16 = 8081;

/// Serves until `shutdown` is cancelled and the requests in flight are answered.
///
/// # Errors
/// The embedded store cannot be opened, the store needs another version of this program, or a task of the service crashed.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service_metrics = ServiceMetrics::new("result");
    let metrics = ResultMetrics::for_outcomes(&service_metrics.registry);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    service_metrics.show_exemplars(&http_metrics.http_server_request_duration_seconds);

    let store = Store::open_with_metrics(&config.store, &service_metrics).await?;
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let shutting_down = lifecycle.shutting_down.clone();
    let dependency = Dependency::new("store", &service_metrics.common);
    let (publisher, snapshot) = watch::channel(None);
    metrics.report_age(snapshot.clone(), &service_metrics);
    let state = Arc::new(AppState {
        poll: Arc::new(config.poll),
        archive: Archive::new(store.clone()),
        snapshot: snapshot.clone(),
        metrics,
        shutting_down: shutting_down.clone(),
        texts: texts::load(),
        assets: Assets::new(config.page.public_urls.vote_url.as_deref()),
        embed_policy: content_security_policy(&config.page.embed_allowed_origins),
        sse_permits: Arc::new(Semaphore::new(config.max_viewers)),
        viewers_per_address: AddressLimit::new(
            "stream",
            config.max_viewers_per_address,
            &http_metrics,
        ),
        rejection_log: Throttle::default(),
        instance: telemetry::instance_name(),
        public_urls: config.page.public_urls,
    });

    let probes = Probes {
        alive: Arc::new(|| true),
        checks: readiness(snapshot.clone(), dependency.clone()),
        lifecycle: lifecycle.clone(),
        metrics: service_metrics,
    };
    let mut tasks = Tasks::default();
    let probe_routes = serve_management(probes, listeners.management, &http_metrics, &mut tasks);
    let (origins, poll) = (config.origins.as_ref(), state.poll.clone());
    let base_path = state.public_urls.result_base_path.clone();
    let routes = routes::routes(state, probe_routes, origins, &http_metrics);
    let app = web::AppService::new(routes, http_metrics, config.site)
        .with_base_path(base_path.unwrap_or_default());

    spawn_store_probe(&mut tasks, &store, dependency, &shutting_down);
    tasks.spawn(
        "server",
        web::serve(
            listeners.public,
            app,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    let timeline_poller = TimelinePoller {
        store: store.clone(),
        poll: poll.clone(),
        snapshot,
        publisher: publisher.clone(),
    };
    let tally_poller = TallyPoller::new(store.clone(), poll, publisher);
    spawn_pollers(&mut tasks, tally_poller, timeline_poller, &shutting_down);
    let outcome = lifecycle.run(tasks).await;
    store.checkpoint().await;
    outcome
}

/// The readiness check: fails until the tally has been read once. An unreachable store does not make the service unready later,
/// because viewers see the last tally, marked as stale.
fn readiness(
    snapshot: watch::Receiver<CurrentSnapshot>,
    dependency: Dependency,
) -> Arc<dyn Fn() -> Vec<Check> + Send + Sync> {
    Arc::new(move || {
        let is_loaded = snapshot.borrow().is_some();
        let outcome = if is_loaded {
            Ok(())
        } else {
            let reason = dependency.check().outcome.err();
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            Err(format!("no tally has been read from the store yet{reason}"))
        };
        vec![Check {
            name: "tally",
            outcome,
        }]
    })
}

fn spawn_store_probe(
    tasks: &mut Tasks,
    store: &Store,
    dependency: Dependency,
    shutting_down: &CancellationToken,
) {
    let (store, shutting_down) = (store.clone(), shutting_down.clone());
    tasks.spawn("store probe", async move {
        dependency
            .watch(shutting_down, || store.probe(), async || {})
            .await;
        Ok(())
    });
}

fn spawn_pollers(
    tasks: &mut Tasks,
    tally_poller: TallyPoller,
    timeline_poller: TimelinePoller,
    shutting_down: &CancellationToken,
) {
    let (tally_shutdown, timeline_shutdown) = (shutting_down.clone(), shutting_down.clone());
    tasks.spawn("timeline poller", async move {
        timeline_poller.run(&timeline_shutdown).await;
        Ok(())
    });
    tasks.spawn("tally poller", async move {
        Ok(tally_poller.run(&tally_shutdown).await?)
    });
}
