"""Alerts: firing, pending and past."""

from common import nonzero
from panels import dashboard, graph, number, row, states, table

SEVERITIES = 'severity=~"page|ticket"'

DASHBOARD = dashboard(
    "alerts",
    "Alerts",
    "Firing and pending alerts, and their history. The runbooks are in infra/monitoring/runbooks.",
    "up",
    [
        number("Pages firing", "Firing alerts that page the person on call.", "none", 'count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', width=6, bad_from=1),
        number("Tickets firing", "Firing alerts that wait until working hours.", "none", 'count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', width=6, bad_from=1),
        number("Pending", "Alerts whose condition is true, but not for long enough to fire.", "none", 'count(ALERTS{alertstate="pending"}) or vector(0)', width=6),
        number("Watchdog", "Whether the alert that always fires is firing.", "none", 'count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)', width=6, bad_below=1, names={0: "silent", 1: "firing"}, details="monitoring"),
        row("Now"),
        table("Firing", "Firing alerts.", f'ALERTS{{alertstate="firing", {SEVERITIES}}}', hidden=["alertstate", "Value"], empty="no firing alerts"),
        table("Pending", "Alerts whose condition is true, but not for long enough to fire.", f'ALERTS{{alertstate="pending", {SEVERITIES}}}', hidden=["alertstate", "Value"], empty="no pending alerts"),
        row("History"),
        states(
            "Timeline",
            "Pending and firing alerts over time.",
            {"{{alertname}}": f'max by (alertname) (ALERTS{{alertstate="firing", {SEVERITIES}}}) or max by (alertname) (ALERTS{{alertstate="pending", {SEVERITIES}}}) - 1'},
            names={0: ("pending", "yellow"), 1: ("firing", "red")},
            height=12,
        ),
        graph("Firing alerts", "Firing alerts by severity.", "none", {"{{severity}}": f'count by (severity) (ALERTS{{alertstate="firing", {SEVERITIES}}})'}, stack=True, width=12),
        graph("Notifications", "Notifications per interval, by integration.", "none", {"{{integration}}": nonzero("increase", "alertmanager_notifications_total{@}", "integration")}, width=12, details="monitoring"),
    ],
)
