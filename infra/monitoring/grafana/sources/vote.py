"""The voting page and its API: rate, errors, duration."""

from common import TRAFFIC, process, quantiles
from panels import dashboard, graph, heatmap, number, row

ACCEPTED = 'http_request_method="POST", http_response_status_code=~"2.."'

DASHBOARD = dashboard(
    "vote",
    "Vote",
    "Votes and other requests: how many, how many fail, how long they take; and what the vote service needs for it.",
    "vote_submissions_total",
    [
        number("Votes accepted", "All votes accepted by the services that run now, changes of mind included.", "none", 'sum(vote_submissions_total{@, outcome="accepted"})', width=6),
        number(
            "Not accepted",
            "Share of votes that the service failed to accept. Refusing what is no vote, or one too many, is no failure.",
            "percentunit",
            """sum(rate(vote_submissions_total{@, outcome=~"error|timeout"}[$__rate_interval]))
               / sum(rate(vote_submissions_total{@, outcome=~"accepted|error|timeout"}[$__rate_interval]))""",
            width=6,
            bad_from=0.001,
        ),
        number("Replicas", "Vote services that answer.", "none", 'sum(up{@, job="vote"})', width=6, bad_below=1),
        number("Accepted means kept", "Whether Redis is set up so that an accepted vote survives a crash.", "none", "min(queue_durable{@})", width=6, bad_below=1, names={0: "no", 1: "yes"}),
        row("Rate"),
        graph("Votes by outcome", "Votes per second by what became of them.", "cps", {"{{outcome}}": "sum by (outcome) (rate(vote_submissions_total{@}[$__rate_interval]))"}, stack=True),
        graph("Votes by choice", "Accepted votes per second by choice.", "cps", {"{{choice}}": 'sum by (choice) (rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))'}, stack=True),
        graph("Requests by route", "Requests per second by route, without probes.", "reqps", {"{{http_request_method}} {{http_route}}": f"sum by (http_request_method, http_route) (rate(http_server_request_duration_seconds_count{{@, job=\"vote\", {TRAFFIC}}}[$__rate_interval]))"}),
        row("Errors"),
        graph(
            "Votes not accepted",
            "Votes per second that got no success: rejected is no vote, rate_limited is one too many, error and timeout are our failures.",
            "cps",
            {"{{outcome}}": 'sum by (outcome) (rate(vote_submissions_total{@, outcome!="accepted"}[$__rate_interval]))'},
        ),
        graph("Answers by status", "Requests per second by status code, without probes.", "reqps", {"{{http_response_status_code}}": f"sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count{{@, job=\"vote\", {TRAFFIC}}}[$__rate_interval]))"}, stack=True),
        graph("Refused connections", "Connections per second beyond MAX_CONNECTIONS, which were answered 503.", "cps", {"{{instance}}": 'rate(http_server_refused_connections_total{@, job="vote"}[$__rate_interval])'}),
        row("Duration"),
        graph("Time to an answer", "How long accepted votes took. 99 % should take less than 250 ms.", "s", quantiles("http_server_request_duration_seconds", f'@, job="vote", {ACCEPTED}'), bad_from=0.25),
        heatmap("Times to an answer", "How many accepted votes took how long.", f"sum by (le) (increase(http_server_request_duration_seconds_bucket{{@, job=\"vote\", {ACCEPTED}}}[$__rate_interval]))"),
        graph("Time to the queue's disk", "How long the queue took to keep a ballot, whatever came of it.", "s", quantiles("vote_enqueue_duration_seconds"), bad_from=0.25),
        row("Service"),
        graph("Open connections", "Connections of voters, and requests in hand.", "none", {"connections {{instance}}": 'http_server_open_connections{@, job="vote"}', "requests {{instance}}": 'sum by (instance) (http_server_active_requests{@, job="vote"})'}, width=24),
        *process("vote"),
    ],
)
