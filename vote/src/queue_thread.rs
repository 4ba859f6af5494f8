//! The thread that talks to the queue, and does nothing else.
//!
//! How long the queue takes can only be told by somebody who is there when it answers. Among the threads that serve voters an
//! answer waits for its turn behind every request that came before, and where they have too much to do, that takes far longer
//! than the queue: it would look slow, and in time, without being either.

use std::{io, panic::resume_unwind, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread. Cloning is cheap; it ends with the last clone.
#[derive(Clone)]
pub struct QueueThread {
    runtime: Handle,
    _ends: Arc<DropGuard>,
}

impl QueueThread {
    /// Starts it.
    ///
    /// # Errors
    /// The machine has no thread left.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let end = CancellationToken::new();
        let thread = Self {
            runtime: runtime.handle().clone(),
            _ends: Arc::new(end.clone().drop_guard()),
        };
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || runtime.block_on(end.cancelled()))?;
        Ok(thread)
    }

    /// Does this there. What connects to the queue must do so there too.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Does this there, to its end, even if nobody waits for that any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.spawn(work).await {
            Ok(done) => done,
            // The thread outlives this call, so it has not been cancelled.
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
    async fn the_queue_is_listened_to_while_everybody_else_is_busy() {
        let queue = QueueThread::start().unwrap();
        let (done, is_done) = mpsc::channel();
        let work = queue.run(async move {
            yield_now().await;
            done.send(()).unwrap();
        });
        let mut work = Box::pin(work);
        let busy = poll_fn(|context| {
            let _ = work.as_mut().poll(context);
            // The only other thread does nothing else from here on.
            is_done.recv().unwrap();
            Poll::Ready(())
        });
        busy.await;
        work.await;
    }

    #[tokio::test]
    async fn a_panic_there_is_one_here_and_the_thread_lives_on() {
        let queue = QueueThread::start().unwrap();
        let crashing = queue.clone();
        let crash = tokio::spawn(async move { crashing.run(async { panic!("there") }).await });
        assert!(crash.await.unwrap_err().is_panic());
        assert_eq!(queue.run(async { 1 }).await, 1);
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_that_uses_it() {
        let queue = QueueThread::start().unwrap();
        let (used, is_used) = mpsc::channel::<()>();
        let waiting = queue.clone();
        let waits = tokio::spawn(async move {
            let work = async move {
                let _used = used;
                pending::<()>().await;
            };
            select! {
                () = waiting.run(work) => {}
                () = yield_now() => {}
            }
        });
        waits.await.unwrap();
        drop(queue);
        assert!(is_used.recv().is_err(), "its work is dropped with it");
    }
}
