"""Panels that several dashboards share."""

from panels import graph

# Probes and Prometheus' own questions are no traffic.
TRAFFIC = 'http_route!~"/health|/ready|/metrics"'


def quantiles(histogram, matchers="@"):
    """The durations that half, 95 % and 99 % stay below."""
    return {
        name: f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval])))"
        for name, share in {"50 %": 0.5, "95 %": 0.95, "99 %": 0.99}.items()
    }


def process(job):
    """What each process of a job takes of its machine."""
    matchers = f'@, job="{job}"'
    panels = [
        graph("Processor", f"Processor time that each {job} takes: 1 is one core.", "none", {"{{instance}}": f"rate(process_cpu_seconds_total{{{matchers}}}[$__rate_interval])"}),
        graph("Memory", f"Memory that each {job} holds. A container may hold 128 to 256 MB.", "bytes", {"{{instance}}": f"process_resident_memory_bytes{{{matchers}}}"}),
        graph(
            "File descriptors",
            f"Connections and files that each {job} has open, as a share of what it may.",
            "percentunit",
            {"{{instance}}": f"process_open_fds{{{matchers}}} / process_max_fds{{{matchers}}}"},
            bad_from=0.8,
        ),
        graph(
            "Runtime",
            f"Share of their time for which the threads of each {job} work. Near 1, requests wait for each other.",
            "percentunit",
            {"{{instance}}": f"rate(tokio_runtime_busy_seconds_total{{{matchers}}}[$__rate_interval]) / tokio_runtime_workers{{{matchers}}}"},
            bad_from=0.9,
        ),
    ]
    return [{**panel, "gridPos": {"w": 6, "h": 8}} for panel in panels]


def pool(job):
    """How a job does with its connections to Postgres."""
    matchers = f'@, job="{job}"'
    return [
        graph("Connections to Postgres", f"Connections of the {job}'s pool, by state.", "none", {"{{state}}": f"sum by (state) (db_pool_connections{{{matchers}}})"}, stack=True),
        graph("Wait for a connection", "How long work waits for a connection of the pool.", "s", quantiles("db_pool_wait_seconds", matchers), bad_from=0.4),
        graph("Errors of Postgres", "Failed statements and connections per second, by class.", "ops", {"{{class}}": f"sum by (class) (rate(db_errors_total{{{matchers}}}[$__rate_interval]))"}),
    ]
