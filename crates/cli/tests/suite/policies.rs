//! Policies as their authors meet them: in a folder, on a server, and when they go wrong.

use std::time::{Duration, Instant};

use crate::house::{House, text};

const SHOP: &str = "# METADATA\n# title: The shop\n# custom: {level: soft, override_by: [ada], owner: ada}\npackage clearway.shop\n\n# METADATA\n# title: Not the shop\ndeny contains {\"code\": \"shop\", \"reason\": \"the shop is shut\"} if \"shop\" in input.change.services\n";

/// Two values that share their parts, compared part by part: it would take ten years and never look at the clock.
fn endless() -> String {
    let link = |i: usize| format!("x{i} := [x{0}, x{0}]\ny{i} := [y{0}, y{0}]\n", i - 1);
    let links: String = (1..50).map(link).collect();
    format!("package clearway.shop\nx0 := [1]\ny0 := [1]\n{links}warn contains \"w\" if x49 == y49\n")
}

fn write(house: &House, name: &str, text: &str) {
    let path = house.dir.path().join("governance").join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

fn propose(house: &House, name: &str) {
    house.json(&["propose", &house.change_file(name, 0, "")]);
}

// F4, I5
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_explained_replayed_logged_and_reloaded_and_a_broken_one_changes_nothing() {
    let mut house = House::build(1, "good");
    write(&house, "policy/shop.rego", SHOP);
    house.start_server();
    let folder = house.dir.path().join("governance").display().to_string();
    propose(&house, "one.yaml");
    house.wait_until("CHG-1", |view| !view["change"]["assessment"].is_null());

    let explained = house.run(&["policy", "explain", "CHG-1"]);
    let said = text(&explained);
    for part in
        ["deny `shop`: the shop is shut", "policy/shop.rego:8  Not the shop", "read input.change.services = [\"shop\"]"]
    {
        assert!(said.contains(part), "{part}\n{said}");
    }

    let decisions = text(&house.run(&["policy", "decisions"]));
    let decision: serde_json::Value =
        serde_json::from_str(decisions.lines().next().unwrap_or_default()).expect("a line");
    assert_eq!(decision["result"]["denials"][0]["level"], "soft", "{decision:#}");
    assert_eq!(decision["input"]["change"]["title"], "Change one.yaml");
    assert_eq!(decision["bundles"]["clearway"]["revision"], decision["result"]["policy"]);

    write(&house, "policy/shop.rego", "package clearway.shop\nwarn contains \"open\"\n");
    let replayed = house.json(&["policy", "replay", &folder]);
    assert_eq!((&replayed["assessed"], &replayed["ways"]["newly_allowed"]), (&1.into(), &1.into()), "{replayed:#}");
    assert!(text(&house.run(&["policy", "replay", "--show", "CHG-1", &folder])).contains("denied by shop (soft)"));
    assert!(text(&house.run(&["policy", "eval", "--input", "CHG-1", &folder])).contains("warn: open"));

    let before = house.json(&["governance", "show"]);
    write(&house, "policy/shop.rego", "package clearway.shop\ndeny contains {\"code\"\n");
    let broken = house.run(&["governance", "reload"]);
    assert_eq!(broken.status.code(), Some(3), "{}", text(&broken));
    assert!(text(&broken).contains("policy/shop.rego:3:"), "{}", text(&broken));
    let after = house.json(&["governance", "show"]);
    assert_eq!(after["policy"], before["policy"]);
    assert!(after["refused"]["reason"].as_str().is_some_and(|why| why.contains("policy/shop.rego:3")), "{after:#}");

    assert!(text(&house.run(&["why", "CHG-1"])).contains("was refused, the one before is in force"));

    write(&house, "policy/shop.rego", &endless());
    assert!(house.run(&["governance", "reload"]).status.success());
    let start = Instant::now();
    propose(&house, "two.yaml");
    house.wait_until("CHG-2", |view| !view["change"]["assessment"].is_null());
    let why = text(&house.run(&["why", "CHG-2"]));
    assert!(why.contains("the policies took"), "{why}");
    assert!(start.elapsed() < Duration::from_secs(60));
    // What was denied by other rules is asked again by these; what the first ones answered stays on record.
    house.wait_until("CHG-1", |view| {
        view["change"]["assessment"]["denials"][0]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("the policies took"))
    });
    let explained = text(&house.run(&["policy", "explain", "CHG-1"]));
    assert!(explained.contains("the policies took"), "{explained}");
    let kept = text(&house.run(&["policy", "decisions"]));
    assert!(kept.lines().any(|line| Some(line) == decisions.lines().next()), "{kept}");
}

#[test]
fn the_examples_of_tests_are_played_through_a_year_in_the_zone_of_the_settings() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    file("settings.yaml", "time_zone: Asia/Kathmandu\n");
    file(
        "night.rego",
        "package clearway.night\nwarn contains \"late\" if input.now.hour >= 22\nwarn contains \"big\" if {\n\tinput.size\n\tinput.more\n}\n",
    );
    file(
        "night_test.rego",
        "package clearway.night_test\nimport data.clearway.night\nsome_change := {\"change\": {\"kind\": \"docs\"}, \"now\": {\"hour\": 22}}\ntest_late if \"late\" in night.warn with input as some_change\ntest_wrong if 1 == 2\n",
    );
    let run = |more: &[&str]| {
        let mut command = crate::house::program();
        command.args(["policy", "test"]).arg(folder.path()).args(more).output().expect("the program runs")
    };
    let failed = run(&["--sweep"]);
    let said = text(&failed);
    assert_eq!(failed.status.code(), Some(3), "{said}");
    for part in [
        "FAILED night_test.rego:5 test_wrong: it is undefined",
        "1 of 2 tests passed",
        "22:00 +05:45  + warned: late",
        "00:00 +05:45  - warned: late",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    file(
        "night_test.rego",
        "package clearway.night_test\nimport data.clearway.night\ntest_late if \"late\" in night.warn with input as {\"now\": {\"hour\": 22}}\n",
    );
    assert!(run(&[]).status.success());
    let little = run(&["--coverage-min", "100"]);
    assert!(text(&little).contains("and 100 % are asked for"), "{}", text(&little));
}
