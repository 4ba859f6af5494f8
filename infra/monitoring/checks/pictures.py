"""Draws each dashboard from the series of a Prometheus, for documents, without Grafana: the same panels, positions, queries,
thresholds and legends in a simpler style.
"""

import io
import math
import re

import matplotlib
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from PIL import Image

import panels

# The first colors of Grafana's palette.
PALETTE = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37872d", "#8ab8ff", "#705da0", "#a35200"]
matplotlib.rcParams.update({"font.size": 6, "axes.titlesize": 7, "svg.fonttype": "none", "axes.prop_cycle": matplotlib.cycler(color=PALETTE)})

SCALES = {
    "bytes": [(1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"), (1, "B")],
    "s": [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"), (0.000001, "µs"), (0.000000001, "ns")],
    "Bps": [(1024**2, "MiB/s"), (1024, "KiB/s"), (1, "B/s")],
}
SUFFIX = {"cps": "/s", "ops": "/s", "reqps": "/s", "pps": " p/s"}
COLORS = {"blue": "#5794f2", "green": "#56a64b", "red": "#e02f44", "yellow": "#f2cc0c", "orange": "#ff780a", "dark-red": "#c4162a", "light-blue": "#8ab8ff", "purple": "#b877d9", "dark-purple": "#8f3bb8"}
# Limits, because Grafana's tables scroll and pictures do not.
LEGEND_ENTRIES = 8
TABLE_ROWS = 8


def format_value(value, unit):
    """Formats a number with its unit, as short as Grafana."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    for size, name in SCALES.get(unit, []):
        if abs(value) >= size:
            return f"{value / size:.{3 if abs(value) < 999 * size else 4}g} {name}"
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return number + SUFFIX.get(unit, "")


def legend(target, labels):
    pattern = target["legendFormat"]
    if pattern == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), pattern)


def series_of_panel(stack, panel, start, end):
    """Yields (name, labels, [(time, value)]) for each series of a panel."""
    for target in panel["targets"]:
        for labels, values in panels.series(stack, target, start, end):
            yield legend(target, labels), labels, values


def apply_mappings(value, defaults):
    """Returns the text and the color of a value in a panel's mappings, or None for each."""
    for mapping in defaults.get("mappings", []):
        chosen = mapping["options"]
        if mapping["type"] == "value" and f"{value:g}" in chosen:
            return chosen[f"{value:g}"]["text"], chosen[f"{value:g}"].get("color")
        if mapping["type"] == "range" and chosen["from"] <= value <= chosen["to"]:
            return chosen["result"]["text"], chosen["result"].get("color")
    return None, None


def draw_number(axes, panel, found):
    axes.axis("off")
    value = found[0][2][-1][1] if found else math.nan
    defaults = panel["fieldConfig"]["defaults"]
    text = apply_mappings(value, defaults)[0] or format_value(value, defaults["unit"])
    color = "black"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = COLORS[step["color"]]
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=15, color=color, transform=axes.transAxes)


def draw_legend(axes, found, lines, unit):
    """Draws a table below the graph: each series with its last and its highest value, sorted by the last value."""
    longest = max(len(name) for name, _, _ in found)
    columns = 2 if len(found) > 2 and axes.bbox.width > 250 and longest < (23 if axes.bbox.width < 500 else 45) else 1
    entries = []
    for (name, _, values), line in zip(found, lines, strict=True):
        numbers = [value for _, value in values if not math.isnan(value)] or [math.nan]
        name = name if len(name) < 45 else f"{name[:43]}…"
        entries.append((numbers[-1], f"{name.strip()}  last {format_value(numbers[-1], unit)}, max {format_value(max(numbers), unit)}", line))
    entries.sort(key=lambda entry: -math.inf if math.isnan(entry[0]) else entry[0], reverse=True)
    hidden = len(entries) - LEGEND_ENTRIES
    visible = entries[:LEGEND_ENTRIES]
    texts = [text for _, text, _ in visible]
    if hidden > 0:
        texts[-1] += f"  (and {hidden} more)"
    rows = math.ceil(len(visible) / columns)
    box = axes.get_position()
    # The heights of a line of text and of the axis labels, as shares of the figure.
    line, label = (size / 72 / axes.figure.get_figheight() for size in (8, 14))
    axes.set_position([box.x0, box.y0 + rows * line + label / 2, box.width, box.height - rows * line - label / 2])
    axes.legend([line for _, _, line in visible], texts, loc="upper left", bbox_to_anchor=(box.x0 - 0.03, box.y0 + rows * line - label * 0.4), bbox_transform=axes.figure.transFigure, fontsize=5, frameon=False, ncol=columns, borderaxespad=0, labelspacing=0.25, handlelength=1.2)


def colors(panel, found):
    """Yields the color of each series: that of its name, or the next one of the palette."""
    named = [(it["matcher"]["options"].strip("/"), it["properties"][0]["value"]["fixedColor"]) for it in panel["fieldConfig"]["overrides"]]
    for index, (name, _, _) in enumerate(found):
        yield next((COLORS[color] for pattern, color in named if re.search(pattern, name)), PALETTE[index % len(PALETTE)])


def isolated(values):
    """Returns the positions of values without neighbors, which a line does not show."""
    edged = [math.nan, *values, math.nan]
    return [index for index, value in enumerate(values) if not math.isnan(value) and math.isnan(edged[index]) and math.isnan(edged[index + 2])]


def draw_graph(axes, panel, found):
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    lines, palette = [], list(colors(panel, found))
    if "stacking" in custom:
        times = sorted({when for _, _, values in found for when, _ in values})
        layers = [[0 if math.isnan(value := dict(values).get(when, 0)) else value for when in times] for _, _, values in found]
        lines = axes.stackplot(to_days(times), layers, alpha=0.6, colors=palette)
    else:
        for (_, _, values), color in zip(found, palette, strict=True):
            # Like in Grafana, a line has a gap where there is no value.
            values = dict(values)
            times = [min(values) + panels.STEP * step for step in range(1 + round((max(values) - min(values)) / panels.STEP))]
            drawn = [values.get(when, math.nan) for when in times]
            lines += axes.plot(to_days(times), drawn, linewidth=0.9, color=color, marker=".", markersize=3, markevery=isolated(drawn))
    highest = axes.get_ylim()[1]
    drawn = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None and "thresholdsStyle" in custom]
    scale = custom.get("scaleDistribution", {})
    if scale.get("type") == "symlog":
        axes.set_yscale("symlog", linthresh=scale["linearThreshold"])
        # Space above the highest threshold.
        highest = 1.5 * max(highest, *(step["value"] for step in drawn))
    axes.set_ylim(bottom=0, top=max(highest, 1e-9))
    if defaults["unit"] in ("bytes", "Bps") and highest > 4:
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(highest / 5))))
    for step in drawn:
        if step["value"] < 2 * highest:
            axes.axhline(step["value"], color=COLORS[step["color"]], linewidth=0.7, linestyle="--")
            axes.set_ylim(top=max(highest, step["value"] * 1.1))
    axes.yaxis.set_major_formatter(lambda value, _: format_value(value, defaults["unit"]))
    draw_legend(axes, found, lines, defaults["unit"])


def draw_heatmap(axes, found):
    rows = sorted(((float(labels["le"]), dict(values)) for _, labels, values in found), key=lambda row: row[0])
    times = sorted({when for _, values in rows for when in values})
    counts, below = [], dict.fromkeys(times, 0)
    for _, values in rows:
        counts.append([max(values.get(when, 0) - below[when], 0) for when in times])
        below = {when: values.get(when, 0) for when in times}
    # Cells without events are not drawn.
    counts = [[value or math.nan for value in row] for row in counts]
    axes.pcolormesh(to_days(times), range(len(rows)), counts, cmap="Oranges", shading="nearest")
    axes.set_yticks(range(len(rows)), [format_value(bound, "s") if math.isfinite(bound) else "more" for bound, _ in rows], fontsize=4.5)


def draw_states(axes, panel, found):
    # Each value is valid until the next.
    for line, (_, _, values) in enumerate(found):
        for when, value in values:
            color = apply_mappings(value, panel["fieldConfig"]["defaults"])[1]
            if color:
                axes.barh(line, panels.STEP / 86400, left=to_days([when])[0], color=COLORS[color], height=0.8)
    axes.set_yticks([])
    for line, (name, _, _) in enumerate(found):
        axes.text(0.005, line, name, va="center", fontsize=6, transform=axes.get_yaxis_transform())
    axes.invert_yaxis()


def draw_table(axes, panel, found):
    axes.axis("off")
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({name for _, labels, _ in found for name in labels if name not in hidden})
    rows = [[labels.get(name, "") for name in columns] for _, labels, _ in found]
    if "Value" not in hidden:
        columns.append("Value")
        rows = [[*cells, f"{values[-1][1]:g}"] for cells, (_, _, values) in zip(rows, found, strict=True)]
    if len(rows) > TABLE_ROWS:
        rows = [*rows[: TABLE_ROWS - 1], [f"and {len(rows) - TABLE_ROWS + 1} more", *[""] * (len(columns) - 1)]]
    if rows:
        cells = [[cell if len(cell) < 45 else f"{cell[:43]}…" for cell in row] for row in rows]
        table = axes.table(cells, colLabels=columns, loc="upper center", cellLoc="left")
        table.auto_set_font_size(False)
        table.set_fontsize(5)
        table.auto_set_column_width(range(len(columns)))
    else:
        axes.text(0.5, 0.5, panel["fieldConfig"]["defaults"]["noValue"], ha="center", transform=axes.transAxes)


def to_days(times):
    return [when / 86400 for when in times]


def ticks(start, end, most):
    """Returns round times from start to end, at most `most`."""
    step = next(step for step in (10, 15, 30, 60, 120, 300, 600, 1800, 3600, 86400) if (end - start) / step <= most)
    return range(math.ceil(start / step) * step, math.floor(end) + 1, step)


def draw_panel(axes, stack, panel, start, end):
    axes.set_title(panel["title"], loc="left", fontweight="bold")
    # A table or a number shows only the current values.
    found = list(series_of_panel(stack, panel, start, end))
    if panel["targets"][0]["instant"]:
        found = [(name, labels, values) for name, labels, values in found if values[-1][0] > end - 2 * panels.STEP]
    kind = panel["type"]
    if kind == "stat":
        draw_number(axes, panel, found)
    elif kind == "table":
        draw_table(axes, panel, found)
    elif not found:
        axes.axis("off")
        axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes)
    else:
        {"timeseries": lambda: draw_graph(axes, panel, found), "heatmap": lambda: draw_heatmap(axes, found), "state-timeline": lambda: draw_states(axes, panel, found)}[kind]()
        axes.set_xlim(*to_days([start, end]))
        axes.set_xticks(to_days(ticks(start, end, axes.bbox.width / 60)))
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
        axes.tick_params(length=2)
        axes.spines[["top", "right"]].set_visible(False)


def draw(stack, start, end, folder):
    """Draws a picture of each dashboard: FOLDER/NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, dashboard in panels.dashboards().items():
        height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        figure = Figure(figsize=(12, height * 0.24 + 0.4), dpi=110)
        # Rows are counted from the top. Every panel has space for its title and axes.
        total_height = height + 1.6
        figure.text(0.01, 1 - 0.9 / total_height, dashboard["title"], fontsize=12, fontweight="bold", va="center")
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            top = 1 - (place["y"] + 1.6) / total_height
            if panel["type"] == "row":
                figure.text(0.01, top - 0.5 / total_height, panel["title"], fontsize=8, color="#555555", va="center")
                continue
            axes = figure.add_axes((place["x"] / 24 + 0.045, top - (place["h"] - 1) / total_height, place["w"] / 24 - 0.055, (place["h"] - 2.4) / total_height))
            draw_panel(axes, stack, panel, start, end)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        Image.open(drawn).convert("RGB").quantize(160).save(folder / f"{name}.png", optimize=True)
    print(f"pictures of {len(panels.dashboards())} dashboards in {folder}")
