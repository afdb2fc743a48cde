//! X12: standard changes as somebody at a terminal meets them.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::examples::Server;
use crate::house::{program, text};

const DIGEST: &str = "digest=fb04dcb6970e4c3d1873de51fd5a50d7bb46b3383113602665c350ec40b5f990";

fn run(server: &Server, arguments: &[&str]) -> Output {
    server.command().arg("standard").args(arguments).output().expect("the program runs")
}

// X12
#[test]
fn the_standard_change_of_the_examples_is_shown_and_proposed_without_votes() {
    let server = Server::start();
    let listed = text(&run(&server, &["list"]));
    assert!(listed.contains("checkout-release") && listed.contains("never"), "{listed}");
    let shown = text(&run(&server, &["show", "checkout-release"]));
    for part in
        ["counts: it needs no votes", "5 to 600", "v2, v3", "0 completed, 0 failed, 0 in a row; suspended after 2"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let misspelt = run(&server, &["show", "checkout-relase"]);
    assert_eq!(misspelt.status.code(), Some(5));
    assert!(text(&misspelt).contains("did you mean `checkout-release`?"), "{}", text(&misspelt));

    let wild = ["propose", "checkout-release", "--set", "version=v9", "--set", "digest=x; reboot", "--set", "bake=1"];
    let refused = run(&server, &wild);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    for part in [
        "`v9` is not among `v2` or `v3`",
        "`x; reboot` does not match",
        "no whole number from 5 to 600",
        "the parameters of the standard change `checkout-release` have 3 problems",
    ] {
        assert!(text(&refused).contains(part), "{part}\n{}", text(&refused));
    }

    let proposed =
        run(&server, &["propose", "checkout-release", "--set", "version=v3", "--set", DIGEST, "--set", "bake=9"]);
    assert!(proposed.status.success(), "{}", text(&proposed));
    let change = server.command().args(["--json", "show", "CHG-1"]).output().expect("the program runs");
    let change: Value = serde_json::from_slice(&change.stdout).expect("JSON");
    let proposal = &change["change"]["proposal"];
    assert_eq!(
        (&proposal["title"], &proposal["course"]["parameters"]["bake"]),
        (&"Release checkout on v3".into(), &9.into())
    );
    assert_eq!(proposal["plan"]["steps"][0]["bake"], "9s");
    assert!(!text(&run(&server, &["list"])).contains("never"), "it has been used");
    let back = run(&server, &["reinstate", "checkout-release", "--reason", "nothing to do"]);
    assert!(text(&back).contains("`checkout-release` is not suspended"), "{}", text(&back));
}

// X12
#[test]
fn a_template_is_checked_without_a_server_with_all_its_problems() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/governance/standards/checkout-release.yaml");
    let check = |file: &Path| program().arg("check").arg(file).output().expect("the program runs");
    assert!(check(&file).status.success(), "{}", text(&check(&file)));
    let folder = tempfile::tempdir().expect("a scratch folder");
    let broken = folder.path().join("standards/broken.yaml");
    std::fs::create_dir(folder.path().join("standards")).expect("a folder");
    let template = std::fs::read_to_string(&file).expect("the example");
    let template =
        template.replace("${why}", "${wy}").replace("default: 30", "default: 3").replace("kind: code", "kind: cod");
    std::fs::write(&broken, template).expect("is written");
    std::fs::write(folder.path().join("access.yaml"), "users: [{id: ada}]\nroles: []\n").expect("is written");
    let said = check(&broken);
    assert_eq!(said.status.code(), Some(3));
    for part in ["there is no parameter `wy`", "the parameter `why` is used nowhere", "from 5 to 600"] {
        assert!(text(&said).contains(part), "{part}\n{}", text(&said));
    }
}
