//! A runtime with one thread that only communicates with the queue.
//!
//! The latency of the queue is measured when its reply is processed. On the threads that serve requests a reply waits behind
//! all earlier requests. When these threads are overloaded, that takes far longer than the queue itself, and the queue would
//! appear slow.

use std::{io, panic::resume_unwind, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Runtime with one thread for the queue. Cloning is cheap; the thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct QueueRuntime {
    handle: Handle,
    _stop: Arc<DropGuard>,
}

impl QueueRuntime {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system cannot create a thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let queue_runtime = Self {
            handle: runtime.handle().clone(),
            _stop: Arc::new(stop.clone().drop_guard()),
        };
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || runtime.block_on(stop.cancelled()))?;
        Ok(queue_runtime)
    }

    /// Spawns a task on the thread. Connections to the queue must be opened on it, too.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(future)
    }

    /// Runs a future on the thread and returns its output. It runs to its end even if the caller stops waiting.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.spawn(future).await {
            Ok(output) => output,
            // The thread outlives this call, so the task was not cancelled.
            Err(panic) => resume_unwind(panic.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn},
        sync::mpsc,
        task::Poll,
    };

    use super::*;
    use tokio::{select, task::yield_now};

    #[tokio::test]
    async fn queue_tasks_progress_while_the_other_threads_are_busy() {
        let queue = QueueRuntime::start().unwrap();
        let (done, is_done) = mpsc::channel();
        let task = queue.run(async move {
            yield_now().await;
            done.send(()).unwrap();
        });
        let mut task = Box::pin(task);
        let busy = poll_fn(|context| {
            let _ = task.as_mut().poll(context);
            // This blocks the only other thread.
            is_done.recv().unwrap();
            Poll::Ready(())
        });
        busy.await;
        task.await;
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller_and_the_thread_continues() {
        let queue = QueueRuntime::start().unwrap();
        let crashing = queue.clone();
        let crash = tokio::spawn(async move { crashing.run(async { panic!("test") }).await });
        assert!(crash.await.unwrap_err().is_panic());
        assert_eq!(queue.run(async { 1 }).await, 1);
    }

    #[tokio::test]
    async fn the_thread_ends_when_the_last_clone_is_dropped() {
        let queue = QueueRuntime::start().unwrap();
        let (used, is_used) = mpsc::channel::<()>();
        let waiting = queue.clone();
        let waits = tokio::spawn(async move {
            let task = async move {
                let _used = used;
                pending::<()>().await;
            };
            select! {
                () = waiting.run(task) => {}
                () = yield_now() => {}
            }
        });
        waits.await.unwrap();
        drop(queue);
        assert!(is_used.recv().is_err(), "the task is dropped with it");
    }
}
