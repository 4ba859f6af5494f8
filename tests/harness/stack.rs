//! The compose stack, as people run it, in a project of its own.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use tempfile::NamedTempFile;

use super::{PATIENCE, folders, free_port, unique};

/// A project, removed with its volumes when this value is dropped.
pub struct Stack {
    /// The folder of docker-compose.yml.
    folder: PathBuf,
    project: String,
    variables: Vec<(String, String)>,
    secrets: Option<NamedTempFile>,
    pub vote: String,
    pub result: String,
    /// One stack at a time is enough for a small machine.
    _turn: MutexGuard<'static, ()>,
}

impl Stack {
    /// A project that is not up yet, its images built; or why there can be none on this machine.
    pub fn new() -> Result<Self, String> {
        Self::of(folders::root().to_owned())
    }

    /// The same of another folder with the compose file, and what it names, in it.
    pub fn of(folder: PathBuf) -> Result<Self, String> {
        static TURN: Mutex<()> = Mutex::new(());
        let images = images()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
            _turn: turn,
        })
    }

    /// Sets one of the variables that `.env` could set.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Sets what `secrets.env` sets, in a file that nobody without a capability may read, as somebody else's is.
    pub fn set_secrets(&mut self, lines: &str) {
        let new = || NamedTempFile::new().expect("there is a folder for temporary files");
        let file = self.secrets.take().unwrap_or_else(new);
        std::fs::write(file.path(), lines).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o000)).unwrap();
        self.set("SECRETS_FILE", file.path().to_str().unwrap());
        self.secrets = Some(file);
    }

    /// `docker compose …`, whatever comes of it.
    pub fn try_compose(&self, arguments: &[&str]) -> Output {
        let mut command = compose(&self.folder);
        command
            .args(["--project-name", &self.project])
            .args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().expect("docker can be run")
    }

    /// `docker compose …`, which must succeed. Returns what it printed.
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

    /// Runs lines of a document; `docker compose` in them is for this project.
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

    /// Up, and everything healthy.
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

    /// The addresses at which the replicas of a service are published.
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

    /// The volumes without a name that the project's containers have, those that have ended included.
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

    /// What a program of an image prints, in one of the project's networks, with one of its volumes at `/volume`.
    pub fn run(&self, network: &str, volume: &str, image: &str, command: &[&str]) -> Output {
        let mut run = Command::new("docker");
        run.args(["run", "--rm", "--network", &self.name_of(network)])
            .args(["--volume", &format!("{}:/volume:ro", self.name_of(volume))])
            .args(["--entrypoint", command[0], image])
            .args(&command[1..]);
        run.output().expect("docker can be run")
    }

    /// The same in the network of the servers, with both of its outputs together.
    pub fn ask_servers(&self, volume: &str, image: &str, command: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.run("back-tier", volume, image, command);
            let said = text(&output.stdout) + text(&output.stderr).as_str();
            // The engine's own DNS answers late on a busy machine.
            let unresolved = [
                "failure in name resolution",
                "could not translate host name",
            ];
            let found = !unresolved.iter().any(|words| said.contains(words));
            if found || Instant::now() > deadline {
                return said;
            }
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.try_compose(&["logs", "--no-color", "--tail", "50"]);
            eprintln!("the stack said:\n{}", text(&logs.stdout));
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

/// Compose on this project's file, with nothing of the developer's own settings.
fn compose(folder: &Path) -> Command {
    let mut command = Command::new("docker");
    command
        .args(["compose", "--env-file", "/dev/null", "--file"])
        .arg(folder.join("docker-compose.yml"));
    command.current_dir(folder);
    command
}

/// The images of the services by name, made once from the programs of this build; or why there can be none.
///
/// `TEST_IMAGES=dockerfile` takes those that the Dockerfile compiles, which takes minutes.
pub fn images() -> Result<&'static Images, String> {
    static IMAGES: OnceLock<Result<Images, String>> = OnceLock::new();
    let make = || {
        if compiled_by_dockerfile() {
            return images_of_dockerfile().cloned();
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
        // Programs of a newer system than the images' may not run in them.
        let said = text(&output.stderr);
        eprintln!("the Dockerfile compiles, since this build's programs cannot be used: {said}");
        images_of_dockerfile().cloned()
    };
    IMAGES.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// Whether tests take the images that the Dockerfile compiles.
pub fn compiled_by_dockerfile() -> bool {
    std::env::var("TEST_IMAGES").is_ok_and(|from| from == "dockerfile")
}

/// The revision in the labels of the images that the Dockerfile compiles, and in their programs.
pub const REVISION: &str = "0123456789ab";

/// The images that the Dockerfile compiles, built once; or why there can be none.
///
/// With `TEST_IMAGES_OPT_LEVEL=0` it compiles them in less time. The variable is not Cargo's own, which would compile this
/// package's dependencies once more.
pub fn images_of_dockerfile() -> Result<&'static Images, String> {
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
        let said = text(&output.stderr);
        assert!(
            output.status.success(),
            "the images cannot be built: {said}"
        );
        Ok(images_tagged(tag))
    };
    IMAGES.get_or_init(build).as_ref().map_err(Clone::clone)
}

/// The images of one build.
#[derive(Clone, Debug)]
pub struct Images {
    tag: &'static str,
    /// Service and image.
    pub names: [(&'static str, String); 3],
}

impl Images {
    /// The image of a service.
    pub fn of(&self, service: &str) -> &str {
        let image = self.names.iter().find(|(name, _)| *name == service);
        &image.expect("it is a service").1
    }
}

/// The compose file, as compose reads it.
pub fn settings_of_stack() -> serde_json::Value {
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
    let answers =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !answers(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"])) {
        return Err("no container engine answers".to_owned());
    }
    if !answers(compose(folders::root()).arg("version")) {
        return Err("docker compose is not installed".to_owned());
    }
    Ok(())
}

/// `docker …`, which must succeed. Returns what it printed.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker can be run");
    assert!(
        output.status.success(),
        "docker {arguments:?} failed: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
