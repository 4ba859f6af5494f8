//! What somebody sees who runs this service alone.

use std::process::Command;

#[test]
fn help_lists_where_it_listens_and_version_the_revision() {
    let said = |argument| {
        let output = Command::new(env!("CARGO_BIN_EXE_vote"))
            .arg(argument)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let help = said("--help");
    for variable in [
        "LISTEN_ADDR",
        "PORT",
        "DATA_DIR",
        "POLL_OPTIONS",
        "DRAIN_DELAY",
        "LOG_FORMAT",
    ] {
        assert!(
            help.contains(&format!("[env: {variable}=")),
            "{variable} is missing in {help}"
        );
    }
    assert_eq!(
        said("--version").trim(),
        format!("vote {}", shared::build::LONG)
    );
}
