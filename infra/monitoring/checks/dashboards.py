#!/usr/bin/env python3
"""The rules of Grafana's dashboard-linter, and a few of our own, for each dashboard: legends name services and not addresses,
links lead to dashboards that exist, and Overview links to the details of every panel and draws every window of an error budget.
Panels that runbooks name exist.
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

# What Grafana puts in place of its own variables, each told from the others.
WINDOWS = {"$__rate_interval": timedelta(seconds=59), "$__range": timedelta(seconds=58)}
COUNTERS = ("_total", "_bucket", "_count", "_sum")

# Rules that do not hold everywhere, and why: (title of the panel, rule).
EXCEPTIONS = {
    ("Votes accepted", "counter"): "the number itself is meant: it is exact, where an increase is extrapolated",
    ("Ballots lost", "counter"): "a single one matters, for as long as the worker runs",
    ("Dead letters", "counter"): "a single one matters, for as long as the worker runs",
    ("Rejected viewers", "counter"): "the number since the start is meant",
    ("Evicted keys", "counter"): "a single one matters, for as long as Redis runs",
    ("Load per core", "counter"): "the cores are counted, not their time",
}
# Gauges that are called like counters.
GAUGES = {"pg_stat_activity_count", "pg_locks_count"}

# Dashboards whose subject is machines or targets, which only their addresses tell apart.
BY_ADDRESS = {"hosts", "monitoring"}


def unknown(given, understood, path=""):
    """What of a dashboard is lost when Grafana's own model reads it: a wrong name, or a value of the wrong kind."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            if name in understood:
                yield from unknown(value, understood[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for index, pair in enumerate(zip(given, understood, strict=True)):
            yield from unknown(*pair, f"{path}[{index}]")
    elif given != understood:
        yield path


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def of_dashboard(dashboard, name):
    given = variables(dashboard)
    source = given.get("datasource", {})
    if (source.get("type"), source.get("query"), source.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "template-datasource: a variable `datasource`, labelled Data source, offers the Prometheus ones"
    for variable, label in {"job": "Job", "instance": "Instance"}.items():
        it = given.get(variable, {})
        if it.get("type") != "query" or it.get("datasource", {}).get("uid") != "${datasource}" or it.get("label") != label:
            yield f"template-{variable}: a query variable `{variable}` of the chosen data source, labelled {label}"
        if not (it.get("multi") and it.get("includeAll") and it.get("allValue") == ".+"):
            yield f"template-{variable}: it allows several and all (.+)"
        if it.get("refresh") != 2:
            yield f"template-on-time-change-reload: {variable} is read anew when the time changes"
    if dashboard.get("editable") is not False:
        yield "uneditable: editable is false"
    if dashboard.get("uid") != f"voting-{name}":
        yield f"uid: it is voting-{name}, whatever happens"
    if not dashboard.get("title") or not dashboard.get("description") or "voting-app" not in dashboard.get("tags", []):
        yield "title: a dashboard has a title, a description and the tag voting-app"


def of_selector(selector, rated):
    # What rules record over all, and the alerts, belong to no job.
    if ":" in selector.name or selector.name == "ALERTS":
        return
    matchers = {(matcher.name, str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}
    for variable in ("job", "instance"):
        if (variable, str(promql.MatchOp.Re), f"${variable}") not in matchers:
            yield f"target-{variable}", f'{selector.name} needs the matcher {variable}=~"${variable}"'
    if selector.name.endswith(COUNTERS) and selector.name not in GAUGES and not rated:
        yield "counter", f"{selector.name} is a counter and needs rate or increase"


def of_query(query):
    """(rule, what it says) for each rule that a query breaks."""
    for variable, window in WINDOWS.items():
        query = query.replace(variable, f"{window.seconds}s")
    try:
        parsed = promql.parse(query)
    except ValueError as error:
        yield "target-promql", f"{query}: {error}"
        return
    broken, rated, inside = [], set(), []

    def visit(expression):
        if isinstance(expression, promql.Call) and expression.func.name in {"rate", "irate", "increase"}:
            rated.add(str(expression.args[0]))
        elif isinstance(expression, promql.MatrixSelector):
            inside.append(str(expression.vector_selector))
            broken.extend(of_selector(expression.vector_selector, str(expression) in rated))
            if expression.range not in {*WINDOWS.values(), timedelta(minutes=5)}:
                broken.append(("target-rate-interval", f"{expression}: the window should be $__rate_interval"))
        elif isinstance(expression, promql.VectorSelector) and str(expression) in inside:
            # It was seen with its window.
            inside.remove(str(expression))
        elif isinstance(expression, promql.VectorSelector):
            broken.extend(of_selector(expression, False))

    promql.walk(parsed, visit)
    yield from broken


def of_panel(panel):
    title = panel.get("title")
    if not title or not panel.get("description"):
        yield "panel-title-description", "a panel has a title and a description"
    if panel.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
        yield "panel-datasource", "a panel uses the chosen data source"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "panel-units", "a panel has a unit"
    if not panel.get("targets"):
        yield "panel-no-targets", "a panel has a query"
    for target in panel.get("targets", []):
        yield from of_query(target["expr"])
        if target.get("datasource") != {"type": "prometheus", "uid": "${datasource}"}:
            yield "target-datasource", "a query uses the chosen data source"
    identifiers = [target["refId"] for target in panel.get("targets", [])]
    if len(set(identifiers)) != len(identifiers):
        yield "target-id", "each query has an id of its own"


def of_links(panel, name, known):
    """The rules for what a panel's legend and its links lead to."""
    for target in panel.get("targets", []):
        if "instance" in target["legendFormat"] and name not in BY_ADDRESS:
            yield "legend-address", f"{target['legendFormat']}: an address changes with each start; name the service, or aggregate over its replicas"
    links = panel.get("links", [])
    if name == "overview" and not links:
        yield "link-details", "every panel of Overview links to the dashboard with its details (details=…)"
    for link in links:
        found = re.match(r"/d/voting-(\w+)\?", link["url"])
        if not found or found[1] not in known or found[1] == name:
            yield "link-target", f"{link['url']}: a link leads to another dashboard, one of {', '.join(sorted(known - {name}))}"
        if "${__url_time_range}" not in link["url"]:
            yield "link-time", f"{link['url']}: a link keeps the time range (${{__url_time_range}})"


def undrawn_windows(overview):
    """The recorded windows of an error budget that Overview does not draw, although it draws others of this budget. Two minutes are no
    window of an alert: they say whether failures go on."""
    drawn = set(re.findall(r"\w+:\w+:ratio_rate\w+", " ".join(target["expr"] for panel in overview["panels"] for target in panel.get("targets", []))))
    recorded = set(re.findall(r"- record: (\w+:\w+:ratio_rate\w+)", OBJECTIVES.read_text()))
    budgets = {name.partition(":ratio_rate")[0] for name in drawn}
    return sorted(name for name in recorded - drawn if not name.endswith("_rate2m") and name.partition(":ratio_rate")[0] in budgets)


def misnamed_in_runbooks(dashboards):
    """The panels that runbooks name, as *Dashboard → Panel* or *Panel*, and that do not exist."""
    panels = {name.capitalize(): {panel["title"] for panel in dashboard["panels"]} for name, dashboard in dashboards.items()}
    anywhere = {*panels, *(title for titles in panels.values() for title in titles)}
    for path in sorted(RUNBOOKS.glob("*.md")):
        for named in re.findall(r"(?<![*\w])\*([A-Z][^*\n]+)\*(?!\*)", path.read_text()):
            dashboard, arrow, panel = named.partition(" → ")
            # *Status → …* is a page of Prometheus.
            exists = dashboard == "Status" or panel in panels.get(dashboard, ()) if arrow else named in anywhere
            if not exists:
                yield f"{path.name}: *{named}* is no panel: a runbook names one as *Dashboard → Panel*, dashboards are {', '.join(panels)}"


def check(dashboard, name, used, known):
    understood = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for path in unknown(dashboard, understood):
        yield f"{name}: {path}: Grafana does not know this"
    for problem in of_dashboard(dashboard, name):
        yield f"{name}: {problem}"
    placed = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if cells & placed or place["x"] + place["w"] > 24:
            yield f"{name}: {panel['title']}: it lies over another panel, or outside"
        placed |= cells
        if panel["type"] == "row":
            continue
        for rule, problem in (*of_panel(panel), *of_links(panel, name, known)):
            if (panel.get("title"), rule) in EXCEPTIONS:
                used.add((panel["title"], rule))
            else:
                yield f"{name}: {panel.get('title')}: {rule}: {problem}"


def main():
    register_default_plugins()
    used = set()
    dashboards = {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}
    panels = sum(panel["type"] != "row" for dashboard in dashboards.values() for panel in dashboard["panels"])
    problems = [problem for name, dashboard in dashboards.items() for problem in check(dashboard, name, used, dashboards.keys())]
    problems += [f"overview: {name}: this window is recorded and not drawn" for name in undrawn_windows(dashboards["overview"])]
    problems += misnamed_in_runbooks(dashboards)
    problems += [f"{title}: {rule}: an exception that nothing needs" for title, rule in EXCEPTIONS.keys() - used]
    print("\n".join(problems), end="\n" if problems else "")
    print(f"dashboards: {panels} panels, {len(problems)} problems, {len(used)} exceptions")
    sys.exit(1 if problems or not panels else 0)


if __name__ == "__main__":
    main()
