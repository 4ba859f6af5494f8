//! The load generator, as a program.

use std::{fs::File, process::ExitCode};

use anyhow::{Context, bail};
use clap::Parser;
use cli::build;
use load::{Config, Load, Report, Settings, Watch};
use service::lifecycle;

const RULES: &str = "\
Rules, and what begins the line of one that is broken:
  VIOLATION lost        a voter's accepted vote is not counted, nor a newer one
  VIOLATION outdated    a vote stands that is older than its voter's newest accepted one
  VIOLATION never cast  a vote stands that its voter cannot have cast
  VIOLATION unknown     a vote stands of somebody who did not take part and was not there before
  VIOLATION changed     a vote that stood before is gone, or another one
  VIOLATION reversed    a voter's newer vote was accepted with the lower ballot id
  VIOLATION estranged   a voter was not recognised by its cookie: replicas need the same COOKIE_KEY
  VIOLATION tally       the running tally is not the votes counted
  VIOLATION shown       the result page shows what cannot be";

/// Votes as many voters do, on a deployment that nobody else votes on meanwhile, and then proves that no accepted vote is
/// lost: the exit code is 0 only if every rule holds. The votes stay in the deployment.
#[derive(Parser)]
#[command(name = "load", version = build::LONG, after_help = RULES)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    cli::exit_code(run(cli.settings).await)
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let config = settings.config()?;
    let stop = lifecycle::shutdown_signal()?;
    let watch = Watch::new(config.result.clone(), config.store.as_ref()).await?;
    let before = watch.before().await?;
    announce(&config, before.shown.total);
    let load = Load::run(&config.load, stop).await?;
    println!("waiting for the result");
    let verdict = watch.settle(&load.history, &before, config.settle).await?;
    let report = Report::new(config.load.seed, &load, &before, &verdict);
    for broken in &report.violations {
        println!("VIOLATION {}", broken.text);
    }
    println!("{report}");
    if let Some(path) = &config.json {
        let file = File::create(path).and_then(|mut file| {
            serde_json::to_writer_pretty(&mut file, &report)?;
            file.sync_all()
        });
        file.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match report.violations.len() {
        0 if report.at_rest => Ok(()),
        0 => bail!("the result had not come to rest after {:?}", config.settle),
        1 => bail!("1 rule is broken"),
        broken => bail!("{broken} rules are broken"),
    }
}

fn announce(config: &Config, before: u64) {
    let load = &config.load;
    let urls: Vec<_> = load.vote.iter().map(ToString::to_string).collect();
    println!(
        "voting at {} with {} voters on {} connections, seed {}; {before} votes before",
        urls.join(", "),
        load.voters,
        load.connections,
        load.seed
    );
}
