"""Alerts: which fire, which are about to, and which did."""

from panels import dashboard, graph, number, row, states, table

SHOWN = "severity=~\"page|ticket\""

DASHBOARD = dashboard(
    "alerts",
    "Alerts",
    "Which alerts fire now, which are about to, and when they did. What to do is in infra/monitoring/runbooks.",
    "up",
    [
        number("Pages", "Alerts that fire now and wake somebody.", "none", 'count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', width=6, bad_from=1),
        number("Tickets", "Alerts that fire now and wait for the morning.", "none", 'count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', width=6, bad_from=1),
        number("Pending", "Alerts that fire if it goes on.", "none", 'count(ALERTS{alertstate="pending"}) or vector(0)', width=6),
        number("Alerting works", "The alert that always fires.", "none", 'count(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)', width=6, bad_below=1, names={0: "no", 1: "yes"}),
        row("Now"),
        table("Firing", "Alerts that fire now.", f'ALERTS{{alertstate="firing", {SHOWN}}}', hidden=["alertstate", "Value"]),
        table("Pending", "Alerts that fire if it goes on.", f'ALERTS{{alertstate="pending", {SHOWN}}}', hidden=["alertstate", "Value"]),
        row("History"),
        states(
            "When they fired",
            "Each alert over time: pending, then firing.",
            {"{{alertname}}": f'max by (alertname) (ALERTS{{alertstate="pending", {SHOWN}}}) - 1 or max by (alertname) (ALERTS{{alertstate="firing", {SHOWN}}})'},
            names={0: ("pending", "yellow"), 1: ("firing", "red")},
            height=12,
        ),
        graph("How many", "Alerts that fire, by severity.", "none", {"{{severity}}": f'count by (severity) (ALERTS{{alertstate="firing", {SHOWN}}})'}, stack=True, width=12),
        graph("Notifications", "Notifications in each interval, by the way they took.", "none", {"{{integration}}": "sum by (integration) (increase(alertmanager_notifications_total{@}[$__rate_interval])) > 0"}, width=12),
    ],
)
