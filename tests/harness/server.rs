//! A server that a test may kill, restart and freeze: a container or a local process.
//!
//! Both end with the test program, even if it is killed.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use local_servers::{Guard, ServerProcess};

use super::{
    TIMEOUT,
    container::{self, docker},
};

/// A server, running or stopped.
#[derive(Debug)]
pub enum Server {
    /// A server that the tests did not start: it can only be used.
    External,
    /// A container, by its id.
    Container { id: String, _guard: Guard },
    /// A local process with a folder of its own.
    Process(ServerProcess),
}

impl Server {
    /// Starts a program in a new folder, as an unprivileged user.
    pub fn process(
        name: &str,
        prepare: impl FnOnce(&Path, Option<u32>) -> Result<(), String>,
        command: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self, String> {
        ServerProcess::start(name, prepare, command).map(Self::Process)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        match self {
            Self::External => panic!("an external server cannot be killed"),
            Self::Container { id, .. } => drop(docker(&["kill", id])),
            Self::Process(process) => process.kill(),
        }
    }

    /// Sends SIGQUIT until it ends, as `pg_ctl stop -m immediate` does with a Postgres. The signal is repeated because the
    /// first process of a container and the background jobs of a shell ignore it until the server handles it.
    pub fn quit(&self) {
        self.signal_until_ended(|| match self {
            Self::External => panic!("an external server cannot be ended"),
            // Fails if the server has just ended.
            Self::Container { id, .. } => {
                let mut kill = Command::new("docker");
                let _ = kill.args(["kill", "--signal", "QUIT", id]).output();
            }
            Self::Process(process) => process.signal_main("QUIT"),
        });
    }

    /// Waits until it ends by itself.
    pub fn wait(&self) {
        self.signal_until_ended(|| {});
    }

    fn signal_until_ended(&self, signal: impl Fn()) {
        let deadline = Instant::now() + TIMEOUT;
        signal();
        while self.is_running() {
            assert!(Instant::now() < deadline, "{self:?} does not end");
            thread::sleep(Duration::from_millis(20));
            signal();
        }
        if let Self::Process(process) = self {
            process.kill();
        }
    }

    fn is_running(&self) -> bool {
        match self {
            Self::External => panic!("an external server does not end"),
            Self::Container { id, .. } => {
                docker(&["inspect", "--format", "{{.State.Running}}", id]).starts_with("true")
            }
            Self::Process(process) => process.is_running(),
        }
    }

    /// Creates an empty file in its working folder.
    pub fn put_file(&self, name: &str) {
        match self {
            Self::External => panic!("the folder of an external server is not accessible"),
            Self::Container { id, .. } => {
                let file = tempfile::NamedTempFile::new().expect("a file can be made");
                let path = file.path().display().to_string();
                docker(&["cp", &path, &format!("{id}:/data/{name}")]);
            }
            Self::Process(process) => {
                fs::write(process.folder().join(name), "").expect("the folder is ours");
            }
        }
    }

    /// Changes files in a folder of the stopped server.
    pub fn edit(&self, folder: &str, edit: impl FnOnce(&Path)) {
        match self {
            Self::External => panic!("the files of an external server are not accessible"),
            Self::Container { id, .. } => {
                let here = tempfile::tempdir().expect("a folder can be made");
                let copy = here.path().join(folder);
                let destination = here.path().display().to_string();
                docker(&["cp", &format!("{id}:/data/{folder}"), &destination]);
                edit(&copy);
                let copy = copy.display().to_string();
                docker(&["cp", &copy, &format!("{id}:/data/")]);
            }
            Self::Process(process) => edit(&process.folder().join(folder)),
        }
    }

    /// The IP address of a container in its network.
    pub fn address_in_its_network(&self) -> Option<String> {
        let Self::Container { id, .. } = self else {
            return None;
        };
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        Some(
            docker(&["inspect", "--format", format, id])
                .trim()
                .to_owned(),
        )
    }

    /// The log of a process; empty for others.
    pub fn log(&self) -> String {
        match self {
            Self::Process(process) => {
                fs::read_to_string(process.folder().join("log")).unwrap_or_default()
            }
            Self::External | Self::Container { .. } => String::new(),
        }
    }

    /// Restarts it with its data.
    pub fn start(&self) {
        match self {
            Self::External => {}
            Self::Container { id, .. } => drop(docker(&["start", id])),
            Self::Process(process) => process.restart(),
        }
    }

    /// Freezes its processes; connections stay open.
    pub fn freeze(&self) {
        match self {
            Self::External => panic!("an external server cannot be frozen"),
            Self::Container { id, .. } => container::pause(id),
            Self::Process(process) => process.signal("STOP"),
        }
    }

    /// Resumes its processes.
    pub fn thaw(&self) {
        match self {
            Self::External => {}
            Self::Container { id, .. } => drop(docker(&["unpause", id])),
            Self::Process(process) => process.signal("CONT"),
        }
    }
}
