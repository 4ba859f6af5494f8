//! A server that a test may kill, restart and freeze: a container or a local process.
//!
//! When the test program ends, even by SIGKILL, its servers end, too: a shell waits until its standard input closes and
//! then cleans up.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use testcontainers::{
    ContainerRequest, GenericImage, ImageExt, core::IntoContainerPort, runners::AsyncRunner,
};

use super::{TIMEOUT, block_on_thread, free_port};

/// A server, running or stopped.
#[derive(Debug)]
pub enum Server {
    /// A server that the tests did not start: it can only be used.
    External,
    /// A container, by its id.
    Container { id: String, _guard: Guard },
    /// A local process with a folder of its own.
    Process(Box<Process>),
}

#[derive(Debug)]
pub struct Process {
    folder: PathBuf,
    user: Option<u32>,
    command: Vec<String>,
    _folder_guard: Guard,
    running: Mutex<Option<(Guard, String)>>,
}

impl Server {
    /// Starts a program in a new folder, as an unprivileged user.
    pub fn process(
        what: &str,
        prepare: impl FnOnce(&Path, Option<u32>) -> Result<(), String>,
        command: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix(what)
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
        let server = Self::Process(Box::new(Process {
            folder: folder.clone(),
            user,
            command,
            _folder_guard: folder_guard,
            running: Mutex::default(),
        }));
        prepare(&folder, user)?;
        server.start();
        Ok(server)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        match self {
            Self::External => panic!("an external server cannot be killed"),
            Self::Container { id, .. } => docker(["kill", id]),
            Self::Process(process) => process.kill(),
        }
    }

    /// Sends SIGQUIT until it ends, as `pg_ctl stop -m immediate` does with a Postgres. The signal is repeated because the
    /// first process of a container and the background jobs of a shell ignore it until the server handles it.
    pub fn quit(&self) {
        self.signal_until_ended(|| match self {
            Self::External => panic!("an external server cannot be ended"),
            // Fails if the server has just ended.
            Self::Container { id, .. } => run_quietly("docker", ["kill", "--signal", "QUIT", id]),
            Self::Process(process) => {
                if let Some(pid) = process.pid() {
                    run_quietly("kill", ["-QUIT", &pid]);
                }
            }
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
                let output = Command::new("docker")
                    .args(["inspect", "--format", "{{.State.Running}}", id])
                    .output();
                let output = output.expect("docker can be run");
                assert!(output.status.success(), "docker inspect {id}: {output:?}");
                output.stdout.starts_with(b"true")
            }
            // The guard's shell reaps it, so its process id is free once it has ended.
            Self::Process(process) => process
                .pid()
                .is_some_and(|pid| Path::new("/proc").join(pid).join("exe").exists()),
        }
    }

    /// Creates an empty file in its working folder.
    pub fn put_file(&self, name: &str) {
        match self {
            Self::External => panic!("the folder of an external server is not accessible"),
            Self::Container { id, .. } => {
                let file = tempfile::NamedTempFile::new().expect("a file can be made");
                let path = file.path().display().to_string();
                docker(["cp", &path, &format!("{id}:/data/{name}")]);
            }
            Self::Process(process) => {
                fs::write(process.folder.join(name), "").expect("the folder is ours");
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
                docker(["cp", &format!("{id}:/data/{folder}"), &destination]);
                edit(&copy);
                let copy = copy.display().to_string();
                docker(["cp", &copy, &format!("{id}:/data/")]);
            }
            Self::Process(process) => edit(&process.folder.join(folder)),
        }
    }

    /// The IP address of a container in its network.
    pub fn address_in_its_network(&self) -> Option<String> {
        let Self::Container { id, .. } = self else {
            return None;
        };
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let output = Command::new("docker")
            .args(["inspect", "--format", format, id])
            .output();
        let output = output.expect("docker can be run");
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The log of a process; empty for others.
    pub fn log(&self) -> String {
        match self {
            Self::Process(process) => {
                fs::read_to_string(process.folder.join("log")).unwrap_or_default()
            }
            Self::External | Self::Container { .. } => String::new(),
        }
    }

    /// Restarts it with its data.
    pub fn start(&self) {
        match self {
            Self::External => {}
            Self::Container { id, .. } => docker(["start", id]),
            Self::Process(process) => process.start(),
        }
    }

    /// Freezes its processes; connections stay open.
    pub fn freeze(&self) {
        match self {
            Self::External => panic!("an external server cannot be frozen"),
            Self::Container { id, .. } => pause(id),
            Self::Process(process) => process.signal("STOP"),
        }
    }

    /// Resumes its processes.
    pub fn thaw(&self) {
        match self {
            Self::External => {}
            Self::Container { id, .. } => docker(["unpause", id]),
            Self::Process(process) => process.signal("CONT"),
        }
    }
}

impl Process {
    fn start(&self) {
        let script = "cd \"$1\"; shift; \"$@\" </dev/null >>log 2>&1 & echo $!; read -r _; pkill -KILL -P $!; kill -KILL $!; wait";
        let folder = self.folder.display().to_string();
        let mut guard = Guard::new(script, [folder].iter().chain(&self.command), self.user)
            .expect("a shell can be started");
        let pid = guard.first_line();
        *self.running.lock().unwrap() = Some((guard, pid));
    }

    fn kill(&self) {
        drop(self.running.lock().unwrap().take());
    }

    fn pid(&self) -> Option<String> {
        let running = self.running.lock().unwrap();
        running.as_ref().map(|(_, pid)| pid.clone())
    }

    /// Signals the server and its child processes: Postgres has one for each connection.
    fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let signal = format!("-{signal}");
            run_quietly("pkill", [&signal, "-P", &pid]);
            run_quietly("kill", [&signal, &pid]);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A shell that cleans up when its standard input closes.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    fn new(
        script: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        user: Option<u32>,
    ) -> Result<Self, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Ctrl-C must reach only the test program; the guard waits for its end.
        command.process_group(0);
        if let Some(user) = user {
            command.uid(user);
        }
        command
            .spawn()
            .map(Self)
            .map_err(|error| format!("sh cannot be started: {error}"))
    }

    fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the guard prints a line");
        line.trim().to_owned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Pauses a container, and retries if the container runtime gave up: on a busy machine the kernel may need longer to
/// freeze all processes than the runtime waits.
fn pause(id: &str) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let output = Command::new("docker").args(["pause", id]).output();
        let output = output.expect("docker can be run");
        if output.status.success() {
            return;
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("unable to freeze") && Instant::now() < deadline,
            "docker pause {id}: {stderr}"
        );
    }
}

/// Runs a command that may fail.
fn run_quietly<const N: usize>(program: &str, arguments: [&str; N]) {
    let _ = Command::new(program).args(arguments).output();
}

fn docker<const N: usize>(arguments: [&str; N]) {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker can be run");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The id of an unprivileged user if the tests run as root: Postgres does not start as root.
pub fn unprivileged_user() -> Option<u32> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let number = |name: &str, field: usize| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(field)?.parse::<u32>().ok()
    };
    rustix::process::geteuid()
        .is_root()
        .then(|| number("postgres", 2).or_else(|| number("nobody", 2)))
        .flatten()
}

/// The path of a program, which is in one of these folders or on the `PATH`.
pub fn find_program(name: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    more.iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Starts a container and publishes its port on a free local port, which is returned. The server may not be ready yet.
pub fn start_container(
    name: &str,
    tag: &str,
    port: u16,
    configure: impl FnOnce(GenericImage) -> ContainerRequest<GenericImage>,
) -> Result<(Server, u16), String> {
    let host_port = free_port();
    let image = GenericImage::new(name, tag);
    let server = run(|| configure(image).with_mapped_port(host_port, port.tcp()))?;
    Ok((server, host_port))
}

/// Starts a container without published ports.
pub fn run(request: impl FnOnce() -> ContainerRequest<GenericImage>) -> Result<Server, String> {
    if let Some(why) = container_engine_error() {
        return Err(why);
    }
    let request = request();
    let container =
        block_on_thread(async move { request.start().await.map_err(|error| error.to_string()) })?;
    let id = container.id().to_owned();
    let guard = Guard::new("read -r _; docker rm --force --volumes \"$1\"", [&id], None)?;
    // The guard removes the container: no destructor runs at the end of the program.
    std::mem::forget(container);
    Ok(Server::Container { id, _guard: guard })
}

/// The reason why containers cannot be used, if there is one.
pub fn container_engine_error() -> Option<String> {
    match Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output()
    {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("no container engine responds".into()),
        Err(error) => Some(format!("docker cannot be run: {error}")),
    }
}
