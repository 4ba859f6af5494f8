//! Program that serves the voting page and its API.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::build;
use service::lifecycle;
use vote::seed::{self, SeedSettings};
use web::settings::ListenSettings;

/// A vote allocates memory dozens of times and frees it on another thread. With glibc this took a fifth of the CPU time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The voting page and its API: accepts votes and queues them durably.
#[derive(Parser)]
#[command(name = "vote", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: vote::Settings,
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
    /// Cast example votes at a voting page, each by a new voter
    Seed(SeedSettings),
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let addresses = cli.listen.addresses(vote::DEFAULT_PORT);
    match &cli.command {
        Some(Command::Common(command)) => command.run(&[addresses]),
        Some(Command::Seed(settings)) => seed::seed(settings).await,
        None => serve(cli).await,
    }
}

async fn serve(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.telemetry, "vote")?;
    let config = cli.settings.config()?;
    let listeners = cli.listen.bind("vote", vote::DEFAULT_PORT).await?;
    vote::run(config, listeners, lifecycle::shutdown_signal()?).await
}
