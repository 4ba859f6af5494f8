"""Panel and dashboard builders on top of Grafana's Foundation SDK, with the layout and links that all dashboards share.

In a query, `@` is a placeholder for the matchers of the dashboard's variables: the selected jobs and instances.
"""

import json

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard as model, heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
MATCHERS = 'job=~"$job", instance=~"$instance"'
# Outcomes, severities and classes of status codes have the same color on all dashboards. Other series use Grafana's palette.
COLORS = {
    "accepted|applied|sent|2..": "green",
    "rate_limited|skipped|3..": "blue",
    "address_limit": "light-blue",
    "rejected|stale|4..": "yellow",
    "timeout|retry|ticket": "orange",
    "shed": "purple",
    "connection_limit": "dark-purple",
    "error|dead_letter|page|5..": "red",
}
UP = {0: ("down", "red"), (0.001, 0.999): ("partly up", "orange"), 1: ("up", "green")}


def _thresholds(bad_from=None, bad_below=None, lines=None):
    """Builds the thresholds: red from `bad_from`, red below `bad_below`, and `lines`, which maps values to colors."""
    steps = {None: "red" if bad_below is not None else "green", **(lines or {})}
    steps.update({bad_from: "red"} if bad_from is not None else {})
    steps.update({bad_below: "green"} if bad_below is not None else {})
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([model.Threshold(value, color) for value, color in steps.items()])


def _mappings(names):
    """Builds value mappings: a text, or a text and its color, for each value or range of values."""
    results = {value: model.ValueMappingResult(*(name if isinstance(name, tuple) else (name,))) for value, name in names.items()}
    ranges = {value: result for value, result in results.items() if isinstance(value, tuple)}
    values = model.ValueMap({str(value): result for value, result in results.items() if value not in ranges})
    return [values, *(model.RangeMap(model.DashboardRangeMapOptions(low, high, result)) for (low, high), result in ranges.items())]


def _link(name):
    """Builds the link from a panel to the dashboard with the details, with the same time range and data source."""
    return build.DashboardLink(f"Details: {name.capitalize()}").type(model.DashboardLinkType.LINK).url(f"/d/voting-{name}?${{__url_time_range}}&${{datasource:queryparam}}")


def _panel(panel, title, description, unit, queries, width, height, details, instant=False, exemplars=False, form=None):
    panel.title(title).description(description).datasource(SOURCE).unit(unit).span(width).height(height)
    if details:
        panel.links([_link(details)])
    for index, (legend, query) in enumerate(({"": queries} if isinstance(queries, str) else queries).items()):
        target = prometheus.Dataquery().datasource(SOURCE).editor_mode(QueryEditorMode.CODE).ref_id(chr(ord("A") + index))
        target.expr(" ".join(query.split()).replace("@", MATCHERS)).legend_format(legend or "__auto")
        target.instant() if instant else target.range()
        if exemplars:
            target.exemplar(True)
        if form:
            target.format(form)
        panel.with_target(target)
    return panel


def number(title, description, unit, query, *, width=4, bad_from=None, bad_below=None, names=None, details=None):
    """Builds a stat panel with the current value: red from `bad_from` or below `bad_below`; `names` maps values to texts."""
    panel = _panel(stat.Panel(), title, description, unit, query, width, 4, details, instant=True)
    panel.thresholds(_thresholds(bad_from, bad_below)).color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    panel.color_mode(common.BigValueColorMode.VALUE).graph_mode(common.BigValueGraphMode.NONE)
    if details:
        # A click on the number follows the link as well.
        panel.data_links([_link(details)])
    return panel.mappings(_mappings(names)) if names else panel


def graph(title, description, unit, queries, *, width=8, stack=False, bad_from=None, lines=None, symlog=None, details=None, exemplars=False):
    """Builds a time series panel; `queries` maps legends to queries. The legend shows the last and the highest value.

    Thresholds are drawn as lines. Above `symlog` the axis is logarithmic, and linear below, so that it includes 0.
    """
    panel = _panel(timeseries.Panel(), title, description, unit, queries, width, 8, details, exemplars=exemplars)
    panel.min(0).line_width(1).fill_opacity(20 if stack else 5).show_points(common.VisibilityMode.AUTO).span_nulls(False)
    panel.thresholds(_thresholds(bad_from, lines=lines))
    if any("outcome" in legend or "status" in legend or "severity" in legend for legend in queries):
        for names, color in COLORS.items():
            panel.override_by_regexp(f"/^({names})$/", [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})])
    if stack:
        panel.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if bad_from is not None or lines:
        panel.thresholds_style(options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE))
    if symlog:
        panel.scale_distribution(options.ScaleDistributionConfig().type(common.ScaleDistribution.SYMLOG).log(10).linear_threshold(symlog))
    panel.tooltip(options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    legend = options.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.TABLE)
    legend.placement(common.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]).sort_by("Last *").sort_desc(True)
    return panel.legend(legend)


def heatmap(title, description, query, *, width=8, details=None):
    """Builds a heatmap of durations from the buckets of a histogram, by `le`."""
    panel = _panel(heatmaps.Panel(), title, description, "s", {"{{le}}": query}, width, 8, details, exemplars=True, form=PromQueryFormat.HEATMAP)
    panel.calculate(False).cell_gap(1).y_axis(heatmaps.YAxisConfig().unit("s").axis_placement(common.AxisPlacement.LEFT))
    panel.color(heatmaps.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    return panel.tooltip(heatmaps.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).y_histogram(True))


def states(title, description, queries, *, width=24, names=UP, height=8, details=None):
    """Builds a state timeline: one band per series, colored by value."""
    panel = _panel(statetimeline.Panel(), title, description, "none", queries, width, height, details)
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)).thresholds(_thresholds(bad_below=1))
    panel.mappings(_mappings(names)).fill_opacity(70).line_width(0).row_height(0.9).merge_values(True).show_value(common.VisibilityMode.NEVER)
    return panel.legend(options.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM))


def table(title, description, query, *, width=12, height=8, hidden=(), empty="none", details=None):
    """Builds a table with the labels of each series in one row; `empty` is the text shown without series."""
    panel = _panel(tables.Panel(), title, description, "none", query, width, height, details, instant=True, form=PromQueryFormat.TABLE)
    panel.show_header(True).cell_height(common.TableCellHeight.SM).no_value(empty)
    excluded = dict.fromkeys(["Time", "__name__", *hidden], True)
    return panel.with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded}))


def row(title):
    """Builds a row heading. The next panel starts a new line."""
    return build.Row(title)


def _variable(name, label, query):
    variable = build.QueryVariable(name).label(label).datasource(SOURCE).query({"query": query, "refId": name})
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True)
    return variable.all_value(".+").current(model.VariableOption(text="All", value="$__all"))


def dashboard(uid, title, description, variable_metric, panels):
    """Builds a dashboard as a Grafana JSON model. Its variables list the jobs and instances that have the metric `variable_metric`."""
    builder = build.Dashboard(title).uid(f"voting-{uid}").description(description).tags(["voting-app"]).readonly()
    builder.tooltip(model.DashboardCursorSync.CROSSHAIR).refresh("10s").time("now-1h", "now").timezone("browser").version(1)
    builder.link(build.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS).tags(["voting-app"]).as_dropdown(True).keep_time(True))
    alerts = build.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).icon_color("red").step("15s").title_format("{{alertname}}")
    builder.annotation(alerts.expr('max by (alertname) (ALERTS{alertstate="firing", severity=~"page|ticket"})'))
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    builder.with_variable(source.current(model.VariableOption(text="Prometheus", value="prometheus")))
    builder.with_variable(_variable("job", "Job", f"label_values({variable_metric}, job)"))
    builder.with_variable(_variable("instance", "Instance", f'label_values({variable_metric}{{job=~"$job"}}, instance)'))
    for panel in panels:
        builder.with_row(panel) if isinstance(panel, build.Row) else builder.with_panel(panel)
    result = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    # The SDK puts the links to other dashboards and the annotations' switch into a menu.
    for control in (*result["links"], *result["annotations"]["list"]):
        del control["placement"]
    # The SDK sets no panel ids, but the URL of a single panel needs a stable one.
    for index, panel in enumerate(result["panels"], start=1):
        panel["id"] = index
    return result
