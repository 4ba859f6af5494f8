"""Whether monitoring itself works."""

from panels import dashboard, graph, number, row, states

DASHBOARD = dashboard(
    "monitoring",
    "Monitoring",
    "Whether all targets are reached, rules are evaluated, and alerts get out.",
    "up",
    [
        number("Targets down", "Targets that Prometheus does not reach.", "none", "count(up{@} == 0) or vector(0)", bad_from=1),
        number("Rules that fail", "Failed evaluations of rules in the last 5 minutes.", "none", "sum(increase(prometheus_rule_evaluation_failures_total{@}[5m]))", bad_from=1),
        number("Notifications that fail", "Notifications that nobody took, in the last 5 minutes.", "none", "sum(increase(alertmanager_notifications_failed_total{@}[5m]))", bad_from=1),
        number("Configuration", "Whether Prometheus and Alertmanager run on their present configuration.", "none", "min(prometheus_config_last_reload_successful{@}) * min(alertmanager_config_last_reload_successful{@})", bad_below=1, names={0: "refused", 1: "loaded"}),
        number("Series", "Series that Prometheus keeps in memory.", "none", "sum(prometheus_tsdb_head_series{@})"),
        number("On disk", "Size of what Prometheus has stored.", "bytes", "sum(prometheus_tsdb_storage_blocks_bytes{@} + prometheus_tsdb_wal_storage_size_bytes{@} + prometheus_tsdb_head_chunks_storage_size_bytes{@})"),
        row("Collecting"),
        states("Targets", "Whether Prometheus reaches its targets.", {"{{job}} {{instance}}": "up{@}"}, width=24, names={1: ("up", "green"), 0: ("down", "red")}),
        graph("Time to collect", "How long Prometheus takes to ask a target.", "s", {"{{job}}": "max by (job) (scrape_duration_seconds{@})"}),
        graph("Samples", "Samples per target.", "none", {"{{job}}": "max by (job) (scrape_samples_scraped{@})"}),
        graph("Samples per second", "Samples that Prometheus takes in.", "none", {"": "sum(rate(prometheus_tsdb_head_samples_appended_total{@}[$__rate_interval]))"}),
        row("Alerting"),
        graph("Time to evaluate", "How long a group of rules takes, as a share of its interval.", "percentunit", {"{{group}}": 'max by (group) (label_replace(prometheus_rule_group_last_duration_seconds{@} / prometheus_rule_group_interval_seconds{@}, "group", "$1", "rule_group", ".*;(.*)"))'}, bad_from=1),
        graph("Alerts sent", "Alerts per second from Prometheus to Alertmanager, and those dropped.", "ops", {"sent": "sum(rate(prometheus_notifications_sent_total{@}[$__rate_interval]))", "dropped": "sum(rate(prometheus_notifications_dropped_total{@}[$__rate_interval]))"}),
        graph("Notifications", "Notifications per second from Alertmanager, and those that failed.", "ops", {"{{integration}}": "sum by (integration) (rate(alertmanager_notifications_total{@}[$__rate_interval])) > 0", "failed": "sum(rate(alertmanager_notifications_failed_total{@}[$__rate_interval]))"}),
        row("What it takes"),
        graph("Processor", "Processor time of each part of monitoring: 1 is one core.", "none", {"{{job}}": 'sum by (job) (rate(process_cpu_seconds_total{@, job!~"vote|worker|result"}[$__rate_interval]))'}, width=12),
        graph("Memory", "Memory of each part of monitoring.", "bytes", {"{{job}}": 'sum by (job) (process_resident_memory_bytes{@, job!~"vote|worker|result"})'}, width=12),
    ],
)
