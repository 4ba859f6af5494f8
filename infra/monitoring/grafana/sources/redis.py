"""Redis, the queue."""

from panels import dashboard, graph, number, row, states

# What votes cost, and not what exporters ask.
COMMANDS = '@, cmd=~"x.+|eval.*", cmd!~"xinfo.*"'

DASHBOARD = dashboard(
    "redis",
    "Redis",
    "The queue: whether it keeps ballots, how full it is, and how fast it answers.",
    "redis_up",
    [
        number("Redis", "Whether the exporter reaches it.", "none", "min(redis_up{@})", bad_below=1, names={0: "down", 1: "up"}),
        number("Last write to disk", "Whether the last write of the append-only file went well. If not, votes are refused.", "none", "min(redis_aof_last_write_status{@})", bad_below=1, names={0: "failed", 1: "ok"}),
        number("Memory", "Share of maxmemory in use. When it is full, votes are refused.", "percentunit", "max(redis_memory_used_bytes{@} / redis_memory_max_bytes{@})", bad_from=0.9),
        number("Ballots in the stream", "Entries that the stream holds.", "none", "sum(redis_key_size{@})"),
        number("Dropped keys", "Keys that Redis removed for want of memory, since it started. With noeviction there are none.", "none", "sum(redis_evicted_keys_total{@})", bad_from=1),
        number("Up for", "Time since it started.", "s", "min(redis_uptime_in_seconds{@})"),
        row("Ballots"),
        graph("Stream", "Entries in the stream.", "none", {"entries": "sum(redis_key_size{@})"}),
        graph("Memory of the stream", "Memory that the stream takes, of what Redis has in use.", "bytes", {"stream": "sum(redis_key_memory_usage_bytes{@})"}),
        states("As services see it", "Whether vote and worker reach the queue.", {"{{job}} {{instance}}": 'min by (job, instance) (dependency_up{@, dependency=~"queue.*"})'}, width=8, names={1: ("up", "green"), 0: ("down", "red")}),
        row("Server"),
        graph("Memory", "Memory in use, what the operating system gave, and what it may be at most.", "bytes", {"used": "sum(redis_memory_used_bytes{@})", "resident": "sum(redis_memory_used_rss_bytes{@})", "limit": "sum(redis_memory_max_bytes{@})"}),
        graph("Commands", "Commands on the stream per second, by command.", "ops", {"{{cmd}}": f"sum by (cmd) (rate(redis_commands_total{{{COMMANDS}}}[$__rate_interval]))"}),
        graph("Time of a command", "Mean time of a command on the stream within Redis.", "s", {"{{cmd}}": f"sum by (cmd) (rate(redis_commands_duration_seconds_total{{{COMMANDS}}}[$__rate_interval])) / (sum by (cmd) (rate(redis_commands_total{{{COMMANDS}}}[$__rate_interval])) > 0)"}),
        graph("Clients", "Connections, and those that wait for new entries.", "none", {"connected": "sum(redis_connected_clients{@})", "waiting": "sum(redis_blocked_clients{@})"}),
        graph("Network", "Bytes per second into Redis and out of it.", "Bps", {"in": "sum(rate(redis_net_input_bytes_total{@}[$__rate_interval]))", "out": "sum(rate(redis_net_output_bytes_total{@}[$__rate_interval]))"}),
        graph("Append-only file", "Size of the file, and what it had after it was last written anew.", "bytes", {"size": "sum(redis_aof_current_size_bytes{@})", "base": "sum(redis_aof_base_size_bytes{@})"}),
    ],
)
