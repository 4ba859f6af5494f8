"""The vote service and its API: rate, errors, duration, and limits."""

from common import TRAFFIC, nonzero, process, quantiles
from panels import dashboard, graph, heatmap, number, row

REQUESTS = f'http_server_request_duration_seconds_count{{@, job="vote", {TRAFFIC}}}'
ACCEPTED = 'http_request_method="POST", http_response_status_code=~"2.."'

DASHBOARD = dashboard(
    "vote",
    "Vote",
    "Votes and other requests: rate, errors, duration; load shedding and resources of the vote service.",
    "vote_submissions_total",
    [
        number("Votes accepted", "Votes accepted by the running services since their start, including changed votes.", "none", 'sum(vote_submissions_total{@, outcome="accepted"})', width=6),
        number(
            "Not accepted",
            "Share of votes that the service failed to accept in the last 5 minutes. Invalid and rate-limited votes do not count as failures.",
            "percentunit",
            "vote:unaccepted:ratio_rate5m",
            width=6,
            bad_from=0.001,
        ),
        number("Replicas", "Vote services whose last scrape succeeded.", "none", 'sum(up{@, job="vote"})', width=6, bad_below=1, details="monitoring"),
        number("Queue durability", "Whether Redis is configured so that an accepted vote survives a crash.", "none", "min(queue_durable{@})", width=6, bad_below=1, names={0: "not durable", 1: "durable"}, details="redis"),
        row("Rate"),
        graph("Votes by outcome", "Votes per second by outcome.", "cps", {"{{outcome}}": "sum by (outcome) (rate(vote_submissions_total{@}[$__rate_interval]))"}, stack=True),
        graph("Votes by choice", "Accepted votes per second by choice.", "cps", {"{{choice}}": 'sum by (choice) (rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))'}, stack=True),
        graph("Requests by route", "Requests per second by route, without health checks.", "reqps", {"{{http_request_method}} {{http_route}}": nonzero("rate", REQUESTS, "http_request_method, http_route")}),
        row("Errors"),
        graph(
            "Votes not accepted",
            "Votes per second that were not accepted. rejected: not an option or not allowed; rate_limited and address_limit: too many from one address; "
            "shed: too many for the queue; connection_limit: over MAX_CONNECTIONS; error and timeout: failures of the service.",
            "cps",
            {"{{outcome}}": 'sum by (outcome) (rate(vote_submissions_total{@, outcome!="accepted"}[$__rate_interval]))'},
        ),
        graph("Responses by status", "Requests per second by status code, without health checks.", "reqps", {"{{http_response_status_code}}": nonzero("rate", REQUESTS, "http_response_status_code")}, stack=True),
        graph(
            "Unreadable requests",
            "Requests per second that could not be parsed and so have no route: answered with 400, 414 or 431.",
            "reqps",
            {"unreadable": 'sum(rate(http_server_unreadable_requests_total{@, job="vote"}[$__rate_interval]))'},
        ),
        row("Limits"),
        graph("Load shedding", "Votes per second that were rejected because the queue cannot store more in time. Add shards to the queue if this persists.", "cps", {"votes shed": "sum(rate(vote_requests_shed_total{@}[$__rate_interval]))"}, details="redis"),
        graph("Concurrency limit", "Maximum number of concurrent enqueues: the adaptive limit of each replica, which decreases while the queue is slow.", "none", {"lowest replica": "min(vote_admission_limit{@})", "highest replica": "max(vote_admission_limit{@})"}),
        graph(
            "Rejected connections",
            "Connections per second rejected with 503 because of MAX_CONNECTIONS, and rejections by the limits per address.",
            "cps",
            {
                "over MAX_CONNECTIONS": 'sum(rate(http_server_connections_rejected_total{@, job="vote"}[$__rate_interval]))',
                "{{what}} per address": 'sum by (what) (rate(http_server_connections_rejected_per_address_total{@, job="vote"}[$__rate_interval]))',
            },
        ),
        row("Duration"),
        graph("Request duration", "Duration of accepted votes. The objective is 99 % within 250 ms.", "s", quantiles("http_server_request_duration_seconds", f'@, job="vote", {ACCEPTED}'), bad_from=0.25, exemplars=True),
        heatmap("Request duration, distribution", "Accepted votes by duration.", f"sum by (le) (increase(http_server_request_duration_seconds_bucket{{@, job=\"vote\", {ACCEPTED}}}[$__rate_interval]))"),
        graph("Enqueue duration", "Time until Redis has written a ballot to disk, or the enqueue fails.", "s", quantiles("vote_enqueue_duration_seconds"), bad_from=0.25, exemplars=True, details="redis"),
        row("Service"),
        graph("Open connections", "Client connections and requests in flight, of all replicas.", "none", {"connections": 'sum(http_server_open_connections{@, job="vote"})', "requests in flight": 'sum(http_server_active_requests{@, job="vote"})'}, width=12),
        graph("Queued tasks", "Tasks that wait for a runtime thread. More than a few for a long time mean that there are too few threads.", "none", {"highest replica": 'max(tokio_runtime_queued_tasks{@, job="vote"})'}, width=12),
        *process("vote"),
    ],
)
