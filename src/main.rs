//! `cargo run`: the whole voting application, on embedded storage unless set otherwise.

use std::{net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use cli::build;
use service::lifecycle;
use telemetry::TelemetrySettings;
use voting_app::Settings;
use worker::admin;

/// The whole voting application in one process: voting page, worker and result page.
#[derive(Parser)]
#[command(name = "voting-app", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Common(cli::Command),
    /// Look after the votes and the dead letters, while the application runs
    #[command(subcommand)]
    Admin(admin::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli {
        settings,
        telemetry,
        command,
    } = cli;
    match &command {
        Some(Command::Common(command)) => return command.run(&settings.addresses.of_services()),
        Some(Command::Admin(command)) => {
            return Box::pin(command.run(&settings.worker()?)).await;
        }
        None => {}
    }
    telemetry::init(&telemetry, "voting-app")?;
    let config = settings.config()?;
    let listeners = settings.addresses.bind().await?;
    println!("vote    {}", url(listeners.vote.public.local_addr()?));
    println!("result  {}", url(listeners.result.public.local_addr()?));
    println!(
        "worker  {}  (probes and metrics)",
        url(listeners.worker.local_addr()?)
    );
    let (queue, store) = (
        config.worker.queue.url.to_string(),
        config.worker.store.url.to_string(),
    );
    println!(
        "data    {}",
        if queue == store {
            queue
        } else {
            format!("queue in {queue}, votes in {store}")
        }
    );
    voting_app::run(config, listeners, lifecycle::shutdown_signal()?).await
}

/// An address that a browser on this machine can open.
fn url(address: SocketAddr) -> String {
    match address {
        local if local.ip().is_loopback() || local.ip().is_unspecified() => {
            format!("http://localhost:{}", local.port())
        }
        other => format!("http://{other}"),
    }
}
