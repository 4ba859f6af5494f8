//! Metrics: fields of a struct, whose doc comment is the help text.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

/// Declares a struct of metrics. A field's name is the metric's name, its doc comment the help text; labels stand in
/// brackets, and a histogram's upper bounds follow an arrow.
///
/// ```
/// shared::metrics! {
///     /// What the kitchen counts.
///     pub struct KitchenMetrics {
///         /// Dishes that left the kitchen, by course.
///         pub kitchen_dishes_total: prometheus::IntCounterVec["course"],
///         /// Seconds from order to table.
///         pub kitchen_duration_seconds: prometheus::Histogram => [60.0, 600.0],
///     }
/// }
/// let registry = prometheus::Registry::new();
/// let metrics = KitchenMetrics::new(&registry);
/// metrics.kitchen_dishes_total.with_label_values(&["soup"]).inc();
/// assert!(shared::metrics::text(&registry).contains("kitchen_dishes_total{course=\"soup\"} 1"));
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                pub $metric:ident: $kind:ty $([$($label:literal),+])? $(=> $buckets:expr)?,
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $help])+ pub $metric: $kind,)+
        }

        impl $name {
            /// Makes the metrics and registers them.
            ///
            /// # Panics
            /// A metric of this name is registered already, or its name or labels are malformed: mistakes in the code.
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

/// A kind of metric that [`metrics!`](crate::metrics!) can make.
pub trait Metric: Collector + Clone + 'static {
    /// Makes one.
    ///
    /// # Errors
    /// Its name or its labels are malformed.
    fn make(opts: Opts, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self>;
}

macro_rules! metric {
    ($($kind:ty => |$opts:ident, $labels:ident, $buckets:ident| $make:expr;)+) => {$(
        impl Metric for $kind {
            fn make($opts: Opts, $labels: &[&str], $buckets: &[f64]) -> prometheus::Result<Self> {
                $make
            }
        }
    )+};
}

metric! {
    IntCounter => |opts, _labels, _buckets| Self::with_opts(opts);
    IntCounterVec => |opts, labels, _buckets| Self::new(opts, labels);
    IntGauge => |opts, _labels, _buckets| Self::with_opts(opts);
    IntGaugeVec => |opts, labels, _buckets| Self::new(opts, labels);
    Gauge => |opts, _labels, _buckets| Self::with_opts(opts);
    GaugeVec => |opts, labels, _buckets| Self::new(opts, labels);
    Histogram => |opts, _labels, buckets| Self::with_opts(HistogramOpts { common_opts: opts, buckets: buckets.to_vec() });
    HistogramVec => |opts, labels, buckets| Self::new(HistogramOpts { common_opts: opts, buckets: buckets.to_vec() }, labels);
}

/// Makes a metric and registers it.
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
    let metric = M::make(Opts::new(name, help), labels, &buckets.concat())
        .expect("a metric's name and labels are well formed");
    registry
        .register(Box::new(metric.clone()))
        .expect("a metric is registered once");
    metric
}

/// Upper bounds of the seconds that answers take, with the service-level bounds 0.25 and 0.5 among them.
pub const LATENCY_SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0,
];

crate::metrics! {
    /// What every service measures.
    pub struct CommonMetrics {
        /// 1 while the dependency answers its probe, 0 while it does not.
        pub dependency_up: IntGaugeVec["dependency"],
        /// When the dependency was last probed, in seconds since the Unix epoch.
        pub dependency_probe_timestamp_seconds: GaugeVec["dependency"],
        /// Always 1; the labels say what is running.
        pub build_info: IntGaugeVec["service", "version", "revision"],
    }
}

/// A registry for one service, with what every service measures.
///
/// # Panics
/// Never: a new registry has none of these metrics yet.
#[must_use]
pub fn service_registry(service: &str) -> (Registry, CommonMetrics) {
    let registry = Registry::new();
    let common = CommonMetrics::new(&registry);
    common
        .build_info
        .with_label_values(&[service, crate::build::VERSION, crate::build::REVISION])
        .set(1);
    #[cfg(target_os = "linux")]
    registry
        .register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))
        .expect("the process' metrics are registered once");
    (registry, common)
}

/// The Prometheus text format, version 0.0.4.
#[must_use]
pub fn text(registry: &Registry) -> String {
    // Only metrics without samples and malformed names fail, and neither can be registered here.
    prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap_or_default()
}
