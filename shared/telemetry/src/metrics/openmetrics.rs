//! Metrics in the text format of OpenMetrics 1.0, which has exemplars. `_created` samples are not written: Prometheus would store each
//! as a separate series. Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::UNIX_EPOCH,
};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};

/// The content type of this format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Encodes metrics with their exemplars.
///
/// # Errors
/// Never: writing to a string does not fail.
pub fn encode(
    families: &[MetricFamily],
    exemplars: &[Arc<Exemplars>],
) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for family in families {
        let found = exemplars.iter().find(|known| known.name() == family.name());
        encode_family(&mut text, family, found.map(|found| &**found))?;
    }
    text.push_str("# EOF\n");
    Ok(text)
}

fn encode_family(
    text: &mut String,
    family: &MetricFamily,
    exemplars: Option<&Exemplars>,
) -> fmt::Result {
    let kind = family.get_field_type();
    // The name of a counter has no _total; only its samples do.
    let name = match kind {
        MetricType::COUNTER => family.name().trim_end_matches("_total"),
        _ => family.name(),
    };
    writeln!(text, "# TYPE {name} {}", type_name(kind))?;
    writeln!(text, "# HELP {name} {}", escape(family.help()))?;
    for metric in family.get_metric() {
        match kind {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                writeln!(
                    text,
                    "{name}_total{} {}",
                    format_labels(metric, None),
                    format_number(value)
                )?;
            }
            MetricType::HISTOGRAM => encode_histogram(text, name, metric, exemplars)?,
            _ => {
                let value = metric.get_gauge().get_value();
                writeln!(
                    text,
                    "{name}{} {}",
                    format_labels(metric, None),
                    format_number(value)
                )?;
            }
        }
    }
    Ok(())
}

fn encode_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: Option<&Exemplars>,
) -> fmt::Result {
    let histogram: &Histogram = metric.get_histogram();
    let finite_buckets = histogram
        .get_bucket()
        .iter()
        .filter(|bucket| bucket.upper_bound().is_finite());
    let finite_buckets = finite_buckets.map(|bucket| {
        (
            format_bound(bucket.upper_bound()),
            bucket.cumulative_count(),
        )
    });
    let last = ("+Inf".to_owned(), histogram.get_sample_count());
    for (bucket, (bound, count)) in finite_buckets.chain([last]).enumerate() {
        write!(
            text,
            "{name}_bucket{} {count}",
            format_labels(metric, Some(&bound))
        )?;
        let exemplar = exemplars.and_then(|all| all.get(|name| label_value(metric, name), bucket));
        if let Some(exemplar) = exemplar {
            write_exemplar(text, &exemplar)?;
        }
        text.push('\n');
    }
    let (sum, count) = (histogram.get_sample_sum(), histogram.get_sample_count());
    writeln!(text, "{name}_count{} {count}", format_labels(metric, None))?;
    writeln!(
        text,
        "{name}_sum{} {}",
        format_labels(metric, None),
        format_number(sum)
    )
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let Exemplar {
        trace,
        span,
        value,
        time,
    } = exemplar;
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    write!(
        text,
        " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {seconds:.3}",
        format_number(*value)
    )
}

fn type_name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        // The services have no summaries.
        _ => "gauge",
    }
}

fn label_value<'a>(metric: &'a Metric, name: &str) -> Option<&'a str> {
    let found = metric.get_label().iter().find(|label| label.name() == name);
    found.map(LabelPair::value)
}

/// Formats the labels in braces, with the upper bound of a bucket if there is one. Empty without labels.
fn format_labels(metric: &Metric, bound: Option<&str>) -> String {
    let metric_labels = metric.get_label().iter();
    let metric_labels =
        metric_labels.map(|label| format!("{}=\"{}\"", label.name(), escape(label.value())));
    let bound = bound.map(|bound| format!("le=\"{bound}\""));
    let all: Vec<_> = metric_labels.chain(bound).collect();
    if all.is_empty() {
        return String::new();
    }
    format!("{{{}}}", all.join(","))
}

/// Formats a bound as a floating-point number, as the specification requires: 1.0, not 1.
fn format_bound(value: f64) -> String {
    format!("{value:?}")
}

fn format_number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

/// Returns true if a client prefers this format to the Prometheus format, which is the default. Prometheus sends its formats with
/// weights: <https://prometheus.io/docs/instrumenting/content_negotiation/>.
pub fn is_preferred(accept: &str) -> bool {
    let weight_of = |wanted: &str| {
        let weights = accept.split(',').filter_map(|media_type| {
            let mut parts = media_type.split(';').map(str::trim);
            let name = parts.next()?;
            let (mut weight, mut version) = (1.0_f32, "1.0.0");
            for part in parts {
                match part.split_once('=') {
                    Some(("q", value)) => weight = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => version = value,
                    _ => {}
                }
            }
            let is_wanted = name.eq_ignore_ascii_case(wanted);
            let is_supported_version = wanted == "text/plain" || version == "1.0.0";
            (is_wanted && is_supported_version).then_some(weight)
        });
        weights.fold(0.0, f32::max)
    };
    let weight = weight_of("application/openmetrics-text");
    weight > 0.0 && weight >= weight_of("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ExemplarHistogramVec, register};
    use opentelemetry::trace::{SpanId, TraceId};
    use prometheus::{IntCounterVec, IntGauge, Registry};
    use std::time::Duration;

    #[test]
    fn the_text_follows_the_specification() {
        let registry = Registry::new();
        let seconds: ExemplarHistogramVec = register(
            &registry,
            "a_seconds",
            "A \"duration\".",
            &["route"],
            &[&[0.5, 1.0]],
        );
        let votes: IntCounterVec = register(&registry, "b_total", "Votes.", &["choice"], &[]);
        let open: IntGauge = register(&registry, "c", "Open.", &[], &[]);
        seconds.with_label_values(&["/"]).observe(0.75);
        let exemplar = |value, seconds| Exemplar {
            trace: TraceId::from(0x1f),
            span: SpanId::from(0x2e),
            value,
            time: UNIX_EPOCH + Duration::from_millis(seconds),
        };
        seconds.record_exemplar(&["/"], exemplar(0.6, 1000));
        seconds.record_exemplar(&["/"], exemplar(0.75, 1500));
        seconds.record_exemplar(&["/"], exemplar(2.0, 1750));
        votes.with_label_values(&["a\\b"]).inc_by(3);
        open.set(-2);
        let exemplars = [seconds.exemplars().clone()];
        assert_eq!(
            encode(&registry.gather(), &exemplars).unwrap(),
            r#"# TYPE a_seconds histogram
# HELP a_seconds A \"duration\".
a_seconds_bucket{route="/",le="0.5"} 0
a_seconds_bucket{route="/",le="1.0"} 1 # {trace_id="0000000000000000000000000000001f",span_id="000000000000002e"} 0.75 1.500
a_seconds_bucket{route="/",le="+Inf"} 1 # {trace_id="0000000000000000000000000000001f",span_id="000000000000002e"} 2 1.750
a_seconds_count{route="/"} 1
a_seconds_sum{route="/"} 0.75
# TYPE b counter
# HELP b Votes.
b_total{choice="a\\b"} 3
# TYPE c gauge
# HELP c Open.
c -2
# EOF
"#
        );
    }

    #[test]
    fn openmetrics_is_preferred_if_its_weight_is_at_least_that_of_plain_text() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus,
            "application/openmetrics-text",
            "application/openmetrics-text, text/plain",
        ] {
            assert!(is_preferred(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.2,text/plain;q=0.5",
        ] {
            assert!(!is_preferred(accept), "{accept}");
        }
    }
}
