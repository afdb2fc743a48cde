//! LC7: the judge without the product: recordings and streams, as a user and a program run them.
//!
//! `judge_streams.json` holds six short streams with what the design's reference implementation answered to them, recorded once from seeded traffic:
//! its decision after every look (by its first letter), and its evidence until the decision.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

use crate::house::{Owned, program, text};

#[derive(Deserialize)]
struct Stream {
    name: String,
    /// The start message, then one for each look.
    lines: Vec<Value>,
    decisions: String,
    evidence: Vec<Vec<f64>>,
}

fn streams() -> Vec<Stream> {
    serde_json::from_str(include_str!("judge_streams.json")).expect("the recording is whole")
}

fn stream(name: &str) -> Stream {
    streams().into_iter().find(|s| s.name == name).expect("it was recorded")
}

fn judge() -> Command {
    let mut command = program();
    command.arg("judge");
    command
}

/// What the program answers to these lines, each a JSON value.
fn answers(arguments: &[&str], input: &[u8]) -> Vec<Value> {
    let mut child =
        judge().arg("--ndjson").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).expect("it reads on"));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("everything was written");
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect()
}

fn lines(messages: &[Value]) -> Vec<u8> {
    messages.iter().flat_map(|message| format!("{message}\n").into_bytes()).collect()
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["reasons"].as_array().expect("reasons").iter().filter_map(|r| r["code"].as_str()).collect()
}

/// A scratch folder with files made of the streams.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, content).expect("the file");
        path.display().to_string()
    }

    /// The recording of a stream, and the time before it.
    fn recording(&self, name: &str) -> (String, String) {
        let stream = stream(name);
        let (run, before) = (recorded(&stream.lines), recorded_before(&stream.lines[0]));
        (self.file(&format!("{name}.csv"), &run), self.file(&format!("before/{name}.csv"), &before))
    }
}

const GAUGES: [&str; 2] = ["cpu", "memory"];

fn recorded(messages: &[Value]) -> String {
    let mut csv = "time,cohort,sli,field,value\n".to_owned();
    for (i, tick) in messages[1..].iter().enumerate() {
        for cohort in ["baseline", "canary"] {
            rows(&mut csv, 10 * i as i64, cohort, &tick[cohort], &messages[0]["bucket_edges_ms"]);
        }
    }
    csv
}

fn recorded_before(start: &Value) -> String {
    let mut csv = "time,cohort,sli,field,value\n".to_owned();
    let history = &start["history"];
    let length = history["baseline"]["n"].as_array().expect("a history").len();
    for i in 0..length {
        for cohort in ["baseline", "canary"] {
            let of = |field: &str| history[cohort][field][i].clone();
            let buckets = history[format!("h_{cohort}")][i].clone();
            let side = serde_json::json!({"n": of("n"), "x": of("x"), "h": buckets, "g": of("g")});
            rows(&mut csv, 10 * (i as i64 - length as i64), cohort, &side, &start["bucket_edges_ms"]);
        }
    }
    csv
}

fn rows(csv: &mut String, time: i64, cohort: &str, side: &Value, edges_ms: &Value) {
    let mut row = |sli: &str, field: &str, value: &Value| {
        if value.is_number() {
            csv.push_str(&format!("{time},{cohort},{sli},{field},{value}\n"));
        }
    };
    row("err", "total", &side["n"]);
    row("err", "bad", &side["x"]);
    let edges =
        edges_ms.as_array().expect("edges").iter().map(|ms| format!("le={}", ms.as_f64().expect("a number") / 1e3));
    for (i, edge) in edges.chain(["le=+Inf".to_owned()]).enumerate() {
        row("p99", &edge, &side["h"][i]);
    }
    for (i, name) in GAUGES.iter().enumerate() {
        row(name, "value", &side["g"][i]);
    }
}

/// Runs on files; the exit code and the JSON.
fn judged(arguments: &[&str]) -> (i32, Value) {
    let output = judge().arg("--json").args(arguments).output().expect("it runs");
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output)));
    (output.status.code().expect("it ends by itself"), value)
}

// LC7: the profile `reference` is the reference design: the same decision after every look, the same evidence, in one process after another canary.
#[test]
fn recorded_streams_are_judged_as_the_reference_did() {
    let all: Vec<u8> = streams().iter().flat_map(|s| lines(&s.lines)).collect();
    let mut answered = answers(&["--profile", "reference"], &all).into_iter();
    let mut seen = String::new();
    for stream in streams() {
        for (look, expected) in stream.decisions.chars().enumerate() {
            let answer = answered.next().expect("an answer to every look");
            let what = format!("{}, look {look}", stream.name);
            let decision = answer["decision"].as_str().expect("a decision");
            assert!(decision.starts_with(expected), "{what}: {decision}");
            assert_eq!(answer["t"], look as u64, "{what}");
            for (metric, theirs) in answer["metrics"]
                .as_array()
                .expect("metrics")
                .iter()
                .zip(stream.evidence.get(look).into_iter().flatten())
            {
                let ours = metric["e"].as_f64().expect("evidence");
                assert!(
                    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0),
                    "{what}: {ours} here, {theirs} recorded"
                );
            }
        }
        seen.extend(stream.decisions.chars().last());
    }
    assert!(answered.next().is_none(), "no answer but to looks");
    assert_eq!(seen, "PRRRHH", "a pass, three fails, two holds");
}

// LC7: what goes wrong is found by the default profile as well, and what can't be known is held with its code.
#[test]
fn recorded_streams_are_decided_by_the_default_profile_too() {
    let last = |name: &str| answers(&[], &lines(&stream(name).lines)).pop().expect("answers");
    for (name, decision, verdict) in [
        ("errors", "ROLLBACK", "fail"),
        ("latency", "ROLLBACK", "fail"),
        ("gauge", "ROLLBACK", "fail"),
        ("pass", "PROMOTE", "pass"),
    ] {
        let answer = last(name);
        assert_eq!((&answer["decision"], &answer["verdict"]), (&decision.into(), &verdict.into()), "{name}: {answer}");
    }
    for (name, code) in [("missing", "low_coverage"), ("dark", "no_canary_data")] {
        let answer = last(name);
        assert_eq!(answer["decision"], "HOLD", "{name}: {answer}");
        assert!(codes(&answer).contains(&code), "{name}: {:?}", codes(&answer));
    }
}

// LC7: an answer comes after every look, before the next one is sent.
#[test]
fn an_answer_is_there_before_the_next_look_is_sent() {
    let messages = stream("errors").lines;
    let mut child =
        Owned(judge().arg("--ndjson").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs"));
    let mut stdin = child.0.stdin.take().expect("its input");
    let mut stdout = BufReader::new(child.0.stdout.take().expect("its output"));
    writeln!(stdin, "{}", messages[0]).expect("it reads");
    for (look, tick) in messages[1..6].iter().enumerate() {
        writeln!(stdin, "{tick}").expect("it reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it answers");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["t"], look as u64);
    }
    drop(stdin);
    assert!(child.0.wait().expect("it ends with its input").success());
}

#[test]
fn broken_lines_are_held_and_the_stream_goes_on() {
    let messages = stream("errors").lines;
    let (start, tick) = (messages[0].to_string(), messages[1].to_string());
    let broken: [&[u8]; 9] = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[1,2]",
        b"{\"type\":\"tick\",\"canary\":{\"n\":\"many\"}}",
        b"{\"type\":\"stop\"}",
        b"{\"t\":1}",
        b"{\"type\":\"tick\",\"canary\":{\"n\":1e999,\"x\":0}}",
        b"null",
    ];
    let mut input = format!("{tick}\n{start}\n").into_bytes();
    for line in broken {
        input.extend_from_slice(line);
        input.extend_from_slice(format!("\n{tick}\n").as_bytes());
    }
    let answered = answers(&[], &input);
    assert_eq!(answered.len(), 1 + 2 * broken.len());
    assert_eq!(codes(&answered[0]), ["no_start"]);
    for (i, pair) in answered[1..].chunks(2).enumerate() {
        assert_eq!((&pair[0]["decision"], codes(&pair[0])[0]), (&"HOLD".into(), "invalid_line"), "{:?}", pair[0]);
        assert_eq!(pair[1]["t"], 2 * i as u64 + 1, "what could not be read is a look that saw nothing");
        assert!(!codes(&pair[1]).contains(&"invalid_line"), "{:?}", pair[1]);
    }
}

#[test]
fn a_stream_without_history_says_what_it_assumes() {
    let mut messages = stream("pass").lines;
    messages.truncate(3);
    messages[0].as_object_mut().expect("a message").remove("history");
    let answered = answers(&[], &lines(&messages));
    assert!(codes(&answered[1]).contains(&"no_calibration"), "{:?}", codes(&answered[1]));
    messages[2]["source"] = "unreachable".into();
    let answered = answers(&[], &lines(&messages));
    assert_eq!((&answered[1]["decision"], &answered[1]["verdict"]), (&"HOLD".into(), &"unreachable".into()));
    assert!(codes(&answered[1]).contains(&"unreachable"), "{:?}", codes(&answered[1]));
}

// LC7: a file is judged as the stream of its looks is, to the last digit.
#[test]
fn a_recording_gets_the_verdict_of_its_stream() {
    let folder = Folder::new();
    for name in ["pass", "errors", "missing"] {
        let (run, before) = folder.recording(name);
        for profile in ["default", "reference"] {
            let (_, report) = judged(&["--evidence", &run, "--history", &before, "--profile", profile]);
            let answered = answers(&["--profile", profile], &lines(&stream(name).lines));
            let looks = report["looks"].as_u64().expect("a number") as usize;
            let answer = &answered[looks - 1];
            assert_eq!(report["verdict"], answer["verdict"], "{name}, {profile}");
            for (sli, metric) in
                report["slis"].as_array().expect("SLIs").iter().zip(answer["metrics"].as_array().expect("metrics"))
            {
                assert_eq!(sli["evidence"], metric["e"], "{name}, {profile}, {}", sli["name"]);
                assert_eq!(sli["effect"], metric["effect"], "{name}, {profile}, {}", sli["name"]);
            }
        }
    }
}

// LC7: the answer first, one sentence why, the figures, and what was assumed; an exit code for each answer.
#[test]
fn each_answer_has_its_report_and_its_exit_code() {
    let folder = Folder::new();
    for (name, code, headline, wanted) in [
        ("pass", 0, "PASS: shown to be safe", "every SLI is shown safe"),
        ("errors", 9, "FAIL: worse than the baseline", "expected if equal"),
        ("dark", 10, "INSUFFICIENT: neither shown safe", "no data of the canary"),
    ] {
        let (run, before) = folder.recording(name);
        let output = judge().args(["--evidence", &run, "--history", &before]).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with(headline), "{said}");
        for wanted in [
            wanted,
            "At most 1 % of harmless canaries fail",
            "no SLIs are configured",
            "a look every `10s`",
            "the bake is the whole recording",
        ] {
            assert!(said.contains(wanted), "`{wanted}` is missing:\n{said}");
        }
        assert!(!said.contains("--history"), "there was one:\n{said}");
    }
}

#[test]
fn json_has_the_fields_that_programs_rely_on() {
    let folder = Folder::new();
    let (run, before) = folder.recording("errors");
    let (code, report) = judged(&["--evidence", &run, "--history", &before, "--alpha", "1%"]);
    assert_eq!((code, &report["verdict"], &report["false_rollback_budget"]), (9, &"fail".into(), &0.01.into()));
    let (looks, at) = (report["looks"].as_u64().expect("looks"), report["decided_at_s"].as_f64().expect("a time"));
    assert_eq!(at, 10.0 * (looks as f64 - 1.0), "from the first look to the deciding one");
    assert!(report["why"].as_str().is_some_and(|why| why.contains("`err`")), "{report}");
    let slis = report["slis"].as_array().expect("SLIs");
    assert_eq!(
        slis.iter().map(|s| s["kind"].as_str()).collect::<Vec<_>>(),
        [Some("ratio"), Some("latency"), Some("gauge"), Some("gauge")]
    );
    for field in ["name", "kind", "effect", "interval", "evidence", "safety", "samples", "implicated", "why"] {
        assert!(slis.iter().all(|sli| !sli[field].is_null()), "`{field}` is missing: {report}");
    }
    assert_eq!(slis.iter().map(|s| s["implicated"] == true).collect::<Vec<_>>(), [true, false, false, false]);

    let (dark, _) = folder.recording("dark");
    let (code, report) = judged(&["--evidence", &dark]);
    assert_eq!((code, &report["verdict"], &report["decided_at_s"]), (10, &"insufficient".into(), &Value::Null));
    assert!(codes(&report).contains(&"no_calibration"), "without a history it says so: {:?}", codes(&report));
    assert!(report["assumed"].to_string().contains("no history"), "{report}");
}

// LC7: many files are judged at once, a line each; a broken one stops nothing.
#[test]
fn a_folder_gives_a_line_for_each_file_and_a_broken_one_stops_nothing() {
    let folder = Folder::new();
    for name in ["pass", "errors", "dark"] {
        folder.recording(name);
    }
    folder.file("broken.csv", "time,cohort,sli,field,value\n0,canary,err,bad,-1\n");
    folder.file("notes.txt", "no evidence");
    let (path, before) = (folder.0.path().display().to_string(), folder.0.path().join("before").display().to_string());
    let output = judge().args(["--evidence", &path, "--history", &before]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let name = |line: &Value| {
        Path::new(line["file"].as_str().expect("a file")).file_stem().map(|n| n.to_string_lossy().into_owned())
    };
    let told: Vec<(Option<String>, &Value)> = lines.iter().map(|line| (name(line), &line["verdict"])).collect();
    let expected =
        [("broken", Value::Null), ("dark", "insufficient".into()), ("errors", "fail".into()), ("pass", "pass".into())];
    assert_eq!(told, expected.iter().map(|(n, v)| (Some((*n).to_owned()), v)).collect::<Vec<_>>());
    let error = lines[0]["error"].as_str().expect("an error");
    assert!(error.contains("line 2: the value of `bad` is `-1`"), "{error}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 of 4 file could not be judged"), "{}", text(&output));
    let alone = judged(&["--evidence", &format!("{path}/pass.csv"), "--history", &format!("{before}/pass.csv")]).1;
    assert_eq!(alone["slis"], lines[3]["slis"], "each is judged as if it were alone");
}

#[test]
fn broken_files_are_refused_with_their_lines() {
    let folder = Folder::new();
    let (run, _) = folder.recording("pass");
    let refused = |arguments: &[&str], wanted: &[&str]| {
        let output = judge().args(arguments).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        wanted.iter().for_each(|wanted| assert!(said.contains(wanted), "`{wanted}` is missing:\n{said}"));
    };
    let broken = folder.file("broken.csv", "time,cohort,sli,field,value\nx,canary,err,bad,1\n0,both,err,bad,1\n");
    refused(&["--evidence", &broken], &["line 2: the time is `x`", "line 3: the cohort is `both`"]);
    refused(&["--evidence", &run, "--history", &broken], &["broken.csv", "line 2"]);
    refused(&["--evidence", &folder.file("empty.csv", "")], &["empty.csv"]);
    refused(&["--evidence", "/nowhere.csv"], &["can't be read"]);
    refused(
        &[
            "--evidence",
            &run,
            "--every",
            "1ms",
            "--bake",
            "1m",
            "--config",
            &folder.file("c.yaml", "slis: [{name: p99, edges: [0.3]}]"),
        ],
        &["no bucket edge `0.3`", "0.25"],
    );
    refused(
        &["--evidence", &run, "--config", &folder.file("d.yaml", "slis: [{name: err, kind: gauge}]")],
        &["`err` is a ratio in the evidence"],
    );
    refused(
        &["--evidence", &run, "--config", &folder.file("e.yaml", "slis:\n  - name: err\n    hamr: 5%\n")],
        &["3:5", "did you mean `harm`?"],
    );
    refused(&["--evidence", &run, "--config", &folder.file("f.yaml", "judge: {alpha: 2}")], &["alpha"]);
}

// LC7: only what the configuration names is judged; what it names and the evidence lacks is not passed over.
#[test]
fn the_configuration_says_which_slis_count() {
    let folder = Folder::new();
    let (run, before) = folder.recording("gauge");
    let config = folder.file(
        "slis.yaml",
        "slis:\n  - {name: err, weight: 1}\n  - {name: p99, edges: [0.1, 0.25, 0.5, 1]}\njudge: {bake: 5m}\n",
    );
    let (_, report) = judged(&["--evidence", &run, "--history", &before, "--config", &config]);
    let names: Vec<&str> = report["slis"].as_array().expect("SLIs").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["err", "p99"]);
    assert_ne!(report["verdict"], "fail", "the CPU that is worse is not asked for: {report}");
    assert!(
        report["notes"].to_string().contains("left out, as the configuration does not name it: `cpu` and `memory`"),
        "{report}"
    );

    let config = folder.file("more.yaml", "slis: [{name: err}, {name: queue, kind: gauge}]");
    let (code, report) = judged(&["--evidence", &run, "--config", &config]);
    assert_eq!(code, 10, "{report}");
    assert!(report["notes"].to_string().contains("the evidence has no `queue`"), "{report}");
    let of_queue = |code: &str| {
        report["reasons"].as_array().is_some_and(|all| all.iter().any(|r| r["sli"] == "queue" && r["code"] == code))
    };
    assert!(of_queue("no_canary_data") && of_queue("no_baseline_data"), "{report}");
}

// LC7: what a team has for another tool serves as it is, and what means something else is said.
#[test]
fn settings_of_another_tool_are_taken_with_notes() {
    let folder = Folder::new();
    let (run, before) = folder.recording("errors");
    let canary = "apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  analysis:
    interval: 1m
    threshold: 5
    metrics:
      - name: err
        templateRef: {name: errors}
        thresholdRange: {max: 1}
        interval: 1m
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: errors}
spec:
  provider: {type: prometheus, address: 'http://prometheus:9090'}
  query: |
    100 * sum(rate(http_requests_total{app=\"{{ target }}\",code=~\"5..\"}[{{ interval }}])) / sum(rate(http_requests_total{app=\"{{ target }}\"}[{{ interval }}]))
";
    let config = folder.file("flagger.yaml", canary);
    let (code, report) = judged(&["--evidence", &run, "--history", &before, "--config", &config]);
    assert_eq!(
        (code, &report["slis"][0]["name"], &report["slis"][0]["kind"]),
        (9, &"err".into(), &"ratio".into()),
        "{report}"
    );
    let notes = report["notes"].as_array().expect("notes");
    assert!(
        notes.len() > 1
            && notes[0].as_str().is_some_and(|note| note.contains("differs")
                || note.contains("not taken over")
                || note.contains("assumed")),
        "{report}"
    );
}

// LC7: the picture needs nothing but itself, and bears any name.
#[test]
fn the_picture_stands_alone_and_is_well_formed() {
    let folder = Folder::new();
    let (run, before) = folder.recording("errors");
    let odd = std::fs::read_to_string(&run).expect("the recording").replace(",err,", ",</svg><script>&\"x'\u{1},");
    let odd = folder.file("odd.csv", &odd);
    let out = folder.0.path().join("out.svg");
    for (file, code) in [(&run, 9), (&odd, 9)] {
        let output =
            judge().args(["--evidence", file, "--history", &before, "--svg"]).arg(&out).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        let svg = std::fs::read_to_string(&out).expect("the picture");
        assert_eq!(unclosed(&svg), Vec::<String>::new());
        for wanted in [
            "viewBox=\"0 0 480 ",
            "role=\"img\"",
            "<title id=",
            "<desc id=",
            "prefers-color-scheme:dark",
            "fail at ",
            ">harmful<",
            "alone fails at",
        ] {
            assert!(svg.contains(wanted), "`{wanted}` is missing");
        }
        for forbidden in ["<script", "href", "url(", "@import", "http://", "https://", "NaN", "inf"] {
            let found = svg.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
            assert!(!found, "`{forbidden}` is in the picture");
        }
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
    }
}

/// The elements that are opened and not closed, or the other way round.
fn unclosed(svg: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    for tag in svg.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) if open.last().is_some_and(|last| last == closed) => drop(open.pop()),
            Some(_) => open.push(name.to_owned()),
            None if tag.ends_with('/') => {}
            None => open.push(name.to_owned()),
        }
    }
    open
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/judge").join(name).display().to_string()
}

// LC7: what the guide tells a user to try first does what it says.
#[test]
fn the_examples_get_the_verdicts_of_the_guide() {
    let common = ["--history", &example("before.csv"), "--config", &example("slis.yaml")].map(str::to_owned);
    let common: Vec<&str> = common.iter().map(String::as_str).collect();
    let (code, fine) = judged(&[&["--evidence", &example("fine.csv")], &common[..]].concat());
    assert_eq!((code, &fine["verdict"]), (0, &"pass".into()), "{fine}");
    let (code, slower) = judged(&[&["--evidence", &example("slower.csv")], &common[..]].concat());
    assert_eq!((code, &slower["verdict"]), (9, &"fail".into()), "{slower}");
    let harmful = slower["slis"].as_array().expect("SLIs").iter().filter(|s| s["implicated"] == true);
    assert_eq!(harmful.map(|s| s["name"].as_str()).collect::<Vec<_>>(), [Some("latency")]);
    assert!(fine["notes"].as_array().is_some_and(Vec::is_empty), "{fine}");
}

#[test]
fn what_contradicts_itself_on_the_command_line_is_refused() {
    let folder = Folder::new();
    let (run, _) = folder.recording("pass");
    let code = |arguments: &[&str]| judge().args(arguments).output().expect("it runs").status.code();
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["--ndjson", "--evidence", &run]), Some(2));
    for alpha in ["0", "1", "100%", "-1%", "NaN", "much"] {
        assert_eq!(code(&["--evidence", &run, "--alpha", alpha]), Some(2), "{alpha}");
    }
    let two: Vec<PathBuf> = vec![run.clone().into(), run.into()];
    let output = judge().arg("--evidence").args(two).args(["--svg", "x.svg"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("a picture is of one recording"), "{}", text(&output));
}
