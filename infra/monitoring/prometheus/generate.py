#!/usr/bin/env python3
"""Generates rules/objectives.yml and rules/burn-rates.yml, which repeat the same expressions for each objective and window.
`--check` fails if they are out of date. All deployments use these files; Kubernetes through
infra/kubernetes/components/monitoring/generate.py.

Windows and burn rates are those of https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate alerts).
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).resolve().parent / "rules"
WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
# Long window, short window, burn rate, severity, and `for`. Slower pairs have a longer `for`, as in
# https://github.com/kubernetes-monitoring/kubernetes-mixin/blob/master/config.libsonnet, so that the fastest burning pair fires first.
BURN_RATES = [("1h", "5m", 14.4, "page", "1m"), ("6h", "30m", 6, "page", "15m"), ("1d", "2h", 3, "ticket", "1h"), ("3d", "6h", 1, "ticket", "3h")]
# With low traffic, a single failed vote can be 100 % of a window. The workbook's chapter on low-traffic services recommends a minimum.
MIN_FAILURES = 10
# In two minutes. After an outage that another alert has reported, fewer failures do not show that the outage continues.
FEW_FAILURES = 3
WINDOW_NAMES = {"1h": "hour", "6h": "6 hours", "1d": "day", "3d": "3 days"}

EXCLUDED_OUTCOMES = "rejected|rate_limited|address_limit"
VALID = f'outcome!~"{EXCLUDED_OUTCOMES}"'
FAILED = f'outcome!~"accepted|{EXCLUDED_OUTCOMES}"'
ACCEPTED_REQUESTS = 'job="vote", http_request_method="POST", http_response_status_code=~"2.."'


@dataclass
class Objective:
    name: str
    alert: str
    # The prefix of the series of bad events, and that of all events.
    record: str
    events: str
    # The definition of a bad event, as a comment in the rules.
    comment: list
    budget: float
    summary: str
    # A sentence with the placeholder {share}: the share of bad events in a window.
    description: str
    # Alerts that report an outage whose failures stay in the windows after it has ended.
    causes: str
    pages: bool = True

    @property
    def runbook(self):
        return f'"{{{{ $externalLabels.runbooks_url }}}}/objectives.md#{self.alert.lower()}"'


class VoteObjective(Objective):
    """An objective on counted votes: `failed(function, window)` and `valid(function, window)` are sums of counters."""

    def failed(self, function, window):
        raise NotImplementedError

    def valid(self, function, window):
        raise NotImplementedError

    def records(self):
        for window in ["2m", *WINDOWS]:
            yield f"{self.record}:ratio_rate{window}", f"({self.failed('rate', window)})\n/ ({self.valid('rate', window)} > 0)"
        for window in ["2m", *(long for long, *_ in BURN_RATES)]:
            yield f"{self.record}:increase{window}", self.failed("increase", window)
        yield f"{self.events}:increase1h", self.valid("increase", "1h")

    def minimum_failures(self, window):
        return [f"and {self.record}:increase{window} >= {MIN_FAILURES}"]

    def outage_ended(self, factor):
        return f"({self.record}:increase2m < {FEW_FAILURES} or {self.record}:ratio_rate2m / {self.budget} < {factor})"

    @property
    def budget_remaining(self):
        failed, valid = (f"sum_over_time({events}:increase1h[30d:5m])" for events in (self.record, self.events))
        return f"1 - {failed} / ({valid} > 0) / {self.budget} or vector(1)"


class Availability(VoteObjective):
    def failed(self, function, window):
        return f"sum({function}(vote_submissions_total{{{FAILED}}}[{window}]))"

    def valid(self, function, window):
        return f"sum({function}(vote_submissions_total{{{VALID}}}[{window}]))"


class Latency(VoteObjective):
    def failed(self, function, window):
        fast = f'sum({function}(http_server_request_duration_seconds_bucket{{{ACCEPTED_REQUESTS}, le="0.25"}}[{window}]))'
        return f"{self.valid(function, window)} - {fast}"

    def valid(self, function, window):
        return f"sum({function}(http_server_request_duration_seconds_count{{{ACCEPTED_REQUESTS}}}[{window}]))"


class Freshness(Objective):
    def records(self):
        yield f"{self.record}:bool", "avg(result_snapshot_age_seconds > bool 5)"
        for window in WINDOWS:
            yield f"{self.record}:ratio_rate{window}", f"avg_over_time({self.record}:bool[{window}])"

    def minimum_failures(self, _):
        return []

    def outage_ended(self, _):
        return f"max_over_time({self.record}:bool[2m]) == 0"

    @property
    def budget_remaining(self):
        return f"1 - avg_over_time({self.record}:ratio_rate1h[30d:5m]) / {self.budget}"


OBJECTIVES = [
    Availability(
        "vote-availability", "VoteAvailabilityErrorBudgetBurn", "vote:unaccepted", "vote:valid",
        ["Votes that the service failed to accept. Invalid votes and votes over a per-voter or per-address limit are not failures.",
         "Votes rejected because of MAX_CONNECTIONS or a slow queue are failures.",
         "A service that is down counts no failed votes; ServiceDown covers that."],
        0.001, "Votes are not accepted", "{share} of votes were not accepted", "RedisDown|RedisRejectsWrites",
    ),
    Latency(
        "vote-latency", "VoteLatencyErrorBudgetBurn", "vote:slow", "vote:accepted",
        ["Accepted votes whose response took longer than 250 ms."],
        0.01, "Vote responses are slow", "{share} of accepted votes took longer than 250 ms", "RedisDown|RedisRejectsWrites",
    ),
    Freshness(
        "result-freshness", "ResultFreshnessErrorBudgetBurn", "result:stale", "",
        ["The share of time in which the results were older than 5 s, over all replicas."],
        0.001, "Results are stale", "Results were older than 5 s for {share} of the time", "PostgresDown", pages=False,
    ),
]  # fmt: skip


def yaml_value(expression, indent):
    """Formats an expression as a YAML value: one line follows the key, several lines are a block scalar."""
    lines = expression.split("\n")
    return lines[0] if len(lines) == 1 else "\n".join(["|-", *(" " * indent + line for line in lines)])


def objectives():
    lines = [
        "# Generated by ../generate.py. Do not edit.",
        "# The share of bad events in each window, for alerts and dashboards. Without events there is no value.",
        "groups:",
        "  - name: objectives",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        lines += [f"      # {line}" for line in objective.comment]
        for name, expression in objective.records():
            lines += [f"      - record: {name}", f"        expr: {yaml_value(expression, 10)}"]
    lines += [
        "",
        "  # The remaining share of the 30-day error budget; negative when overspent. Retention is slightly longer than 30 days.",
        "  - name: error-budgets",
        "    interval: 1m",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        lines += [f"      - record: {objective.record}:budget_remaining30d", f"        expr: {objective.budget_remaining}"]
    return "\n".join(lines) + "\n"


def burn_rate_alert(objective, index):
    long, short, factor, severity, duration = BURN_RATES[index]
    severity = severity if objective.pages else "ticket"
    lines = [f"{objective.record}:ratio_rate{window} / {objective.budget} > {factor}" for window in (long, short)]
    lines = [lines[0], f"and {lines[1]}", *objective.minimum_failures(long)]
    if faster := [it[0] for it in BURN_RATES[:index]]:
        lines.append(f'unless on () max_over_time(ALERTS{{alertname="{objective.alert}", long=~"{"|".join(faster)}", alertstate="firing"}}[{short}])')
    lines.append(f'unless on () (max_over_time(ALERTS{{alertname=~"{objective.causes}", alertstate="firing"}}[{short}]) and on () {objective.outage_ended(factor)})')
    share = f'{{{{ with query "{objective.record}:ratio_rate{long}" }}}}{{{{ . | first | value | humanizePercentage }}}}{{{{ end }}}}'
    remaining = f'{{{{ with query "{objective.record}:budget_remaining30d" }}}} {{{{ . | first | value | humanizePercentage }}}} of it remains.{{{{ end }}}}'
    bad = f"{objective.description.format(share=share)} in the last {WINDOW_NAMES[long]}."
    description = f'{bad} The 30-day error budget is burning at {{{{ $value | printf "%.1f" }}}}×.{remaining}'
    lines = [
        f"      - alert: {objective.alert}",
        f"        expr: {yaml_value(chr(10).join(lines), 10)}",
        f"        for: {duration}",
        f"        labels: {{ severity: {severity}, objective: {objective.name}, long: {long}, short: {short} }}",
        "        annotations:",
        f"          summary: {objective.summary}",
        f"          description: '{description}'",
        f"          runbook_url: {objective.runbook}",
    ]
    return lines


def burn_rates():
    lines = [
        "# Generated by ../generate.py. Do not edit.",
        "# 30-day error budgets that burn too fast. The long window shows that the burn is significant, the short window that it continues.",
        "# A slower pair of windows does not fire while a faster pair has fired within its short window. No pair fires while its short",
        "# window contains an outage that another alert has reported and that has ended: in the last 2 minutes there were fewer than",
        "# three failures, or the burn rate was below the threshold.",
        "groups:",
        "  - name: burn-rates",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        for index in range(len(BURN_RATES)):
            lines += burn_rate_alert(objective, index)
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(f"generate.py: the only argument is --check, not {' '.join(sys.argv[1:])}")
    for name, text in (("objectives.yml", objectives()), ("burn-rates.yml", burn_rates())):
        assert not re.search(r"\s\n", text.replace("\n\n", "\n")), f"{name}: a line ends with a space"
        if not sys.argv[1:]:
            (RULES / name).write_text(text)
        elif (RULES / name).read_text() != text:
            sys.exit(f"{RULES / name} is out of date: run infra/monitoring/prometheus/generate.py")


if __name__ == "__main__":
    main()
