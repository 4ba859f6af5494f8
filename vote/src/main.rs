//! The voting page and its API, as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use shared::{build, cli, lifecycle, settings::ListenSettings, telemetry};

/// The voting page and its API: takes votes in and queues them durably.
#[derive(Parser)]
#[command(name = "vote", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: vote::Settings,
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    log: telemetry::LogSettings,
    #[command(subcommand)]
    command: Option<cli::Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let address = cli.listen.address(vote::DEFAULT_PORT);
    if let Some(command) = cli.command {
        return command.run(&[address]);
    }
    telemetry::init(&cli.log);
    let config = cli.settings.config()?;
    let listener = lifecycle::listen(address).await?;
    tracing::info!(address = %listener.local_addr()?, "vote listens");
    vote::run(config, listener, lifecycle::shutdown_signal()?).await
}
