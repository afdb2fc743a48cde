//! Every command that a text of ours recommends can be typed as it stands there.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Args;

/// Where sentences are made that people read at a gate, in a refusal or in a notice.
const ROOMS: [&str; 5] = ["change/src", "engine/src", "server/src", "store/src", "drivers/src"];

#[test]
fn every_command_that_a_text_recommends_runs_as_it_is_written() {
    let (mut found, mut wrong) = (0, Vec::new());
    for file in ROOMS.iter().flat_map(|room| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(room))) {
        let text = std::fs::read_to_string(&file).expect("our own source");
        for command in text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(recommended) {
            found += 1;
            if let Err(error) = Args::try_parse_from(&command) {
                let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
                // The name of a command alone says which one is meant.
                let is_named =
                    command.len() <= 3 && command.iter().skip(1).all(|word| word.chars().all(char::is_lowercase));
                if !is_help && !is_named {
                    wrong.push(format!("{}: {command:?}: {error}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 20, "only {found} commands were found");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("our own folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    here.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The commands in backquotes of a line, with something in each place that is filled.
fn recommended(line: &str) -> Vec<Vec<String>> {
    let parts = line.split('`').filter(|part| part.starts_with("clearway ") && !part.contains("=> "));
    parts.map(words).collect()
}

fn words(command: &str) -> Vec<String> {
    let filled = |word: &str| match word {
        "{given}" | "{now}" | "N" => "1".to_owned(),
        word if word.contains('{') => {
            word.replacen(&word[word.find('{').unwrap_or(0)..=word.find('}').unwrap_or(word.len() - 1)], "CHG-7", 1)
        }
        word => word.replace("\\\"", ""),
    };
    let mut filled: Vec<String> = command.split_whitespace().map(filled).collect();
    let until = filled.iter().position(|word| word == "--until").map(|at| at + 1);
    if let Some(time) = until.and_then(|at| filled.get_mut(at)).filter(|word| *word == "CHG-7") {
        *time = "2026-12-01T09:00Z".to_owned();
    }
    filled
}
