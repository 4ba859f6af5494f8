//! Real proxies in front of the services, each with a complete configuration.

use std::{
    fmt, fs,
    net::TcpStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{TIMEOUT, find_program, folders, free_port, server::Server};

/// The host of the voting page in the configurations of the guide for operators.
pub const HOST: &str = "poll.example.org";

/// The guide for operators, which has a configuration for each proxy.
const GUIDE: &str = "docs/operations.md";

/// The proxy software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    Nginx,
    Apache,
    Haproxy,
    Caddy,
    Varnish,
}

/// A configuration of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// The minimal configuration, with the default `Host` of the proxy.
    Bare,
    /// A common nginx configuration: `Host` without the port.
    HostWithoutPort,
    /// In front of the result page, with buffering of responses.
    Buffering,
    /// The configuration in the guide for operators.
    Guide,
    /// Both pages on one host, under path prefixes that the proxy strips.
    PathRemoved,
    /// Both pages on one host, under path prefixes that the proxy keeps.
    PathKept,
}

/// All supported combinations.
pub const ALL: [(Software, Configuration); 10] = [
    (Software::Nginx, Configuration::Bare),
    (Software::Nginx, Configuration::HostWithoutPort),
    (Software::Nginx, Configuration::Guide),
    (Software::Apache, Configuration::Bare),
    (Software::Apache, Configuration::Guide),
    (Software::Haproxy, Configuration::Bare),
    (Software::Haproxy, Configuration::Guide),
    (Software::Caddy, Configuration::Bare),
    (Software::Caddy, Configuration::Guide),
    (Software::Varnish, Configuration::Bare),
];

/// A running proxy.
pub struct Proxy {
    pub port: u16,
    _server: Server,
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Proxy {
    /// Starts a proxy in front of the voting page and the result page with these URLs.
    pub fn start(
        software: Software,
        configuration: Configuration,
        vote: &str,
        result: &str,
    ) -> Result<Self, String> {
        let program = program(software)?;
        let port = free_port();
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let (vote, result) = (address(vote), address(result));
        let text = match configuration {
            Configuration::Guide => from_guide(software, port, &vote, &result),
            Configuration::PathRemoved => with_prefixes(software, port, &vote, &result, true),
            Configuration::PathKept => with_prefixes(software, port, &vote, &result, false),
            Configuration::Bare => minimal(software, port, &vote, ""),
            // nginx buffers over HTTP/1.0, its default; over HTTP/1.1 it forwards each chunk.
            Configuration::Buffering => minimal(
                software,
                port,
                &result,
                "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
            ),
            Configuration::HostWithoutPort => {
                minimal(software, port, &vote, "proxy_set_header Host $host;")
            }
        };
        let server = Server::process(
            "proxy",
            |folder, _| {
                let text = complete(software, folder, &text);
                fs::write(folder.join("configuration"), text).map_err(|error| error.to_string())
            },
            |folder| command(software, &program, folder, port),
        )?;
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "{software} does not start: {}",
                server.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            port,
            _server: server,
        })
    }
}

/// The path of the proxy program.
fn program(software: Software) -> Result<PathBuf, String> {
    let (name, package) = match software {
        Software::Nginx => ("nginx", "nginx"),
        Software::Apache => ("apache2", "apache2"),
        Software::Haproxy => ("haproxy", "haproxy"),
        Software::Caddy => ("caddy", "caddy"),
        Software::Varnish => ("varnishd", "varnish"),
    };
    find_program(name, &["/usr/sbin".into()])
        .ok_or_else(|| format!("there is no {name}; install it (Debian: {package})"))
}

/// The minimal part of a configuration that forwards requests.
fn minimal(software: Software, port: u16, vote: &str, more: &str) -> String {
    match software {
        Software::Nginx => format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{vote}; {more} }} }}"
        ),
        Software::Apache => format!("Listen 127.0.0.1:{port}\nProxyPass / http://{vote}/\n"),
        // With the default health check: OPTIONS without a Host.
        Software::Haproxy => format!(
            "listen vote\n    bind 127.0.0.1:{port}\n    option httpchk\n    server vote1 {vote} check inter 100ms\n"
        ),
        Software::Caddy => format!("http://{HOST}:{port} {{\n\treverse_proxy {vote}\n}}\n"),
        Software::Varnish => {
            let (host, upstream) = vote.split_once(':').expect("an address has a port");
            format!("vcl 4.1;\nbackend default {{ .host = \"{host}\"; .port = \"{upstream}\"; }}\n")
        }
    }
}

/// The part of a configuration that serves the pages at `/vote/` and `/result/`.
fn with_prefixes(
    software: Software,
    port: u16,
    vote: &str,
    result: &str,
    is_stripped: bool,
) -> String {
    let each = |write: &dyn Fn(&str, &str) -> String| {
        [("vote", vote), ("result", result)].map(|(name, address)| write(name, address))
    };
    match software {
        Software::Nginx => {
            let slash = if is_stripped { "/" } else { "" };
            let locations = each(&|name, address| {
                format!(
                    "location /{name}{slash} {{ proxy_pass http://{address}{slash}; proxy_http_version 1.1; proxy_buffering off; }}"
                )
            });
            format!(
                "server {{ listen 127.0.0.1:{port}; {} }}",
                locations.concat()
            )
        }
        Software::Apache => {
            let passes = each(&|name, address| {
                let (from, to) = if is_stripped {
                    (format!("/{name}/"), String::from("/"))
                } else {
                    (format!("/{name}"), format!("/{name}"))
                };
                format!("ProxyPass {from} http://{address}{to} flushpackets=on\n")
            });
            format!("Listen 127.0.0.1:{port}\n{}", passes.concat())
        }
        Software::Haproxy => {
            let rule = |name: &str| {
                let rule = format!("    http-request replace-path /{name}/(.*) /\\1\n");
                if is_stripped { rule } else { String::new() }
            };
            let uses =
                each(&|name, _| format!("    use_backend {name} if {{ path_beg /{name} }}\n"));
            let backends = each(&|name, address| {
                let check = "    option httpchk\n";
                format!(
                    "backend {name}\n{check}{}    server {name}1 {address} check inter 100ms\n",
                    rule(name)
                )
            });
            format!(
                "frontend web\n    bind 127.0.0.1:{port}\n{}{}",
                uses.concat(),
                backends.concat()
            )
        }
        Software::Caddy => {
            let handles = each(&|name, address| {
                let (handle, path) = if is_stripped {
                    ("handle_path", format!("/{name}/*"))
                } else {
                    ("handle", format!("/{name}*"))
                };
                format!("\t{handle} {path} {{\n\t\treverse_proxy {address}\n\t}}\n")
            });
            format!("http://{HOST}:{port} {{\n{}}}\n", handles.concat())
        }
        Software::Varnish => unreachable!("Varnish is not tested with path prefixes"),
    }
}

/// The configuration in the guide for operators, with the ports of the test and without certificates.
fn from_guide(software: Software, port: u16, vote: &str, result: &str) -> String {
    let language = software.to_string().to_lowercase();
    let text = snippet(&language);
    let listen_lines = match software {
        Software::Nginx => [("listen 80;".to_owned(), format!("listen 127.0.0.1:{port};"))],
        Software::Apache => [("*:80>".to_owned(), format!("127.0.0.1:{port}>"))],
        Software::Haproxy => [("bind :80\n".to_owned(), format!("bind 127.0.0.1:{port}\n"))],
        Software::Caddy => [(
            ".example.org {".to_owned(),
            format!(".example.org:{port} {{"),
        )],
        Software::Varnish => unreachable!("the guide has no Varnish configuration"),
    };
    let upstreams = [
        ("127.0.0.1:8080".to_owned(), vote.to_owned()),
        ("127.0.0.1:8081".to_owned(), result.to_owned()),
    ];
    let text = upstreams
        .into_iter()
        .chain(listen_lines)
        .fold(text, |text, (from, to)| {
            assert!(
                text.contains(&from),
                "the configuration in the guide of {language} has no {from:?}"
            );
            text.replace(&from, &to)
        });
    match software {
        Software::Apache => format!("Listen 127.0.0.1:{port}\n{text}"),
        // With the scheme http, because Caddy requests certificates otherwise.
        Software::Caddy => ["poll", "result"].iter().fold(text, |text, name| {
            text.replace(
                &format!("{name}.example.org:"),
                &format!("http://{name}.example.org:"),
            )
        }),
        _ => text,
    }
}

/// The code block of this language in the guide for operators.
pub fn snippet(language: &str) -> String {
    let readme = fs::read_to_string(folders::root().join(GUIDE)).expect("the guide is readable");
    let block = readme.split(&format!("```{language}\n")).nth(1);
    let block = block.unwrap_or_else(|| panic!("the guide has no code block of {language}"));
    block.split("```").next().unwrap_or_default().to_owned()
}

/// The complete configuration of a proxy that runs in this folder.
fn complete(software: Software, folder: &Path, text: &str) -> String {
    let folder = folder.display();
    match software {
        Software::Nginx => {
            let temp_folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
            let temp_folders: String = temp_folders
                .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
                .concat();
            format!(
                "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temp_folders}{text}\n}}\n"
            )
        }
        Software::Apache => {
            let modules = ["mpm_event", "authz_core", "headers", "proxy", "proxy_http"];
            let modules: String = modules
                .map(|name| {
                    format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
                })
                .concat();
            format!(
                "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nDefaultRuntimeDir {folder}\n\
                 ErrorLog /dev/stderr\n{modules}{text}"
            )
        }
        Software::Haproxy => format!(
            "defaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n{text}"
        ),
        Software::Caddy => format!("{{\n\tadmin off\n}}\n{text}"),
        Software::Varnish => text.to_owned(),
    }
}

/// The command line that starts a proxy.
fn command(software: Software, program: &Path, folder: &Path, port: u16) -> Vec<String> {
    let program = program.display().to_string();
    let configuration = folder.join("configuration").display().to_string();
    let home = format!("HOME={}", folder.display());
    let listen_address = format!("127.0.0.1:{port}");
    let work = folder.join("work").display().to_string();
    let words: Vec<&str> = match software {
        Software::Nginx => vec![&program, "-e", "stderr", "-c", &configuration],
        Software::Apache => vec![&program, "-D", "FOREGROUND", "-f", &configuration],
        Software::Haproxy => vec![&program, "-db", "-f", &configuration],
        Software::Caddy => vec![
            "env",
            &home,
            &program,
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            &configuration,
        ],
        Software::Varnish => vec![
            &program,
            "-F",
            "-j",
            "none",
            "-a",
            &listen_address,
            "-f",
            &configuration,
            "-n",
            &work,
            "-s",
            "malloc,16m",
        ],
    };
    words.into_iter().map(str::to_owned).collect()
}
