//! The worker, as a process of its own.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use shared::{build, cli, lifecycle, settings::ListenSettings, telemetry};
use worker::admin;

/// Moves ballots from the queue into the store, and counts them.
#[derive(Parser)]
#[command(name = "worker", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: worker::Settings,
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    telemetry: telemetry::TelemetrySettings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Common(cli::Command),
    /// Look after the votes and the dead letters, while the services run
    #[command(subcommand)]
    Admin(admin::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let address = cli.listen.address(worker::DEFAULT_PORT);
    match &cli.command {
        Some(Command::Common(command)) => return command.run(&[address]),
        Some(Command::Admin(command)) => return command.run(&cli.settings.config()?).await,
        None => {}
    }
    telemetry::init(&cli.telemetry, "worker")?;
    let config = cli.settings.config()?;
    let listener = lifecycle::listen(address)
        .await
        .context(cli.listen.variable())?;
    tracing::info!(address = %listener.local_addr()?, "worker listens for probes");
    worker::run(config, listener, lifecycle::shutdown_signal()?).await
}
