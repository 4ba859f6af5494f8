//! WebDriver servers, which drive browsers.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use super::{TIMEOUT, free_port, server::Server};

/// A running WebDriver server.
pub struct WebDriverServer {
    pub url: String,
    server: Server,
}

impl WebDriverServer {
    /// Starts the server with this name and command, and waits until it accepts connections.
    pub fn start(name: &str, command: Vec<String>) -> Result<Self, String> {
        let port = free_port();
        let server = Server::process(
            name,
            |_, _| Ok(()),
            |folder| {
                // Profiles are created in the server's folder, which is removed at the end.
                let folder = folder.display();
                let environment = ["TMPDIR", "HOME", "XDG_RUNTIME_DIR"]
                    .map(|variable| format!("{variable}={folder}"));
                let mut line = vec!["env".to_owned()];
                line.extend(environment);
                line.extend(command);
                line.push(format!("--port={port}"));
                line
            },
        )?;
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{name} does not start: {}", server.log()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            server,
        })
    }

    /// Returns the output of the server and its browser.
    pub fn log(&self) -> String {
        self.server.log()
    }
}
