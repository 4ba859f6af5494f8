//! Histograms with an exemplar per bucket: the trace of one of its observations. It links a latency in a graph to a trace.
//! Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars>.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use opentelemetry::trace::{SpanId, TraceId};
use prometheus::{
    HistogramOpts, HistogramVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::Metric;

/// An observation in a sampled trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The id of the trace.
    pub trace: TraceId,
    /// The id of the span.
    pub span: SpanId,
    /// The observed value.
    pub value: f64,
    /// The time of the observation.
    pub time: SystemTime,
}

/// Histograms with an exemplar per bucket. Cloning is cheap; clones share them.
#[derive(Clone, Debug)]
pub struct ExemplarHistogramVec {
    histograms: HistogramVec,
    exemplars: Arc<Exemplars>,
}

/// The latest exemplar of each bucket.
#[derive(Debug)]
pub struct Exemplars {
    name: String,
    labels: Vec<String>,
    /// The upper bounds of the buckets, except the last bucket, which has none.
    bounds: Vec<f64>,
    /// Exemplars by label values; empty before the first sampled trace.
    latest: Mutex<HashMap<Vec<String>, Vec<Option<Exemplar>>>>,
}

impl ExemplarHistogramVec {
    /// Replaces the exemplar of the bucket of its value. The caller observes the value in the histogram separately.
    pub fn record_exemplar(&self, values: &[&str], exemplar: Exemplar) {
        let bounds = &self.exemplars.bounds;
        let bucket = bounds.partition_point(|bound| *bound < exemplar.value);
        let mut latest = self.exemplars.latest();
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let buckets = latest
            .entry(values)
            .or_insert_with(|| vec![None; bounds.len() + 1]);
        buckets[bucket] = Some(exemplar);
    }

    /// Returns the exemplars of these histograms.
    #[must_use]
    pub fn exemplars(&self) -> &Arc<Exemplars> {
        &self.exemplars
    }
}

impl Exemplars {
    /// Returns the name of the histograms.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the exemplar of a bucket of the histogram with these labels. The last bucket has no upper bound.
    pub fn get<'a>(
        &self,
        label: impl Fn(&str) -> Option<&'a str>,
        bucket: usize,
    ) -> Option<Exemplar> {
        let values: Option<Vec<_>> = self.labels.iter().map(|name| label(name)).collect();
        let values: Vec<_> = values?.into_iter().map(str::to_owned).collect();
        *self.latest().get(&values)?.get(bucket)?
    }

    fn latest(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<String>, Vec<Option<Exemplar>>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for ExemplarHistogramVec {
    type Target = HistogramVec;

    fn deref(&self) -> &HistogramVec {
        &self.histograms
    }
}

impl Collector for ExemplarHistogramVec {
    fn desc(&self) -> Vec<&Desc> {
        self.histograms.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.histograms.collect()
    }
}

impl Metric for ExemplarHistogramVec {
    fn create(opts: Opts, labels: &[&str], buckets: &[f64]) -> prometheus::Result<Self> {
        let exemplars = Exemplars {
            name: opts.name.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            bounds: buckets.to_vec(),
            latest: Mutex::default(),
        };
        let opts = HistogramOpts {
            common_opts: opts,
            buckets: buckets.to_vec(),
        };
        Ok(Self {
            histograms: HistogramVec::new(opts, labels)?,
            exemplars: Arc::new(exemplars),
        })
    }
}
