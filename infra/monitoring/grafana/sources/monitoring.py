"""Prometheus, Alertmanager and the exporters."""

from common import nonzero
from panels import dashboard, graph, number, row, states

DASHBOARD = dashboard(
    "monitoring",
    "Monitoring",
    "Whether all targets are scraped, rules are evaluated and alerts are delivered.",
    "up",
    [
        number("Targets down", "Targets whose last scrape failed.", "none", "count(up{@} == 0) or vector(0)", bad_from=1),
        number("Rule failures", "Failed evaluations of rules in the last 5 minutes.", "none", "sum(increase(prometheus_rule_evaluation_failures_total{@}[5m]))", bad_from=1),
        number("Failed notifications", "Notifications that could not be delivered, in the last 5 minutes.", "none", "sum(increase(alertmanager_notifications_failed_total{@}[5m]))", bad_from=1),
        number("Configuration", "Whether Prometheus and Alertmanager loaded their current configuration.", "none", "min(prometheus_config_last_reload_successful{@}) * min(alertmanager_config_last_reload_successful{@})", bad_below=1, names={0: "failed", 1: "loaded"}),
        number("Series", "Series in the memory of Prometheus.", "none", "sum(prometheus_tsdb_head_series{@})"),
        number("Storage", "Disk usage of the Prometheus database.", "bytes", "sum(prometheus_tsdb_storage_blocks_bytes{@} + prometheus_tsdb_wal_storage_size_bytes{@} + prometheus_tsdb_head_chunks_storage_size_bytes{@})"),
        row("Scraping"),
        states("Targets", "Whether the last scrape of each target succeeded.", {"{{job}} {{machine}} {{instance}}": "up{@}"}),
        graph("Scrape duration", "Duration of the slowest scrape of each job.", "s", {"{{job}}": "max by (job) (scrape_duration_seconds{@})"}),
        graph("Samples per scrape", "Samples of the largest target of each job.", "none", {"{{job}}": "max by (job) (scrape_samples_scraped{@})"}),
        graph("Samples per second", "Samples that Prometheus stores per second.", "none", {"samples": "sum(rate(prometheus_tsdb_head_samples_appended_total{@}[$__rate_interval]))"}),
        row("Alerting"),
        graph(
            "Rule evaluation",
            "Duration of the last evaluation of a rule group, as a share of its interval.",
            "percentunit",
            {"{{group}}": 'max by (group) (label_replace(prometheus_rule_group_last_duration_seconds{@} / prometheus_rule_group_interval_seconds{@}, "group", "$1", "rule_group", ".*;(.*)"))'},
            bad_from=1,
        ),
        graph("Alerts sent", "Alerts per second that Prometheus sent to Alertmanager or dropped.", "ops", {"sent": "sum(rate(prometheus_notifications_sent_total{@}[$__rate_interval]))", "dropped": "sum(rate(prometheus_notifications_dropped_total{@}[$__rate_interval]))"}),
        graph("Notifications", "Notifications per second from Alertmanager, by integration, and failed ones.", "ops", {"{{integration}}": nonzero("rate", "alertmanager_notifications_total{@}", "integration"), "failed": "sum(rate(alertmanager_notifications_failed_total{@}[$__rate_interval]))"}),
        row("Resources"),
        graph("CPU", "CPU time of each monitoring component: 1 is one core.", "none", {"{{job}}": 'sum by (job) (rate(process_cpu_seconds_total{@, job!~"vote|worker|result"}[$__rate_interval]))'}, width=12),
        graph("Memory", "Resident memory of each monitoring component.", "bytes", {"{{job}}": 'sum by (job) (process_resident_memory_bytes{@, job!~"vote|worker|result"})'}, width=12),
    ],
)
