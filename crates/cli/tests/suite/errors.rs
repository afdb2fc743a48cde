//! Errors as scripts read them: with `--json` each is one object on standard error, whatever command it was and whatever went wrong.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::house::{program, text};

/// Runs a command without a server, and reads its error.
fn error_of(arguments: &[&str], dir: &tempfile::TempDir) -> (Output, Value) {
    let mut command = program();
    command.arg("--json").arg("--dir").arg(dir.path().join("store")).current_dir(dir.path()).args(arguments);
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let object: Value = said
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("{arguments:?}: no object in `{said}`"));
    let fields: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        fields.into_iter().collect::<Vec<_>>(),
        ["exit_code", "hint", "kind", "message"],
        "{arguments:?}: {object}"
    );
    assert_eq!(object["exit_code"].as_i64(), output.status.code().map(i64::from), "{arguments:?}: {object}");
    assert!(object["message"].as_str().is_some_and(|message| !message.trim().is_empty()), "{arguments:?}: {object}");
    assert!(object["hint"].as_str().is_none_or(|hint| !hint.trim().is_empty()), "{arguments:?}: {object}");
    (output, object)
}

fn kind(arguments: &[&str], dir: &tempfile::TempDir) -> String {
    error_of(arguments, dir).1["kind"].as_str().expect("a kind").to_owned()
}

/// The commands that ask a server, as they are called. `wait` is not one of them: it waits for the server too.
const ASK_A_SERVER: &[&[&str]] = &[
    &["show", "CHG-7"],
    &["diff", "CHG-7"],
    &["list"],
    &["why", "CHG-7"],
    &["approve", "CHG-7"],
    &["reject", "CHG-7", "--reason", "r"],
    &["request-changes", "CHG-7", "--reason", "r"],
    &["take-back", "CHG-7"],
    &["pause", "CHG-7", "--reason", "r"],
    &["resume", "CHG-7"],
    &["promote", "CHG-7", "--reason", "r"],
    &["rollback", "CHG-7", "--reason", "r"],
    &["withdraw", "CHG-7"],
    &["begin", "CHG-7"],
    &["watch", "CHG-7"],
    &["log"],
    &["holds"],
    &["hold", "shop", "--for", "2h", "--reason", "r"],
    &["veto", "CHG-7", "--for", "2h", "--reason", "r"],
    &["on-call"],
    &["budget"],
    &["drivers"],
    &["calendar", "show"],
    &["calendar", "next", "CHG-7"],
    &["calendar", "except", "CHG-7", "--freeze", "f", "--grant", "--until", "2030-01-01T00:00Z"],
    &["release", "list"],
    &["release", "show", "REL-1"],
    &["release", "rollback", "REL-1", "--reason", "r"],
    &["standard", "list"],
    &["access", "list"],
    &["governance", "show"],
    &["policy", "explain", "CHG-7"],
    &["policy", "decisions"],
    &["token", "whoami"],
    &["catalog", "show", "shop"],
];

// D4: scripts read what went wrong without reading sentences.
#[test]
fn a_server_that_can_not_be_reached_is_one_object_to_every_command_that_asks_it() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let token = dir.path().join("token");
    std::fs::write(&token, "cw_a_b").expect("a token");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, private).expect("rights");
    let token = token.display().to_string();
    for command in ASK_A_SERVER {
        // A port at which nobody listens.
        let away = [&["--server", "http://127.0.0.1:9", "--token-file", &token], *command].concat();
        let (_, object) = error_of(&away, &dir);
        assert_eq!(object["kind"], "unreachable", "{command:?}: {object}");
        let (_, nowhere) = error_of(command, &dir);
        assert!(nowhere["hint"].is_string(), "who named no server is told how: {command:?}: {nowhere}");
    }
}

// D4
#[test]
fn a_command_line_that_is_not_understood_is_one_object_too() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    for arguments in [
        &["frobnicate"][..],
        &["show"],
        &["show", "nonsense"],
        &["hold", "shop", "--for", "2x", "--reason", "r"],
        &["calendar", "except", "CHG-7", "--freeze", "f"],
        &["calendar", "except", "CHG-7", "--freeze", "f", "--grant", "--revoke"],
        &["token", "create", "ada", "--may", "everything"],
        &["token", "create", "ada", "--feed", "--may", "read"],
        &["release"],
        &["list", "--nothing"],
        &["wait", "CHG-7", "--until", "never"],
    ] {
        let (output, object) = error_of(arguments, &dir);
        assert_eq!(
            (output.status.code(), &object["kind"]),
            (Some(2), &Value::from("usage")),
            "{arguments:?}: {object}"
        );
        assert!(object["hint"].is_string(), "{arguments:?}: {object}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output));
    }
    let mut plain = program();
    let plain = plain.args(["show"]).output().expect("the program runs");
    assert!(String::from_utf8_lossy(&plain.stderr).starts_with("error: "), "without `--json` people read sentences");
    let mut help = program();
    let help = help.args(["--json", "show", "--help"]).output().expect("the program runs");
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Usage:"), "help is no error");
}

// D4
#[test]
fn a_file_that_is_missing_or_broken_is_one_object_with_its_kind() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    std::fs::write(dir.path().join("broken.yaml"), "title: [").expect("a file");
    std::fs::write(dir.path().join("empty.yaml"), "{}").expect("a file");
    for arguments in [
        &["check", "--offline", "nothing.yaml"][..],
        &["calendar", "check", "nowhere"],
        &["calendar", "show", "--governance", "nowhere"],
        &["calendar", "next", "nothing.yaml", "--governance", "nowhere"],
        &["catalog", "check", "nowhere"],
        &["policy", "test", "nowhere"],
        &["judge", "--evidence", "nothing.csv"],
        &["import", "nothing.json"],
        &["serve", "--config", "nothing.toml"],
        &["audit", "verify", "--store", "nowhere"],
    ] {
        error_of(arguments, &dir);
    }
    for arguments in [&["check", "--offline", "broken.yaml"][..], &["check", "--offline", "empty.yaml"]] {
        let output = program().arg("--json").current_dir(dir.path()).args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", text(&output));
    }
    assert_eq!(kind(&["calendar", "show", "--tz", "Mars/Base", "--governance", "nowhere"], &dir), "invalid");
}

// X13: an error quotes what it was given, and no secret of it.
#[test]
fn no_secret_stands_in_an_error() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let secret = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let (output, object) = error_of(&["show", &secret], &dir);
    assert!(!text(&output).contains(&secret), "{object}");
}
