//! The flag `--licenses`.

use std::io::Write;

use clap::{Arg, ArgAction};

/// The licences of the crates in the programs, written by `just licenses`.
const LICENSES: &str = include_str!("../third-party-licenses.txt");

pub(crate) const LICENSES_FLAG: &str = "licenses";

pub(crate) fn licenses_flag() -> Arg {
    Arg::new(LICENSES_FLAG)
        .long(LICENSES_FLAG)
        .action(ArgAction::SetTrue)
        .exclusive(true)
        .help("Print the licences of this program and of all that is compiled into it")
}

pub(crate) fn print_licenses() -> ! {
    // Whoever reads only the beginning, as `head` does, has seen enough.
    let _ = std::io::stdout().write_all(LICENSES.as_bytes());
    std::process::exit(0)
}
