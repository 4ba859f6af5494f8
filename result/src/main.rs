//! The result page and its API as a separate process.

use std::process::ExitCode;

use clap::Parser;
use cli::build;
use service::lifecycle;
use telemetry::TelemetrySettings;
use web::settings::ListenSettings;

/// The live result page and its API.
#[derive(Parser)]
#[command(name = "result", version = build::LONG)]
struct Cli {
    #[command(flatten)]
    settings: result::Settings,
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(subcommand)]
    command: Option<cli::Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let addresses = cli.listen.addresses(result::DEFAULT_PORT);
    match &cli.command {
        Some(command) => command.run(&[addresses]),
        None => serve(cli).await,
    }
}

async fn serve(cli: Cli) -> anyhow::Result<()> {
    telemetry::init(&cli.telemetry, "result")?;
    let config = cli.settings.config()?;
    let listeners = cli.listen.bind("result", result::DEFAULT_PORT).await?;
    result::run(config, listeners, lifecycle::shutdown_signal()?).await
}
