//! The whole voting application in one process, started by `cargo run`; uses embedded storage by default.

use std::{io, net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use cli::build;
use service::lifecycle;
use telemetry::TelemetrySettings;
use voting_app::{Config, Listeners, Settings};
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
    /// Administration of votes and dead letters, while the application runs
    #[command(subcommand)]
    Admin(admin::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Common(command)) => command.run(&cli.settings.addresses.of_services()),
        Some(Command::Admin(command)) => Box::pin(command.run(&cli.settings.worker()?)).await,
        None => serve(cli).await,
    }
}

async fn serve(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.telemetry, "voting-app")?;
    let config = cli.settings.config()?;
    let listeners = cli.settings.addresses.bind().await?;
    print_addresses(&config, &listeners)?;
    voting_app::run(config, listeners, lifecycle::shutdown_signal()?).await
}

/// Prints the URLs of the services and the location of the data.
fn print_addresses(config: &Config, listeners: &Listeners) -> io::Result<()> {
    println!("vote    {}", url(listeners.vote.public.local_addr()?));
    println!("result  {}", url(listeners.result.public.local_addr()?));
    let worker = url(listeners.worker.local_addr()?);
    println!("worker  {worker}  (probes and metrics)");
    let queue = config.worker.queue.url.to_string();
    let store = config.worker.store.url.to_string();
    if queue == store {
        println!("data    {queue}");
    } else {
        println!("data    queue in {queue}, votes in {store}");
    }
    Ok(())
}

/// The URL of this address for a browser on this machine.
fn url(address: SocketAddr) -> String {
    match address {
        local if local.ip().is_loopback() || local.ip().is_unspecified() => {
            format!("http://localhost:{}", local.port())
        }
        other => format!("http://{other}"),
    }
}
