//! A server that a test may kill, start again and freeze: a container, or a process of this machine.
//!
//! Whatever ends the test program, even kill -9, ends its servers too: a shell waits for its standard input to close
//! and then cleans up.

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

use super::{PATIENCE, free_port, on_a_thread};

/// A running server, or one that was killed.
#[derive(Debug)]
pub enum Server {
    /// Somebody else's: it can only be used.
    External,
    /// A container, by its id.
    Container { id: String, _guard: Guard },
    /// A process with a folder of its own.
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
    /// Starts a program in a new folder, as a user who may run servers.
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
        let user = ordinary_user();
        if let Some(user) = user {
            chown(&folder, Some(user), None).map_err(|error| error.to_string())?;
        }
        let command = command(&folder);
        // After the server's own guard, which ends it: both wake up together.
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

    /// Ends it at once, as a power cut would as far as a process can tell.
    pub fn kill(&self) {
        match self {
            Self::External => panic!("somebody else's server is not killed"),
            Self::Container { id, .. } => docker(["kill", id]),
            Self::Process(process) => process.kill(),
        }
    }

    /// Ends it as `pg_ctl stop -m immediate` ends a Postgres. It is told until it hears: before a server has begun to
    /// listen, its container's first process, and what a shell starts beside itself, ignore this signal.
    pub fn quit(&self) {
        self.until_ended(|| match self {
            Self::External => panic!("somebody else's server is not ended"),
            // An error where it has just ended.
            Self::Container { id, .. } => run_quietly("docker", ["kill", "--signal", "QUIT", id]),
            Self::Process(process) => {
                if let Some(pid) = process.pid() {
                    run_quietly("kill", ["-QUIT", &pid]);
                }
            }
        });
    }

    /// Waits until it has ended by itself.
    pub fn wait(&self) {
        self.until_ended(|| {});
    }

    fn until_ended(&self, tell: impl Fn()) {
        let deadline = Instant::now() + PATIENCE;
        tell();
        while self.runs() {
            assert!(Instant::now() < deadline, "{self:?} does not end");
            thread::sleep(Duration::from_millis(20));
            tell();
        }
        if let Self::Process(process) = self {
            process.kill();
        }
    }

    fn runs(&self) -> bool {
        match self {
            Self::External => panic!("somebody else's server does not end"),
            Self::Container { id, .. } => {
                let output = Command::new("docker")
                    .args(["inspect", "--format", "{{.State.Running}}", id])
                    .output();
                let output = output.expect("docker can be run");
                assert!(output.status.success(), "docker inspect {id}: {output:?}");
                output.stdout.starts_with(b"true")
            }
            // The guard's shell collects it, so its number is free once it has ended.
            Self::Process(process) => process
                .pid()
                .is_some_and(|pid| Path::new("/proc").join(pid).join("exe").exists()),
        }
    }

    /// Puts an empty file into the folder in which it runs.
    pub fn put_file(&self, name: &str) {
        match self {
            Self::External => panic!("somebody else's folder is left alone"),
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

    /// Changes the files in a folder of the server, which does not run.
    pub fn edit(&self, folder: &str, edit: impl FnOnce(&Path)) {
        match self {
            Self::External => panic!("somebody else's files are left alone"),
            Self::Container { id, .. } => {
                let here = tempfile::tempdir().expect("a folder can be made");
                let copy = here.path().join(folder);
                let place = here.path().display().to_string();
                docker(["cp", &format!("{id}:/data/{folder}"), &place]);
                edit(&copy);
                let copy = copy.display().to_string();
                docker(["cp", &copy, &format!("{id}:/data/")]);
            }
            Self::Process(process) => edit(&process.folder.join(folder)),
        }
    }

    /// The address of a container among other containers.
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

    /// Starts it again with what it had on its disk.
    pub fn start(&self) {
        match self {
            Self::External => {}
            Self::Container { id, .. } => docker(["start", id]),
            Self::Process(process) => process.start(),
        }
    }

    /// Stops it from doing anything, connections stay open.
    pub fn freeze(&self) {
        match self {
            Self::External => panic!("somebody else's server is not frozen"),
            Self::Container { id, .. } => pause(id),
            Self::Process(process) => process.signal("STOP"),
        }
    }

    /// Lets it go on.
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

    /// To the server and to the processes it made: Postgres has one for each connection.
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
        // Ctrl-C goes to the test program; its end is what the guard waits for.
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
            .expect("the guard speaks");
        line.trim().to_owned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Pauses a container. On a busy machine the kernel may take longer to freeze all of its processes than the engine's
/// runtime tries, which then lets them go on.
fn pause(id: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = Command::new("docker").args(["pause", id]).output();
        let output = output.expect("docker can be run");
        if output.status.success() {
            return;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("unable to freeze") && Instant::now() < deadline,
            "docker pause {id}: {said}"
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

/// Postgres refuses to run as root: somebody else's number, where the tests do.
pub fn ordinary_user() -> Option<u32> {
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

/// Where a program is: on the path, or in one of these folders.
pub fn find_program(name: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    more.iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Starts a container of an image that is here or can be pulled; its port is published on a free one of this machine,
/// which is returned. Whether it answers yet is for the caller to find out.
pub fn in_container(
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

/// Starts a container.
pub fn run(request: impl FnOnce() -> ContainerRequest<GenericImage>) -> Result<Server, String> {
    if let Some(why) = no_container_engine() {
        return Err(why);
    }
    let request = request();
    let container =
        on_a_thread(async move { request.start().await.map_err(|error| error.to_string()) })?;
    let id = container.id().to_owned();
    let guard = Guard::new("read -r _; docker rm --force --volumes \"$1\"", [&id], None)?;
    // The guard removes it: at the end of the program no destructor runs.
    std::mem::forget(container);
    Ok(Server::Container { id, _guard: guard })
}

/// Why containers cannot be used here, if they cannot.
pub fn no_container_engine() -> Option<String> {
    match Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output()
    {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("no container engine answers".into()),
        Err(error) => Some(format!("docker cannot be run: {error}")),
    }
}
