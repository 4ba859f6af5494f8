#!/usr/bin/env python3
"""Writes rules/objectives.yml and rules/burn-rates.yml, which repeat the same expressions for each objective and window;
`--check` fails where they are not up to date. All deployments read these files, Kubernetes through
infra/kubernetes/components/monitoring/generate.py.

The windows and burn rates are those of https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate alerts).
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).resolve().parent / "rules"
WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
# Long window, short window, burn rate, severity, and how long it must last: the longer, the slower it is, as in
# https://github.com/kubernetes-monitoring/kubernetes-mixin/blob/master/config.libsonnet, so that the fastest that burns is the first.
BURNS = [("1h", "5m", 14.4, "page", "1m"), ("6h", "30m", 6, "page", "15m"), ("1d", "2h", 3, "ticket", "1h"), ("3d", "6h", 1, "ticket", "3h")]
# One failed vote in a quiet night is all votes of its window. The workbook's chapter on low-traffic services asks for a minimum.
MIN_FAILURES = 10
# Within two minutes; after an outage that another alert has reported, so few are no sign that it goes on.
FEW_FAILURES = 3
IN_WORDS = {"1h": "hour", "6h": "6 hours", "1d": "day", "3d": "3 days"}

NOT_OURS = "rejected|rate_limited|address_limit"
VALID = f'outcome!~"{NOT_OURS}"'
FAILED = f'outcome!~"accepted|{NOT_OURS}"'
ANSWERED = 'job="vote", http_request_method="POST", http_response_status_code=~"2.."'


@dataclass
class Objective:
    name: str
    alert: str
    # The prefix of its series, and the name of all events of which some are bad ones.
    record: str
    events: str
    # Why its events are bad ones, as a comment in the rules.
    comment: list
    budget: float
    summary: str
    # What is said of the share of bad events in a window.
    said: str
    # Alerts whose end explains what is left in the windows.
    causes: str
    pages: bool = True

    @property
    def runbook(self):
        return f'"{{{{ $externalLabels.runbooks_url }}}}/objectives.md#{self.alert.lower()}"'


class Votes(Objective):
    """Counted events: `failed(function, window)` and `valid(function, window)` are sums of counters."""

    def failed(self, function, window):
        raise NotImplementedError

    def valid(self, function, window):
        raise NotImplementedError

    def records(self):
        for window in ["2m", *WINDOWS]:
            yield f"{self.record}:ratio_rate{window}", f"({self.failed('rate', window)})\n/ ({self.valid('rate', window)} > 0)"
        for window in ["2m", *(long for long, *_ in BURNS)]:
            yield f"{self.record}:increase{window}", self.failed("increase", window)
        yield f"{self.events}:increase1h", self.valid("increase", "1h")

    def enough(self, window):
        return [f"and {self.record}:increase{window} >= {MIN_FAILURES}"]

    def is_over(self, factor):
        return f"({self.record}:increase2m < {FEW_FAILURES} or {self.record}:ratio_rate2m / {self.budget} < {factor})"

    @property
    def remaining(self):
        failed, valid = (f"sum_over_time({events}:increase1h[30d:5m])" for events in (self.record, self.events))
        return f"1 - {failed} / ({valid} > 0) / {self.budget} or vector(1)"


class Availability(Votes):
    def failed(self, function, window):
        return f"sum({function}(vote_submissions_total{{{FAILED}}}[{window}]))"

    def valid(self, function, window):
        return f"sum({function}(vote_submissions_total{{{VALID}}}[{window}]))"


class Latency(Votes):
    def failed(self, function, window):
        fast = f'sum({function}(http_server_request_duration_seconds_bucket{{{ANSWERED}, le="0.25"}}[{window}]))'
        return f"{self.valid(function, window)} - {fast}"

    def valid(self, function, window):
        return f"sum({function}(http_server_request_duration_seconds_count{{{ANSWERED}}}[{window}]))"


class Freshness(Objective):
    def records(self):
        yield f"{self.record}:bool", "avg(result_snapshot_age_seconds > bool 5)"
        for window in WINDOWS:
            yield f"{self.record}:ratio_rate{window}", f"avg_over_time({self.record}:bool[{window}])"

    def enough(self, _):
        return []

    def is_over(self, _):
        return f"max_over_time({self.record}:bool[2m]) == 0"

    @property
    def remaining(self):
        return f"1 - avg_over_time({self.record}:ratio_rate1h[30d:5m]) / {self.budget}"


OBJECTIVES = [
    Availability(
        "vote-availability", "VoteAvailabilityErrorBudgetBurn", "vote:unaccepted", "vote:valid",
        ["A vote that the application failed to accept, for any reason that is not the voter's: invalid votes and those over a",
         "limit per voter or address are no failures, those that MAX_CONNECTIONS or a slow queue leaves no room for are.",
         "A service that does not run fails no vote here: ServiceDown covers that."],
        0.001, "Votes are not accepted", "of votes were not accepted", "RedisDown|RedisRejectsWrites",
    ),
    Latency(
        "vote-latency", "VoteLatencyErrorBudgetBurn", "vote:slow", "vote:accepted",
        ["An accepted vote whose response took longer than 250 ms."],
        0.01, "Votes are answered slowly", "of accepted votes took longer than 250 ms", "RedisDown|RedisRejectsWrites",
    ),
    Freshness(
        "result-freshness", "ResultFreshnessErrorBudgetBurn", "result:stale", "",
        ["The share of time for which the results were older than 5 s, over all replicas."],
        0.001, "Results are late", "of the time results were older than 5 s", "PostgresDown", pages=False,
    ),
]  # fmt: skip


def block(expression, indent):
    """An expression as YAML writes it: on the key's line, or below it."""
    lines = expression.split("\n")
    return lines[0] if len(lines) == 1 else "\n".join(["|-", *(" " * indent + line for line in lines)])


def objectives():
    lines = [
        "# Generated by ../generate.py. Do not edit.",
        "# The share of bad events over each window, for alerts and dashboards; without events there is no share.",
        "groups:",
        "  - name: objectives",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        lines += [f"      # {line}" for line in objective.comment]
        for name, expression in objective.records():
            lines += [f"      - record: {name}", f"        expr: {block(expression, 10)}"]
    lines += [
        "",
        "  # The share of the 30-day error budget that is left; below 0 it is overspent. Retention is a little longer than 30 days.",
        "  - name: error-budgets",
        "    interval: 1m",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        lines += [f"      - record: {objective.record}:budget_remaining30d", f"        expr: {objective.remaining}"]
    return "\n".join(lines) + "\n"


def burn(objective, index):
    long, short, factor, severity, lasting = BURNS[index]
    severity = severity if objective.pages else "ticket"
    lines = [f"{objective.record}:ratio_rate{window} / {objective.budget} > {factor}" for window in (long, short)]
    lines = [lines[0], f"and {lines[1]}", *objective.enough(long)]
    if faster := [it[0] for it in BURNS[:index]]:
        lines.append(f'unless on () max_over_time(ALERTS{{alertname="{objective.alert}", long=~"{"|".join(faster)}", alertstate="firing"}}[{short}])')
    lines.append(f'unless on () (max_over_time(ALERTS{{alertname=~"{objective.causes}", alertstate="firing"}}[{short}]) and on () {objective.is_over(factor)})')
    share = f'{{{{ with query "{objective.record}:ratio_rate{long}" }}}}{{{{ . | first | value | humanizePercentage }}}}{{{{ end }}}}'
    left = f'{{{{ with query "{objective.record}:budget_remaining30d" }}}} {{{{ . | first | value | humanizePercentage }}}} of it are left.{{{{ end }}}}'
    description = f"In the last {IN_WORDS[long]} {share} {objective.said}: the 30-day error budget is burning at {{{{ $value | printf \"%.1f\" }}}}×.{left}"
    lines = [
        f"      - alert: {objective.alert}",
        f"        expr: {block(chr(10).join(lines), 10)}",
        f"        for: {lasting}",
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
        "# Error budgets of 30 days that burn too fast: over a long window, so that it matters, and over a short one, so that it goes on.",
        "# A slower pair of windows is silent while its short window still holds what a faster pair has reported, and each pair while",
        "# its short window holds an outage that another alert has reported and that is over: within 2 minutes there are less than three",
        "# failures, or a share that burns slower.",
        "groups:",
        "  - name: burn-rates",
        "    rules:",
    ]
    for objective in OBJECTIVES:
        for index in range(len(BURNS)):
            lines += burn(objective, index)
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(f"generate.py: the only argument is --check, not {' '.join(sys.argv[1:])}")
    for name, text in (("objectives.yml", objectives()), ("burn-rates.yml", burn_rates())):
        assert not re.search(r"\s\n", text.replace("\n\n", "\n")), f"{name}: a line ends with a space"
        if not sys.argv[1:]:
            (RULES / name).write_text(text)
        elif (RULES / name).read_text() != text:
            sys.exit(f"{RULES / name} is not what {Path(__file__).name} writes: run infra/monitoring/prometheus/generate.py")


if __name__ == "__main__":
    main()
