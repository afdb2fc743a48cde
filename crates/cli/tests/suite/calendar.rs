//! The calendar on a real server and in a folder: what holds a change, who lets it pass, how a month looks, and a feed for other calendars.

use serde_json::Value;

use crate::house::{House, ends_with, program, text, token};

const ACCESS: &str = "
users:
  - {id: ada, roles: [{role: all}]}
  - {id: bob, roles: [{role: all}]}
  - {id: cleo, roles: [{role: all}]}
groups: [{id: finance, members: [bob]}]
roles: [{id: all, may: [propose, approve, pause, resume, rollback, promote, read, audit, govern]}]
";
const CALENDAR: &str = r#"
freezes:
  - {name: closing, services: [shop], start: "2020-01-01T00:00:00", end: "2090-01-01T00:00:00", tz: UTC, reason: the books, owner: finance}
windows:
  - {name: nights, services: [till], rrule: "FREQ=DAILY;BYHOUR=22", duration: 2h, tz: Europe/Berlin, owner: ada}
"#;

fn write(house: &House, name: &str, text: &str) {
    std::fs::write(house.dir.path().join(name), text).expect("a file");
}

fn house() -> House {
    let mut house = House::build(1, "good");
    house.configure("[commands]\nallow = true\n");
    write(&house, "governance/access.yaml", ACCESS);
    write(&house, "governance/calendar.yaml", CALENDAR);
    write(&house, "governance/approvals.yaml", "rules: [{require: []}]\n");
    house.start_server();
    house
}

/// A change whose one step a pipeline performs.
fn change(house: &House, service: &str) -> String {
    let text = format!(
        "title: Deploy the {service}
kind: config
owner: ada
services: [{service}]
environment: production
plan:
  strategy: all-at-once
  target: {{driver: pipeline, name: deploy, resource: {service}}}
  steps: [{{weight: 100%, bake: 500ms, deadline: 20s}}]
verify:
  commands: [{{run: 'true', timeout: 5s}}]
  every: 250ms
  watch: 500ms
rollback: {{automatic: true, runbook: docs/back.md}}
"
    );
    let path = house.dir.path().join(format!("{service}.yaml"));
    std::fs::write(&path, text).expect("the change file is written");
    path.display().to_string()
}

fn propose(house: &House, service: &str) -> String {
    let view = house.json(&["propose", &change(house, service)]);
    let id = view["change"]["id"].as_str().expect("an id").to_owned();
    house.wait_for(&id, &["scheduled"]);
    id
}

/// The plan of the days, an instant of it, and where a file would stand that nobody has proposed: nothing of it is recorded.
fn plans_are_said(house: &House, id: &str) {
    let before = house.json(&["log", id])["entries"].as_array().map(Vec::len);
    let plan = house.json(&["schedule", "--days", "3"]);
    assert_eq!(
        (&plan["items"][0]["change"], &plan["items"][0]["expected"]),
        (&id.into(), &"unknown".into()),
        "{plan:#}"
    );
    let plan = ends_with(house, 0, &["schedule", "--tz", "Europe/Berlin"]);
    assert!(plan.contains("Unknown") && plan.contains("the freeze `closing` covers `shop`"), "{plan}");
    assert!(!ends_with(house, 0, &["schedule", "--service", "till"]).contains(id));
    let tomorrow = until_tomorrow();
    let then = ends_with(house, 0, &["schedule", "--at", &tomorrow]);
    assert!(then.contains(&format!("waits  {id} Deploy the shop")), "{then}");
    let yours = ends_with(house, 0, &["schedule", &change(house, "till"), "--days", "2"]);
    assert!(yours.contains("it would begin at") && yours.contains("as if it were approved"), "{yours}");
    assert!(ends_with(house, 0, &["schedule", "--batches"]).contains("there is no batch"));
    ends_with(house, 4, &["batch", "release", "nightly", "--reason", "it is mended"]);
    assert_eq!(house.json(&["log", id])["entries"].as_array().map(Vec::len), before);
}

// LC4, X5: a change is held by a freeze until its owner lets it pass; everybody can see why, until when, and how much waits.
#[test]
fn a_freeze_holds_a_change_until_its_owner_grants_an_exception() {
    let house = house();
    let id = propose(&house, "shop");
    let held = ends_with(&house, 4, &["begin", &id]);
    assert!(held.contains("the freeze `closing` covers `shop` until `2090-01-01T00:00:00Z`: the books"), "{held}");
    let next = ends_with(&house, 0, &["calendar", "next", &id]);
    assert!(next.contains("does not open within ten years") && next.contains("the freeze `closing`"), "{next}");
    let month = house.json(&["calendar", "show", "--month", "2026-12"]);
    assert_eq!(month["backlog"][0]["count"], 1, "{month:#}");
    let drawn = ends_with(&house, 0, &["calendar", "show", "--month", "2026-12"]);
    assert!(drawn.contains("December 2026") && drawn.contains("1 change waits behind the freeze `closing`"), "{drawn}");
    plans_are_said(&house, &id);

    let (bob, cleo) = (token(&house, "bob"), token(&house, "cleo"));
    let except = ["calendar", "except", &id, "--freeze", "closing"];
    let ask = [&except[..], &["--until", "2026-01-01T00:00Z", "--reason", "the tax rate changes"]].concat();
    assert!(ends_with(&house, 3, &ask).contains("is over already"));
    let until = until_tomorrow();
    let ask = [&except[..], &["--until", &until, "--reason", "the tax rate changes"]].concat();
    ends_with(&house, 0, &ask);
    assert!(ends_with(&house, 0, &["why", &id]).contains("by granting the exception until"));
    let other = [&except[..], &["--grant", "--until", "2089-01-01T00:00Z"]].concat();
    let unread = ends_with(&house, 4, &[&["--token-file", bob.as_str()][..], &other].concat());
    assert!(unread.contains("asks for one until") && unread.contains(&format!("--grant --until {until}")), "{unread}");
    let grant = [&except[..], &["--grant", "--until", &until]].concat();
    let own = ends_with(&house, 4, &grant);
    assert!(own.contains("is not of those who own the freeze `closing`"), "{own}");
    let other = ends_with(&house, 4, &[&["--token-file", cleo.as_str()][..], &grant].concat());
    assert!(other.contains("ask `finance`, or somebody who may freeze"), "{other}");
    ends_with(&house, 0, &[&["--token-file", bob.as_str()][..], &grant].concat());
    let why = ends_with(&house, 0, &["why", &id]);
    assert!(why.contains("it passes the freeze `closing` until") && why.contains("the tax rate changes"), "{why}");
    let revoke = [&except[..], &["--revoke", "--reason", "the rate stays"]].concat();
    ends_with(&house, 0, &revoke);
    assert!(ends_with(&house, 4, &["begin", &id]).contains("the freeze `closing`"), "it was granted, and is no more");
    ends_with(&house, 0, &ask);
    ends_with(&house, 0, &[&["--token-file", bob.as_str()][..], &grant].concat());
    ends_with(&house, 0, &["begin", &id]);
}

fn until_tomorrow() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    change::Timestamp::from_second(i64::try_from(seconds).expect("a time") + 86_400).expect("a time").to_string()
}

// LC4: a feed shows what is when, to whoever has a token for it and for nothing else, and the token is written down nowhere.
#[test]
fn a_feed_is_read_by_a_token_that_is_for_it_alone_and_is_kept_nowhere() {
    let house = house();
    propose(&house, "shop");
    let announced = std::fs::read(house.store().join("server.json")).expect("where it is");
    let announced: Value = serde_json::from_slice(&announced).expect("JSON");
    let url = announced["url"].as_str().expect("an address").to_owned();
    let get = move |path: &str| {
        let answer = reqwest::blocking::get(format!("{url}{path}")).expect("an answer");
        (answer.status().as_u16(), answer.text().unwrap_or_default())
    };
    let reads = house.json(&["token", "create", "ada", "--name", "calendar", "--feed"]);
    let reads = reads["token"].as_str().expect("a token").to_owned();
    let all = house.json(&["token", "create", "ada", "--name", "all"])["token"].as_str().expect("a token").to_owned();
    let (status, feed) = get(&format!("/api/v1/calendar.ics?service=till&token={reads}"));
    assert_eq!(status, 200, "{feed}");
    assert!(feed.starts_with("BEGIN:VCALENDAR\r\n") && feed.contains("SUMMARY:Window: nights\r\n"), "{feed}");
    assert!(!feed.contains("closing"), "it is about another service");
    let (status, refused) = get(&format!("/api/v1/calendar.ics?token={all}"));
    assert!(status == 403 && refused.contains("for the calendar feed and for nothing else"), "{refused}");
    assert_eq!(get("/api/v1/calendar.ics").0, 401);
    let log = std::fs::read_to_string(house.dir.path().join("server.log")).expect("a log");
    assert!(!log.contains(&reads) && !log.contains(&all), "a token of an address is in the log");
}

// LC4: without a server, a folder is checked, drawn, and asked about a change file.
#[test]
fn a_folder_answers_without_a_server() {
    let house = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let output = program().args(arguments).output().expect("it runs");
        (output.status.code(), text(&output))
    };
    let folder = house.path().display().to_string();
    std::fs::write(house.path().join("calendar.yaml"), CALENDAR).expect("a file");
    let (code, said) = run(&["calendar", "check", &folder]);
    assert!(code == Some(0) && said.contains("1 freeze, 1 window: valid"), "{said}");
    let (code, drawn) = run(&["calendar", "show", "--month", "2026-06", "--governance", &folder, "--service", "till"]);
    assert!(
        code == Some(0) && drawn.contains("+ 2026-06-01 20:00 to 2026-06-01 22:00, and 29 more  nights (till)"),
        "{drawn}"
    );
    let broken = CALENDAR.replace("Europe/Berlin", "Europe/Berlim").replace("end: \"2090", "end: \"2010");
    std::fs::write(house.path().join("calendar.yaml"), broken).expect("a file");
    let (code, said) = run(&["calendar", "check", &folder]);
    assert_eq!(code, Some(3));
    assert!(said.contains("calendar.yaml:3:") && said.contains("ends before it starts"), "{said}");
    assert!(said.contains("calendar.yaml:5:") && said.contains("did you mean `Europe/Berlin`?"), "{said}");
}

// LC4: what holds nothing, or everything, or is nobody's, is said where a folder is checked, and refuses nothing.
#[test]
fn a_folder_that_is_checked_says_what_should_be_known_of_its_calendar() {
    let house = tempfile::tempdir().expect("a folder");
    let access = "users: [{id: ada, roles: [{role: all}]}]\ngroups: [{id: finance, members: [ada]}]\nroles: [{id: all, may: [propose, approve, read]}]\n";
    let calendar = r#"
freezes:
  - {name: ever, start: "2020-01-01T00:00:00", end: "2090-01-01T00:00:00", tz: UTC, reason: r, owner: finanec}
windows:
  - {name: noons, rrule: "FREQ=DAILY;BYHOUR=12", exdate: ["2026-12-24T13:00:00"], duration: 1h, tz: UTC, owner: finance, teams: [finanse]}
"#;
    std::fs::write(house.path().join("access.yaml"), access).expect("a file");
    std::fs::write(house.path().join("calendar.yaml"), calendar).expect("a file");
    let folder = house.path().display().to_string();
    for arguments in [vec!["check", &folder], vec!["calendar", "check", &folder]] {
        let output = program().args(&arguments).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        for wanted in [
            "warning: calendar.yaml:3:",
            "`ever` covers everything, and does not end within ten years",
            "the owner `finanec` is no user and no group of access.yaml",
            "did you mean `finance`?",
            "`noons` has no time that starts at `2026-12-24T13:00:00`: nothing is left out by that",
            "`noons` opens at no time of the coming year",
            "`finanse` is no user and no group",
        ] {
            assert!(said.contains(wanted), "{arguments:?}, {wanted}: {said}");
        }
    }
    let output = program().args(["--json", "check", &folder]).output().expect("it runs");
    let whole: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((whole["valid"].as_bool(), whole["warnings"].as_array().map(Vec::len)), (Some(true), Some(5)));
}
