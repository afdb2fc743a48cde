//! The command `catalog` as a user meets it: from a folder, from a server, with every exit code, and against a hostile folder.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::house::{House, program, text};

fn catalog(arguments: &[&str]) -> Output {
    program().arg("catalog").args(arguments).output().expect("it runs")
}

fn examples() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/governance").display().to_string()
}

fn put(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(file, text).expect("written");
}

const ACCESS: &str = "users: [{id: ada, roles: [{role: all}]}]\nroles: [{id: all, may: [read]}]\n";

/// A folder of two services, and what is wrong with them.
fn shop(web: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    put(dir.path(), "access.yaml", ACCESS);
    put(dir.path(), "services/cart.yaml", "name: cart\nowner: ada\ntier: 2\n");
    put(dir.path(), "services/front/web.yaml", web);
    dir
}

// LC2: our own form and Backstage's are one catalog; the example stands as it is.
#[test]
fn the_example_of_a_catalog_is_valid_and_shows_both_forms() {
    let folder = examples();
    let checked = catalog(&["check", &folder]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(text(&checked).contains("0 errors, ") && text(&checked).contains("in 6 services"), "{}", text(&checked));
    let shown = catalog(&["show", "stock", "--governance", &folder]);
    let said = text(&shown);
    assert!(said.contains("Stock of the warehouse") && said.contains("on call       team-checkout"), "{said}");
    assert!(
        said.contains("Blast radius 5.9 of 100: 1 service notices when it fails (1 of tier 3), 1 of them directly"),
        "{said}"
    );
    assert!(said.contains("Calls: stock-db (tier 2)") && said.contains("Called by: picking_list (tier 3)"), "{said}");
    let missing = catalog(&["show", "stok", "--governance", &folder]);
    assert_eq!(missing.status.code(), Some(5), "{}", text(&missing));
    assert!(text(&missing).contains("did you mean `stock`?"), "{}", text(&missing));
}

#[test]
fn errors_end_a_check_with_their_places_and_warnings_only_if_asked() {
    let sound = shop("name: web\nowner: ada\ntier: 1\ndepends_on: [cart]\nslis: []\n");
    let folder = sound.path().display().to_string();
    let lenient = catalog(&["check", &folder]);
    assert_eq!(lenient.status.code(), Some(0), "{}", text(&lenient));
    let said = text(&lenient);
    assert!(
        said.contains("services/front/web.yaml:4:14: warning: `depends_on[0]`: `web` has tier 1 and depends on"),
        "{said}"
    );
    let strict = catalog(&["check", &folder, "--strict", "--json"]);
    assert_eq!(strict.status.code(), Some(3), "{}", text(&strict));
    let whole: Value = serde_json::from_slice(&strict.stdout).expect("JSON");
    assert_eq!((&whole["valid"], &whole["services"]), (&false.into(), &2.into()));
    let broken = shop("name: web\nowner: bob\ndepends_on: [ghost]\ncolour: red\n");
    let refused = catalog(&["check", &broken.path().display().to_string()]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(
        text(&refused).contains("services/front/web.yaml:4:1: error: `colour`: there is no field `colour`"),
        "{}",
        text(&refused)
    );
    let nowhere = catalog(&["check", &broken.path().join("services").display().to_string()]);
    assert!(text(&nowhere).contains("there is no folder `services`"), "{}", text(&nowhere));
}

// X23: drift of the catalog is found.
#[test]
fn drift_is_found_from_observed_calls_and_from_the_entries_alone() {
    let dir = shop("name: web\nowner: bob\non_call: cem\ndepends_on: [cart]\nreview_by: 2020-01-01\n");
    put(dir.path(), "calls.csv", "client,server,calls\ncart,web,7\nweb,mail,1\n");
    let (folder, calls) = (dir.path().display().to_string(), dir.path().join("calls.csv").display().to_string());
    let found = catalog(&["drift", "--observed", &calls, "--governance", &folder]);
    assert_eq!(found.status.code(), Some(3), "the owner is gone: {}", text(&found));
    for wanted in [
        "services/front/web.yaml:2:1: error: `owner`: there is no user or group `bob`",
        "`on_call`: there is no user or group `cem` to be called",
        "`web` was to be reviewed by 2020-01-01",
        "nothing is counted of `cart`",
        "`cart` calls `web` (7 calls) and does not declare it",
        "`web` declares `cart` and was not seen to call it",
        "`mail` was observed and is not in the catalog",
    ] {
        assert!(text(&found).contains(wanted), "{wanted}: {}", text(&found));
    }
    let alone = catalog(&["drift", "--governance", &examples()]);
    assert_eq!(alone.status.code(), Some(0), "{}", text(&alone));
    assert!(text(&alone).contains("dependencies are not compared"), "{}", text(&alone));
    put(dir.path(), "calls.csv", "client,server,calls\na,b,many\n");
    let broken = catalog(&["drift", "--observed", &calls, "--governance", &folder]);
    assert_eq!(broken.status.code(), Some(3), "{}", text(&broken));
    assert!(text(&broken).contains("calls.csv:2:1: `calls` is no number"), "{}", text(&broken));
}

// X23: what a Prometheus knows of calls. A fake that answers one query: what is shown is how we ask and what we make of the answer.
#[test]
fn calls_are_asked_of_a_prometheus_by_its_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a question");
        let mut request = vec![0; 8_192];
        let count = stream.read(&mut request).expect("a question");
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"client":"cart","server":"web"},"value":[1,"41.7"]},{"metric":{"client":"web","server":"cart"},"value":[1,"0"]}]}}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Mon, 23 Nov 2026 08:00:00 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("an answer");
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let dir = shop("name: web\nowner: ada\ndepends_on: [cart]\n");
    put(dir.path(), "clearway.toml", &format!("[sources.prom]\nprometheus = \"http://{address}\"\n"));
    let (folder, config) = (dir.path().display().to_string(), dir.path().join("clearway.toml").display().to_string());
    let found = catalog(&["drift", "--source", "prom", "--config", &config, "--since", "7d", "--governance", &folder]);
    let asked = answering.join().expect("it was asked");
    assert!(asked.contains("traces_service_graph_request_total") && asked.contains("7d"), "{asked}");
    assert!(text(&found).contains("`cart` calls `web` (42 calls) and does not declare it"), "{}", text(&found));
    assert!(text(&found).contains("`web` declares `cart` and was not seen to call it"), "{}", text(&found));
    let unknown = catalog(&["drift", "--source", "prim", "--config", &config, "--governance", &folder]);
    assert!(
        text(&unknown).contains("there is no source `prim`") && text(&unknown).contains("`prom`"),
        "{}",
        text(&unknown)
    );
}

// D4: the service map, for people and for programs.
#[test]
fn a_graph_is_drawn_as_dot_and_as_a_picture() {
    let (folder, dir) = (examples(), tempfile::tempdir().expect("a folder"));
    let dot = catalog(&["graph", "--governance", &folder]);
    let said = text(&dot);
    assert!(said.starts_with("digraph catalog {") && said.contains("\"checkout\" -> \"payments\";"), "{said}");
    let file = dir.path().join("stock.svg");
    let drawn =
        catalog(&["graph", "stock", "--hops", "1", "--governance", &folder, "--out", &file.display().to_string()]);
    assert_eq!(drawn.status.code(), Some(0), "{}", text(&drawn));
    let picture = std::fs::read_to_string(&file).expect("a picture");
    assert!(
        picture.starts_with("<svg ") && picture.contains("stock-db") && picture.contains("prefers-color-scheme:dark")
    );
    assert!(!picture.contains(">checkout<"), "only what is near is drawn");
    let unknown = catalog(&["graph", "stick", "--governance", &folder]);
    assert_eq!(unknown.status.code(), Some(5), "{}", text(&unknown));
}

#[test]
fn a_hostile_folder_is_refused_in_words_and_nothing_hangs() {
    let dir = shop("name: web\nowner: ada\ndepends_on: [\"a\\e[31m<b>\"]\n");
    let folder = dir.path().display().to_string();
    let escaped = catalog(&["check", &folder]);
    assert!(!text(&escaped).contains('\u{1b}'), "{}", text(&escaped));
    let drawn = catalog(&["graph", "--format", "svg", "--governance", &folder]);
    assert!(!text(&drawn).contains('\u{1b}') && !text(&drawn).contains("<b>"), "{}", text(&drawn));
    put(dir.path(), "services/laughs.yaml", "a: &a [x, x]\nb: [*a, *a]\n");
    put(dir.path(), "services/deep.yaml", &"[".repeat(5_000));
    put(dir.path(), "services/many.yaml", &"apiVersion: x/v1\nkind: Thing\n---\n".repeat(10_000));
    std::os::unix::fs::symlink(dir.path().join("services"), dir.path().join("services/front/again")).expect("a link");
    let refused = catalog(&["check", &folder]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    let said = text(&refused);
    assert!(said.contains("services/laughs.yaml:2:5: error:") && said.contains("aliases are not allowed"), "{said}");
    assert!(said.contains("nested more than"), "{said}");
    assert!(said.contains("services/many.yaml:2:1: note: `kind`: a Thing has no place in this catalog"), "{said}");
    put(dir.path(), "services/huge.yaml", &"#".repeat(2 << 20));
    let huge = catalog(&["check", &folder]);
    assert!(text(&huge).contains("huge.yaml") && text(&huge).contains("the most that is read"), "{}", text(&huge));
}

// LC2, D4: the server answers the same as the folder that it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_shows_its_catalog_as_the_folder_does() {
    let mut house = House::build(1, "good");
    let governance = house.dir.path().join("governance");
    let entity = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: Web}\nspec: {owner: 'user:ada', dependsOn: ['component:cart']}\n";
    put(&governance, "services/front/catalog-info.yaml", entity);
    put(&governance, "services/cart.yaml", "name: cart\nowner: ada\nreview_by: 2020-01-01\ngates: observe\n");
    house.start_server();
    let folder = governance.display().to_string();
    let here = catalog(&["check", &folder, "--json"]);
    let there = house.run(&["catalog", "check", "--json"]);
    assert_eq!(there.status.code(), Some(0), "{}", text(&there));
    let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).expect("JSON");
    assert_eq!(json(&here), json(&there));
    let (here, there) = (
        catalog(&["show", "cart", "--governance", &folder, "--json"]),
        house.run(&["catalog", "show", "cart", "--json"]),
    );
    assert_eq!(json(&here), json(&there));
    assert_eq!(json(&there)["called_by"][0]["service"], "web");
    let drift = house.run(&["catalog", "drift", "--strict"]);
    assert_eq!(drift.status.code(), Some(3), "{}", text(&drift));
    assert!(text(&drift).contains("`cart` was to be reviewed by 2020-01-01"), "{}", text(&drift));
    let nobody = catalog(&["check", "--dir", &house.dir.path().join("elsewhere").display().to_string()]);
    assert!(text(&nobody).contains("or name a governance folder, which needs no server"), "{}", text(&nobody));
}
