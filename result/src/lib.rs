//! The live result page and its API.
//!
//! `refresher` reads the tally whenever it has changed and turns it into one `snapshot`, from which the [`page`], the
//! [`events`] and the [`api`] answer everybody: a thousand viewers cost the store what one does. `timeline` does the
//! same for the votes over time.

pub mod api;
mod assets;
mod chart;
#[cfg(test)]
mod colours;
mod counting;
mod described;
pub mod events;
mod metrics;
mod outcome;
pub mod page;
mod percent;
mod refresher;
mod routes;
mod settings;
mod snapshot;
mod texts;
mod timeline;

use std::sync::Arc;

use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use store::Store;
use telemetry::metrics::ServiceMetrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web::{AddressLimit, HttpMetrics, Listeners, Probes, serve_management};

use metrics::ResultMetrics;
pub use percent::tenths_of_percent;
pub use settings::{Config, EmbedSettings, PageConfig, Settings, ViewerSettings};

/// The port this service listens on where none is set.
pub const DEFAULT_PORT: u16 = 8081;

/// Serves until `shutdown` is cancelled and the requests in hand are answered.
///
/// # Errors
/// The embedded store cannot be used, the store can never be used as it is, or a part of the service crashed.
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
    let poll = Arc::new(config.poll);
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependency = Dependency::new("store", &service_metrics.common);
    let (publisher, latest) = watch::channel(None);
    metrics.tell_age_of(latest.clone(), &service_metrics);
    let (timeline_publisher, timeline) = watch::channel(None);

    let mut tasks = Tasks::default();
    let probes = {
        let (latest, dependency) = (latest.clone(), dependency.clone());
        Probes {
            alive: Arc::new(|| true),
            // A store that is away is no reason to turn viewers away: they see the last tally, marked as stale.
            checks: Arc::new(move || {
                let loaded = latest.borrow().is_some();
                let outcome = if loaded {
                    Ok(())
                } else {
                    let why = dependency.check().outcome.err();
                    let why = why.map_or_else(String::new, |why| format!(": {why}"));
                    Err(format!("no tally has been read from the store yet{why}"))
                };
                vec![Check {
                    name: "tally",
                    outcome,
                }]
            }),
            lifecycle: lifecycle.clone(),
            metrics: service_metrics,
        }
    };
    let viewers_per_address =
        AddressLimit::new("stream", config.max_viewers_per_address, &http_metrics);
    let app = routes::App::new(
        poll.clone(),
        &config.page,
        latest.clone(),
        timeline,
        metrics,
        lifecycle.shutting_down.clone(),
        (config.max_viewers, viewers_per_address),
    );
    let routes = routes::routes(
        app,
        serve_management(probes, listeners.management, &http_metrics, &mut tasks),
        config.origins.as_ref(),
        &http_metrics,
    );
    let base_path = config.page.links.result_base_path.unwrap_or_default();
    let answers = web::AppService::new(routes, http_metrics, config.site).with_base_path(base_path);

    let shutting_down = lifecycle.shutting_down.clone();
    let settling = store.clone();
    {
        let (store, shutting_down) = (store.clone(), shutting_down.clone());
        tasks.spawn("store probe", async move {
            dependency
                .watch(shutting_down, || store.probe(), async || {})
                .await;
            Ok(())
        });
    }
    tasks.spawn(
        "server",
        web::serve(
            listeners.public,
            answers,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    {
        let (store, poll, shutting_down) = (store.clone(), poll.clone(), shutting_down.clone());
        tasks.spawn("timeline", async move {
            timeline::keep_fresh(&store, &poll, latest, &timeline_publisher, &shutting_down).await;
            Ok(())
        });
    }
    tasks.spawn("refresher", async move {
        Ok(refresher::keep_fresh(&store, &poll, &publisher, &shutting_down).await?)
    });
    let ended = lifecycle.run(tasks).await;
    settling.checkpoint().await;
    ended
}
