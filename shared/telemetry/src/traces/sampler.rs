//! The sampler of spans.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// A sampler that extends parent-based samplers to links: a span without a parent is sampled if one of its links is. The span of a batch
/// has no parent, but a link to the trace of each ballot. The inner sampler decides about other spans.
#[derive(Clone, Debug)]
pub struct LinkBased(pub Sampler);

impl ShouldSample for LinkBased {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let has_parent = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        let has_sampled_link = links.iter().any(|link| link.span_context.is_sampled());
        if has_sampled_link && !has_parent && matches!(self.0, Sampler::ParentBased(_)) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        self.0
            .should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
