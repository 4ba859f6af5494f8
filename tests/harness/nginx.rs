//! A real nginx in front of a service.

use std::{
    net::TcpStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{
    PATIENCE, free_port,
    server::{Server, find_program},
};

/// A running nginx. It ends with this value.
pub struct Nginx {
    pub url: String,
    _server: Server,
}

impl Nginx {
    /// One whose `location /` has these directives.
    pub fn start(directives: &str) -> Result<Self, String> {
        let program = find_program("nginx", &[PathBuf::from("/usr/sbin")])
            .ok_or("there is no nginx; install it (Debian: nginx-light)")?;
        let port = free_port();
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{}}
             http {{
                 access_log off;
                 client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                 uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                 server {{ listen 127.0.0.1:{port}; location / {{ {directives} }} }}
             }}"
        );
        let server = Server::process(
            "nginx",
            |folder, _| {
                std::fs::write(folder.join("nginx.conf"), configuration)
                    .map_err(|error| error.to_string())
            },
            |folder| {
                let folder = folder.display();
                let program = program.display().to_string();
                let file = format!("{folder}/nginx.conf");
                let own = format!("{folder}/");
                vec![program, "-p".into(), own, "-c".into(), file]
            },
        )?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("the nginx of this machine does not start".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            _server: server,
        })
    }
}
