//! The programs, each in a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{TIMEOUT, folders, storage::Storage};

/// The path of a program of this workspace.
pub fn program(name: &str) -> PathBuf {
    let path = folders::programs().join(name);
    assert!(
        path.is_file(),
        "{} is missing; run `cargo test` for the whole workspace, which builds it",
        path.display()
    );
    path
}

/// A command with this environment only: variables of the developer's shell are not passed on.
pub fn command(name: &str, variables: &[(&str, &str)]) -> Command {
    command_of(&program(name), variables)
}

fn command_of(program: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(variables.iter().copied());
    command
}

/// Runs a program until it ends.
pub fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("the program can be run")
}

/// A running program. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    captured: Arc<CapturedOutput>,
}

#[derive(Debug, Default)]
struct CapturedOutput {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let captured = Arc::new(CapturedOutput::default());
        capture(child.stdout.take().expect("stdout is piped"), &captured);
        capture(child.stderr.take().expect("stderr is piped"), &captured);
        Self { child, captured }
    }

    /// The output lines so far that contain this text.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let lines = self.captured.lines.lock().unwrap();
        let found = lines.iter().filter(|line| line.contains(text));
        found.cloned().collect()
    }

    /// Waits for an output line that contains this text, and returns it.
    pub fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        let mut lines = self.captured.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let output = lines.join("\n");
                // Destructors that run during the panic lock the lines, too.
                drop(lines);
                panic!("no line with {text:?} in:\n{output}");
            }
            lines = self.captured.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The URL or the address in the line with this text, as a URL.
    pub fn url_in(&self, text: &str) -> String {
        let line = self.wait_for_line(text);
        let after = |mark| {
            line.split(mark)
                .nth(1)
                .and_then(|rest| rest.split([' ', '"']).next())
        };
        // In log lines of text and of JSON.
        let address = after("http://")
            .or_else(|| after("address="))
            .or_else(|| after("\"address\":\""));
        format!(
            "http://{}",
            address.unwrap_or_else(|| panic!("no address in {line:?}"))
        )
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Sends SIGTERM and waits until it has ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it can be signalled");
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end; its output:\n{}",
                self.captured.lines.lock().unwrap().join("\n")
            );
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "output of a program of the failing test:\n{}",
                self.captured.lines.lock().unwrap().join("\n")
            );
        }
    }
}

fn capture(stream: impl Read + Send + 'static, captured: &Arc<CapturedOutput>) {
    let captured = captured.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            captured.lines.lock().unwrap().push(line);
            captured.changed.notify_all();
        }
    });
}

/// One of the three services as a process on this storage, on a free port.
pub struct Service {
    pub process: Process,
    pub url: String,
}

impl Service {
    pub fn start(name: &str, storage: &Storage, more: &[(&str, &str)]) -> Self {
        Self::start_program(&program(name), storage, more)
    }

    /// Starts a program that may be another build.
    pub fn start_program(program: &Path, storage: &Storage, more: &[(&str, &str)]) -> Self {
        let folder = storage.folder.path().display().to_string();
        let mut command = command_of(
            program,
            &[
                ("LISTEN_ADDR", "127.0.0.1:0"),
                ("DATA_DIR", &folder),
                ("QUEUE_URL", &storage.queue_url),
                ("QUEUE_STREAM", &storage.stream),
                ("DATABASE_URL", &storage.database_url),
                ("ENQUEUE_TIMEOUT", "20s"),
                ("STORE_TIMEOUT", "20s"),
                ("WORKER_CLAIM_MIN_IDLE", "3s"),
            ],
        );
        command.envs(more.iter().copied());
        let process = Process::start(command);
        let url = process.url_in("listening");
        Self { process, url }
    }
}
