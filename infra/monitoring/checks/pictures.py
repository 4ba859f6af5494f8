"""Draws each dashboard from the series that Prometheus has, so that documents can show what it looks like without a Grafana:
the same panels at the same places with the same queries, in a plainer hand.
"""

import io
import math
import re

import matplotlib
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from PIL import Image

import panels

matplotlib.rcParams.update({"font.size": 6, "axes.titlesize": 7, "svg.fonttype": "none"})

SCALES = {
    "bytes": [(1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"), (1, "B")],
    "s": [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms"), (0.000001, "µs")],
    "Bps": [(1024**2, "MiB/s"), (1024, "KiB/s"), (1, "B/s")],
}
SUFFIX = {"cps": "/s", "ops": "/s", "reqps": "/s"}
COLOURS = {"green": "#56a64b", "red": "#e02f44", "yellow": "#f2cc0c"}


def worded(value, unit):
    """A number with its unit, as short as Grafana says it."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    for size, name in SCALES.get(unit, []):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return number + SUFFIX.get(unit, "")


def legend(target, labels):
    pattern = target["legendFormat"]
    if pattern == "__auto":
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), pattern)


def answers(stack, panel, start, end):
    """(name, [(time, value)]) for each series of a panel."""
    for target in panel["targets"]:
        for labels, values in panels.series(stack, target, start, end):
            yield legend(target, labels), labels, values


def draw_number(axes, panel, found):
    axes.axis("off")
    value = found[0][2][-1][1] if found else None
    defaults = panel["fieldConfig"]["defaults"]
    names = defaults["mappings"][0]["options"] if "mappings" in defaults else {}
    text = names[f"{value:g}"]["text"] if value is not None and f"{value:g}" in names else worded(value, defaults["unit"])
    colour = "black"
    for step in defaults["thresholds"]["steps"]:
        if value is not None and (step["value"] is None or value >= step["value"]):
            colour = COLOURS[step["color"]]
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=15, color=colour, transform=axes.transAxes)


def draw_graph(axes, panel, found):
    defaults = panel["fieldConfig"]["defaults"]
    if "stacking" in defaults["custom"]:
        times = sorted({when for _, _, values in found for when, _ in values})
        layers = [[0 if math.isnan(value := dict(values).get(when, 0)) else value for when in times] for _, _, values in found]
        axes.stackplot(epoch(times), layers, labels=[name for name, _, _ in found], alpha=0.6)
    else:
        for name, _, values in found:
            # As Grafana does it, there is no line where there was no value.
            values = dict(values)
            times = [min(values) + panels.STEP * step for step in range(1 + round((max(values) - min(values)) / panels.STEP))]
            axes.plot(epoch(times), [values.get(when, math.nan) for when in times], linewidth=0.9, label=name)
    lowest, highest = axes.get_ylim()
    # Room for the legend.
    axes.set_ylim(bottom=0, top=max(highest, 1e-9) * (1.3 if len(found) > 1 or found[0][0] else 1))
    for step in defaults["thresholds"]["steps"]:
        if step["color"] == "red" and "thresholdsStyle" in defaults["custom"] and step["value"] < 2 * highest:
            axes.axhline(step["value"], color=COLOURS["red"], linewidth=0.7, linestyle="--")
    axes.yaxis.set_major_formatter(lambda value, _: worded(value, defaults["unit"]))
    if len(found) > 1 or found[0][0]:
        axes.legend(loc="upper left", fontsize=5, frameon=False, ncol=3)


def draw_heatmap(axes, found):
    rows = sorted(((float(labels["le"]), dict(values)) for _, labels, values in found), key=lambda row: row[0])
    times = sorted({when for _, values in rows for when in values})
    counts, below = [], dict.fromkeys(times, 0)
    for _, values in rows:
        counts.append([max(values.get(when, 0) - below[when], 0) for when in times])
        below = {when: values.get(when, 0) for when in times}
    # Nothing is drawn where nothing took so long.
    counts = [[value or math.nan for value in row] for row in counts]
    axes.pcolormesh(epoch(times), range(len(rows)), counts, cmap="Oranges", shading="nearest")
    axes.set_yticks(range(len(rows)), [worded(bound, "s") if math.isfinite(bound) else "more" for bound, _ in rows], fontsize=4.5)


def draw_states(axes, panel, found):
    # Each value holds until the next.
    names = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    for line, (_, _, values) in enumerate(found):
        for when, value in values:
            shown = names.get(f"{value:g}")
            if shown:
                axes.barh(line, panels.STEP / 86400, left=epoch([when])[0], color=COLOURS[shown["color"]], height=0.8)
    axes.set_yticks([])
    for line, (name, _, _) in enumerate(found):
        axes.text(0.005, line, name, va="center", fontsize=6, transform=axes.get_yaxis_transform())
    axes.invert_yaxis()


def draw_table(axes, panel, found):
    axes.axis("off")
    hidden = panel["transformations"][0]["options"]["excludeByName"]
    columns = sorted({name for _, labels, _ in found for name in labels if name not in hidden})
    rows = [[labels.get(name, "") for name in columns] for _, labels, _ in found]
    if rows:
        table = axes.table([[cell if len(cell) < 26 else f"{cell[:24]}…" for cell in row] for row in rows], colLabels=columns, loc="upper center", cellLoc="left")
        table.auto_set_font_size(False)
        table.set_fontsize(5)
        table.auto_set_column_width(range(len(columns)))
    else:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)


def epoch(times):
    return [when / 86400 for when in times]


def draw_panel(axes, stack, panel, start, end):
    axes.set_title(panel["title"], loc="left", fontweight="bold")
    # A table or a number shows the present only.
    found = list(answers(stack, panel, start, end))
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
        axes.set_xlim(*epoch([start, end]))
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
        axes.tick_params(length=2)
        axes.spines[["top", "right"]].set_visible(False)


def draw(stack, start, end, folder):
    """One picture for each dashboard: FOLDER/NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, dashboard in panels.dashboards().items():
        height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        figure = Figure(figsize=(12, height * 0.24 + 0.4), dpi=90)
        # Rows are counted from the top, and every panel keeps room for its title and its axes.
        whole = height + 1.6
        figure.text(0.01, 1 - 0.9 / whole, dashboard["title"], fontsize=12, fontweight="bold", va="center")
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            top = 1 - (place["y"] + 1.6) / whole
            if panel["type"] == "row":
                figure.text(0.01, top - 0.5 / whole, panel["title"], fontsize=8, color="#555555", va="center")
                continue
            axes = figure.add_axes((place["x"] / 24 + 0.045, top - (place["h"] - 1) / whole, place["w"] / 24 - 0.055, (place["h"] - 2.4) / whole))
            draw_panel(axes, stack, panel, start, end)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        Image.open(drawn).convert("RGB").quantize(48).save(folder / f"{name}.png", optimize=True)
    print(f"pictures of {len(panels.dashboards())} dashboards in {folder}")
