"""Machines and containers: utilization, saturation and errors of CPU, memory, disks and networks."""

from panels import dashboard, graph, number, row

DISK = '@, fstype!~"tmpfs|overlay|squashfs|ramfs"'
# The machine's own network devices, without those of containers.
NETWORK = '@, device!~"lo|veth.*|br-.*|docker.*|cali.*|cni.*"'
CONTAINER = '@, container_label_com_docker_compose_service!=""'
SERVICE_LABEL = "container_label_com_docker_compose_service"
# On AWS `machine` is the instance id; elsewhere the address is a name or does not change.
MACHINE = "{{machine}} {{instance}}"


def per_machine(title, description, unit, queries, **more):
    """Returns a graph with one line per machine; `queries` maps legend prefixes to queries."""
    return graph(title, description, unit, {f"{name} {MACHINE}".strip(): query for name, query in queries.items()}, **more)


def receive_and_transmit(metric, matchers=NETWORK):
    by = "sum by (instance, machine)"
    return {way: f"{by} (rate(node_network_{way}_{metric}{{{matchers}}}[$__rate_interval]))" for way in ("receive", "transmit")}


def pressure(resource, what="waiting"):
    return f"rate(node_pressure_{resource}_{what}_seconds_total{{@}}[$__rate_interval])"


def containers(title, description, unit, query, **more):
    return graph(title, description, unit, {f"{{{{{SERVICE_LABEL}}}}}": f"sum by ({SERVICE_LABEL}) ({query})"}, **more)


DASHBOARD = dashboard(
    "hosts",
    "Hosts and containers",
    "Utilization, saturation and errors of machines and containers. Container panels need cAdvisor, which runs in the profile `dashboards` and on every machine on AWS.",
    "up",
    [
        number("CPU", "Used share of the machines' CPU time.", "percentunit", '1 - avg(rate(node_cpu_seconds_total{@, mode="idle"}[$__rate_interval]))', bad_from=0.9),
        number("CPU pressure", "Share of time in which a task waited for a CPU, on the machine with the highest value.", "percentunit", f"max({pressure('cpu')})", bad_from=0.6),
        number("Memory available", "Available share of memory, on the machine with the lowest value.", "percentunit", "min(node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@})", bad_below=0.1),
        number("Disk space", "Free share of the fullest disk.", "percentunit", f"min(node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}})", bad_below=0.15),
        number("OOM kills", "Processes that the kernel killed within the time range because memory ran out, including those in containers.", "none", "sum(increase(node_vmstat_oom_kill{@}[$__range]))", bad_from=1),
        number("Uptime", "Time since the latest start of a machine.", "s", "time() - max(node_boot_time_seconds{@})"),
        row("Utilization"),
        graph("CPU", "CPU time by mode: 1 is one core.", "none", {"{{mode}}": 'sum by (mode) (rate(node_cpu_seconds_total{@, mode!="idle"}[$__rate_interval])) > 0'}, stack=True),
        per_machine("Memory", "Memory in use and in total.", "bytes", {"used": "node_memory_MemTotal_bytes{@} - node_memory_MemAvailable_bytes{@}", "total": "node_memory_MemTotal_bytes{@}"}),
        graph("Disk space", "Free share of each disk.", "percentunit", {f"{MACHINE} {{{{mountpoint}}}}": f"node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}}"}),
        graph("Inodes", "Free share of the inodes of each disk.", "percentunit", {f"{MACHINE} {{{{mountpoint}}}}": f"node_filesystem_files_free{{{DISK}}} / (node_filesystem_files{{{DISK}}} > 0)"}),
        per_machine("Disk throughput", "Bytes per second read from and written to all disks.", "Bps", {"read": "sum by (instance, machine) (rate(node_disk_read_bytes_total{@}[$__rate_interval]))", "written": "sum by (instance, machine) (rate(node_disk_written_bytes_total{@}[$__rate_interval]))"}),
        graph("Disk utilization", "Share of time in which a disk was busy.", "percentunit", {f"{MACHINE} {{{{device}}}}": "rate(node_disk_io_time_seconds_total{@}[$__rate_interval]) > 0"}, bad_from=0.9),
        row("Saturation"),
        per_machine("Load per core", "Running and waiting tasks (1 min average), divided by the cores. Above 1, tasks wait.", "none", {"": 'node_load1{@} / on (job, instance) group_left () count by (job, instance) (node_cpu_seconds_total{@, mode="idle"})'}, bad_from=1),
        per_machine("CPU pressure", "Share of time in which at least one task waited for a CPU.", "percentunit", {"": pressure("cpu")}),
        per_machine("I/O pressure", "Share of time in which at least one task (waiting) or all tasks (stalled) waited for disks.", "percentunit", {"waiting": pressure("io"), "stalled": pressure("io", "stalled")}),
        per_machine("Memory pressure", "Share of time in which at least one task (waiting) or all tasks (stalled) waited for memory.", "percentunit", {"waiting": pressure("memory"), "stalled": pressure("memory", "stalled")}),
        per_machine("Major page faults", "Page faults per second that needed the disk. A high rate means that memory is low.", "ops", {"": "rate(node_vmstat_pgmajfault{@}[$__rate_interval])"}),
        graph("Disk queue", "Average number of requests that a disk processes or that wait for it.", "none", {f"{MACHINE} {{{{device}}}}": "rate(node_disk_io_time_weighted_seconds_total{@}[$__rate_interval]) > 0"}),
        row("Network"),
        per_machine("Throughput", "Bytes per second that the machine receives and sends.", "Bps", receive_and_transmit("bytes_total")),
        per_machine("Errors", "Packets per second with receive or transmit errors.", "pps", receive_and_transmit("errs_total"), bad_from=1),
        per_machine("Drops", "Packets per second that were dropped, for example because a queue was full.", "pps", receive_and_transmit("drop_total")),
        row("Containers"),
        containers("CPU", "CPU time by service: 1 is one core.", "none", f"rate(container_cpu_usage_seconds_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Memory", "Working set by service.", "bytes", f"container_memory_working_set_bytes{{{CONTAINER}}}"),
        containers("Starts", "Restarts of a service's containers within the time range.", "none", f"changes(container_start_time_seconds{{{CONTAINER}}}[$__range])"),
        containers("CPU throttling", "Seconds per second in which a service waited because its CPU limit was reached.", "percentunit", f"rate(container_cpu_cfs_throttled_seconds_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Network received", "Bytes per second that a service receives.", "Bps", f"rate(container_network_receive_bytes_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Network sent", "Bytes per second that a service sends.", "Bps", f"rate(container_network_transmit_bytes_total{{{CONTAINER}}}[$__rate_interval])"),
    ],
)
