//! The result page and its API, as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use cli::build;
use service::lifecycle;
use telemetry;
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
    telemetry: telemetry::TelemetrySettings,
    #[command(subcommand)]
    command: Option<cli::Command>,
}

#[tokio::main]
async fn main() -> ExitCode {
    cli::exit_code(run(cli::parse()).await)
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let addresses = cli.listen.addresses(result::DEFAULT_PORT);
    if let Some(command) = cli.command {
        return command.run(&[addresses]);
    }
    telemetry::init(&cli.telemetry, "result")?;
    let config = cli.settings.config()?;
    let listeners = cli.listen.bind("result", result::DEFAULT_PORT).await?;
    result::run(config, listeners, lifecycle::shutdown_signal()?).await
}
