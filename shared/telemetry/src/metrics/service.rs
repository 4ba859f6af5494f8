//! The metrics of one service.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{GaugeVec, IntGaugeVec, Registry};

use super::{
    ExemplarHistogramVec, RuntimeMetrics,
    exemplars::Exemplars,
    exposition::{Exposition, Format, SharedExposition},
    openmetrics,
};

crate::metrics! {
    /// Metrics of every service.
    pub struct CommonMetrics {
        /// 1 if the last probe of the dependency succeeded, 0 if not.
        pub dependency_up: IntGaugeVec["dependency"],
        /// Time of the last probe of the dependency, in seconds since the Unix epoch.
        pub dependency_probe_timestamp_seconds: GaugeVec["dependency"],
        /// Always 1. The labels are the name, version and revision of the service.
        pub build_info: IntGaugeVec["service", "version", "revision"],
    }
}

type Sampler = Box<dyn Fn() + Send>;

/// The metrics of one service. Cloning is cheap; clones share them.
#[derive(Clone)]
pub struct ServiceMetrics {
    /// The registry.
    pub registry: Registry,
    /// The metrics of every service.
    pub common: CommonMetrics,
    samplers: Arc<Mutex<Vec<Sampler>>>,
    prometheus: Arc<SharedExposition>,
    openmetrics: Arc<SharedExposition>,
    exemplars: Arc<Mutex<Vec<Arc<Exemplars>>>>,
}

impl ServiceMetrics {
    /// Creates the metrics of a service, with those of the process and of the current runtime.
    ///
    /// # Panics
    /// There is no current runtime.
    #[must_use]
    pub fn new(service: &str) -> Self {
        let registry = Registry::new();
        let common = CommonMetrics::new(&registry);
        common
            .build_info
            .with_label_values(&[service, cli::build::VERSION, cli::build::REVISION])
            .set(1);
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("the metrics of the process are registered once");
        let runtime = RuntimeMetrics::new(&registry);
        let metrics = Self {
            registry,
            common,
            samplers: Arc::default(),
            prometheus: Arc::default(),
            openmetrics: Arc::default(),
            exemplars: Arc::default(),
        };
        let handle = tokio::runtime::Handle::current();
        metrics.on_scrape(move || runtime.sample(&handle.metrics()));
        metrics
    }

    /// Registers a function that samples gauges. It is called before a new text is rendered for a scrape.
    pub fn on_scrape(&self, sample: impl Fn() + Send + 'static) {
        self.samplers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(sample));
    }

    /// Adds the exemplars of these histograms to the OpenMetrics format.
    pub fn show_exemplars(&self, histograms: &ExemplarHistogramVec) {
        let mut exemplars = self
            .exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exemplars.push(histograms.exemplars().clone());
    }

    /// Returns the metrics as text. The text is older if there are too many scrapes, or too many texts that clients have not read.
    #[must_use]
    pub fn exposition(&self, format: Format) -> Exposition {
        let shared = match format {
            Format::Prometheus => &self.prometheus,
            Format::OpenMetrics => &self.openmetrics,
        };
        shared.get(|| self.render(format))
    }

    fn render(&self, format: Format) -> String {
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        samplers.iter().for_each(|sample| sample());
        let families = self.registry.gather();
        // Encoding fails only for metrics without samples or with malformed names. Neither can be registered.
        match format {
            Format::Prometheus => prometheus::TextEncoder::new()
                .encode_to_string(&families)
                .unwrap_or_default(),
            Format::OpenMetrics => {
                let exemplars = self
                    .exemplars
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                openmetrics::encode(&families, &exemplars).unwrap_or_default()
            }
        }
    }
}
