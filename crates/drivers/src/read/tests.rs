//! What is taken over from files as people write them, and what is said about it.

use expect_test::{expect, expect_file};
use proptest::prelude::*;

use super::{Format, Given, Imported, analysis, analysis_as};

/// The file that would be written, and the notes.
fn shown(text: &str, given: &Given) -> String {
    let imported = analysis_as(text, None, given).unwrap_or_else(|problems| panic!("is read: {problems:#?}"));
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    format!("{}\n\n--- notes\n{}\n", imported.to_yaml().trim_end(), notes.join("\n"))
}

fn check(text: &str, wanted: &expect_test::ExpectFile) {
    wanted.assert_eq(&shown(text, &Given::default()));
}

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("samples/", $name))
    };
}

const SAMPLES: [(&str, Format, &str); 9] = [
    ("openslo-checkout", Format::OpenSlo, sample!("openslo-checkout.yaml")),
    ("openslo-queue", Format::OpenSlo, sample!("openslo-queue.yaml")),
    ("kayenta-shop", Format::Kayenta, sample!("kayenta-shop.json")),
    ("kayenta-request", Format::Kayenta, sample!("kayenta-request.json")),
    ("argo-guestbook", Format::Argo, sample!("argo-guestbook.yaml")),
    ("argo-rollout", Format::Argo, sample!("argo-rollout.yaml")),
    ("flagger-podinfo", Format::Flagger, sample!("flagger-podinfo.yaml")),
    ("flagger-blue-green", Format::Flagger, sample!("flagger-blue-green.yaml")),
    ("own", Format::Clearway, sample!("own.yaml")),
];

#[test]
fn an_openslo_file_is_read_as_it_is() {
    check(SAMPLES[0].2, &expect_file!["samples/openslo-checkout.snap"]);
    check(SAMPLES[1].2, &expect_file!["samples/openslo-queue.snap"]);
}

#[test]
fn a_kayenta_configuration_becomes_slis_with_weights() {
    check(SAMPLES[2].2, &expect_file!["samples/kayenta-shop.snap"]);
    check(SAMPLES[3].2, &expect_file!["samples/kayenta-request.snap"]);
}

#[test]
fn an_argo_template_becomes_slis_with_objectives() {
    check(SAMPLES[4].2, &expect_file!["samples/argo-guestbook.snap"]);
    check(SAMPLES[5].2, &expect_file!["samples/argo-rollout.snap"]);
}

#[test]
fn a_flagger_canary_becomes_slis_and_a_plan() {
    check(SAMPLES[6].2, &expect_file!["samples/flagger-podinfo.snap"]);
    check(SAMPLES[7].2, &expect_file!["samples/flagger-blue-green.snap"]);
}

#[test]
fn every_sample_is_recognised_and_every_sli_of_it_is_sound() {
    for (name, format, text) in SAMPLES {
        let imported = analysis(text).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        assert_eq!(imported.format, format, "{name}");
        assert!(!imported.is_empty(), "{name}");
        sound(&imported);
    }
}

/// What is taken over can be used: names are as ours have to be and no two are the same, no SLI has a problem, and what is written reads as the same.
fn sound(imported: &Imported) {
    for (i, sli) in imported.slis.iter().enumerate() {
        assert_eq!(sli.problems(std::slice::from_ref(&sli.source)), vec![], "{sli:?}");
        assert!(imported.slis[..i].iter().all(|other| other.name != sli.name), "{} twice", sli.name);
    }
    let again =
        analysis(&imported.to_yaml()).unwrap_or_else(|problems| panic!("{problems:#?}\n{}", imported.to_yaml()));
    assert_eq!(again.slis, imported.slis);
    let weights: Vec<_> = imported.steps.iter().map(|s| s.weight).collect();
    assert!(weights.is_sorted() && imported.steps.len() <= 50, "{weights:?}");
}

#[test]
fn what_is_given_by_hand_is_put_in() {
    let values = [("location", "eu"), ("service", "mail"), ("zone", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let given = Given { source: Some("edge".into()), values: values.into() };
    for (name, _, text) in SAMPLES.iter().filter(|(_, format, _)| *format != Format::Clearway) {
        let imported = analysis_as(text, None, &given).expect("is read");
        let said = imported.notes.iter().find(|n| n.text.contains("the source is called"));
        assert_eq!(said, None, "{name}");
        let of_edge = imported.slis.iter().all(|s| s.source == "edge");
        assert!(of_edge, "{name}");
        assert!(!imported.to_yaml().contains("${location}") && !imported.to_yaml().contains("{{args"), "{name}");
    }
}

fn refused(text: &str) -> String {
    let problems = analysis(text).expect_err("is refused");
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_wrong_is_said_with_its_place_all_at_once() {
    expect![[r#"
        5:3: `spec.indicatorRef`: there is no SLI `eror-rate`
          help: did you mean `error-rate`?
        6:16: `spec.objectives[0]`: an objective needs a `target` above 0 and below 1
          help: write for example `target: 0.995`
        6:30: `spec.objectives[1].op`: `below` is not known here
          help: it can be `lt`, `lte`, `gt` or `gte`
        12:3: `spec.ratioMetric`: its parts do not make a ratio
          help: a ratio has `good` and `total`, `bad` and `total`, or `raw` and `rawType`
        14:1: `apiVersion`: `openslo/v2alpha` is not read
          help: write it as `openslo/v1`
        20:1: `metadata`: `metadata.name` is missing
          help: name it, so that a change file can refer to it"#]]
    .assert_eq(&refused(
        "apiVersion: openslo/v1
kind: SLO
metadata: {name: a}
spec:
  indicatorRef: eror-rate
  objectives: [{target: 1}, {op: below, value: 3, target: 0.9}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: error-rate}
spec:
  ratioMetric: {good: {}, bad: {}, total: {}}
---
apiVersion: openslo/v2alpha
kind: SLI
metadata: {name: c}
---
apiVersion: openslo/v1
kind: SLO
metadata: {}
",
    ));
    expect![[r#"
        5:7: `spec.metrics[0]`: `name` is missing
          help: name the metric
        7:7: `spec.metrics[1].provider`: the metric `b` has no query
          help: add `query`
        9:7: `spec.metrics[2].interval`: `soon` is not a length of time
          help: write for example `90s` or `1m30s`"#]].assert_eq(&refused("apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nspec:\n  metrics:\n    - interval: 1m\n    - name: b\n      provider: {prometheus: {}}\n    - name: c\n      interval: soon\n      provider: {prometheus: {query: up}}\n"));
    expect![[r#"
        1:28: `metrics[0].query`: the metric `a` has no query
          help: give it a `metricName` or a `customInlineTemplate`
        1:62: `metrics[1]`: `name` is missing
          help: name the metric
        1:159: `metrics[2].analysisConfigurations.canary.direction`: `sideways` is not known here
          help: it can be `increase`, `decrease` or `either`"#]].assert_eq(&refused("{\"metrics\": [{\"name\": \"a\", \"query\": {\"type\": \"prometheus\"}}, {\"query\": 3}, {\"name\": \"c\", \"query\": {\"metricName\": \"up\"}, \"analysisConfigurations\": {\"canary\": {\"direction\": \"sideways\"}}}], \"classifier\": {}}"));
    expect![[r#"
        3:1: `spec`: `targetRef.name` is missing
          help: it names the workload of the new version
        5:5: `spec.analysis.interval`: `often` is not a length of time
          help: write for example `90s` or `1m30s`
        6:15: `spec.analysis.metrics[0]`: `name` is missing
          help: name the metric"#]].assert_eq(&refused("apiVersion: flagger.app/v1beta1\nkind: Canary\nspec:\n  analysis:\n    interval: often\n    metrics: [{thresholdRange: {min: 1}}, {name: request-success-rate}]\n"));
    expect![[r#"
        2:26: `slis[0].ratio`: the SLI `a` has neither `bad` nor `good`
          help: give one of them
        3:6: `slis[1].name`: the SLI `a` is listed twice"#]].assert_eq(&refused("slis:\n  - {name: a, source: s, ratio: {total: x}}\n  - {name: a, source: s, gauge: {value: 'x{v=\"$cohort\"}'}}\njudge: {alpha: 0.1}\n"));
    expect![[r#"
        2:9: `judge.alfa`: there is no field `alfa`
          help: did you mean `alpha`?
        2:20: `judge.beta`: value is greater than the maximum of 0.5"#]]
    .assert_eq(&refused("slis: []\njudge: {alfa: 0.1, beta: 2}\n"));
}

#[test]
fn what_is_hostile_or_of_no_kind_is_refused() {
    for (text, wanted) in [
        ("", "the file is empty"),
        ("hello", "this is no kind of file that can be taken over"),
        ("a: [", "this is not YAML"),
        ("apiVersion: openslo/v1\nkind: SLO\nkind: SLI\n", "this key stands here twice"),
        ("a: &a [1]\nslis: *a\n", "aliases are not allowed"),
        ("slis: []\n---\nslis: []\n", "the file holds a second document"),
    ] {
        assert!(refused(text).contains(wanted), "{text}: {}", refused(text));
    }
    assert!(refused(&"[".repeat(100_000)).contains("nested more than"));
    assert!(refused(&"apiVersion: openslo/v1\n---\n".repeat(40_000)).contains("the most that is read is"));
    let deep = SAMPLES[5].2.replace("avg(mail_backlog", &format!("{}avg(mail_backlog", "(".repeat(4_000)));
    let notes = analysis(&deep).expect("the rest is taken over").notes;
    assert!(notes.iter().any(|n| n.text.contains("nested too deep")), "{notes:#?}");
    let other = analysis_as(SAMPLES[0].2, Some(Format::Kayenta), &Given::default());
    assert!(other.is_err_and(|p| p[0].message == "this is no file of Kayenta"));
}

#[test]
fn a_mark_of_the_byte_order_and_windows_line_ends_change_nothing() {
    for (name, _, text) in SAMPLES {
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let (here, there) = (analysis(text).expect("is read"), analysis(&windows).expect("is read"));
        assert_eq!(here.slis, there.slis, "{name}");
    }
}

/// A sample with one of its values put out, replaced or put elsewhere.
fn disturbed() -> impl Strategy<Value = String> {
    let words = [
        "",
        "~",
        "-1",
        "1e999",
        "[]",
        "{}",
        "[{}]",
        "true",
        "'{{'",
        "a: b",
        "\u{0}",
        "é",
        "${",
        "((((",
        "\"",
        "x{",
        "9999999999999999999",
    ];
    (0..SAMPLES.len(), any::<prop::sample::Index>(), 0..words.len(), 0..4_u8).prop_map(move |(which, at, word, how)| {
        let lines: Vec<&str> = SAMPLES[which].2.lines().collect();
        let at = at.index(lines.len());
        let line = lines[at];
        let changed = match how {
            0 => String::new(),
            1 => line.find(": ").map_or(line.to_owned(), |colon| format!("{}: {}", &line[..colon], words[word])),
            2 => format!("{line}\n{line}"),
            _ => line.replacen(['"', '(', '[', '{', '0'], words[word], 1),
        };
        let mut all: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        all[at] = changed;
        all.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_disturbed_file_is_taken_over_soundly_or_refused_with_reasons(text in disturbed()) {
        match analysis(&text) {
            Ok(imported) => sound(&imported),
            Err(problems) => prop_assert!(!problems.is_empty() && problems.iter().all(|p| !p.message.is_empty())),
        }
    }
}
