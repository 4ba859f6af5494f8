//! The standard variables of OpenTelemetry that configure traces. The OpenTelemetry library itself reads those of the resource, the
//! exporter and its batches (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_…`).
//! Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::time::Duration;

use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use url::Url;

use super::sampler::LinkBased;
use cli::whole_number;

/// The settings of traces.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traces")]
#[expect(
    clippy::struct_field_names,
    reason = "the flags have the names of the standard variables"
)]
pub struct TraceSettings {
    /// Endpoint for traces by OTLP over HTTP, such as http://collector:4318; if not set, there are no traces
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = parse_http_url)]
    otel_exporter_otlp_endpoint: Option<Url>,

    /// Endpoint for traces with its full path, such as http://collector:4318/v1/traces; takes precedence over the general endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_parser = parse_http_url)]
    otel_exporter_otlp_traces_endpoint: Option<Url>,

    /// Protocol of the endpoint
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", value_enum, default_value_t)]
    otel_exporter_otlp_protocol: OtlpProtocol,

    /// Timeout for sending a batch of traces, in milliseconds
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000", value_parser = whole_number(1..=u32::MAX))]
    otel_exporter_otlp_timeout: u32,

    /// Name of this service in traces; if not set, the name of the program
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    otel_service_name: Option<String>,

    /// Sampler of requests. With parentbased, the sampling decision of the client's trace applies to its requests, and the second part of
    /// the name applies to other requests
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_enum, default_value_t)]
    otel_traces_sampler: TracesSampler,

    /// Ratio of sampled requests for the samplers with traceidratio, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_parser = parse_ratio)]
    otel_traces_sampler_arg: f64,
}

/// The supported protocols.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OtlpProtocol {
    #[default]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

/// The samplers of the OpenTelemetry specification.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
#[value(rename_all = "snake_case")]
enum TracesSampler {
    AlwaysOn,
    AlwaysOff,
    #[value(name = "traceidratio")]
    TraceIdRatio,
    #[default]
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl TraceSettings {
    /// Returns the endpoint for traces; `None` if traces are off.
    pub(super) fn endpoint(&self) -> Option<Url> {
        let traces_endpoint = self.otel_exporter_otlp_traces_endpoint.clone();
        traces_endpoint.or_else(|| {
            let mut base = self.otel_exporter_otlp_endpoint.clone()?;
            let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
            base.set_path(&path);
            Some(base)
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.otel_exporter_otlp_timeout.into())
    }

    pub(super) fn service_name(&self, program: &'static str) -> String {
        self.otel_service_name
            .clone()
            .unwrap_or_else(|| program.to_owned())
    }

    pub(super) fn sampler(&self) -> LinkBased {
        let ratio = Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg);
        LinkBased(match self.otel_traces_sampler {
            TracesSampler::AlwaysOn => Sampler::AlwaysOn,
            TracesSampler::AlwaysOff => Sampler::AlwaysOff,
            TracesSampler::TraceIdRatio => ratio,
            TracesSampler::ParentBasedAlwaysOn => Sampler::ParentBased(Sampler::AlwaysOn.into()),
            TracesSampler::ParentBasedAlwaysOff => Sampler::ParentBased(Sampler::AlwaysOff.into()),
            TracesSampler::ParentBasedTraceIdRatio => Sampler::ParentBased(ratio.into()),
        })
    }
}

fn parse_http_url(raw: &str) -> Result<Url, String> {
    let url = raw.parse::<Url>().ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "write http://HOST[:PORT] or https://HOST[:PORT]".into())
}

fn parse_ratio(raw: &str) -> Result<f64, String> {
    let ratio = raw.parse::<f64>().ok();
    ratio
        .filter(|ratio| (0.0..=1.0).contains(ratio))
        .ok_or_else(|| "write a ratio from 0 to 1, such as 0.01".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        traces: TraceSettings,
    }

    fn settings(flags: &[&str]) -> Result<TraceSettings, String> {
        let command =
            <Cli as clap::CommandFactory>::command().mut_args(|arg| arg.env(None::<&str>));
        let matches = command
            .try_get_matches_from([&["test"], flags].concat())
            .map_err(|error| error.to_string())?;
        let cli = <Cli as clap::FromArgMatches>::from_arg_matches(&matches);
        Ok(cli.unwrap().traces)
    }

    fn endpoint(flags: &[&str]) -> Option<String> {
        settings(flags).unwrap().endpoint().map(String::from)
    }

    #[test]
    fn without_an_endpoint_traces_are_off() {
        assert_eq!(endpoint(&["--otel-traces-sampler", "always_on"]), None);
    }

    #[test]
    fn the_path_is_appended_only_to_the_general_endpoint() {
        const BASE: &str = "--otel-exporter-otlp-endpoint";
        const TRACES: &str = "--otel-exporter-otlp-traces-endpoint";
        for (flags, expected) in [
            (&[BASE, "http://c:4318"][..], "http://c:4318/v1/traces"),
            (&[BASE, "https://c/otlp/"], "https://c/otlp/v1/traces"),
            (&[TRACES, "http://c:1/x"], "http://c:1/x"),
            (&[BASE, "http://b", TRACES, "http://c/x"], "http://c/x"),
        ] {
            assert_eq!(endpoint(flags).as_deref(), Some(expected));
        }
    }

    #[test]
    fn unsupported_values_are_rejected() {
        for (flag, value, allowed) in [
            (
                "--otel-exporter-otlp-endpoint",
                "collector:4317",
                "http://HOST",
            ),
            ("--otel-exporter-otlp-protocol", "grpc", "http/protobuf"),
            ("--otel-exporter-otlp-timeout", "0", "from 1 to 4294967295"),
            ("--otel-traces-sampler", "xray", "parentbased_traceidratio"),
            ("--otel-traces-sampler-arg", "2", "from 0 to 1"),
            ("--otel-traces-sampler-arg", "NaN", "from 0 to 1"),
        ] {
            let error = settings(&[flag, value]).unwrap_err();
            assert!(error.contains(allowed), "{error}");
        }
    }
}
