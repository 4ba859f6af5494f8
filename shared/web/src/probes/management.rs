//! A listener of its own for operators and Prometheus, so that everybody else sees neither metrics nor what is wrong.

use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use super::{Probes, probe_routes, status_routes};
use crate::{AppService, ConnectionSettings, HttpMetrics, Site, serve, undocumented_routes};
use service::lifecycle::Tasks;

/// The sockets of a service.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub public: TcpListener,
    /// For operators and Prometheus; `None`: they use the public one.
    pub management: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self {
            public,
            management: None,
        }
    }
}

/// Serves all probes at the management listener, where there is one. Returns the routes of those that the public one
/// serves: with a management listener, the ones that say no more than a status.
pub fn manage(
    probes: Probes,
    listener: Option<TcpListener>,
    metrics: &HttpMetrics,
    tasks: &mut Tasks,
) -> OpenApiRouter {
    let Some(listener) = listener else {
        return probe_routes(probes);
    };
    let lifecycle = probes.lifecycle.clone();
    let routes = undocumented_routes(probe_routes(probes.clone()), metrics);
    let answers = AppService::new(routes, metrics.clone(), Site::default());
    let settings = ConnectionSettings::for_management();
    tasks.spawn(
        "management server",
        serve(listener, answers, settings, lifecycle),
    );
    status_routes(probes)
}
