//! The metrics of one service, as they are scraped.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{GaugeVec, IntGaugeVec, Registry};

use super::{
    RuntimeMetrics,
    exposition::{Exposition, SharedExposition},
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
    exposition: Arc<SharedExposition>,
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
            .with_label_values(&[service, crate::build::VERSION, crate::build::REVISION])
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
            exposition: Arc::default(),
        };
        let handle = tokio::runtime::Handle::current();
        metrics.before_each_scrape(move || runtime.sample(&handle.metrics()));
        metrics
    }

    /// Has this called before each answer: for what is looked up and not counted.
    pub fn before_each_scrape(&self, sample: impl Fn() + Send + 'static) {
        self.samplers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(sample));
    }

    /// All of them in the Prometheus text format, version 0.0.4: as they are now, or as they were a moment ago where too many ask
    /// for them or leave them unread.
    #[must_use]
    pub fn exposition(&self) -> Exposition {
        self.exposition.get(|| self.text())
    }

    fn text(&self) -> String {
        let samplers = self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        samplers.iter().for_each(|sample| sample());
        // Only metrics without samples and malformed names fail, and neither can be registered here.
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}
