"""Puts the queries of the dashboards to Prometheus, as Grafana would."""

import json
import math
from pathlib import Path

DASHBOARDS = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"
STEP = 5

# Panels below these headings may be without data where this query is: their source is missing from the stack, not from the panel.
SOURCES = {
    "Containers": 'up{job="cadvisor"}',
    "Network": 'node_scrape_collector_success{collector="netdev"}',
    # A kernel may be built or started without pressure stall information.
    "Saturation": 'node_scrape_collector_success{collector="pressure"} == 1',
}


def dashboards():
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def shown(dashboard):
    """(heading, panel) for each panel of a dashboard that shows data."""
    heading = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            heading = panel["title"]
        else:
            yield heading, panel


def substituted(query, seconds):
    """The query with Grafana's variables filled in: all jobs, all instances."""
    values = {"$__rate_interval": f"{4 * STEP}s", "$__range": f"{seconds:.0f}s", "$job": ".+", "$instance": ".+"}
    for name, value in values.items():
        query = query.replace(name, value)
    return query


def series(stack, target, start, end):
    """[(labels, [(time, value)])] of a query from start to end."""
    found = stack.ask("query_range", query=substituted(target["expr"], end - start), start=start, end=end, step=STEP)
    return [(it["metric"], [(when, float(value)) for when, value in it["values"]]) for it in found["result"]]


def empty(found):
    """What is wrong with an answer, if anything."""
    if not found:
        return "no series"
    for labels, values in found:
        if all(math.isnan(value) for _, value in values):
            return f"{labels} is never a number"
    return None


def without_data(stack, start, end):
    """Every query of every panel: those without data, and how many there were."""
    bad, asked, without = [], 0, 0
    missing = {heading for heading, query in SOURCES.items() if stack.value(query) is None}
    for name, dashboard in dashboards().items():
        for heading, panel in shown(dashboard):
            for target in panel["targets"]:
                asked += 1
                problem = empty(series(stack, target, start, end))
                if problem and heading in missing:
                    without += 1
                elif problem:
                    bad.append(f"{name}: {panel['title']}: {problem}: {target['expr']}")
    if missing:
        print(f"panels: {without} queries without data below {', '.join(sorted(missing))}, whose source is not in this stack")
    return bad, asked


def present(stack, name, title):
    """The number that a panel shows now."""
    panel = next(panel for _, panel in shown(dashboards()[name]) if panel["title"] == title)
    return stack.value(substituted(panel["targets"][0]["expr"], 3600))
