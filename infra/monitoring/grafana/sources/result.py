"""The result service: freshness, viewers, requests and resources."""

from common import TRAFFIC, nonzero, pool, process, quantiles
from panels import dashboard, graph, number, row

REQUESTS = f'http_server_request_duration_seconds_count{{@, job="result", {TRAFFIC}}}'

DASHBOARD = dashboard(
    "result",
    "Result",
    "Freshness of the result, viewers, requests, and resources of the result service.",
    "result_snapshot_age_seconds",
    [
        number("Age of the result", "Age of the oldest tally that a result service shows. The objective is 5 s.", "s", "max(result_snapshot_age_seconds{@})", width=6, bad_from=5),
        number("Viewers", "Connections to the live result.", "none", "sum(result_sse_connections{@})", width=6),
        number("Rejected viewers", "Viewers rejected because of MAX_VIEWERS, since the services started.", "none", "sum(result_sse_connections_rejected_total{@})", width=6, bad_from=1),
        number("Replicas", "Result services whose last scrape succeeded.", "none", 'sum(up{@, job="result"})', width=6, bad_below=1, details="monitoring"),
        row("Result"),
        graph("Age", "Age of the tally that the result services show. Above 30 s an alert creates a ticket.", "s", {"oldest replica": "max(result_snapshot_age_seconds{@})", "newest replica": "min(result_snapshot_age_seconds{@})"}, bad_from=30),
        graph("Viewers", "Connections to the live result, in total and on the replica with the most.", "none", {"all replicas": "sum(result_sse_connections{@})", "highest replica": "max(result_sse_connections{@})"}),
        graph("Result events", "Changed tallies sent to viewers per second, by outcome. Skipped: the viewer reads too slowly.", "cps", {"{{outcome}}": "sum by (outcome) (rate(result_sse_events_total{@}[$__rate_interval]))"}),
        row("Requests"),
        graph("Requests by route", "Requests per second by route, without health checks.", "reqps", {"{{http_route}}": nonzero("rate", REQUESTS, "http_route")}),
        graph("Responses by status", "Requests per second by status code, without health checks.", "reqps", {"{{http_response_status_code}}": nonzero("rate", REQUESTS, "http_response_status_code")}, stack=True),
        graph(
            "Request duration",
            "Duration of requests, without health checks and without live events, which last as long as the viewer is connected.",
            "s",
            quantiles("http_server_request_duration_seconds", '@, job="result", http_route!~"/health|/ready|/metrics|/events"'),
            bad_from=0.25,
            exemplars=True,
        ),
        graph(
            "Rejected connections",
            "Connections per second rejected with 503 because of MAX_CONNECTIONS, and rejections by the limits per address.",
            "cps",
            {
                "over MAX_CONNECTIONS": 'sum(rate(http_server_connections_rejected_total{@, job="result"}[$__rate_interval]))',
                "{{what}} per address": 'sum by (what) (rate(http_server_connections_rejected_per_address_total{@, job="result"}[$__rate_interval]))',
            },
            width=12,
        ),
        graph("Open connections", "Client connections and requests in flight, of all replicas.", "none", {"connections": 'sum(http_server_open_connections{@, job="result"})', "requests in flight": 'sum(http_server_active_requests{@, job="result"})'}, width=12),
        row("Service"),
        *pool("result"),
        *process("result"),
    ],
)
