//! The whole application, running inside the test on free ports.

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
    /// Starts it on this storage, with more flags as on the command line.
    pub async fn start(storage: &Storage, flags: &[&str]) -> Self {
        Self::start_by(Clock::default(), storage, flags).await
    }

    /// Starts it with polls that open and close by this clock.
    pub async fn start_by(clock: Clock, storage: &Storage, flags: &[&str]) -> Self {
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
            format!("http://{}", listener.local_addr().expect("it is bound"))
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

    /// Ends it as SIGTERM would.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running
            .await
            .expect("it does not panic")
            .expect("it ends well");
    }

    /// Begins to end it.
    pub fn begin_to_stop(&self) {
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
        // Machines are shared: only tests of a time limit set a tight one.
        "--enqueue-timeout",
        "20s",
        "--store-timeout",
        "20s",
        "--worker-claim-min-idle",
        "3s",
    ];
    // What the developer's own shell has set is not the test's business.
    let command = Settings::augment_args(Command::new("test"))
        .args_override_self(true)
        .mut_args(|arg| arg.env(None::<&str>));
    let matches = command.get_matches_from(["test"].iter().chain(&own).chain(flags));
    Settings::from_arg_matches(&matches)
        .expect("the flags are good")
        .config()
        .expect("the settings are good")
}
