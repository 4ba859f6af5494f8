//! Compares the tables of settings in `docs/configuration.md` with the settings in the code.

use std::{env, fmt::Write, fs};

use clap::{Arg, Args, Command};
use telemetry::TelemetrySettings;
use web::settings::ListenSettings;

use crate::harness::folders::root;

const FILE: &str = "docs/configuration.md";
/// With this variable set the tables are written instead of compared.
const UPDATE: &str = "UPDATE_CONFIGURATION_TABLES";
/// The generated part of the file is between these lines.
const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->\n";
const LOAD_HEADING: &str = "Load generator";

#[test]
fn the_tables_of_settings_are_those_of_the_code() {
    let path = root().join(FILE);
    let file = fs::read_to_string(&path).expect("the file is there");
    let (before, rest) = file.split_once(BEGIN).expect("the tables begin");
    let (tables, after) = rest.split_once(END).expect("the tables end");
    let expected = [service_tables(), load_table()].concat();
    if env::var_os(UPDATE).is_some() {
        let content = [before, BEGIN, &expected, END, after].concat();
        fs::write(&path, content).expect("the file can be written");
    } else {
        assert_eq!(
            tables, expected,
            "{FILE} differs from the code; run this test with {UPDATE}=1"
        );
    }
}

/// A setting with the programs that have it.
struct Row {
    heading: String,
    arg: Arg,
    programs: Vec<&'static str>,
}

/// The programs that serve, with their settings.
fn services() -> [(&'static str, Command); 4] {
    let service = |command| {
        let command = ListenSettings::augment_args(command);
        TelemetrySettings::augment_args(command)
    };
    let all = voting_app::Settings::augment_args(Command::new("voting-app"));
    [
        (
            "vote",
            service(vote::Settings::augment_args(Command::new("vote"))),
        ),
        (
            "result",
            service(result::Settings::augment_args(Command::new("result"))),
        ),
        (
            "worker",
            service(worker::Settings::augment_args(Command::new("worker"))),
        ),
        ("voting-app", TelemetrySettings::augment_args(all)),
    ]
}

/// The settings of the services: one table per heading of `--help`.
fn service_tables() -> String {
    let services = services();
    let mut rows = Vec::<Row>::new();
    for (program, command) in &services {
        for arg in command.get_arguments() {
            match rows.iter_mut().find(|row| row.arg.get_id() == arg.get_id()) {
                Some(row) => {
                    assert_eq!(
                        description(&row.arg),
                        description(arg),
                        "{program} describes {} differently",
                        arg.get_id()
                    );
                    row.programs.push(program);
                }
                None => rows.push(Row {
                    heading: arg.get_help_heading().unwrap_or("Other").to_owned(),
                    arg: arg.clone(),
                    programs: vec![program],
                }),
            }
        }
    }
    let mut headings = Vec::<&str>::new();
    for row in &rows {
        if !headings.contains(&row.heading.as_str()) {
            headings.push(&row.heading);
        }
    }
    let mut tables = String::new();
    for heading in headings {
        table_head(&mut tables, heading, "programs");
        for row in rows.iter().filter(|row| row.heading == heading) {
            let programs = if row.programs.len() == services.len() {
                "all".to_owned()
            } else {
                row.programs.join(", ")
            };
            let variable = row
                .arg
                .get_env()
                .expect("every setting of a service is an environment variable")
                .to_string_lossy();
            table_row(&mut tables, &row.arg, &variable, &programs);
        }
    }
    tables
}

/// The settings of `load`, of which some are flags alone.
fn load_table() -> String {
    let command = load::Settings::augment_args(Command::new("load"));
    let mut table = String::new();
    table_head(&mut table, LOAD_HEADING, "flag");
    for arg in command.get_arguments() {
        let variable = arg
            .get_env()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let flag = arg.get_long().expect("every setting is a flag");
        table_row(&mut table, arg, &variable, &format!("`--{flag}`"));
    }
    table
}

fn table_head(table: &mut String, heading: &str, column: &str) {
    write!(
        table,
        "\n## {heading}\n\n| variable | default | {column} | meaning |\n|---|---|---|---|\n"
    )
    .expect("a string takes all");
}

fn table_row(table: &mut String, arg: &Arg, variable: &str, column: &str) {
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let [variable, default] = [variable, &defaults.join(",")].map(|text| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    });
    let cells = [variable, default, column.to_owned(), description(arg)];
    let line = cells.map(|cell| format!("| {cell} ").replace("|  ", "| "));
    writeln!(table, "{}|", line.concat()).expect("a string takes all");
}

/// The help text and the possible values of a setting, as Markdown.
fn description(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut text = escape(help.trim());
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), escape(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        write!(text, ". Values: {}", values.join(", ")).expect("a string takes all");
    }
    text
}

/// Plain text as Markdown that shows it unchanged in a cell of a table, with URLs as code.
fn escape(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().map(escape_word).collect();
    words.join(" ")
}

fn escape_word(word: &str) -> String {
    let url = word.trim_end_matches([',', '.', ';', ')']);
    if url.contains("://") {
        return format!("`{url}`{}", &word[url.len()..]);
    }
    let special = |character| matches!(character, '\\' | '|' | '*' | '<' | '[' | ']' | '`');
    let mut escaped = String::new();
    for character in word.chars() {
        if special(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
