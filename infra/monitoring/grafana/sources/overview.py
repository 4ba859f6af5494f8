"""Whether votes are accepted, how fast, and whether the result follows."""

from common import TRAFFIC
from panels import dashboard, graph, number, row, states, table

# How fast an error budget of 30 days burns over each of the windows that alerts look at.
BURN = {"5m": "5 m", "1h": "1 h", "6h": "6 h", "3d": "3 d"}


def burn(title, record, budget, what):
    return graph(
        title,
        f"How many times faster than its 30 days the error budget burns, by window; {what}. Pages from 14.4 (1 h) and 6 (6 h), tickets from 1 (3 d).",
        "none",
        {name: f"{record}:ratio_rate{window} / {budget}" for window, name in BURN.items()},
        bad_from=14.4,
    )


DASHBOARD = dashboard(
    "overview",
    "Overview",
    "The objectives: 99.9 % of votes accepted, 99 % of them answered within 250 ms, results at most 5 s old. What is wrong now is in the first row.",
    "up",
    [
        number("Votes accepted", "All votes accepted by the services that run now, changes of mind included.", "none", 'sum(vote_submissions_total{@, outcome="accepted"})'),
        number("Votes per second", "Votes accepted now.", "cps", 'sum(rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))'),
        number("Accepted", "Share of votes accepted in the last hour. The objective is 99.9 %.", "percentunit", "1 - vote:unaccepted:ratio_rate1h", bad_below=0.999),
        number("Within 250 ms", "Share of accepted votes answered within 250 ms in the last hour. The objective is 99 %.", "percentunit", "1 - vote:slow:ratio_rate1h", bad_below=0.99),
        number("Oldest ballot waits", "How long the oldest ballot that is not counted has waited. Somebody is called from 60 s on.", "s", "pipeline:oldest_ballot_age:seconds", bad_from=60),
        number("Result is old", "Age of the oldest tally that a result page shows. The objective is 5 s.", "s", "max(result_snapshot_age_seconds{@})", bad_from=5),
        row("Error budgets"),
        burn("Votes not accepted", "vote:unaccepted", 0.001, "the budget is 0.1 % of votes"),
        burn("Votes answered slowly", "vote:slow", 0.01, "the budget is 1 % of accepted votes"),
        burn("Results late", "result:stale", 0.001, "the budget is 0.1 % of the time"),
        row("Services"),
        graph("Votes", "Votes per second by what became of them.", "cps", {"{{outcome}}": "sum by (outcome) (rate(vote_submissions_total{@}[$__rate_interval]))"}, stack=True),
        graph("Requests", "Requests per second by service, without probes.", "reqps", {"{{job}}": f"sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}}}[$__rate_interval]))"}),
        graph(
            "Failed requests",
            "Share of requests answered with 5xx, by service, without probes.",
            "percentunit",
            {
                "{{job}}": f"""
                    sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}, http_response_status_code=~"5.."}}[$__rate_interval]))
                    / sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}}}[$__rate_interval]))"""
            },
        ),
        states(
            "Dependencies",
            "Whether the services reach the queue and the store.",
            {"{{job}} → {{dependency}}": "min by (job, dependency) (dependency_up{@})"},
            width=12,
            names={1: ("up", "green"), 0: ("down", "red")},
        ),
        table("What runs", "Version and revision of each service.", "max by (service, version, revision, instance) (build_info{@})", hidden=["Value"]),
    ],
)
