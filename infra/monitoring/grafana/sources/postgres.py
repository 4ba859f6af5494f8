"""Postgres, which is the store."""

from panels import dashboard, graph, number, row, states

# The databases of the compose stack and of Terraform.
DATABASE = '@, datname=~"postgres|voting"'

DASHBOARD = dashboard(
    "postgres",
    "Postgres",
    "The store: connections, transactions, locks and size.",
    "pg_up",
    [
        number("Postgres", "Whether the exporter reaches Postgres.", "none", "min(pg_up{@})", width=6, bad_below=1, names={0: "down", 1: "up"}),
        number("Connections", "Used share of max_connections.", "percentunit", "sum(pg_stat_activity_count{@}) / max(pg_settings_max_connections{@})", width=6, bad_from=0.8),
        number("Size", "Size of the database.", "bytes", f"sum(pg_database_size_bytes{{{DATABASE}}})", width=6),
        number("Deadlocks", "Deadlocks since the statistics were reset.", "none", f"sum(pg_stat_database_deadlocks{{{DATABASE}}})", width=6, bad_from=1),
        row("Work"),
        graph("Transactions", "Committed and rolled back transactions per second.", "ops", {"committed": f"sum(rate(pg_stat_database_xact_commit{{{DATABASE}}}[$__rate_interval]))", "rolled back": f"sum(rate(pg_stat_database_xact_rollback{{{DATABASE}}}[$__rate_interval]))"}),
        graph("Rows", "Rows per second by operation.", "ops", {name: f"sum(rate(pg_stat_database_tup_{name}{{{DATABASE}}}[$__rate_interval]))" for name in ["inserted", "updated", "deleted", "fetched"]}),
        states("Reachability", "Whether worker and result reach the store.", {"{{job}} → {{dependency}}": 'avg by (job, dependency) (dependency_up{@, dependency="store"})'}, width=8),
        graph("Connections by state", "Connections by state.", "none", {"{{state}}": "sum by (state) (pg_stat_activity_count{@})"}, stack=True),
        graph("Longest transaction", "Age of the oldest open transaction, by the state of its connection.", "s", {"{{state}}": "max by (state) (pg_stat_activity_max_tx_duration{@})"}),
        graph("Locks", "Locks by mode.", "none", {"{{mode}}": f"sum by (mode) (pg_locks_count{{{DATABASE}}}) > 0"}, stack=True),
        row("Memory and disk"),
        graph(
            "Cache hit ratio",
            "Share of blocks that were found in the buffer cache.",
            "percentunit",
            {"hits": f"sum(rate(pg_stat_database_blks_hit{{{DATABASE}}}[$__rate_interval])) / (sum(rate(pg_stat_database_blks_hit{{{DATABASE}}}[$__rate_interval])) + sum(rate(pg_stat_database_blks_read{{{DATABASE}}}[$__rate_interval])))"},
        ),
        graph("Size", "Size of the database.", "bytes", {"{{datname}}": f"sum by (datname) (pg_database_size_bytes{{{DATABASE}}})"}),
        graph("Dead rows", "Dead row versions that vacuum has not removed yet, by table.", "none", {"{{relname}}": "sum by (relname) (pg_stat_user_tables_n_dead_tup{@})"}),
    ],
)
