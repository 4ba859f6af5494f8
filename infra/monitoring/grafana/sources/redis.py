"""Redis, which is the queue."""

from panels import dashboard, graph, number, row, states

# Commands on the stream, without those of the exporter.
COMMANDS = '@, cmd=~"x.+|eval.*", cmd!~"xinfo.*"'

DASHBOARD = dashboard(
    "redis",
    "Redis",
    "The queue: availability, durability, memory and command latency.",
    "redis_up",
    [
        number("Redis", "Whether the exporter reaches Redis.", "none", "min(redis_up{@})", bad_below=1, names={0: "down", 1: "up"}),
        number("Last write to disk", "Whether the last write to the append-only file succeeded. If not, votes are rejected.", "none", "min(redis_aof_last_write_status{@})", bad_below=1, names={0: "failed", 1: "ok"}),
        number("Memory", "Used share of maxmemory. When it is full, votes are rejected.", "percentunit", "max(redis_memory_used_bytes{@} / redis_memory_max_bytes{@})", bad_from=0.9),
        number("Stream entries", "Entries of the stream.", "none", "sum(redis_key_size{@})"),
        number("Evicted keys", "Keys evicted since the start of Redis. Always 0 with the policy noeviction.", "none", "sum(redis_evicted_keys_total{@})", bad_from=1),
        number("Uptime", "Time since the start of Redis.", "s", "min(redis_uptime_in_seconds{@})"),
        row("Stream"),
        graph("Entries", "Entries of the stream.", "none", {"entries": "sum(redis_key_size{@})"}, details="pipeline"),
        graph("Memory of the stream", "Memory used by the stream, which is part of the used memory.", "bytes", {"stream": "sum(redis_key_memory_usage_bytes{@})"}),
        states("Reachability", "Whether vote and worker reach the queue.", {"{{job}} → {{dependency}}": 'avg by (job, dependency) (dependency_up{@, dependency=~"queue.*"})'}, width=8),
        row("Server"),
        graph("Memory", "Used memory, resident memory and maxmemory.", "bytes", {"used": "sum(redis_memory_used_bytes{@})", "resident": "sum(redis_memory_used_rss_bytes{@})", "maxmemory": "sum(redis_memory_max_bytes{@})"}),
        graph("Commands", "Commands on the stream per second, by command.", "ops", {"{{cmd}}": f"sum by (cmd) (rate(redis_commands_total{{{COMMANDS}}}[$__rate_interval]))"}),
        graph(
            "Command duration",
            "Mean execution time of a command on the stream in Redis.",
            "s",
            {"{{cmd}}": f"sum by (cmd) (rate(redis_commands_duration_seconds_total{{{COMMANDS}}}[$__rate_interval])) / (sum by (cmd) (rate(redis_commands_total{{{COMMANDS}}}[$__rate_interval])) > 0)"},
        ),
        graph("Clients", "Connected clients, and clients blocked in a read.", "none", {"connected": "sum(redis_connected_clients{@})", "blocked": "sum(redis_blocked_clients{@})"}),
        graph("Network", "Bytes per second that Redis receives and sends.", "Bps", {"received": "sum(rate(redis_net_input_bytes_total{@}[$__rate_interval]))", "sent": "sum(rate(redis_net_output_bytes_total{@}[$__rate_interval]))"}),
        graph("Append-only file", "Size of the append-only file, now and after its last rewrite.", "bytes", {"size": "sum(redis_aof_current_size_bytes{@})", "after the last rewrite": "sum(redis_aof_base_size_bytes{@})"}),
    ],
)
