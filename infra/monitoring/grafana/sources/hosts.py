"""Machines and containers."""

from panels import dashboard, graph, number, row

DISK = '@, fstype!~"tmpfs|overlay|squashfs|ramfs"'
CONTAINER = '@, container_label_com_docker_compose_service!=""'
SERVICE = "container_label_com_docker_compose_service"


def containers(title, description, unit, query, **more):
    return graph(title, description, unit, {f"{{{{{SERVICE}}}}}": f"sum by ({SERVICE}) ({query})"}, **more)


DASHBOARD = dashboard(
    "hosts",
    "Hosts and containers",
    "What machines and containers use of processor, memory and disk. Containers need cAdvisor: in the profile `dashboards`, and on every machine of AWS.",
    "up",
    [
        number("Processor", "Share of the machines' processor time in use.", "percentunit", '1 - avg(rate(node_cpu_seconds_total{@, mode="idle"}[$__rate_interval]))', width=6, bad_from=0.9),
        number("Memory left", "Share of memory available on the machine that has the least.", "percentunit", "min(node_memory_MemAvailable_bytes{@} / node_memory_MemTotal_bytes{@})", width=6, bad_below=0.1),
        number("Disk left", "Share of the fullest disk that is free.", "percentunit", f"min(node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}})", width=6, bad_below=0.15),
        number("Up for", "Time since the machine that started last did so.", "s", "time() - max(node_boot_time_seconds{@})", width=6),
        row("Machines"),
        graph("Processor", "Processor time by what it is spent on: 1 is one core.", "none", {"{{mode}}": 'sum by (mode) (rate(node_cpu_seconds_total{@, mode!="idle"}[$__rate_interval]))'}, stack=True),
        graph("Load", "Processes that run or wait to, and how many can run at once.", "none", {"load {{instance}}": "node_load1{@}", "cores {{instance}}": 'count by (instance) (node_cpu_seconds_total{@, mode="idle"})'}),
        graph("Memory", "Memory available and in all.", "bytes", {"available {{instance}}": "node_memory_MemAvailable_bytes{@}", "total {{instance}}": "node_memory_MemTotal_bytes{@}"}),
        graph("Disk space", "Free share of each disk.", "percentunit", {"{{instance}} {{mountpoint}}": f"node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}}"}),
        graph("Disk traffic", "Bytes per second read and written, by disk.", "Bps", {"read {{device}}": "sum by (instance, device) (rate(node_disk_read_bytes_total{@}[$__rate_interval]))", "written {{device}}": "sum by (instance, device) (rate(node_disk_written_bytes_total{@}[$__rate_interval]))"}),
        graph("Disk in use", "Share of time for which a disk was busy.", "percentunit", {"{{instance}} {{device}}": "rate(node_disk_io_time_seconds_total{@}[$__rate_interval])"}, bad_from=0.9),
        row("Containers"),
        containers("Processor", "Processor time by service: 1 is one core.", "none", f"rate(container_cpu_usage_seconds_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Memory", "Memory in use by service.", "bytes", f"container_memory_working_set_bytes{{{CONTAINER}}}"),
        containers("Restarts", "Starts of a service's containers within the time that is shown, beyond the first of each.", "none", f"changes(container_start_time_seconds{{{CONTAINER}}}[$__range])"),
        containers("Throttled", "Share of time in which a service had to wait for its share of the processor.", "percentunit", f"rate(container_cpu_cfs_throttled_seconds_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Network in", "Bytes per second into a service.", "Bps", f"rate(container_network_receive_bytes_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Network out", "Bytes per second out of a service.", "Bps", f"rate(container_network_transmit_bytes_total{{{CONTAINER}}}[$__rate_interval])"),
        containers("Killed for memory", "Processes killed because their container had no memory left.", "none", f"increase(container_oom_events_total{{{CONTAINER}}}[$__range])"),
    ],
)
