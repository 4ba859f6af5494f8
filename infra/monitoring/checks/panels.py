"""Runs the queries of the dashboards in Prometheus like Grafana."""

import json
import math
from pathlib import Path

DASHBOARDS = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"
STEP = 5

# Panels below these headings may have no data if this query has no result, because the stack lacks their source.
SOURCES = {
    "Containers": 'up{job="cadvisor"}',
    "Network": 'node_scrape_collector_success{collector="netdev"}',
    # A kernel may be built or started without pressure stall information.
    "Saturation": 'node_scrape_collector_success{collector="pressure"} == 1',
}


def dashboards():
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels_with_data(dashboard):
    """Yields (heading, panel) for each panel of a dashboard with data."""
    heading = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            heading = panel["title"]
        else:
            yield heading, panel


def replace_variables(query, seconds):
    """Returns the query with Grafana's variables replaced: all jobs, all instances."""
    values = {"$__rate_interval": f"{4 * STEP}s", "$__range": f"{seconds:.0f}s", "$job": ".+", "$instance": ".+"}
    for name, value in values.items():
        query = query.replace(name, value)
    return query


def series(stack, target, start, end):
    """Runs a range query; returns [(labels, [(time, value)])]."""
    found = stack.query_api("query_range", query=replace_variables(target["expr"], end - start), start=start, end=end, step=STEP)
    return [(it["metric"], [(when, float(value)) for when, value in it["values"]]) for it in found["result"]]


def no_data_reason(found):
    """Returns why a result has no data, or None."""
    if not found:
        return "no series"
    for labels, values in found:
        if all(math.isnan(value) for _, value in values):
            return f"{labels} is never a number"
    return None


def queries_without_data(stack, start, end):
    """Runs every query of every panel. Returns those without data, and the number of all queries."""
    problems, count, skipped = [], 0, 0
    missing = {heading for heading, query in SOURCES.items() if stack.value(query) is None}
    for name, dashboard in dashboards().items():
        for heading, panel in panels_with_data(dashboard):
            for target in panel["targets"]:
                count += 1
                problem = no_data_reason(series(stack, target, start, end))
                if problem and heading in missing:
                    skipped += 1
                elif problem:
                    problems.append(f"{name}: {panel['title']}: {problem}: {target['expr']}")
    if missing:
        print(f"panels: {skipped} queries without data below {', '.join(sorted(missing))}, which have no source in this stack")
    return problems, count


def current_value(stack, name, title):
    """Returns the current value of a panel."""
    panel = next(panel for _, panel in panels_with_data(dashboards()[name]) if panel["title"] == title)
    return stack.value(replace_variables(panel["targets"][0]["expr"], 3600))
