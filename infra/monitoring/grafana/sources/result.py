"""The result page: how old it is, who watches, and what that costs."""

from common import TRAFFIC, pool, process, quantiles
from panels import dashboard, graph, number, row

DASHBOARD = dashboard(
    "result",
    "Result",
    "How old the result is, who watches it, and what the result service needs for it.",
    "result_snapshot_age_seconds",
    [
        number("Result is old", "Age of the oldest tally that a result page shows. The objective is 5 s.", "s", "max(result_snapshot_age_seconds{@})", width=6, bad_from=5),
        number("Viewers", "Who watches the live result now.", "none", "sum(result_live_clients{@})", width=6),
        number("Refused viewers", "Viewers beyond MAX_VIEWERS, since the services started.", "none", "sum(result_refused_viewers_total{@})", width=6, bad_from=1),
        number("Replicas", "Result services that answer.", "none", 'sum(up{@, job="result"})', width=6, bad_below=1),
        row("Result"),
        graph("Age", "Age of the tally that each result page shows. A ticket from 30 s on.", "s", {"{{instance}}": "result_snapshot_age_seconds{@}"}, bad_from=30),
        graph("Viewers", "Who watches the live result, by replica.", "none", {"{{instance}}": "result_live_clients{@}"}, stack=True),
        graph("Pushes", "Changes of the tally sent to viewers per second, by outcome.", "cps", {"{{outcome}}": "sum by (outcome) (rate(result_push_total{@}[$__rate_interval]))"}),
        row("Requests"),
        graph("Requests by route", "Requests per second by route, without probes.", "reqps", {"{{http_route}}": f"sum by (http_route) (rate(http_server_request_duration_seconds_count{{@, job=\"result\", {TRAFFIC}}}[$__rate_interval]))"}),
        graph("Answers by status", "Requests per second by status code, without probes.", "reqps", {"{{http_response_status_code}}": f"sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{{@, job=\"result\", {TRAFFIC}}}[$__rate_interval]))"}, stack=True),
        graph(
            "Time to an answer",
            "How long answers took; live events, which last as long as somebody watches, and probes left out.",
            "s",
            quantiles("http_server_request_duration_seconds", '@, job="result", http_route!~"/health|/ready|/metrics|/events"'),
            bad_from=0.25,
        ),
        row("Service"),
        *pool("result"),
        *process("result"),
    ],
)
