//! Monitors the availability and the durability of the queue's shards.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use queue::{Durability, Queue, ShardedQueue};
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::Dependency,
};

use crate::{enqueue::QueueRuntime, metrics::VoteMetrics};

/// Monitors the availability and the durability of the queue's shards.
#[derive(Clone)]
pub struct ShardMonitor {
    queue: ShardedQueue,
    metrics: VoteMetrics,
    /// One flag for each shard: true if its server keeps accepted votes through a crash.
    durable: Arc<[AtomicBool]>,
}

impl ShardMonitor {
    /// Creates a monitor for these shards.
    pub fn new(queue: ShardedQueue, metrics: VoteMetrics) -> Self {
        let shards = queue.shards().len();
        Self {
            queue,
            metrics,
            durable: (0..shards).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Spawns one task for each shard. They check that the shard can be written to, on the queue's runtime.
    pub fn spawn(
        self,
        dependencies: Vec<Dependency>,
        lifecycle: &Lifecycle,
        runtime: &QueueRuntime,
        tasks: &mut Tasks,
    ) {
        for (shard, dependency) in dependencies.into_iter().enumerate() {
            let (monitor, runtime) = (self.clone(), runtime.clone());
            let shutting_down = lifecycle.shutting_down.clone();
            tasks.spawn("queue probe", async move {
                let watch = async move {
                    let queue = &monitor.queue.shards()[shard];
                    let on_up = async || monitor.update_durability(shard).await;
                    dependency
                        .watch(shutting_down, || queue.check_write(), on_up)
                        .await;
                };
                runtime.run(watch).await;
                Ok(())
            });
        }
    }

    async fn update_durability(&self, shard: usize) {
        check_durability(&self.queue.shards()[shard], &self.durable[shard]).await;
        let all = self
            .durable
            .iter()
            .all(|shard| shard.load(Ordering::Relaxed));
        self.metrics.queue_durable.set(all.into());
    }
}

/// Checks that the queue's server keeps accepted votes through a crash. A weaker server is used, but logged.
async fn check_durability(queue: &Queue, durable: &AtomicBool) {
    match queue.durability().await {
        Ok(Durability::Full) => durable.store(true, Ordering::Relaxed),
        Ok(Durability::Managed) => {
            durable.store(true, Ordering::Relaxed);
            tracing::info!(
                queue = queue.name(),
                "durability not checked: QUEUE_DURABILITY declares the queue managed"
            );
        }
        Ok(Durability::Degraded(reason)) => {
            durable.store(false, Ordering::Relaxed);
            tracing::warn!(
                queue = queue.name(),
                reason,
                "the queue's server may lose accepted votes in a crash"
            );
        }
        Err(error) => {
            tracing::warn!(queue = queue.name(), %error, "durability check failed");
        }
    }
}
