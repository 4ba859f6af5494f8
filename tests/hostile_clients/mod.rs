//! Too many, too slow and malformed clients do not prevent other clients from voting.

mod limits;
mod malformed;
mod slow;

use futures_util::future::join_all;

use crate::harness::{
    app::App,
    process::{Process, command},
    raw::RawClient,
    scrape,
    storage::{Backend, Storage},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// The application in the process of the test, with its own storage.
async fn app(flags: &[&str]) -> (App, Storage) {
    let storage = Storage::new(Backend::Embedded)
        .await
        .expect("files can be created");
    (App::start(&storage, flags).await, storage)
}

/// The application as a separate process, whose memory and open files can be measured.
struct Program {
    process: Process,
    vote: String,
    result: String,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().display().to_string();
        let mut command = command("voting-app", &[("DATA_DIR", &data)]);
        for service in ["VOTE", "RESULT", "WORKER"] {
            command.env(format!("{service}_LISTEN_ADDR"), "127.0.0.1:0");
        }
        command.envs(more.iter().copied());
        let process = Process::start(command);
        let [vote, result] = ["vote    ", "result  "].map(|line| process.url_in(line));
        let [vote, result] = [vote, result].map(|url| url.replace("localhost", "127.0.0.1"));
        Self {
            process,
            vote,
            result,
            _folder: folder,
        }
    }

    /// The value of a metric of the voting page.
    async fn metric(&self, name: &str) -> f64 {
        scrape::value(&self.vote, name).await
    }

    /// Stops the process, which must exit successfully.
    fn stop(mut self) {
        assert!(self.process.terminate().success());
    }
}

/// The number of open connections of a service without the one of this request.
async fn other_connections(url: &str) -> usize {
    let open = scrape::value(url, "http_server_open_connections").await;
    // The count is a small integer.
    format!("{:.0}", open - 1.0).parse().unwrap()
}

/// Opens connections that send no request.
async fn open_idle(url: &str, count: usize) -> Vec<RawClient> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        // In batches: connections beyond the accept queue of the kernel would have to be retried.
        let batch = (count - connections.len()).min(500);
        connections.extend(join_all((0..batch).map(|_| RawClient::open(url))).await);
    }
    connections
}
