//! Metrics as fields of structs. The doc comment of a field is the help text. `infra/monitoring/metrics.md` lists all metrics.

mod exemplars;
mod exposition;
mod openmetrics;
mod runtime;
mod service;

use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

pub use exemplars::{Exemplar, ExemplarHistogramVec};
pub use exposition::{Exposition, Format};
pub use runtime::RuntimeMetrics;
pub use service::{CommonMetrics, ServiceMetrics};

/// Declares a struct of metrics. The name of a field is the name of the metric, and its doc comment is the help text. Labels are in
/// brackets, and the upper bounds of a histogram follow an arrow.
///
/// ```
/// telemetry::metrics! {
///     /// Metrics of the kitchen.
///     pub struct KitchenMetrics {
///         /// Dishes served, by course.
///         pub kitchen_dishes_total: prometheus::IntCounterVec["course"],
///         /// Seconds from order to table.
///         pub kitchen_duration_seconds: prometheus::Histogram => [60.0, 600.0],
///     }
/// }
/// let registry = prometheus::Registry::new();
/// let metrics = KitchenMetrics::new(&registry);
/// metrics.kitchen_dishes_total.with_label_values(&["soup"]).inc();
/// assert_eq!(registry.gather()[0].help(), "Dishes served, by course.");
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                pub $metric:ident: $kind:ty $([$($label:literal),+])? $(=> $buckets:expr)?,
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        #[allow(clippy::struct_field_names, reason = "the names of metrics begin with the name of their service")]
        pub struct $name {
            $($(#[doc = $help])+ pub $metric: $kind,)+
        }

        impl $name {
            /// Creates and registers the metrics.
            ///
            /// # Panics
            /// A metric with this name is already registered, or a name or a label is malformed. Both are bugs.
            #[must_use]
            pub fn new(registry: &prometheus::Registry) -> Self {
                Self {
                    $($metric: $crate::metrics::register(
                        registry,
                        stringify!($metric),
                        concat!($($help),+).trim(),
                        &[$($($label),+)?],
                        &[$(&$buckets[..])?],
                    ),)+
                }
            }
        }
    };
}

/// A type of metric that [`metrics!`](crate::metrics!) can create.
pub trait Metric: Collector + Clone + 'static {
    /// Creates a metric.
    ///
    /// # Errors
    /// The name or a label is malformed.
    fn create(opts: Opts, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self>;
}

macro_rules! metric {
    ($($kind:ty => |$opts:ident, $labels:ident, $buckets:ident| $create:expr;)+) => {$(
        impl Metric for $kind {
            fn create($opts: Opts, $labels: &[&str], $buckets: &[f64]) -> prometheus::Result<Self> {
                $create
            }
        }
    )+};
}

metric! {
    Counter => |opts, _labels, _buckets| Self::with_opts(opts);
    IntCounter => |opts, _labels, _buckets| Self::with_opts(opts);
    IntCounterVec => |opts, labels, _buckets| Self::new(opts, labels);
    IntGauge => |opts, _labels, _buckets| Self::with_opts(opts);
    IntGaugeVec => |opts, labels, _buckets| Self::new(opts, labels);
    Gauge => |opts, _labels, _buckets| Self::with_opts(opts);
    GaugeVec => |opts, labels, _buckets| Self::new(opts, labels);
    Histogram => |opts, _labels, buckets| Self::with_opts(HistogramOpts { common_opts: opts, buckets: buckets.to_vec() });
    HistogramVec => |opts, labels, buckets| Self::new(HistogramOpts { common_opts: opts, buckets: buckets.to_vec() }, labels);
}

/// Creates and registers a metric.
///
/// # Panics
/// See [`metrics!`](crate::metrics!).
#[must_use]
pub fn register<M: Metric>(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[&[f64]],
) -> M {
    let metric = M::create(Opts::new(name, help), labels, &buckets.concat())
        .expect("a metric's name and labels are well formed");
    registry
        .register(Box::new(metric.clone()))
        .expect("a metric is registered once");
    metric
}

/// Upper bounds of the buckets for response times, in seconds. 0.25 and 0.5 are the latencies of service-level objectives.
pub const LATENCY_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0,
];
