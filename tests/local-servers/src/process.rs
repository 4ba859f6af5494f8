//! A server as a local process with a folder of its own.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{
    Guard,
    programs::{run_quietly, unprivileged_user},
};

/// A local server, running or stopped. Its folder is removed when this value is dropped or the program ends.
#[derive(Debug)]
pub struct ServerProcess {
    folder: PathBuf,
    user: Option<u32>,
    command: Vec<String>,
    _folder_guard: Guard,
    /// The guard that ends the process, and its id.
    running: Mutex<Option<(Guard, String)>>,
}

impl ServerProcess {
    /// Starts a program in a new folder, as an unprivileged user. `prepare` gets the folder and the user.
    pub fn start(
        name: &str,
        prepare: impl FnOnce(&Path, Option<u32>) -> Result<(), String>,
        command: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix(name)
            .tempdir()
            .map_err(|error| error.to_string())?
            .keep();
        let user = unprivileged_user();
        if let Some(user) = user {
            chown(&folder, Some(user), None).map_err(|error| error.to_string())?;
        }
        let command = command(&folder);
        // Waits for the guard that ends the server: both wake up at the same time.
        let folder_guard = Guard::new("read -r _; sleep 1; rm -rf \"$1\"", [&folder], user)?;
        let process = Self {
            folder: folder.clone(),
            user,
            command,
            _folder_guard: folder_guard,
            running: Mutex::default(),
        };
        prepare(&folder, user)?;
        process.restart();
        Ok(process)
    }

    /// Starts it again with its data.
    ///
    /// # Panics
    ///
    /// If no shell can be started.
    pub fn restart(&self) {
        let script = "cd \"$1\"; shift; \"$@\" </dev/null >>log 2>&1 & echo $!; read -r _; pkill -KILL -P $!; kill -KILL $!; wait";
        let folder = self.folder.display().to_string();
        let mut guard = Guard::new(script, [folder].iter().chain(&self.command), self.user)
            .expect("a shell can be started");
        let pid = guard.first_line();
        *self.running.lock().unwrap() = Some((guard, pid));
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    ///
    /// If a thread panicked while it started or ended this server.
    pub fn kill(&self) {
        drop(self.running.lock().unwrap().take());
    }

    /// Sends a signal to the server, not to its child processes.
    pub fn signal_main(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            run_quietly("kill", [&format!("-{signal}"), &pid]);
        }
    }

    /// Sends a signal to the server and its child processes: Postgres has one for each connection.
    pub fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let signal = format!("-{signal}");
            run_quietly("pkill", [&signal, "-P", &pid]);
            run_quietly("kill", [&signal, &pid]);
        }
    }

    /// Returns true until the process has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // The guard's shell reaps it, so its process id is free once it has ended.
        self.pid()
            .is_some_and(|pid| Path::new("/proc").join(pid).join("exe").exists())
    }

    /// The folder of the server: its working folder, with the file `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn pid(&self) -> Option<String> {
        let running = self.running.lock().unwrap();
        running.as_ref().map(|(_, pid)| pid.clone())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
