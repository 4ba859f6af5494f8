//! The metrics of one service, as they are scraped.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{GaugeVec, IntGaugeVec, Registry};

use super::{
    ExemplarHistogramVec, RuntimeMetrics,
    exemplars::Exemplars,
    exposition::{Exposition, Format, SharedExposition},
    openmetrics,
};

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

type Sampler = Box<dyn Fn() + Send>;

/// The metrics of one service. Cloning is cheap; clones share them.
#[derive(Clone)]
pub struct ServiceMetrics {
    /// Where they are registered.
    pub registry: Registry,
    /// What every service measures.
    pub common: CommonMetrics,
    samplers: Arc<Mutex<Vec<Sampler>>>,
    prometheus: Arc<SharedExposition>,
    openmetrics: Arc<SharedExposition>,
    exemplars: Arc<Mutex<Vec<Arc<Exemplars>>>>,
}

impl ServiceMetrics {
    /// The metrics that every service has. Called within the runtime that is measured.
    ///
    /// # Panics
    /// Outside a runtime.
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
            .expect("the process' metrics are registered once");
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

    /// Has this called before each answer: for what is looked up and not counted.
    pub fn on_scrape(&self, sample: impl Fn() + Send + 'static) {
        self.samplers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(sample));
    }

    /// Shows the exemplars of these histograms, too, in the format that has such.
    pub fn show_exemplars(&self, histograms: &ExemplarHistogramVec) {
        let mut exemplars = self
            .exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        exemplars.push(histograms.exemplars().clone());
    }

    /// All of them as text: as they are now, or as they were a moment ago where too many ask for them or leave them unread.
    #[must_use]
    pub fn exposition(&self, format: Format) -> Exposition {
        let shared = match format {
            Format::Prometheus => &self.prometheus,
            Format::OpenMetrics => &self.openmetrics,
        };
        shared.get(|| self.text(format))
    }

    fn text(&self, format: Format) -> String {
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        samplers.iter().for_each(|sample| sample());
        let families = self.registry.gather();
        // Only metrics without samples and malformed names fail, and neither can be registered here.
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
