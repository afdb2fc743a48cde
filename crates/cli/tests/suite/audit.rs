//! LC8: the log is verified by somebody who has nothing but its files and a key.

use std::path::{Path, PathBuf};

use crate::house::{House, program, text};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

// LC8: tamper-evident: an export verifies, one flipped bit anywhere in it does not, and a log that was cut is not the one seen before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_verifies_and_one_flipped_bit_is_noticed() {
    let mut house = House::build(1, "good");
    house.start_server();
    house.json(&["propose", &house.change_file("a.yaml", 0, "")]);
    house.wait_for("CHG-1", &["held"]);
    let (store, out) = (house.store().display().to_string(), house.dir.path().join("export"));
    let export =
        |house: &House| house.run(&["audit", "export", "--store", &store, "--out", &out.display().to_string()]);
    assert!(export(&house).status.success(), "{}", text(&export(&house)));
    let earlier = house.dir.path().join("earlier");
    std::fs::copy(out.join("checkpoint"), &earlier).expect("a copy");

    // It goes on, and the export with it: only what is new is written.
    house.json(&["withdraw", "CHG-1"]);
    let again = house.json(&["audit", "export", "--store", &store, "--out", &out.display().to_string()]);
    assert!(again["files_written"].as_u64().is_some_and(|n| n > 0), "{again}");
    let key = house.json(&["audit", "key"])["key"].as_str().expect("a key").to_owned();
    let verify = |more: &[&str]| {
        let out = out.display().to_string();
        program()
            .args([&["audit", "verify", "--export", &out, "--key", &key], more].concat())
            .output()
            .expect("it runs")
    };
    let since = earlier.display().to_string();
    assert!(verify(&["--since", &since]).status.success(), "{}", text(&verify(&["--since", &since])));
    let url = house.json(&["audit", "verify", "--url", &server_url(&house), "--key", &key]);
    assert_eq!(url["verified"], true);

    let newest =
        |path: &PathBuf| !path.display().to_string().contains(".p/") && path.file_name().is_some_and(|n| n != "vkey");
    for file in files_below(&out).into_iter().filter(|f| newest(f) || is_current(f, &url)) {
        let whole = std::fs::read(&file).expect("a file");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&file, &flipped).expect("written");
        let noticed = verify(&[]);
        assert_eq!(noticed.status.code(), Some(8), "a flipped bit in {}: {}", file.display(), text(&noticed));
        std::fs::write(&file, &whole).expect("written");
    }
    assert!(verify(&[]).status.success());
    let other = program()
        .args(["audit", "verify", "--export", &out.display().to_string(), "--key", OTHER_KEY])
        .output()
        .expect("it runs");
    assert_eq!(other.status.code(), Some(8), "another key: {}", text(&other));
}

/// The verifier key of the signed-note specification: a key, but not this log's.
const OTHER_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

/// Whether a partial file is of the size that the checkpoint promises: those of earlier sizes are no longer read.
fn is_current(file: &Path, report: &serde_json::Value) -> bool {
    let width = report["entries"].as_u64().expect("a size") % 256;
    file.display().to_string().ends_with(&format!(".p/{width}"))
}

fn server_url(house: &House) -> String {
    let running = std::fs::read(house.store().join("server.json")).expect("the server says where it is");
    let running: serde_json::Value = serde_json::from_slice(&running).expect("JSON");
    running["url"].as_str().expect("an address").to_owned()
}
