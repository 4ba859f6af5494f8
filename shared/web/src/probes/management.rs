//! A separate listener for operators and Prometheus, so that the public listener reveals neither metrics nor errors.

use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use super::{Probes, probe_routes, status_routes};
use crate::{AppService, ConnectionSettings, HttpMetrics, Site, serve, undocumented_routes};
use service::lifecycle::Tasks;

/// The listeners of a service.
#[derive(Debug)]
pub struct Listeners {
    /// The public one.
    pub public: TcpListener,
    /// The one for operators and Prometheus; `None`: they use the public one.
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

/// Serves all probes at the management listener if there is one. Returns the routes of the probes for the public listener: with a
/// management listener, their responses have only a status.
pub fn serve_management(
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
    let app = AppService::new(routes, metrics.clone(), Site::default());
    let settings = ConnectionSettings::for_management();
    tasks.spawn(
        "management server",
        serve(listener, app, settings, lifecycle),
    );
    status_routes(probes)
}
