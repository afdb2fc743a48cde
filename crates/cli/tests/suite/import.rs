//! Importing and OpenSLO as a user meets them: what comes out, with which exit code, and that a change file can name what was read.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::house::{House, program, text};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/src/read/samples").join(name)
}

fn import(file: &Path, more: &[&str]) -> Output {
    program().arg("import").arg(file).args(more).output().expect("it runs")
}

#[test]
fn what_is_imported_is_an_slis_file_and_the_notes_go_elsewhere() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["kayenta-shop.json", "argo-guestbook.yaml", "flagger-podinfo.yaml", "openslo-checkout.yaml"] {
        let imported = import(&sample(name), &["--source", "edge", "--set", "location=eu"]);
        assert_eq!(imported.status.code(), Some(0), "{name}: {}", text(&imported));
        let notes = String::from_utf8_lossy(&imported.stderr).into_owned();
        assert!(notes.contains("differs: ") && notes.contains(name), "{name}: {notes}");
        let file = dir.path().join("slis.yaml");
        std::fs::write(&file, &imported.stdout).expect("written");
        let checked = program().arg("check").arg(&file).output().expect("it runs");
        assert_eq!(checked.status.code(), Some(0), "{name}: {}", text(&checked));
    }
}

#[test]
fn with_json_everything_is_in_one_object() {
    let imported = import(&sample("flagger-podinfo.yaml"), &["--json", "--as", "flagger"]);
    let whole: Value = serde_json::from_slice(&imported.stdout).expect("JSON");
    assert_eq!(String::from_utf8_lossy(&imported.stderr), "");
    assert_eq!(whole["format"], "flagger");
    assert_eq!(whole["plan"]["steps"][0]["weight"], "20%");
    assert_eq!(whole["verify"]["slis"][0], whole["slis"][0]["name"]);
    assert!(whole["notes"].as_array().is_some_and(|n| n.iter().any(|n| n["level"] == "not_taken")), "{whole:#}");
}

#[test]
fn what_can_not_be_taken_over_says_so_by_its_exit_code() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("x.yaml");
    let code = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).expect("written");
        import(&file, more)
    };
    let nothing =
        "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nspec: {metrics: [{name: a, provider: {job: {}}}]}\n";
    let empty = code(nothing, &[]);
    assert_eq!((empty.status.code(), empty.stdout.len()), (Some(1), 0), "{}", text(&empty));
    assert!(text(&empty).contains("could be taken over") && text(&empty).contains("runs a job"), "{}", text(&empty));
    let unknown = code("title: a change\n", &[]);
    assert_eq!(unknown.status.code(), Some(3), "{}", text(&unknown));
    assert!(text(&unknown).contains("1:1: this is no kind of file that can be taken over"), "{}", text(&unknown));
    let other = code(nothing, &["--as", "kayenta"]);
    assert!(text(&other).contains("this is no file of Kayenta"), "{}", text(&other));
    let set = code(nothing, &["--set", "x"]);
    assert!(text(&set).contains("write it as `--set name=value`"), "{}", text(&set));
}

const SLO: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: shop-availability}
spec:
  indicatorRef: shop-errors
  objectives: [{target: 0.95}]
";

const INDICATOR: &str = "apiVersion: openslo/v1
kind: SLI
metadata: {name: shop-errors}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: edge, type: Prometheus, spec: {query: 'sum(rate(clearway_router_requests_total{backend=\"b0\",code=\"5xx\"}[5m]))'}}}
    total: {metricSource: {metricSourceRef: edge, type: Prometheus, spec: {query: 'sum(rate(clearway_router_requests_total{backend=\"b0\"}[5m]))'}}}
";

#[test]
fn a_change_file_names_an_sli_by_its_openslo_name() {
    let mut house = House::build(1, "good");
    let slos = house.dir.path().join("governance/slos");
    std::fs::create_dir(&slos).expect("a folder");
    std::fs::write(slos.join("shop.yaml"), SLO).expect("written");
    std::fs::write(slos.join("indicators.yaml"), INDICATOR).expect("written");
    house.start_server();
    let file = house.change_file("change.yaml", 0, "");
    let written = std::fs::read_to_string(&file).expect("the file");
    let (before, after) = (written.find("  slis:").expect("SLIs"), written.find("  every:").expect("a time"));
    let naming = |names: &str| {
        let text = format!("{}  slis: [{names}]\n{}", &written[..before], &written[after..]);
        std::fs::write(&file, text).expect("written");
        house.run(&["check", &file])
    };
    let checked = naming("shop-availability");
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    let mistyped = naming("shop-availabilty");
    assert!(text(&mistyped).contains("did you mean `shop-availability`?"), "{}", text(&mistyped));
    // The indicator has a name of its own, and no objective: a step of all traffic asks for one.
    let indicator = naming("shop-errors");
    assert!(text(&indicator).contains("the SLI `shop-errors` has no objective"), "{}", text(&indicator));
}

#[test]
fn a_server_says_what_is_wrong_with_an_openslo_file_and_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let governance = dir.path().join("governance");
    std::fs::create_dir_all(governance.join("slos")).expect("a folder");
    std::fs::write(
        governance.join("access.yaml"),
        "users: [{id: ada, roles: [{role: all}]}]\nroles: [{id: all, may: [read, govern]}]\n",
    )
    .expect("written");
    std::fs::write(governance.join("slos/shop.yaml"), SLO).expect("written");
    let served = program()
        .arg("--dir")
        .arg(dir.path().join("store"))
        .args(["serve", "--listen", "127.0.0.1:0", "--governance"])
        .arg(&governance)
        .output()
        .expect("it ends");
    assert_eq!(served.status.code(), Some(3), "{}", text(&served));
    assert!(
        text(&served).contains("slos/shop.yaml:5:3: `spec.indicatorRef`: there is no SLI `shop-errors`"),
        "{}",
        text(&served)
    );
}

#[test]
fn an_openslo_file_is_checked_with_the_files_beside_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("shop.yaml");
    std::fs::write(&file, SLO).expect("written");
    std::fs::write(dir.path().join("other.yaml"), "title: no SLO\n").expect("written");
    let check = || program().arg("check").arg(&file).output().expect("it runs");
    let alone = check();
    assert_eq!(alone.status.code(), Some(3), "{}", text(&alone));
    assert!(text(&alone).contains("there is no SLI `shop-errors`"), "{}", text(&alone));
    std::fs::write(dir.path().join("indicators.yaml"), INDICATOR).expect("written");
    let beside = check();
    assert_eq!(beside.status.code(), Some(0), "{}", text(&beside));
    assert!(text(&beside).contains("shop.yaml is valid"), "{}", text(&beside));
}
