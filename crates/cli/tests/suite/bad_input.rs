//! Bad input: each gives a clear error, nothing is lost, and the log still verifies.

use std::os::unix::fs::PermissionsExt as _;

use crate::house::{House, program, text};

// A device has no size and no end, and what is read of it has.
#[test]
fn a_file_without_an_end_is_refused() {
    for command in ["check", "import"] {
        let refused = program().args([command, "/dev/zero"]).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(3), "{command}: {}", text(&refused));
        assert!(text(&refused).contains("the most that is read"), "{command}: {}", text(&refused));
    }
}

// LC1: what is missing or wrong is named in one clear error, all at once.
#[test]
fn every_problem_of_a_change_file_is_said_at_once() {
    let mut house = House::build(1, "good");
    house.start_server();
    let file = house.dir.path().join("wrong.yaml");
    let wrong = "titel: x
kind: cod
owner: nobody
services: []
environment: production
plan:
  strategy: canary
  target: {driver: rooter, backend: b0, canary: v2, stable: v1}
  steps: [{weight: 0%}, {weight: 50%, bake: soon}, {weight: 25%}]
verify: {slis: [ghost], on_insufficient: ignore}
rollback: maybe
";
    std::fs::write(&file, wrong).expect("the file");
    let checked = house.run(&["check", &file.display().to_string()]);
    assert_eq!(checked.status.code(), Some(3), "{}", text(&checked));
    let said = text(&checked);
    for wanted in
        ["`title` is missing", "did you mean `title`?", "`code`", "`soon`", "`hold`", "`rollback`", "the list is empty"]
    {
        assert!(said.contains(wanted), "`{wanted}` is missing:\n{said}");
    }
    // What the form allows but the names do not, all at once too.
    let names = wrong
        .replace("titel", "title")
        .replace("kind: cod", "kind: code")
        .replace("services: []", "services: [shop]")
        .replace(", bake: soon", "")
        .replace(", on_insufficient: ignore", "")
        .replace("rollback: maybe", "rollback: {automatic: true}");
    std::fs::write(&file, names).expect("the file");
    let proposed = house.run(&["propose", &file.display().to_string()]);
    assert_eq!(proposed.status.code(), Some(3), "{}", text(&proposed));
    let said = text(&proposed);
    for wanted in [
        "no driver `rooter`",
        "did you mean `router`?",
        "no user or group `nobody`",
        "no SLI `ghost`",
        "`0%` changes nothing",
        "does not rise",
        "end with a step of `100%`",
    ] {
        assert!(said.contains(wanted), "`{wanted}` is missing:\n{said}");
    }
    assert!(house.json(&["list"])["changes"].as_array().expect("rows").is_empty(), "nothing was proposed");
}

#[test]
fn huge_files_and_bombs_are_refused() {
    let mut house = House::build(1, "good");
    house.start_server();
    let file = house.dir.path().join("huge.yaml");
    std::fs::write(&file, "x".repeat(10 << 20)).expect("the file");
    let huge = house.run(&["propose", &file.display().to_string()]);
    assert_eq!(huge.status.code(), Some(3), "{}", text(&huge));
    assert!(text(&huge).contains("the most that is read"), "{}", text(&huge));
    std::fs::write(&file, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n").expect("the file");
    let bomb = house.run(&["propose", &file.display().to_string()]);
    assert_eq!(bomb.status.code(), Some(3), "{}", text(&bomb));
    assert!(text(&bomb).contains("aliases are not allowed"), "{}", text(&bomb));
}

#[test]
fn a_second_server_on_the_same_store_is_refused() {
    let mut house = House::build(1, "good");
    house.start_server();
    let second =
        program().arg("--dir").arg(house.store()).args(["serve", "--listen", "127.0.0.1:0"]).output().expect("it runs");
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    assert!(text(&second).contains("process"), "{}", text(&second));
    assert!(house.run(&["list"]).status.success(), "the first goes on");
}

#[test]
fn stores_that_are_broken_newer_or_not_ours_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let make = || {
        let verified = program().arg("--dir").arg(dir.path()).args(["admin", "rebuild"]).output().expect("it runs");
        assert!(verified.status.success(), "{}", text(&verified));
    };
    make();
    let database = dir.path().join("clearway.db");
    let whole = std::fs::read(&database).expect("the database");
    let open = || program().arg("--dir").arg(dir.path()).args(["admin", "rebuild"]).output().expect("it runs");

    std::fs::write(&database, &whole[..whole.len() / 2]).expect("written");
    let truncated = open();
    assert_eq!(truncated.status.code(), Some(1), "{}", text(&truncated));
    assert!(text(&truncated).contains("clearway.db"), "{}", text(&truncated));

    std::fs::write(
        &database,
        "this is no database, and long enough to have a header of a hundred bytes in it, so that SQLite looks at it",
    )
    .expect("written");
    let foreign = open();
    assert_eq!(foreign.status.code(), Some(1), "{}", text(&foreign));

    // The version of the schema is the big-endian word at offset 60 of the header.
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&999_u32.to_be_bytes());
    std::fs::write(&database, &newer).expect("written");
    let newer = open();
    assert_eq!(newer.status.code(), Some(1), "{}", text(&newer));
    assert!(text(&newer).contains("newer"), "{}", text(&newer));

    std::fs::write(&database, &whole).expect("written");
    make();
}

#[test]
fn a_token_that_others_can_read_is_not_used() {
    let mut house = House::build(1, "good");
    house.start_server();
    let token = house.store().join("token");
    let mode = std::fs::metadata(&token).expect("a token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the token that `serve` makes is its owner's alone");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).expect("rights");
    let refused = house.run(&["list"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("chmod 600"), "{}", text(&refused));
}

// LC8: an edit of the store behind the product's back is found.
#[test]
fn an_edited_table_or_entry_is_found_by_verification() {
    let mut house = House::build(1, "good");
    house.start_server();
    house.json(&["propose", &house.change_file("a.yaml", 0, "")]);
    house.wait_for("CHG-1", &["held"]);
    house.kill_server();
    let store = house.store().display().to_string();
    let verify = || program().args(["audit", "verify", "--store", &store]).output().expect("it runs");
    assert!(verify().status.success(), "{}", text(&verify()));
    let sql = |statement: &str| {
        let done = std::process::Command::new("sqlite3").arg(house.store().join("clearway.db")).arg(statement).output();
        crate::house::part("sqlite3", done.ok().filter(|o| o.status.success()).is_some())
    };
    if !sql("UPDATE changes SET title = 'innocent'") {
        return;
    }
    let edited = verify();
    assert_eq!(edited.status.code(), Some(8), "{}", text(&edited));
    assert!(text(&edited).contains("CHG-1"), "{}", text(&edited));
    assert!(
        program()
            .arg("--dir")
            .arg(house.store())
            .args(["admin", "rebuild"])
            .output()
            .expect("it runs")
            .status
            .success()
    );
    assert!(verify().status.success(), "{}", text(&verify()));
    assert!(sql(
        "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'ada', 'eve') AS BLOB) WHERE stream = 'change/CHG-1' AND version = 1"
    ));
    let forged = verify();
    assert_eq!(forged.status.code(), Some(8), "{}", text(&forged));
    assert!(text(&forged).contains("entry"), "{}", text(&forged));
}

#[test]
fn a_command_without_a_server_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let output = program().arg("--dir").arg(dir.path()).arg("list").output().expect("it runs");
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert!(text(&output).contains("clearway serve"), "{}", text(&output));
}
