"""Panels that several dashboards share."""

from panels import graph

# Requests of voters and viewers, without health checks and scrapes.
TRAFFIC = 'http_route!~"/health|/ready|/metrics"'


def nonzero(function, metric, by):
    """Returns the rate or increase by labels, for those label values that occurred within the time range."""
    sums = {window: f"sum by ({by}) ({function}({metric}[{window}]))" for window in ("$__rate_interval", "$__range")}
    return f"{sums['$__rate_interval']} and {sums['$__range']} > 0"


def quantiles(histogram, matchers="@"):
    """Returns the queries for the 50th, 95th and 99th percentile of a histogram."""
    return {
        name: f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval])))"
        for name, share in {"50 %": 0.5, "95 %": 0.95, "99 %": 0.99}.items()
    }


def spread(query, highest="highest replica", average="average of replicas"):
    """Returns queries for the maximum and the average over the replicas of a service, whose addresses change at each start."""
    return {highest: f"max({query})", average: f"avg({query})"}


def process(job):
    """Returns panels for the resource usage of the replicas of a service."""
    matchers = f'@, job="{job}"'
    return [
        graph("CPU", f"CPU time of the {job} replicas: 1 is one core.", "none", spread(f"rate(process_cpu_seconds_total{{{matchers}}}[$__rate_interval])"), width=6),
        graph("Memory", f"Resident memory of the {job} replicas. A container's limit is 128 to 256 MiB.", "bytes", spread(f"process_resident_memory_bytes{{{matchers}}}"), width=6),
        graph(
            "File descriptors",
            f"Open connections and files of the {job} replicas, as a share of their limit.",
            "percentunit",
            spread(f"process_open_fds{{{matchers}}} / process_max_fds{{{matchers}}}"),
            width=6,
            bad_from=0.8,
        ),
        graph(
            "Runtime saturation",
            f"Share of time in which the runtime threads of the {job} replicas are busy. Near 1, tasks wait for a thread.",
            "percentunit",
            spread(f"rate(tokio_runtime_busy_seconds_total{{{matchers}}}[$__rate_interval]) / tokio_runtime_workers{{{matchers}}}"),
            width=6,
            bad_from=0.9,
        ),
    ]


def pool(job):
    """Returns panels for the connections of a service to Postgres."""
    matchers = f'@, job="{job}"'
    return [
        graph("Connections to Postgres", f"Connections in the pools of the {job} replicas, by state.", "none", {"{{state}}": f"sum by (state) (db_pool_connections{{{matchers}}})"}, stack=True, details="postgres"),
        graph("Connection wait", "Wait time for a connection from the pool.", "s", quantiles("db_pool_wait_seconds", matchers), bad_from=0.4, exemplars=True, details="postgres"),
        graph("Postgres errors", "Failed statements and connections per second, by class.", "ops", {"{{class}}": f"sum by (class) (rate(db_errors_total{{{matchers}}}[$__rate_interval]))"}, details="postgres"),
    ]
