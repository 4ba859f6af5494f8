"""What dashboards are made of: panels with a title, a description, a unit and queries, laid out in rows of 24 columns.

In a query `@` stands for the matchers of the variables that every dashboard has: whom Prometheus asked.
"""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = 'job=~"$job", instance=~"$instance"'


def _targets(queries, instant):
    queries = {"": queries} if isinstance(queries, str) else queries
    for index, (legend, query) in enumerate(queries.items()):
        yield {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": " ".join(query.split()).replace("@", MATCHERS),
            "instant": instant,
            "range": not instant,
            "legendFormat": legend or "__auto",
            "refId": chr(ord("A") + index),
        }


def _thresholds(bad_from=None, bad_below=None):
    steps = [{"color": "red" if bad_below is not None else "green", "value": None}]
    if bad_below is not None:
        steps.append({"color": "green", "value": bad_below})
    if bad_from is not None:
        steps.append({"color": "red", "value": bad_from})
    return {"mode": "absolute", "steps": steps}


def _panel(kind, title, description, unit, queries, width, height, instant, defaults, options, **more):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, **defaults}, "overrides": []},
        "options": options,
        "targets": list(_targets(queries, instant)),
        **more,
    }


def number(title, description, unit, query, *, width=4, bad_from=None, bad_below=None, names=None):
    """The present value, large. It is red from one value on, or below one; `names` says a word for a number."""
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _thresholds(bad_from, bad_below)}
    if names:
        defaults["mappings"] = [{"type": "value", "options": {str(value): {"text": name} for value, name in names.items()}}]
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "area"}
    return _panel("stat", title, description, unit, query, width, 4, True, defaults, options)


def graph(title, description, unit, queries, *, width=8, stack=False, bad_from=None, log=False):
    """Lines over time, one for each series of each query, which are {legend: query}."""
    custom = {"lineWidth": 1, "fillOpacity": 20 if stack else 5, "showPoints": "never", "spanNulls": False}
    defaults = {"min": 0, "custom": custom, "thresholds": _thresholds(bad_from)}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if log:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
        del defaults["min"]
    if bad_from is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, description, unit, queries, width, 8, False, defaults, options)


def heatmap(title, description, query, *, width=8):
    """How many took how long, from a histogram's buckets by `le`."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"unit": "s", "axisPlacement": "left"},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": True},
    }
    panel = _panel("heatmap", title, description, "s", {"{{le}}": query}, width, 8, False, {}, options)
    panel["targets"][0]["format"] = "heatmap"
    return panel


def states(title, description, queries, *, width=24, names=None, height=8):
    """A band over time for each series, coloured by its value."""
    defaults = {
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(bad_below=1),
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "mappings": [{"type": "value", "options": {str(value): {"text": name, "color": colour} for value, (name, colour) in names.items()}}],
    }
    options = {"mergeValues": True, "showValue": "never", "rowHeight": 0.9, "legend": {"displayMode": "list", "placement": "bottom"}}
    return _panel("state-timeline", title, description, "none", queries, width, height, False, defaults, options)


def table(title, description, query, *, width=12, height=8, hidden=(), unit="none"):
    """The labels of each series in a row of its own."""
    panel = _panel("table", title, description, unit, query, width, height, True, {}, {"showHeader": True, "cellHeight": "sm"})
    panel["targets"][0]["format"] = "table"
    panel["transformations"] = [{"id": "organize", "options": {"excludeByName": dict.fromkeys(["Time", "__name__", *hidden], True)}}]
    return panel


def row(title):
    """A heading; what follows begins a new line."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def _laid_out(panels):
    x = y = line = 0
    for index, panel in enumerate(panels, start=1):
        place = panel["gridPos"]
        if x + place["w"] > 24:
            x, y, line = 0, y + line, 0
        panel["id"] = index
        panel["gridPos"] = {**place, "x": x, "y": y}
        x, line = x + place["w"], max(line, place["h"])
    return panels


def _variable(name, label, query):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard(uid, title, description, known_by, panels):
    """A dashboard, whose variables offer the jobs and instances that have the metric `known_by`."""
    return {
        "uid": f"voting-{uid}",
        "title": title,
        "description": description,
        "tags": ["voting-app"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "schemaVersion": 41,
        "version": 1,
        "links": [{"type": "dashboards", "title": "Dashboards", "tags": ["voting-app"], "asDropdown": True, "keepTime": True}],
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": 'max by (alertname) (ALERTS{alertstate="firing", severity=~"page|ticket"})',
                    "titleFormat": "{{alertname}}",
                    "step": "15s",
                }
            ]
        },
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {"text": "Prometheus", "value": "prometheus"},
                },
                _variable("job", "Job", f"label_values({known_by}, job)"),
                _variable("instance", "Instance", f'label_values({known_by}{{job=~"$job"}}, instance)'),
            ]
        },
        "panels": _laid_out(panels),
    }
