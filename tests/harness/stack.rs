//! The compose stack in a project of its own.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use tempfile::NamedTempFile;

use super::{
    TIMEOUT,
    container::{self, docker},
    folders, free_port, unique,
};

/// A project, removed with its volumes when this value is dropped.
pub struct Stack {
    /// The folder of docker-compose.yml.
    folder: PathBuf,
    project: String,
    variables: Vec<(String, String)>,
    secrets: Option<NamedTempFile>,
    pub vote: String,
    pub result: String,
    /// A lock: only one stack runs at a time, for small machines.
    _lock: MutexGuard<'static, ()>,
}

impl Stack {
    /// Prepares a project with its images, not started yet. Fails with the reason if that is impossible.
    pub fn new() -> Result<Self, String> {
        Self::in_folder(folders::root().to_owned())
    }

    /// The same for another folder with the compose file and the files that it names.
    pub fn in_folder(folder: PathBuf) -> Result<Self, String> {
        static LOCK: Mutex<()> = Mutex::new(());
        let images = images()?;
        let lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let (vote, result) = (free_port(), free_port());
        let variables = [
            ("TAG", images.tag.to_owned()),
            ("VOTE_PORT", vote.to_string()),
            ("RESULT_PORT", result.to_string()),
        ];
        Ok(Self {
            folder,
            project: unique("voting-test"),
            variables: variables
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            vote: format!("http://127.0.0.1:{vote}"),
            result: format!("http://127.0.0.1:{result}"),
            secrets: None,
            _lock: lock,
        })
    }

    /// Sets a variable as in `.env`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Sets variables as in `secrets.env`, in a file that only processes with a capability may read, like another user's.
    pub fn set_secrets(&mut self, lines: &str) {
        let new = || NamedTempFile::new().expect("there is a folder for temporary files");
        let file = self.secrets.take().unwrap_or_else(new);
        std::fs::write(file.path(), lines).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o000)).unwrap();
        self.set("SECRETS_FILE", file.path().to_str().unwrap());
        self.secrets = Some(file);
    }

    /// Runs `docker compose …`, which may fail.
    pub fn try_compose(&self, arguments: &[&str]) -> Output {
        let mut command = compose(&self.folder);
        command
            .args(["--project-name", &self.project])
            .args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().expect("docker can be run")
    }

    /// Runs `docker compose …`, which must succeed, and returns its output.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let output = self.try_compose(arguments);
        if !output.status.success() {
            let logs = self.try_compose(&["logs", "--no-color", "--tail", "30"]);
            panic!(
                "compose {arguments:?} failed: {}\n{}",
                text(&output.stderr),
                text(&logs.stdout)
            );
        }
        text(&output.stdout)
    }

    /// Runs shell commands of the documentation, with `docker compose` applied to this project.
    pub fn shell(&self, lines: &str) {
        let compose = format!(
            "docker compose --env-file /dev/null --project-name {}",
            self.project
        );
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", &lines.replace("docker compose", &compose)])
            .current_dir(&self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = shell.output().expect("there is a shell");
        assert!(output.status.success(), "{lines}{}", text(&output.stderr));
    }

    /// Starts the stack and waits until everything is healthy.
    pub fn up(&self, more: &[&str]) {
        self.compose(&[&["up", "--detach", "--wait", "--no-build"], more].concat());
    }

    /// The containers of a service.
    pub fn containers(&self, service: &str) -> Vec<String> {
        self.compose(&["ps", "--quiet", service])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The published addresses of the replicas of a service.
    pub fn addresses(&self, service: &str, port: u16) -> Vec<String> {
        let format =
            format!("{{{{(index (index .NetworkSettings.Ports \"{port}/tcp\") 0).HostPort}}}}");
        let address = |id: &String| {
            format!(
                "http://127.0.0.1:{}",
                docker(&["inspect", "--format", &format, id]).trim()
            )
        };
        self.containers(service).iter().map(address).collect()
    }

    /// The anonymous volumes of the project's containers, including the stopped ones.
    pub fn anonymous_volumes(&self) -> Vec<String> {
        let containers = self.compose(&["ps", "--all", "--quiet"]);
        let format = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}\n{{end}}{{end}}";
        let mounts = containers
            .lines()
            .map(|id| docker(&["inspect", "--format", format, id]))
            .collect::<String>();
        mounts
            .lines()
            .filter(|name| name.len() == 64)
            .map(str::to_owned)
            .collect()
    }

    /// The name of one of the project's volumes or networks.
    pub fn name_of(&self, part: &str) -> String {
        format!("{}_{part}", self.project)
    }

    /// Runs a program of an image in one of the project's networks, with one of its volumes at `/volume`.
    pub fn run(&self, network: &str, volume: &str, image: &str, command: &[&str]) -> Output {
        let mut run = Command::new("docker");
        run.args(["run", "--rm", "--network", &self.name_of(network)])
            .args(["--volume", &format!("{}:/volume:ro", self.name_of(volume))])
            .args(["--entrypoint", command[0], image])
            .args(&command[1..]);
        run.output().expect("docker can be run")
    }

    /// Runs a program in the network of the servers and returns its standard and error output.
    pub fn run_in_back_tier(&self, volume: &str, image: &str, command: &[&str]) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let output = self.run("back-tier", volume, image, command);
            let printed = text(&output.stdout) + text(&output.stderr).as_str();
            // The engine's DNS may be slow on a busy machine.
            let unresolved = [
                "failure in name resolution",
                "could not translate host name",
            ];
            let resolved = !unresolved.iter().any(|words| printed.contains(words));
            if resolved || Instant::now() > deadline {
                return printed;
            }
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.try_compose(&["logs", "--no-color", "--tail", "50"]);
            eprintln!("logs of the stack:\n{}", text(&logs.stdout));
        }
        self.try_compose(&[
            "--profile",
            "seed",
            "down",
            "--volumes",
            "--remove-orphans",
            "--timeout",
            "3",
        ]);
    }
}

/// A `docker compose` command for this project's file, without the developer's settings.
fn compose(folder: &Path) -> Command {
    let mut command = Command::new("docker");
    command
        .args(["compose", "--env-file", "/dev/null", "--file"])
        .arg(folder.join("docker-compose.yml"));
    command.current_dir(folder);
    command
}

/// The images of the services by name, built once from the programs of this build. Fails with the reason if that is
/// impossible.
///
/// With `TEST_IMAGES=dockerfile` the Dockerfile compiles them, which takes minutes.
pub fn images() -> Result<&'static Images, String> {
    static IMAGES: OnceLock<Result<Images, String>> = OnceLock::new();
    let make = || {
        if uses_dockerfile_images() {
            return dockerfile_images().cloned();
        }
        check_engine()?;
        let output = Command::new(folders::root().join(".ci/images"))
            .arg(folders::programs())
            .arg("end-to-end")
            .output()
            .expect("the script can be run");
        if output.status.success() {
            return Ok(images_tagged("end-to-end"));
        }
        // Programs that were built on a newer system may not run in the images.
        let stderr = text(&output.stderr);
        eprintln!(
            "the Dockerfile compiles the images, because this build's programs cannot be used: {stderr}"
        );
        dockerfile_images().cloned()
    };
    IMAGES.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// Returns true if the tests use the images that the Dockerfile compiles.
pub fn uses_dockerfile_images() -> bool {
    std::env::var("TEST_IMAGES").is_ok_and(|from| from == "dockerfile")
}

/// The revision in the labels and programs of the images that the Dockerfile compiles.
pub const REVISION: &str = "0123456789ab";

/// The images that the Dockerfile compiles, built once. Fails with the reason if that is impossible.
///
/// With `TEST_IMAGES_OPT_LEVEL=0` the compilation takes less time. The variable is not Cargo's own, because that would
/// recompile the dependencies of this package.
pub fn dockerfile_images() -> Result<&'static Images, String> {
    static IMAGES: OnceLock<Result<Images, String>> = OnceLock::new();
    let build = || {
        let tag = "of-dockerfile";
        check_engine()?;
        let mut build = compose(folders::root());
        build.arg("build");
        if let Ok(level) = std::env::var("TEST_IMAGES_OPT_LEVEL") {
            let level = format!("CARGO_PROFILE_RELEASE_OPT_LEVEL={level}");
            build.args(["--build-arg", &level]);
        }
        let output = build
            .env("TAG", tag)
            .env("REVISION", REVISION)
            .output()
            .expect("docker can be run");
        let stderr = text(&output.stderr);
        assert!(
            output.status.success(),
            "the images cannot be built: {stderr}"
        );
        Ok(images_tagged(tag))
    };
    IMAGES.get_or_init(build).as_ref().map_err(Clone::clone)
}

/// The images of one build.
#[derive(Clone, Debug)]
pub struct Images {
    tag: &'static str,
    /// Services and their images.
    pub names: [(&'static str, String); 3],
}

impl Images {
    /// The image of a service.
    pub fn of(&self, service: &str) -> &str {
        let image = self.names.iter().find(|(name, _)| *name == service);
        &image.expect("it is a service").1
    }
}

/// The resolved compose file.
pub fn stack_config() -> serde_json::Value {
    let output = compose(folders::root())
        .args(["config", "--format", "json"])
        .output();
    let output = output.expect("docker can be run");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn images_tagged(tag: &'static str) -> Images {
    let name = |service| (service, format!("voting-app/{service}:{tag}"));
    Images {
        tag,
        names: ["vote", "worker", "result"].map(name),
    }
}

fn check_engine() -> Result<(), String> {
    if let Some(why) = container::engine_error() {
        return Err(why);
    }
    let compose = compose(folders::root()).arg("version").output();
    if !compose.is_ok_and(|output| output.status.success()) {
        return Err("docker compose is not installed".to_owned());
    }
    Ok(())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
