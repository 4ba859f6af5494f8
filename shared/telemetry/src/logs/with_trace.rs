//! Log lines with the ids of their trace and span.

use std::fmt;

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt},
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

/// Formats a log line with `format`, and appends `trace_id` and `span_id` if the current context has a span.
pub struct WithTrace<F> {
    format: F,
    append: fn(&str, &SpanContext, Writer<'_>) -> fmt::Result,
}

impl<F> WithTrace<F> {
    /// Creates the formatter for text lines.
    pub fn text(format: F) -> Self {
        let append = append_to_text;
        Self { format, append }
    }

    /// Creates the formatter for lines that are JSON objects.
    pub fn json(format: F) -> Self {
        let append = append_to_json;
        Self { format, append }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let span = Context::map_current(|context| context.span().span_context().clone());
        if !span.is_valid() {
            return self.format.format_event(ctx, writer, event);
        }
        let mut line = String::new();
        self.format
            .format_event(ctx, Writer::new(&mut line), event)?;
        (self.append)(line.trim_end(), &span, writer)
    }
}

fn append_to_text(line: &str, span: &SpanContext, mut writer: Writer<'_>) -> fmt::Result {
    let (trace, span) = (span.trace_id(), span.span_id());
    writeln!(writer, "{line} trace_id={trace} span_id={span}")
}

fn append_to_json(line: &str, span: &SpanContext, mut writer: Writer<'_>) -> fmt::Result {
    let (trace, span) = (span.trace_id(), span.span_id());
    let fields = line.strip_suffix('}').unwrap_or(line);
    writeln!(
        writer,
        "{fields},\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}"
    )
}
