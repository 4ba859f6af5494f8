"""Service-level objectives, firing alerts and the state of all services. Every panel links to the dashboard with the details."""

from common import TRAFFIC
from panels import dashboard, graph, number, row, states, table

# The long and short windows of the burn rate alerts. Error budgets are for 30 days.
WINDOWS = {"5m": "5 min", "30m": "30 min", "1h": "1 h", "2h": "2 h", "6h": "6 h", "1d": "1 d", "3d": "3 d"}
# The burn rates above which alerts fire, if both windows of a pair exceed them.
BURN_RATES = {1: "yellow", 3: "orange", 6: "red", 14.4: "dark-red"}
FIRING = 'ALERTS{alertstate="firing", severity=~"page|ticket"}'


def burn_rate(title, record, budget, what, details):
    return graph(
        title,
        f"Burn rate of the error budget, by window: {what}. At 1 the budget lasts exactly 30 days. "
        "Pages fire above 14.4 (1 h and 5 min) and 6 (6 h and 30 min), tickets above 3 (1 d and 2 h) and 1 (3 d and 6 h).",
        "none",
        {name: f"{record}:ratio_rate{window} / {budget}" for window, name in WINDOWS.items()},
        lines=BURN_RATES,
        symlog=1,
        details=details,
    )


DASHBOARD = dashboard(
    "overview",
    "Overview",
    "Objectives: 99.9 % of votes accepted, 99 % of accepted votes answered within 250 ms, results at most 5 s old. The first row shows current problems.",
    "up",
    [
        number("Pages firing", "Firing alerts that page the person on call.", "none", 'count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', bad_from=1, details="alerts"),
        number("Tickets firing", "Firing alerts that wait until working hours.", "none", 'count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', bad_from=1, details="alerts"),
        number("Targets down", "Targets whose last scrape failed.", "none", "count(up{@} == 0) or vector(0)", bad_from=1, details="monitoring"),
        number("Votes per second", "Accepted votes per second.", "cps", 'sum(rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))', details="vote"),
        number("Oldest ballot", "Age of the oldest ballot that is not stored yet. Above 60 s an alert pages.", "s", "pipeline:oldest_ballot_age:seconds", bad_from=60, details="pipeline"),
        number("Age of the result", "Age of the oldest tally that a result service shows. The objective is 5 s.", "s", "max(result_snapshot_age_seconds{@})", bad_from=5, details="result"),
        number("Votes accepted", "Votes accepted by the running services since their start, including changed votes.", "none", 'sum(vote_submissions_total{@, outcome="accepted"})', width=6, details="vote"),
        number("Accepted", "Share of votes that were accepted in the last hour. The objective is 99.9 %.", "percentunit", "1 - vote:unaccepted:ratio_rate1h", width=6, bad_below=0.999, details="vote"),
        number("Within 250 ms", "Share of accepted votes that were answered within 250 ms in the last hour. The objective is 99 %.", "percentunit", "1 - vote:slow:ratio_rate1h", width=6, bad_below=0.99, details="vote"),
        number("Results fresh", "Share of the last hour in which results were at most 5 s old. The objective is 99.9 %.", "percentunit", "1 - result:stale:ratio_rate1h", width=6, bad_below=0.999, details="result"),
        row("Error budgets"),
        burn_rate("Burn rate: votes not accepted", "vote:unaccepted", 0.001, "0.1 % of votes may fail", "vote"),
        burn_rate("Burn rate: slow votes", "vote:slow", 0.01, "1 % of accepted votes may take longer than 250 ms", "vote"),
        burn_rate("Burn rate: stale results", "result:stale", 0.001, "results may be older than 5 s for 0.1 % of the time", "result"),
        row("Alerts and targets"),
        table("Firing alerts", "Firing alerts. The runbooks are in infra/monitoring/runbooks.", FIRING, hidden=["alertstate", "Value"], empty="no firing alerts", details="alerts"),
        states("Targets", "Scrape targets by job: up, partly up (some replicas are down) or down.", {"{{job}}": "avg by (job) (up{@})"}, width=12, details="monitoring"),
        row("Services"),
        graph("Votes", "Votes per second by outcome.", "cps", {"{{outcome}}": "sum by (outcome) (rate(vote_submissions_total{@}[$__rate_interval]))"}, stack=True, details="vote"),
        graph("Requests", "Requests per second by service, without health checks.", "reqps", {"{{job}}": f"sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}}}[$__rate_interval]))"}, details="vote"),
        graph(
            "Failed requests",
            "Share of requests with a 5xx response, by service, without health checks.",
            "percentunit",
            {
                "{{job}}": f"""
                    sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}, http_response_status_code=~"5.."}}[$__rate_interval]))
                    / sum by (job) (rate(http_server_request_duration_seconds_count{{@, {TRAFFIC}}}[$__rate_interval]))"""
            },
            details="vote",
        ),
        states("Dependencies", "Whether the services reach the queue and the store.", {"{{job}} → {{dependency}}": "avg by (job, dependency) (dependency_up{@})"}, width=12, details="pipeline"),
        table("Versions", "Running replicas by version and revision.", "count by (service, version, revision) (build_info{@})", details="monitoring"),
    ],
)
