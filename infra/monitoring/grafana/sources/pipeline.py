"""The way of a ballot: into the queue, out of it, into the store, onto the result page."""

from common import pool, process, quantiles
from panels import dashboard, graph, heatmap, number, row

DASHBOARD = dashboard(
    "pipeline",
    "Pipeline",
    "Where ballots are between the voter's click and the result page, and how long it takes them.",
    "up",
    [
        number("Oldest ballot waits", "How long the oldest ballot that is not counted has waited. Somebody is called from 60 s on.", "s", "pipeline:oldest_ballot_age:seconds", width=6, bad_from=60),
        number("Since the last commit", "How long ago a worker last stored ballots. It matters while ballots wait.", "s", "time() - max(worker_last_success_timestamp_seconds{@})", width=6),
        number("Lost", "Ballots that were removed from the queue before they were stored, since the workers started.", "none", "sum(worker_entries_lost_total{@})", width=6, bad_from=1),
        number("Dead letters", "Ballots that could not be counted, since the workers started.", "none", 'sum(worker_entries_total{@, outcome="dead_letter"})', width=6, bad_from=1),
        row("From step to step"),
        graph(
            "Ballots per second",
            "Accepted into the queue, and taken out of it. The lines should follow each other.",
            "cps",
            {
                "accepted": 'sum(rate(vote_submissions_total{@, outcome="accepted"}[$__rate_interval]))',
                "stored": 'sum(rate(worker_entries_total{@, outcome=~"applied|stale|dead_letter"}[$__rate_interval]))',
            },
        ),
        graph("In the queue", "Ballots in the hands of workers, those that no worker has been handed yet, and all entries that Redis keeps.", "none", {"in hand": "max(worker_stream_pending_entries{@})", "waiting": "max(worker_stream_lag_entries{@})", "entries": 'sum(redis_key_size{@})'}),
        graph("Results pushed", "Changes of the tally sent to viewers per second, by outcome.", "cps", {"{{outcome}}": "sum by (outcome) (rate(result_push_total{@}[$__rate_interval]))"}),
        row("How long it takes"),
        graph("Click to commit", "Time from the voter's click to the commit that stored the ballot.", "s", quantiles("worker_end_to_end_latency_seconds")),
        heatmap("Clicks to commits", "How many ballots took how long to be stored.", "sum by (le) (increase(worker_end_to_end_latency_seconds_bucket{@}[$__rate_interval]))"),
        graph(
            "Ages",
            "Age of the oldest ballot that is not counted, as the worker and as the queue see it, and of the oldest tally on a result page.",
            "s",
            {
                "oldest ballot": "pipeline:oldest_ballot_age:seconds",
                "as the worker sees it": "max(worker_oldest_unacked_age_seconds{@})",
                "oldest result": "max(result_snapshot_age_seconds{@})",
            },
            bad_from=60,
        ),
        row("What becomes of ballots"),
        graph("Outcomes", "Ballots per second: applied, stale (a newer one of the voter stood), dead letter, retry (one for each failed attempt).", "cps", {"{{outcome}}": "sum by (outcome) (rate(worker_entries_total{@}[$__rate_interval]))"}),
        graph("Taken over", "Ballots per second taken over from workers that had held them too long.", "cps", {"{{instance}}": "rate(worker_reclaimed_total{@}[$__rate_interval])"}),
        graph("What should be 0", "Votes by which the tally differs from the votes themselves, and seconds by which the ids of new ballots are ahead of the clock.", "none", {"tally differs": "max(worker_tally_difference_votes{@})", "ids ahead": "max(worker_queue_clock_ahead_seconds{@})"}, bad_from=1),
        graph("Time to the queue's disk", "How long the queue took to keep a ballot.", "s", quantiles("vote_enqueue_duration_seconds")),
        row("Worker and store"),
        *pool("worker"),
        *process("worker"),
    ],
)
