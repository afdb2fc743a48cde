//! The demo as a user runs it: all three changes end as they should, within its time, and no process is left.

use std::time::{Duration, Instant};

use crate::house::program;

// LC1-LC8: one change is proposed, assessed, approved, scheduled, rolled out, verified, decided and recorded; three times, with three ends.
#[test]
fn the_demo_promotes_rolls_back_and_waits_for_a_person() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let begun = Instant::now();
    let output = program().arg("--dir").arg(dir.path()).args(["demo", "--once"]).output().expect("the demo runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    for wanted in ["CHG-1  promoted", "CHG-2  rolled back", "CHG-3  promoted", "the log verifies"] {
        assert!(out.contains(wanted), "`{wanted}` is missing:\n{out}");
    }
    assert!(begun.elapsed() < Duration::from_secs(45), "it took {:?}:\n{out}", begun.elapsed());
    assert_eq!(left_behind(dir.path()), Vec::<String>::new());
}

/// The command lines of processes that still name this folder.
fn left_behind(dir: &std::path::Path) -> Vec<String> {
    let wanted = dir.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("a proc file system").filter_map(Result::ok);
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines.map(|l| String::from_utf8_lossy(&l).replace('\0', " ")).filter(|l| l.contains(&wanted)).collect()
}
