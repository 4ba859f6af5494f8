//! The whole application, which runs in the test's process on free ports.

use clap::{Args, Command, FromArgMatches};
use poll::Clock;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use voting_app::{Config, Listeners, Settings};

use super::storage::Storage;

/// The running application.
pub struct App {
    pub vote: String,
    pub result: String,
    pub worker: String,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl App {
    /// Starts it on this storage, with additional command-line flags.
    pub async fn start(storage: &Storage, flags: &[&str]) -> Self {
        Self::start_with_clock(Clock::default(), storage, flags).await
    }

    /// Starts it with a clock for the opening and closing of the poll.
    pub async fn start_with_clock(clock: Clock, storage: &Storage, flags: &[&str]) -> Self {
        let mut config = config(storage, flags);
        for poll in [&mut config.vote.poll, &mut config.result.poll] {
            poll.schedule = poll.schedule.clone().with_clock(clock.clone());
        }
        let listener = || async {
            TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free")
        };
        let listeners = Listeners {
            vote: listener().await.into(),
            result: listener().await.into(),
            worker: listener().await,
        };
        let url = |listener: &TcpListener| {
            format!(
                "http://{}",
                listener.local_addr().expect("the listener is bound")
            )
        };
        let [vote, result, worker] = [
            &listeners.vote.public,
            &listeners.result.public,
            &listeners.worker,
        ]
        .map(url);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(voting_app::run(config, listeners, shutdown.clone()));
        Self {
            vote,
            result,
            worker,
            shutdown,
            running,
        }
    }

    /// Stops it as SIGTERM does, and waits until it has ended.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running
            .await
            .expect("it does not panic")
            .expect("it ends without an error");
    }

    /// Begins the shutdown, without waiting.
    pub fn request_shutdown(&self) {
        self.shutdown.cancel();
    }
}

fn config(storage: &Storage, flags: &[&str]) -> Config {
    let folder = storage.folder.path().display().to_string();
    let own = [
        "--data-dir",
        &folder,
        "--queue-url",
        &storage.queue_url,
        "--queue-stream",
        &storage.stream,
        "--database-url",
        &storage.database_url,
        // Machines are shared: only tests of a timeout set a short one.
        "--enqueue-timeout",
        "20s",
        "--store-timeout",
        "20s",
        "--worker-claim-min-idle",
        "3s",
    ];
    // Variables of the developer's shell must not affect the test.
    let command = Settings::augment_args(Command::new("test"))
        .args_override_self(true)
        .mut_args(|arg| arg.env(None::<&str>));
    let matches = command.get_matches_from(["test"].iter().chain(&own).chain(flags));
    Settings::from_arg_matches(&matches)
        .expect("the flags are valid")
        .config()
        .expect("the settings are valid")
}
