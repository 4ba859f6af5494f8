//! Benchmarks of the services. Each figure is compared with a limit that is measured in the same run: what a minimal
//! program reaches at that stage on this machine. `cargo bench` runs all scenarios, `cargo bench -- --quick` small
//! versions of them, and `cargo bench -- vote worker` the scenarios with these names.
//!
//! `--original=ADDRESS:PORT` compares the original voting page with ours (`benches/original.sh` starts it).
//! `--programs=FOLDER` takes the services from that folder instead of building them, to compare two builds.
//!
//! The servers and the release builds of the services are real, and the clients run in a process of their own. The
//! speed is printed and never fails the run; the exit code says whether everything worked and no vote was lost.

mod client;
mod http;
mod limit;
mod report;
mod rounds;
mod scenarios;
mod servers;
mod service;
mod store;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};

use report::Report;
use scenarios::{SCENARIOS, Scale};

fn main() -> ExitCode {
    // `cargo bench` adds this argument.
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let outcome = match &arguments[..] {
        [role, task] if role == client::ROLE => client::run(task),
        [role, task] if role == limit::ROLE => limit::run(task),
        _ => measure(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> anyhow::Result<()> {
    let (mut scale, mut programs, mut names) = (Scale::default(), None, Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            _ if argument == "--quick" => scale.quick = true,
            Some(("--programs", folder)) => programs = Some(PathBuf::from(folder)),
            Some(("--original", address)) => scale.original = Some(address.parse()?),
            _ if SCENARIOS.iter().any(|(name, _)| name == argument) => names.push(argument),
            _ => {
                let known: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                bail!(
                    "{argument:?} is unknown; the arguments are --quick, --programs=FOLDER, --original=ADDRESS:PORT and {known}"
                );
            }
        }
    }
    service::set_program_dir(programs.map_or_else(service::build, Ok)?);
    for (name, run) in SCENARIOS {
        let is_possible = name != "original" || scale.original.is_some();
        if is_possible && (names.is_empty() || names.iter().any(|wanted| *wanted == name)) {
            eprintln!("{name}");
            let mut report = Report::new(name, scale);
            run(scale, &mut report).with_context(|| format!("{name} cannot be measured"))?;
            print!("{report}");
            report.save()?;
        }
    }
    Ok(())
}
