//! The scan from outside: a secret of each kind is found however it is wrapped, and what only looks like one is not.
//!
//! No secret stands here: the samples are made when a test runs. What a server does with a finding is tested in `cli/tests/suite/secrets.rs`.

use std::path::Path;

use super::*;

fn names(text: &str) -> Vec<&'static str> {
    hits(text).iter().map(|hit| hit.rule().name).collect()
}

#[test]
fn every_rule_has_a_valid_pattern_long_keywords_and_a_sample() {
    let samples = samples::all(7);
    for (number, rule) in RULES.iter().enumerate() {
        assert_eq!(
            pattern(number).is_some(),
            matches!(rule.shape, Shape::Pattern(_) | Shape::Before(..)),
            "{}",
            rule.name
        );
        assert!(
            rule.keywords.iter().all(|word| word.len() >= 2 && *word == word.to_ascii_lowercase()),
            "{}",
            rule.name
        );
        assert!(samples.iter().any(|sample| sample.rule == rule.name), "`{}` has no sample", rule.name);
    }
}

// F7: each kind, in each of the ways in which texts are wrapped.
#[test]
fn a_secret_of_each_kind_is_found_however_it_is_wrapped() {
    type Wrap = (&'static str, fn(&str) -> String);
    let wraps: [Wrap; 6] = [
        ("bare", |line| line.to_owned()),
        ("in a text", |line| format!("the first line\n  {line}\nthe last line, with äöü")),
        ("in JSON", |line| serde_json::json!({"output": format!("said:\n{line}\n"), "b": 1}).to_string()),
        ("after a colour", |line| format!("\u{1b}[31m{line}\u{1b}[0m")),
        ("as Debug", |line| format!("{:?}", format!("a\n{line}"))),
        ("twice", |line| format!("{line}\n---\n{line}\n")),
    ];
    for seed in 1..=5 {
        for sample in samples::all(seed) {
            for (how, wrap) in wraps {
                if sample.rule == "kubernetes-secret" && !["bare", "twice"].contains(&how) {
                    continue;
                }
                let text = wrap(&sample.line);
                assert!(Scrubber::default().may_hold(text.as_bytes()), "{how}: {}", sample.rule);
                assert!(
                    names(&text).contains(&sample.rule),
                    "{how}: `{}` is not found in {text}: {:?}",
                    sample.rule,
                    names(&text)
                );
                let clean = scrub(&text);
                assert!(!clean.contains(&sample.secret), "{how}: `{}` is left in {clean}", sample.rule);
                assert_eq!(scrub(&clean), clean, "{how}: what is clean stays as it is");
            }
        }
    }
}

#[test]
fn what_surrounds_a_secret_stays() {
    let sample = samples::all(3).into_iter().find(|s| s.rule == "url-password").expect("a sample");
    assert_eq!(scrub(&sample.line), "postgres://shop:[redacted: url-password]@db.invalid:5432/shop");
}

// F7: a finding tells the place and nothing that could be used.
#[test]
fn a_finding_has_a_place_a_fingerprint_and_no_secret() {
    let allow = AllowList { salt: Some("0123456789abcdef0123456789abcdef".into()), allow: vec![] };
    for sample in samples::all(11) {
        let found = scan("a/b.yaml", &format!("ä one\n{}", sample.line), &allow);
        let finding = found.iter().find(|f| f.rule == sample.rule).expect("is found");
        let told = serde_json::to_string(&found).expect("JSON") + &finding.to_string();
        assert!(!told.contains(&sample.secret), "{told}");
        assert!(finding.excerpt.chars().count() <= 5, "{told}");
        assert!(finding.place.line >= 2 && finding.fingerprint.is_some(), "{told}");
        let shown = finding.excerpt.trim_end_matches('…');
        assert!(shown.is_empty() || sample.secret.len() >= 20, "{told}");
    }
    let found = scan("a", &format!("one\n  ü {}", samples::all(1)[1].line), &AllowList::default());
    assert_eq!((found[0].place, found[0].fingerprint.clone()), (Place { line: 2, column: 12 }, None));
}

#[test]
fn a_comment_on_the_line_allows_with_a_reason_and_is_shown() {
    let line = samples::all(1).into_iter().find(|s| s.rule == "aws-access-key").expect("a sample").line;
    let allowed = |comment: &str| {
        let found = scan("a.py", &format!("{line}  {comment}\n{line}"), &AllowList::default());
        assert_eq!((found.len(), found[1].allowed.clone()), (2, None), "the next line is not meant");
        found[0].allowed.as_ref().map(|a| format!("{}: {}", a.by, a.reason))
    };
    assert_eq!(
        allowed("# clearway:allow-secret a sample of the vendor").as_deref(),
        Some("the comment on its line: a sample of the vendor")
    );
    assert_eq!(allowed("/* clearway:allow-secret: revoked */").as_deref(), Some("the comment on its line: revoked"));
    assert_eq!(allowed("# clearway:allow-secret"), None, "a reason is asked for");
}

#[test]
fn a_fingerprint_of_the_governance_lets_a_value_through_the_scrubber_and_no_other() {
    let all = samples::all(1);
    let (one, two) = (&all[1], &all[2]);
    let salt = "0123456789abcdef0123456789abcdef";
    let list = serde_json::json!({"salt": salt, "allow": [
        {"fingerprint": change::secret::Fingerprint::of(salt, one.rule, &one.secret), "reason": "a sample", "owner": "ada"},
        {"path": "**", "rule": two.rule, "reason": "too wide", "owner": "ada"},
    ]});
    let scrubber = Scrubber::new(serde_json::from_value(list).expect("a list"));
    assert_eq!(scrubber.spot(&one.line), []);
    assert_eq!(scrubber.spot(&two.line).len(), 1, "a path says nothing of a text without one");
}

// F7: only what a diff adds, where it will stand.
#[test]
fn the_added_lines_of_a_diff_are_scanned_and_no_others() {
    let all = samples::all(5);
    let line = |rule: &str| all.iter().find(|s| s.rule == rule).map(|s| s.line.clone()).expect("a sample");
    let diff = format!(
        "diff --git a/src/a.env b/src/a.env\nindex 1..2 100644\n--- a/src/a.env\n+++ b/src/a.env\n@@ -3 +3,2 @@ x\n-{old}\n+one\n+{new}\n@@ -9,0 +11 @@\n+++ {twice}\n\
         diff --git a/b b/b\n--- a/b\n+++ b/b\n@@ -1,2 +0,0 @@\n-{old}\n--- {old}\n",
        old = line("stripe-key"),
        new = line("github-token"),
        twice = line("gitlab-token"),
    );
    let found = scan_diff(&diff, &AllowList::default());
    let told: Vec<String> = found.iter().map(|f| format!("{}:{} {}", f.file, f.place.line, f.rule)).collect();
    assert_eq!(told, ["src/a.env:4 github-token", "src/a.env:11 gitlab-token"]);
}

#[test]
fn samples_references_names_and_digests_are_no_secrets() {
    let fine = [
        "password: ${DB_PASSWORD}",
        "password = \"changeme\"",
        "password: <your password here>",
        "password: hunter2hunter2",
        "password: string",
        "password_file: /run/secrets/db1",
        "let password = read_password(&args)?;",
        "token: String,",
        "let token = format!(\"cw_{}\", random_word());",
        "token_type: urn:ietf:params:oauth2",
        "secret_name: shop-db-credentials-v2",
        "secretKeyRef: {name: shop, key: password1}",
        "api_key: {{ .Values.apiKey1 }}",
        "api_key = var.api_key_2",
        "token = os.environ[\"TOKEN_1\"]",
        "secret: arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf",
        "tokens: 4f2c9b1e-8a77-4c1d-9a54-0c2f3d1b5e77",
        "token_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://user:password@host.example",
        "https://user:$TOKEN@host.invalid",
        "https://host.invalid:8443/a@b",
        "http://127.0.0.1:9090/metrics?x=user:pass@y",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "artifact: registry/checkout@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "\"integrity\": \"sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==\"",
        "\"jsonwebtoken\": \"^9.0.2\"",
        "js-tokens@^3.0.0 || ^4.0.0:\n  resolved \"https://r.invalid/js-tokens-4.0.0.tgz#19203fb59991df98e3a287050d4647cdeaf32499\"",
        "name = \"tokio-util\"\nchecksum = \"14307c986784f72ef81c89db7d9e28d6ac26d16213b109ea501696195e6e3ce5\"",
        "kind: secret\nowner: security",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ2x7hU8bq1y3d4f5g6h7j8k9l0m=\n-----END CERTIFICATE-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1c3QgYSBwdWJsaWMga2V5LCBub3QgYSBzZWNyZXQ ada@shop",
        "Authorization: Bearer <token>",
        "Authorization: Bearer $CLEARWAY_TOKEN_1234567",
        "sum(rate(http_requests_total{token_kind=\"refresh1234567\"}[5m]))",
        "password=[redacted: password]",
        "clearway token create ada; export CLEARWAY_TOKEN_FILE=/etc/clearway/token1",
        "--token-file ./tokens/ci-2024.txt",
    ];
    for text in fine {
        assert_eq!(names(text), [""; 0], "{text}");
    }
}

// A picture in base64 holds every short word sooner or later.
#[test]
fn pictures_in_base64_are_no_secrets() {
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let picture: Vec<u8> = (0..1_500_000).map(|_| byte()).collect();
    let text = format!(
        "<img src=\"data:image/png;base64,{}\">",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, picture)
    );
    assert_eq!(names(&text), [""; 0]);
}

// Few false alarms: this very repository, its lock file and its recorded samples have none.
#[test]
fn this_repository_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut waiting = vec![root.clone()];
    let (mut files, mut told) = (0, Vec::new());
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git", ".cargo"].contains(&name.as_str()) {
                waiting.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files += 1;
                let file = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                told.extend(scan(&file, &text, &AllowList::default()).into_iter().filter(|f| f.allowed.is_none()));
            }
        }
    }
    assert!(files > 300, "{files} files were read");
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    // The samples of formats in the test above are the only ones.
    assert_eq!(told, [""; 0], "{told:#?}");
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_scan_and_what_is_clean_stays_clean(text in "(?s).{0,200}", cut in 0_usize..400, seed in 0_u64..50) {
        let sample = &samples::all(seed)[seed as usize];
        let whole = format!("{text}{}{text}", sample.line);
        let at = (0..=cut.min(whole.len())).rev().find(|i| whole.is_char_boundary(*i)).unwrap_or(0);
        for part in [&whole[..at], &whole[at..]] {
            let clean = scrub(part).into_owned();
            proptest::prop_assert_eq!(&scrub(&clean), &clean);
            scan_diff(part, &AllowList::default());
        }
    }
}
