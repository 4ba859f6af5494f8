"""The path of a ballot: into the queue, to a worker, into the store, onto the result page."""

from common import pool, process, quantiles
from panels import dashboard, graph, heatmap, number, row

DASHBOARD = dashboard(
    "pipeline",
    "Pipeline",
    "Ballots from the voter's click to the result page: throughput, backlog, latency and outcomes.",
    "up",
    [
        number("Oldest ballot", "Age of the oldest ballot that is not stored yet. Above 60 s an alert pages.", "s", "pipeline:oldest_ballot_age:seconds", width=6, bad_from=60),
        number("Since the last commit", "Time since a worker last stored ballots. Relevant only while ballots are waiting.", "s", "time() - max(worker_last_success_timestamp_seconds{@})", width=6),
        number("Ballots lost", "Ballots that were removed from the queue before they were stored, since the workers started.", "none", "sum(worker_ballots_lost_total{@})", width=6, bad_from=1),
        number("Dead letters", "Ballots that could not be stored, since the workers started.", "none", 'sum(worker_ballots_processed_total{@, outcome="dead_letter"})', width=6, bad_from=1),
        row("Throughput and backlog"),
        graph(
            "Ballots per second",
            "Ballots accepted into the queue, and ballots processed. Both rates should be equal.",
            "cps",
            {
                "accepted": 'sum(rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))',
                "processed": 'sum(rate(worker_ballots_processed_total{@, outcome=~"applied|stale|dead_letter"}[$__rate_interval]))',
            },
        ),
        graph(
            "Backlog",
            "Ballots read and not yet acknowledged (pending), ballots not yet read (lag), and all entries of the stream.",
            "none",
            {"pending": "max(worker_stream_pending_entries{@})", "lag": "max(worker_stream_lag_entries{@})", "entries": "sum(redis_key_size{@})"},
            details="redis",
        ),
        graph("Result events", "Changed tallies sent to viewers per second, by outcome.", "cps", {"{{outcome}}": "sum by (outcome) (rate(result_sse_events_total{@}[$__rate_interval]))"}, details="result"),
        row("Latency"),
        graph("End-to-end latency", "Time from the voter's click to the commit that stored the ballot.", "s", quantiles("worker_end_to_end_latency_seconds"), exemplars=True),
        heatmap("End-to-end latency, distribution", "Ballots by end-to-end latency.", "sum by (le) (increase(worker_end_to_end_latency_seconds_bucket{@}[$__rate_interval]))"),
        graph(
            "Ages",
            "Age of the oldest ballot that is not stored, as computed for the alerts and as reported by the worker, and age of the oldest tally on a result page.",
            "s",
            {
                "oldest ballot": "pipeline:oldest_ballot_age:seconds",
                "oldest ballot (worker)": "max(worker_oldest_unacked_age_seconds{@})",
                "oldest result": "max(result_snapshot_age_seconds{@})",
            },
            bad_from=60,
        ),
        row("Outcomes"),
        graph("Ballots by outcome", "Ballots per second: applied, stale (a newer ballot of the voter is stored), dead_letter, retry (once for each failed attempt).", "cps", {"{{outcome}}": "sum by (outcome) (rate(worker_ballots_processed_total{@}[$__rate_interval]))"}),
        graph("Reclaimed ballots", "Ballots per second that a worker reclaimed from another worker that had not acknowledged them in time.", "cps", {"reclaimed": "sum(rate(worker_ballots_reclaimed_total{@}[$__rate_interval]))"}),
        graph(
            "Inconsistencies",
            "Votes by which the tally differs from the stored votes, and seconds by which the ids of new ballots are ahead of the clock. Both should be 0.",
            "none",
            {"tally difference": "max(worker_tally_difference_votes{@})", "ids ahead of the clock": "max(worker_queue_clock_ahead_seconds{@})"},
            bad_from=1,
        ),
        row("Worker and store"),
        *pool("worker"),
        *process("worker"),
    ],
)
