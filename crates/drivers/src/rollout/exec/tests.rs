//! The driver against real scripts in a directory of their own: a file holds the weight, another one line for each change of it.

use std::fs;
use std::path::Path;

use change::ChangeId;
use change::rollout::{Strategy, Weight};

use super::*;
use crate::conformance::{self, World};
use crate::testing::{target, within};

struct Site {
    home: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { home: tempfile::tempdir().expect("a directory") };
        fs::create_dir(site.dir()).expect("is made");
        site.write("weight", "0\n");
        site
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir().join(file), text).expect("is written");
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir().join(file)).unwrap_or_default()
    }

    fn settings(&self) -> ExecSettings {
        let mut commands = CommandSettings::allowed_in(self.dir());
        commands.grace = Duration::from_millis(100);
        ExecSettings { commands, markers: self.home.path().join("markers"), longest_timeout: Span::secs(60) }
    }

    fn driver(&self) -> ExecDriver {
        ExecDriver::new(self.settings())
    }
}

const APPLY: &str = "echo $CLEARWAY_WEIGHT > weight && echo $CLEARWAY_KEY >> effects";
const CHECK: &str = "test \"$(cat weight)\" = \"$CLEARWAY_WEIGHT\"";
const UNDO: &str = "echo $CLEARWAY_BEFORE > weight && echo undo >> effects";
const OBSERVE: &str = "cat weight";

#[async_trait]
impl World for Site {
    async fn weight(&self) -> Weight {
        format!("{}%", self.read("weight").trim()).parse().expect("the file holds a weight")
    }

    async fn effects(&self) -> usize {
        self.read("effects").lines().count()
    }

    fn observation(&self, weight: Weight) -> Value {
        json!({"observed": weight.to_string().trim_end_matches('%')})
    }

    async fn cut(&self) {
        fs::rename(self.dir(), self.home.path().join("away")).expect("is moved");
    }

    async fn mend(&self) {
        fs::rename(self.home.path().join("away"), self.dir()).expect("is moved");
    }
}

fn act() -> Act {
    Act { change: ChangeId::new(7), step: "1".into(), attempt: 1, files: BTreeMap::new() }
}

fn exec(mut options: Value) -> Target {
    options["driver"] = json!("exec");
    target(options)
}

fn desired(options: Value) -> Desired {
    Desired { target: exec(options), weight: Weight::percent(5) }
}

fn applied() -> Outcome {
    Outcome::Applied { actual: json!({"observed": null}) }
}

/// The failure, and the sentence up to what differs from machine to machine.
async fn failure(site: &Site, options: Value) -> (Failure, String) {
    match within(20, site.driver().ensure(&act(), &desired(options))).await {
        Outcome::Failed { failure, error } => (failure, error),
        outcome => panic!("it does not succeed: {outcome:?}"),
    }
}

#[tokio::test]
async fn the_exec_driver_conforms_with_a_check() {
    let site = Site::new();
    let target = exec(json!({"apply": APPLY, "check": CHECK, "undo": UNDO, "observe": OBSERVE}));
    conformance::run(&site.driver(), &target, &site).await;
}

#[tokio::test]
async fn the_exec_driver_conforms_without_a_check() {
    let site = Site::new();
    let target = exec(json!({"apply": APPLY, "undo": UNDO, "observe": OBSERVE}));
    conformance::run(&site.driver(), &target, &site).await;
}

#[tokio::test]
async fn what_has_happened_already_is_not_run() {
    let site = Site::new();
    site.write("weight", "5\n");
    let outcome = site.driver().ensure(&act(), &desired(json!({"apply": APPLY, "check": CHECK}))).await;
    assert_eq!(outcome, applied());
    assert_eq!(site.read("effects"), "");
}

#[tokio::test]
async fn without_a_check_a_command_that_failed_is_final_and_not_run_again() {
    let site = Site::new();
    let options = json!({"apply": "echo run >> effects; echo no luck >&2; exit 3"});
    let failed = failure(&site, options.clone()).await;
    assert_eq!(failed, (Failure::Final, "`apply` failed: exit code 3: no luck".into()));
    assert_eq!(failure(&site, options).await, (Failure::Final, "`apply` failed: exit code 3".into()));
    assert_eq!(site.read("effects"), "run\n");
}

#[tokio::test]
async fn without_a_check_a_command_that_was_cut_off_is_unknown_for_ever() {
    let site = Site::new();
    let options = json!({"apply": "echo run >> effects; sleep 60", "timeout": "1s"});
    let (failed, error) = failure(&site, options.clone()).await;
    assert_eq!(failed, Failure::Unknown);
    assert_eq!(error, "`apply` did not finish within 1s, and there is no `check` to tell whether it happened");
    let (failed, error) = failure(&site, options).await;
    assert_eq!(failed, Failure::Unknown);
    assert_eq!(error, "`apply` was begun and cut off, and there is no `check` to tell whether it happened");
    assert_eq!(site.read("effects"), "run\n");
}

#[tokio::test]
async fn a_crash_in_between_is_unknown_without_a_check_and_settled_with_one() {
    let site = Site::new();
    let options = json!({"apply": "echo run >> effects; sleep 60"});
    let (driver, goal) = (site.driver(), desired(options.clone()));
    let begun = async {
        while site.read("effects").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let act = act();
    within(20, async {
        tokio::select! {
            outcome = driver.ensure(&act, &goal) => panic!("it sleeps: {outcome:?}"),
            () = begun => {}
        }
    })
    .await;
    // The killed shell has the lock for a moment still.
    let after = || async {
        loop {
            match site.driver().ensure(&act, &goal).await {
                Outcome::Pending { again } => tokio::time::sleep(duration(again) / 20).await,
                outcome => break outcome,
            }
        }
    };
    let outcome = within(20, after()).await;
    assert!(matches!(&outcome, Outcome::Failed { failure: Failure::Unknown, .. }), "{outcome:?}");
    assert_eq!(site.read("effects"), "run\n");

    let with_check = json!({"apply": "echo run >> effects; sleep 60", "check": "grep -q run effects"});
    assert_eq!(site.driver().ensure(&act, &desired(with_check)).await, applied());
    assert_eq!(site.read("effects"), "run\n");
}

#[tokio::test]
async fn the_check_decides_what_a_failed_command_did() {
    let cases = [
        ("echo 5 > weight; exit 9", CHECK, None),
        ("exit 9", CHECK, Some((Failure::Retry, "`check` says that it has not happened; `apply`: exit code 9"))),
        ("true", CHECK, Some((Failure::Retry, "`check` says that it has not happened; `apply`: exit code 0"))),
        (
            "touch broken; exit 9",
            "test ! -e broken || exit 4; exit 1",
            Some((Failure::Unknown, "`check` can't say whether it happened: exit code 4; `apply`: exit code 9")),
        ),
        ("echo 5 > weight; sleep 60", CHECK, None),
        (
            "sleep 60",
            CHECK,
            Some((Failure::Retry, "`check` says that it has not happened; `apply`: did not finish within 2s")),
        ),
        (
            APPLY,
            "exit 2",
            Some((Failure::Retry, "nothing was run: `check` can't say whether it happened: exit code 2")),
        ),
    ];
    let tried = cases.map(|(apply, check, expected)| async move {
        let site = Site::new();
        let goal = desired(json!({"apply": apply, "check": check, "timeout": "2s"}));
        let expected = expected.map_or_else(applied, |(failure, error)| failed(failure, error));
        assert_eq!(within(20, site.driver().ensure(&act(), &goal)).await, expected, "{apply}");
    });
    futures::future::join_all(tried).await;
}

#[tokio::test]
async fn commands_are_told_what_they_act_for() {
    let site = Site::new();
    let apply = "env | grep -E '^(CLEARWAY|COLOUR)' | sort > told";
    let goal = Desired {
        weight: "0.5%".parse().expect("is a weight"),
        ..desired(json!({"apply": apply, "env": {"COLOUR": "blue"}}))
    };
    assert_eq!(site.driver().ensure(&act(), &goal).await, applied());
    let told = "CLEARWAY_ATTEMPT=1\nCLEARWAY_CHANGE=CHG-7\nCLEARWAY_KEY=CHG-7/1/1\nCLEARWAY_STEP=1\nCLEARWAY_WEIGHT=0.5\nCOLOUR=blue\n";
    assert_eq!(site.read("told"), told);
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("is ours");
}

#[tokio::test]
async fn a_script_that_was_changed_since_its_approval_is_not_run() {
    let site = Site::new();
    let script = site.dir().join("apply.sh");
    executable(&script, "#!/bin/sh\necho run >> effects\n");
    let files = BTreeMap::from([("./apply.sh".to_owned(), Digest::of_bytes(&fs::read(&script).expect("is there")))]);
    let approved = Act { files, ..act() };
    executable(&script, "#!/bin/sh\necho other >> effects\n");
    let outcome = site.driver().ensure(&approved, &desired(json!({"apply": "./apply.sh"}))).await;
    let Outcome::Failed { failure: Failure::Final, error } = outcome else { panic!("{outcome:?}") };
    assert!(error.starts_with("`./apply.sh` was changed since it was approved"), "{error}");
    assert_eq!(site.read("effects"), "");
    executable(&script, "#!/bin/sh\necho run >> effects\n");
    assert_eq!(site.driver().ensure(&approved, &desired(json!({"apply": "./apply.sh"}))).await, applied());
    assert_eq!(site.read("effects"), "run\n");
}

#[tokio::test]
async fn a_changed_script_for_the_steps_does_not_stop_the_way_back() {
    let site = Site::new();
    executable(&site.dir().join("apply.sh"), "#!/bin/sh\nexit 1\n");
    let files = BTreeMap::from([("./apply.sh".to_owned(), Digest::of_bytes(b"as approved"))]);
    let target = exec(json!({"apply": "./apply.sh", "undo": "echo 0 > weight"}));
    assert_eq!(site.driver().undo(&Act { files, ..act() }, &target, &json!({"observed": null})).await, applied());
}

#[tokio::test]
async fn an_undo_that_does_not_restore_is_tried_again() {
    let site = Site::new();
    site.write("weight", "5\n");
    let undo = |undo: &str| exec(json!({"apply": APPLY, "undo": undo, "observe": OBSERVE}));
    let before = json!({"observed": "0"});
    let error = "the undo ended well, but `observe` prints `5` and printed `0` before the first step";
    assert_eq!(site.driver().undo(&act(), &undo("true"), &before).await, failed(Failure::Retry, error));
    let error = "the undo failed: exit code 3: no";
    assert_eq!(site.driver().undo(&act(), &undo("echo no; exit 3"), &before).await, failed(Failure::Retry, error));
    assert_eq!(
        site.driver().undo(&act(), &exec(json!({"apply": APPLY})), &before).await,
        failed(Failure::Final, NO_UNDO)
    );
}

#[tokio::test]
async fn nothing_is_run_beside_a_command_that_outlived_its_server() {
    let site = Site::new();
    fs::create_dir(site.settings().markers).expect("is made");
    let goal = desired(json!({"apply": APPLY, "resource": "shop", "undo": UNDO}));
    let Held::Ours(lock) = Lock::take(&site.settings().markers, "exec:shop").expect("is ours") else {
        panic!("is free")
    };
    let orphan = lock.as_input().expect("is copied");
    drop(lock);
    let busy = Outcome::Pending { again: Span::secs(1) };
    assert_eq!(site.driver().ensure(&act(), &goal).await, busy);
    assert_eq!(site.driver().undo(&act(), &goal.target, &json!({"observed": "0"})).await, busy);
    drop(orphan);
    assert_eq!(site.driver().ensure(&act(), &goal).await, applied());
}

#[tokio::test]
async fn what_is_missing_is_said_before_the_rollout() {
    let site = Site::new();
    let problems = site.driver().ready(&exec(json!({"apply": "./nowhere.sh", "check": "./../x"}))).await.unwrap_err();
    let expected = [
        NO_UNDO.to_owned(),
        format!("there is no file `./nowhere.sh` in `{}`", site.dir().display()),
        "`./../x` leaves the directory of the commands".into(),
    ];
    assert_eq!(problems, expected);
    let forbidden = ExecDriver::new(ExecSettings { commands: CommandSettings::forbidden(), ..site.settings() });
    assert_eq!(forbidden.ready(&exec(json!({"apply": APPLY}))).await, Err(vec![NOT_ALLOWED.into()]));
    assert_eq!(forbidden.ensure(&act(), &desired(json!({"apply": APPLY}))).await, failed(Failure::Final, NOT_ALLOWED));
    assert_eq!(site.read("effects"), "");
}

#[tokio::test]
async fn an_observation_is_bounded() {
    let site = Site::new();
    let observe = |line: &str| exec(json!({"apply": APPLY, "observe": line}));
    let long = site.driver().observe(&observe("head -c 4097 /dev/zero | tr '\\0' x")).await;
    assert_eq!(long, Err("`observe` prints more than 4096 bytes".into()));
    assert_eq!(site.driver().observe(&observe("exit 4")).await, Err("`observe` failed: exit code 4".into()));
    assert_eq!(site.driver().observe(&exec(json!({"apply": APPLY}))).await, Ok(json!({"observed": null})));
}

fn claims(site: &Site, options: Value) -> Result<Claims, Vec<(String, String)>> {
    site.driver().claims(&Plan { strategy: Strategy::Canary, target: exec(options), steps: vec![] })
}

#[test]
fn a_claim_is_open_and_names_the_resource() {
    let site = Site::new();
    let named = Claims { resources: ["exec:shop".to_owned()].into(), effect: Closure::Open, hands: Default::default() };
    assert_eq!(claims(&site, json!({"apply": "a", "resource": "shop"})), Ok(named));
    let own =
        Claims { resources: ["exec:ca978112ca1b".to_owned()].into(), effect: Closure::Open, hands: Default::default() };
    assert_eq!(claims(&site, json!({"apply": "a"})), Ok(own));
    let cohorts = site.driver().cohorts(&exec(json!({"apply": "a", "canary": "v2"})));
    assert_eq!(cohorts, Cohorts { canary: "v2".into(), stable: "stable".into() });
}

#[test]
fn what_is_wrong_with_the_options_is_said_at_its_place() {
    let site = Site::new();
    let cases = [
        (
            json!({"aply": "a"}),
            vec![("", "`apply` is missing"), ("/aply", "there is no field `aply`; did you mean `apply`?")],
        ),
        (
            json!({"apply": "a", "timeout": "2m"}),
            vec![("/timeout", "`2m` is outside of 1ms to 1m, the longest that this server runs a command")],
        ),
        (json!({"apply": "a", "canary": "stable"}), vec![("/canary", "`stable` is both canary and stable")]),
        (
            json!({"apply": "a", "env": {"CLEARWAY_KEY": "x"}}),
            vec![(
                "/env",
                "`CLEARWAY_KEY` can't be set: names have letters, digits and `_`, and those in `CLEARWAY_` are Clearway's",
            )],
        ),
        (json!({"apply": "a", "env": {"A": 1}}), vec![("/env", "expected text, found the number `1`")]),
    ];
    for (options, expected) in cases {
        let found = claims(&site, options).unwrap_err();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((pointer, problem), (at, begins)) in found.iter().zip(expected) {
            assert!(pointer == at && problem.starts_with(begins), "{pointer}: {problem}");
        }
    }
    let forbidden = ExecDriver::new(ExecSettings { commands: CommandSettings::forbidden(), ..site.settings() });
    let plan = Plan { strategy: Strategy::Canary, target: exec(json!({"apply": "a"})), steps: vec![] };
    assert_eq!(forbidden.claims(&plan), Err(vec![("/driver".into(), NOT_ALLOWED.into())]));
}
