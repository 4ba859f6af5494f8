"""Alerts: firing, pending and past."""

from common import used
from panels import dashboard, graph, number, row, states, table

SHOWN = 'severity=~"page|ticket"'

DASHBOARD = dashboard(
    "alerts",
    "Alerts",
    "Firing and pending alerts, and their history. The runbooks in infra/monitoring/runbooks say what to do.",
    "up",
    [
        number("Pages firing", "Firing alerts that page the person on call.", "none", 'count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', width=6, bad_from=1),
        number("Tickets firing", "Firing alerts that wait until working hours.", "none", 'count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', width=6, bad_from=1),
        number("Pending", "Alerts that fire if their condition lasts.", "none", 'count(ALERTS{alertstate="pending"}) or vector(0)', width=6),
        number("Watchdog", "Whether the alert that always fires is firing.", "none", 'count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)', width=6, bad_below=1, names={0: "silent", 1: "firing"}, details="monitoring"),
        row("Now"),
        table("Firing", "Firing alerts.", f'ALERTS{{alertstate="firing", {SHOWN}}}', hidden=["alertstate", "Value"], empty="no alert fires"),
        table("Pending", "Alerts that fire if their condition lasts.", f'ALERTS{{alertstate="pending", {SHOWN}}}', hidden=["alertstate", "Value"], empty="no alert is pending"),
        row("History"),
        states(
            "Timeline",
            "Alerts over time: pending, then firing.",
            {"{{alertname}}": f'max by (alertname) (ALERTS{{alertstate="firing", {SHOWN}}}) or max by (alertname) (ALERTS{{alertstate="pending", {SHOWN}}}) - 1'},
            names={0: ("pending", "yellow"), 1: ("firing", "red")},
            height=12,
        ),
        graph("Firing alerts", "Firing alerts by severity.", "none", {"{{severity}}": f'count by (severity) (ALERTS{{alertstate="firing", {SHOWN}}})'}, stack=True, width=12),
        graph("Notifications", "Notifications within each interval, by integration.", "none", {"{{integration}}": used("increase", "alertmanager_notifications_total{@}", "integration")}, width=12, details="monitoring"),
    ],
)
