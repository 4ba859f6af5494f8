//! The `load` program.

use std::{fs::File, process::ExitCode};

use anyhow::{Context, bail};
use clap::Parser;
use cli::build;
use load::{Config, Load, Observer, Report, Settings};
use service::lifecycle;

const RULES: &str = "\
Rules; each violation is one line that begins with:
  VIOLATION lost            a voter's accepted vote is not counted, nor is a newer one
  VIOLATION outdated        the stored vote is older than its voter's newest accepted vote
  VIOLATION phantom         the stored vote cannot have been cast by its voter
  VIOLATION unknown         a new vote is stored for a voter who did not take part
  VIOLATION changed         a vote that was stored before the run is missing or different
  VIOLATION id-order        a voter's newer vote was accepted with the lower ballot id
  VIOLATION voter-mismatch  a cookie was not recognised: all replicas need the same COOKIE_KEY
  VIOLATION tally           the stored tally differs from the stored votes
  VIOLATION reported-tally  the result page shows an impossible tally";

/// Casts votes as many voters do and then verifies that no accepted vote is lost. No other votes may be cast during the
/// run. The exit code is 0 only if every rule holds. The votes stay in the deployment.
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
    let observer = Observer::new(config.result.clone(), config.store.as_ref()).await?;
    let baseline = observer.observe_baseline().await?;
    print_start(&config, baseline.reported.total);
    let load = Load::run(&config.load, stop).await?;
    println!("waiting for the result");
    let verdict = observer
        .settle(&load.history, &baseline, config.settle)
        .await?;
    let report = Report::new(config.load.seed, &load, &baseline, &verdict);
    for violation in &report.violations {
        println!("VIOLATION {}", violation.text);
    }
    println!("{report}");
    if let Some(path) = &config.json {
        let file = File::create(path).and_then(|mut file| {
            serde_json::to_writer_pretty(&mut file, &report)?;
            file.sync_all()
        });
        file.with_context(|| format!("cannot write {}", path.display()))?;
    }
    match report.violations.len() {
        0 if report.quiescent => Ok(()),
        0 => bail!(
            "the result is stale or still changes after {:?}",
            config.settle
        ),
        1 => bail!("found 1 violation"),
        count => bail!("found {count} violations"),
    }
}

fn print_start(config: &Config, votes_before: u64) {
    let load = &config.load;
    let urls: Vec<_> = load.vote.iter().map(ToString::to_string).collect();
    println!(
        "voting at {} with {} voters on {} connections, seed {}; {votes_before} votes before",
        urls.join(", "),
        load.voters,
        load.connections,
        load.seed
    );
}
