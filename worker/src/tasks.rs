//! The background tasks of the worker.

use poll::PollId;
use queue::{Queue, ShardedQueue};
use service::{lifecycle::Tasks, probe::Dependency};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Dependencies, WorkerMetrics, backlog::BacklogGauge, comparison, heartbeat::Heartbeat,
    polls, processing::process_ballots, processor::BallotProcessor, progress,
};

/// Spawns the background tasks; holds the state that they share.
pub struct BackgroundTasks {
    pub store: Store,
    pub metrics: WorkerMetrics,
    pub backlog: BacklogGauge,
    pub shutting_down: CancellationToken,
}

impl BackgroundTasks {
    /// Probes the store and each shard of the queue.
    pub fn spawn_probes(
        &self,
        tasks: &mut Tasks,
        queue: &ShardedQueue,
        dependencies: Dependencies,
    ) {
        let (store, shutting_down) = (self.store.clone(), self.shutting_down.clone());
        tasks.spawn("store probe", async move {
            dependencies
                .store
                .watch(shutting_down, || store.probe_writes(), async || {})
                .await;
            Ok(())
        });
        for (shard, dependency) in queue.shards().iter().zip(dependencies.queue) {
            self.spawn_queue_probe(tasks, shard.clone(), dependency);
        }
    }

    fn spawn_queue_probe(&self, tasks: &mut Tasks, shard: Queue, dependency: Dependency) {
        let shutting_down = self.shutting_down.clone();
        tasks.spawn("queue probe", async move {
            dependency
                .watch(shutting_down, || shard.check_ack(), async || {})
                .await;
            Ok(())
        });
    }

    /// Measures the backlog of each shard.
    pub fn spawn_backlog(&self, tasks: &mut Tasks, config: &Config, queue: &ShardedQueue) {
        for (index, shard) in queue.shards().iter().enumerate() {
            let (backlog, shutting_down) = (self.backlog.clone(), self.shutting_down.clone());
            let consumer = shard.consumer(&config.consumer_names[0]);
            tasks.spawn("backlog", async move {
                backlog.watch(index, consumer, &shutting_down).await;
                Ok(())
            });
        }
    }

    /// Compares the running counts with the votes.
    pub fn spawn_comparison(&self, tasks: &mut Tasks) {
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let shutting_down = self.shutting_down.clone();
        tasks.spawn("comparison", async move {
            comparison::run(&store, &metrics, &shutting_down).await;
            Ok(())
        });
    }

    /// Reports the progress in the store.
    pub fn spawn_progress(&self, tasks: &mut Tasks, config: &Config) {
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        let (backlog, shutting_down) = (self.backlog.clone(), self.shutting_down.clone());
        let name = config.consumer_names[0].clone();
        tasks.spawn("progress", async move {
            progress::report(&name, &store, &backlog, &metrics, &shutting_down).await;
            Ok(())
        });
    }

    /// Records the poll of the settings, and counts dead letters that waited for a poll.
    pub fn spawn_polls(&self, tasks: &mut Tasks, config: &Config) {
        let (store, poll) = (self.store.clone(), config.poll.clone());
        let shutting_down = self.shutting_down.clone();
        tasks.spawn("polls", async move {
            polls::maintain(&store, &poll, &shutting_down).await;
            Ok(())
        });
    }

    /// Runs the ballot processors.
    pub fn spawn_processors(
        &self,
        tasks: &mut Tasks,
        processors: Vec<(BallotProcessor, Heartbeat)>,
        poll: &PollId,
    ) {
        for (processor, heartbeat) in processors {
            let (store, shutting_down) = (self.store.clone(), self.shutting_down.clone());
            let poll = poll.clone();
            tasks.spawn("processor", async move {
                process_ballots(processor, &store, &poll, &heartbeat, &shutting_down).await
            });
        }
    }
}
