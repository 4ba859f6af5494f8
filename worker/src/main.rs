//! The worker as a separate process.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::build;
use service::lifecycle;
use telemetry::TelemetrySettings;
use web::settings::ListenSettings;
use worker::admin;

/// Reads ballots from the queue and stores and counts them.
#[derive(Parser)]
#[command(name = "worker", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: worker::Settings,
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Common(cli::Command),
    /// Administration of votes and dead letters, while the services run
    #[command(subcommand)]
    Admin(admin::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let addresses = cli.listen.addresses(worker::DEFAULT_PORT);
    match &cli.command {
        Some(Command::Common(command)) => command.run(&[addresses]),
        Some(Command::Admin(command)) => command.run(&cli.settings.config()?).await,
        None => serve(cli).await,
    }
}

async fn serve(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.telemetry, "worker")?;
    let config = cli.settings.config()?;
    let listeners = cli.listen.bind("worker", worker::DEFAULT_PORT).await?;
    worker::run(config, listeners, lifecycle::shutdown_signal()?).await
}
