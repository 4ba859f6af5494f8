#!/usr/bin/env python3
"""Checks each dashboard with the rules of Grafana's dashboard-linter and some project rules: legends name services instead of
addresses, links lead to existing dashboards, and Overview links to the details of every panel and shows every window of an error
budget. Panels named in runbooks must exist.
"""

import json
import re
import sys
from datetime import timedelta
from pathlib import Path

import promql_parser as promql
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

MONITORING = Path(__file__).resolve().parents[1]
DASHBOARDS = MONITORING / "grafana" / "dashboards"
RUNBOOKS = MONITORING / "runbooks"
OBJECTIVES = MONITORING / "prometheus" / "rules" / "objectives.yml"

# Distinct values for the time windows that Grafana substitutes.
WINDOWS = {"$__rate_interval": timedelta(seconds=59), "$__range": timedelta(seconds=58)}
COUNTERS = ("_total", "_bucket", "_count", "_sum")

# Exceptions from rules, with the reason: (title of the panel, rule).
EXCEPTIONS = {
    ("Votes accepted", "counter"): "the total is exact, while an increase is extrapolated",
    ("Ballots lost", "counter"): "a single one matters as long as the worker is running",
    ("Dead letters", "counter"): "a single one matters as long as the worker is running",
    ("Rejected viewers", "counter"): "the panel shows the total since the start",
    ("Evicted keys", "counter"): "a single one matters as long as Redis is running",
    ("Load per core", "counter"): "the query counts the cores, not their time",
}
# Gauges whose names look like those of counters.
GAUGES = {"pg_stat_activity_count", "pg_locks_count"}

# Dashboards about machines or targets, which differ only in their addresses.
BY_ADDRESS = {"hosts", "monitoring"}


def lost_fields(given, parsed_fields, path=""):
    """Yields the paths of a dashboard that Grafana's model loses: wrong names, or values of the wrong type."""
    if isinstance(given, dict) and isinstance(parsed_fields, dict):
        for name, value in given.items():
            if name in parsed_fields:
                yield from lost_fields(value, parsed_fields[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(given, list) and isinstance(parsed_fields, list) and len(given) == len(parsed_fields):
        for index, pair in enumerate(zip(given, parsed_fields, strict=True)):
            yield from lost_fields(*pair, f"{path}[{index}]")
    elif given != parsed_fields:
        yield path


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def dashboard_problems(dashboard, name):
    given = variables(dashboard)
    source = given.get("datasource", {})
    if (source.get("type"), source.get("query"), source.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "template-datasource: a variable `datasource` with the label Data source must list the Prometheus data sources"
    for variable, label in {"job": "Job", "instance": "Instance"}.items():
        it = given.get(variable, {})
        if it.get("type") != "query" or it.get("datasource", {}).get("uid") != "${datasource}" or it.get("label") != label:
            yield f"template-{variable}: a query variable `{variable}` of the selected data source with the label {label} is required"
        if not (it.get("multi") and it.get("includeAll") and it.get("allValue") == ".+"):
            yield f"template-{variable}: it must allow several values and all (.+)"
        if it.get("refresh") != 2:
            yield f"template-on-time-change-reload: {variable} must be reloaded when the time range changes"
    if dashboard.get("editable") is not False:
        yield "uneditable: editable must be false"
    if dashboard.get("uid") != f"voting-{name}":
        yield f"uid: it must be voting-{name}"
    if not dashboard.get("title") or not dashboard.get("description") or "voting-app" not in dashboard.get("tags", []):
        yield "title: a dashboard must have a title, a description and the tag voting-app"


def selector_problems(selector, rated):
    # Recorded series and alerts have no job.
    if ":" in selector.name or selector.name == "ALERTS":
        return
    matchers = {(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}
    for variable in ("job", "instance"):
        if (variable, str(promql.MatchOp.Re), f"${variable}") not in matchers:
            yield f"target-{variable}", f'{selector.name} needs the matcher {variable}=~"${variable}"'
    if selector.name.endswith(COUNTERS) and selector.name not in GAUGES and not rated:
        yield "counter", f"{selector.name} is a counter and needs rate or increase"


def query_problems(query):
    """Yields (rule, message) for each rule that a query violates."""
    for variable, window in WINDOWS.items():
        query = query.replace(variable, f"{window.seconds}s")
    try:
        parsed = promql.parse(query)
    except ValueError as error:
        yield "target-promql", f"{query}: {error}"
        return
    violations, rated, inside = [], set(), []

    def visit(expression):
        if isinstance(expression, promql.Call) and expression.func.name in {"rate", "irate", "increase"}:
            rated.add(str(expression.args[0]))
        elif isinstance(expression, promql.MatrixSelector):
            inside.append(str(expression.vector_selector))
            violations.extend(selector_problems(expression.vector_selector, str(expression) in rated))
            if expression.range not in {*WINDOWS.values(), timedelta(minutes=5)}:
                violations.append(("target-rate-interval", f"{expression}: the window should be $__rate_interval"))
        elif isinstance(expression, promql.VectorSelector) and str(expression) in inside:
            # It was visited as part of its matrix selector.
            inside.remove(str(expression))
        elif isinstance(expression, promql.VectorSelector):
            violations.extend(selector_problems(expression, False))

    promql.walk(parsed, visit)
    yield from violations


def panel_problems(panel):
    title = panel.get("title")
    if not title or not panel.get("description"):
        yield "panel-title-description", "a panel must have a title and a description"
    if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
        yield "panel-datasource", "a panel must use the selected data source"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "panel-units", "a panel must have a unit"
    if not panel.get("targets"):
        yield "panel-no-targets", "a panel must have a query"
    for target in panel.get("targets", []):
        yield from query_problems(target["expr"])
        if target.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            yield "target-datasource", "a query must use the selected data source"
    identifiers = [target["refId"] for target in panel.get("targets", [])]
    if len(set(identifiers)) != len(identifiers):
        yield "target-id", "each query must have a unique id"


def link_problems(panel, name, dashboard_names):
    """Yields (rule, message) for each rule that a panel's legends or links violate."""
    for target in panel.get("targets", []):
        if "instance" in target["legendFormat"] and name not in BY_ADDRESS:
            yield "legend-address", f"{target['legendFormat']}: an address changes at each start; name the service, or aggregate over its replicas"
    links = panel.get("links", [])
    if name == "overview" and not links:
        yield "link-details", "every panel of Overview must link to the dashboard with its details (details=…)"
    for link in links:
        found = re.match(r"/d/voting-(\w+)\?", link["url"])
        if not found or found[1] not in dashboard_names or found[1] == name:
            yield "link-target", f"{link['url']}: a link must lead to another dashboard, one of {', '.join(sorted(dashboard_names - {name}))}"
        if "${__url_time_range}" not in link["url"]:
            yield "link-time", f"{link['url']}: a link must keep the time range (${{__url_time_range}})"


def missing_windows(overview):
    """Returns the recorded windows of an error budget that Overview does not show although it shows others of this budget. Two minutes
    are not a window of an alert; they only show whether failures continue."""
    drawn = set(re.findall(r"\w+:\w+:ratio_rate\w+", " ".join(target["expr"] for panel in overview["panels"] for target in panel.get("targets", []))))
    recorded = set(re.findall(r"- record: (\w+:\w+:ratio_rate\w+)", OBJECTIVES.read_text()))
    budgets = {name.partition(":ratio_rate")[0] for name in drawn}
    return sorted(name for name in recorded - drawn if not name.endswith("_rate2m") and name.partition(":ratio_rate")[0] in budgets)


def unknown_panels_in_runbooks(dashboards):
    """Yields panels named in runbooks, as *Dashboard → Panel* or *Panel*, that do not exist."""
    panels = {name.capitalize(): {panel["title"] for panel in dashboard["panels"]} for name, dashboard in dashboards.items()}
    anywhere = {*panels, *(title for titles in panels.values() for title in titles)}
    for path in sorted(RUNBOOKS.glob("*.md")):
        for named in re.findall(r"(?<![*\w])\*([A-Z][^*\n]+)\*(?!\*)", path.read_text()):
            dashboard, arrow, panel = named.partition(" → ")
            # *Status → …* is a page of Prometheus.
            exists = dashboard == "Status" or panel in panels.get(dashboard, ()) if arrow else named in anywhere
            if not exists:
                yield f"{path.name}: *{named}* is not a panel: runbooks name panels as *Dashboard → Panel*; dashboards are {', '.join(panels)}"


def check(dashboard, name, used_exceptions, dashboard_names):
    parsed_fields = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for path in lost_fields(dashboard, parsed_fields):
        yield f"{name}: {path}: unknown to Grafana"
    for problem in dashboard_problems(dashboard, name):
        yield f"{name}: {problem}"
    occupied = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & occupied or place["x"] + place["w"] > 24:
            yield f"{name}: {panel['title']}: it overlaps another panel or the border"
        occupied |= cells
        if panel["type"] == "row":
            continue
        for rule, problem in (*panel_problems(panel), *link_problems(panel, name, dashboard_names)):
            if (panel.get("title"), rule) in EXCEPTIONS:
                used_exceptions.add((panel["title"], rule))
            else:
                yield f"{name}: {panel.get('title')}: {rule}: {problem}"


def main():
    register_default_plugins()
    used_exceptions = set()
    dashboards = {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}
    panels = sum(panel["type"] != "row" for dashboard in dashboards.values() for panel in dashboard["panels"])
    problems = [problem for name, dashboard in dashboards.items() for problem in check(dashboard, name, used_exceptions, dashboards.keys())]
    problems += [f"overview: {name}: this window is recorded but not shown" for name in missing_windows(dashboards["overview"])]
    problems += unknown_panels_in_runbooks(dashboards)
    problems += [f"{title}: {rule}: an unused exception" for title, rule in EXCEPTIONS.keys() - used_exceptions]
    print("\n".join(problems), end="\n" if problems else "")
    print(f"dashboards: {panels} panels, {len(problems)} problems, {len(used_exceptions)} exceptions")
    sys.exit(1 if problems or not panels else 0)


if __name__ == "__main__":
    main()
