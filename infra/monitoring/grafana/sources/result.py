"""The result page: freshness, viewers, requests and resources."""

from common import TRAFFIC, pool, process, quantiles, used
from panels import dashboard, graph, number, row

REQUESTS = f'http_server_request_duration_seconds_count{{@, job="result", {TRAFFIC}}}'

DASHBOARD = dashboard(
    "result",
    "Result",
    "Freshness of the result, its viewers, requests, and the resources of the result service.",
    "result_snapshot_age_seconds",
    [
        number("Age of the result", "Age of the oldest tally that a result service shows. The objective is 5 s.", "s", "max(result_snapshot_age_seconds{@})", width=6, bad_from=5),
        number("Viewers", "Connections to the live result.", "none", "sum(result_sse_connections{@})", width=6),
        number("Refused viewers", "Viewers beyond MAX_VIEWERS, since the services started.", "none", "sum(result_sse_connections_rejected_total{@})", width=6, bad_from=1),
        number("Replicas", "Result services whose last scrape succeeded.", "none", 'sum(up{@, job="result"})', width=6, bad_below=1, details="monitoring"),
        row("Result"),
        graph("Age", "Age of the tally that the result services show. It creates a ticket from 30 s on.", "s", {"oldest replica": "max(result_snapshot_age_seconds{@})", "newest replica": "min(result_snapshot_age_seconds{@})"}, bad_from=30),
        graph("Viewers", "Connections to the live result, over all replicas and on the fullest one.", "none", {"all replicas": "sum(result_sse_connections{@})", "fullest replica": "max(result_sse_connections{@})"}),
        graph("Result events", "Changed tallies sent to viewers per second, by outcome: skipped is a viewer that reads too slowly.", "cps", {"{{outcome}}": "sum by (outcome) (rate(result_sse_events_total{@}[$__rate_interval]))"}),
        row("Requests"),
        graph("Requests by route", "Requests per second by route, without probes.", "reqps", {"{{http_route}}": used("rate", REQUESTS, "http_route")}),
        graph("Responses by status", "Requests per second by status code, without probes.", "reqps", {"{{http_response_status_code}}": used("rate", REQUESTS, "http_response_status_code")}, stack=True),
        graph(
            "Request duration",
            "Duration of requests, without probes and without live events, which last as long as their viewer stays.",
            "s",
            quantiles("http_server_request_duration_seconds", '@, job="result", http_route!~"/health|/ready|/metrics|/events"'),
            bad_from=0.25,
            exemplars=True,
        ),
        graph(
            "Refused connections",
            "Connections per second beyond MAX_CONNECTIONS, which were answered with 503, and what the limits per address refused.",
            "cps",
            {
                "over MAX_CONNECTIONS": 'sum(rate(http_server_connections_rejected_total{@, job="result"}[$__rate_interval]))',
                "{{what}} per address": 'sum by (what) (rate(http_server_connections_rejected_per_address_total{@, job="result"}[$__rate_interval]))',
            },
            width=12,
        ),
        graph("Open connections", "Client connections and requests in flight, over all replicas.", "none", {"connections": 'sum(http_server_open_connections{@, job="result"})', "requests in flight": 'sum(http_server_active_requests{@, job="result"})'}, width=12),
        row("Service"),
        *pool("result"),
        *process("result"),
    ],
)
