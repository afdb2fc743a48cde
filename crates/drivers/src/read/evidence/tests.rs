//! Tests of the evidence format: each oddity by its row in docs/reference/telemetry.md, and properties over generated files.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const HEAD: &str = "time,cohort,sli,field,value\n";

fn read(rows: &str) -> Result<Evidence, Vec<Problem>> {
    Evidence::read(format!("{HEAD}{rows}").as_bytes())
}

fn sound(rows: &str) -> Evidence {
    read(rows).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The looks of a file, a line for each: its time, and baseline and canary of each SLI.
fn looks(rows: &str, every: Span) -> String {
    let evidence = sound(rows);
    let counts = |counts: &Option<Counts>| match counts {
        None => "-".to_owned(),
        Some(Counts::Ratio { total, bad }) => format!("{bad}/{total}"),
        Some(Counts::Latency { buckets }) => format!("{buckets:?}"),
        Some(Counts::Gauge { value }) => format!("{value}"),
        Some(Counts::Check { passed }) => format!("{passed}"),
    };
    let line = |timed: &TimedLook| {
        let readings: Vec<String> = timed
            .look
            .readings
            .iter()
            .map(|reading| match reading {
                Reading::Seen { baseline, canary } => format!("{} {}", counts(baseline), counts(canary)),
                Reading::Unreachable { why } => why.clone(),
            })
            .collect();
        format!("{}: {}", timed.at, readings.join(" | "))
    };
    let looks = evidence.looks(every).expect("a sound interval");
    looks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn check(rows: &str, expected: &Expect) {
    expected.assert_eq(&looks(rows, Span::secs(10)));
}

fn refused(rows: &str, expected: &Expect) {
    let problems = read(rows).expect_err("it is broken");
    expected.assert_eq(&problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

const RATIO: &str = "0,baseline,e,total,100\n0,baseline,e,bad,1\n0,canary,e,total,10\n0,canary,e,bad,2\n10,canary,e,total,7\n10,canary,e,bad,0\n";

#[test]
fn every_kind_of_sli_is_told_by_its_fields() {
    check(
        RATIO,
        &expect![[r#"
        10s: 1/100 2/10
        20s: - 0/7"#]],
    );
    check("0,canary,g,total,10\n0,canary,g,good,9\n", &expect!["10s: - 1/10"]);
    check(
        "0,canary,l,le=+Inf,1\n0,canary,l,le=0.5,2\n0,canary,l,le=0.25,3\n0,canary,m,value,1.5\n0,baseline,c,passed,1\n0,canary,c,passed,false\n",
        &expect!["10s: - [3, 2, 1] | - 1.5 | true false"],
    );
    let kinds: Vec<Kind> =
        sound("0,canary,l,le=0.25,3\n0,canary,m,value,1\n").slis().iter().map(|s| s.kind.clone()).collect();
    assert_eq!(kinds, [Kind::Latency { edges_ms: vec![250.0] }, Kind::Gauge]);
}

// telemetry.md: "a missing row", "NaN or nothing as a value".
#[test]
fn a_missing_row_is_a_missing_scrape() {
    let without =
        "0,canary,e,total,10\n0,canary,e,bad,1\n10,canary,e,total,10\n20,canary,e,total,5\n20,canary,e,bad,0\n";
    let missing = expect![[r#"
        10s: - 1/10
        20s: - -
        30s: - 0/5"#]];
    check(without, &missing);
    for nothing in ["NaN", "nan", ""] {
        check(&format!("{without}10,canary,e,bad,{nothing}\n"), &missing);
    }
    check(
        "0,canary,l,le=0.1,1\n0,canary,l,le=+Inf,1\n10,canary,l,le=0.1,1\n",
        &expect![[r#"
        10s: - [1, 1]
        20s: - -"#]],
    );
}

// telemetry.md: "the same row twice".
#[test]
fn a_row_that_is_there_twice_is_refused_with_both_lines() {
    refused(
        "0,canary,e,bad,1\n0,canary,e,total,9\n0,canary,e,bad,1\n",
        &expect!["line 4: line 2 says the same of this time, cohort, SLI and field: leave one"],
    );
}

// telemetry.md: "infinite or negative", "huge".
#[test]
fn what_is_no_count_is_refused() {
    for bad in ["inf", "-inf", "-1", "many", "9e15", "1e400"] {
        let problems = read(&format!("0,canary,e,bad,{bad}\n")).expect_err("it is broken");
        let message = format!("line 2: the value of `bad` is `{bad}`: write a count: finite, not negative, below 9e15");
        assert_eq!(problems[0].to_string(), message);
    }
    refused("0,canary,g,value,inf\n", &expect!["line 2: the value of `value` is `inf`: write a finite number"]);
    refused("0,canary,c,passed,2\n", &expect!["line 2: the value of `passed` is `2`: write 1 or 0"]);
    check(
        "0,canary,g,value,-1e300\n",
        &expect![[
            "10s: - -1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        ]],
    );
}

#[test]
fn every_problem_of_a_line_says_what_to_write() {
    refused(
        "x,canary,e,bad,1\n0,both,e,bad,1\n0,canary,,bad,1\n0,canary,e,worse,1\n0,canary,e,le=-1,1\n0,canary,e\n2026-11-05T12:00:00Z,canary,e,bad,1\n",
        &expect![[r#"
            line 2: the time is `x`: write seconds, or `2026-11-05T12:00:00Z`
            line 3: the cohort is `both`: write `baseline` or `canary`
            line 4: the SLI has no name
            line 5: the field is `worse`: write `bad`, `good`, `total`, `le=0.25` in seconds, `le=+Inf`, `value` or `passed`
            line 6: the field is `le=-1`: write `bad`, `good`, `total`, `le=0.25` in seconds, `le=+Inf`, `value` or `passed`
            line 7: has 3 columns: the head has more
            line 8: the time is `2026-11-05T12:00:00Z`, and the rows before have it in another form: write all in one"#]],
    );
    refused("", &expect!["the file has no rows"]);
    let head = Evidence::read(b"time,cohort,sli,value\n").expect_err("it is broken");
    assert_eq!(head[0].to_string(), "line 1: the head has no column `field`: it is `time,cohort,sli,field,value`");
    assert!(Evidence::read(b"").is_err() && Evidence::read(b"\xff\xfe\x00").is_err());
}

#[test]
fn fields_that_do_not_belong_together_are_refused() {
    refused("0,canary,e,bad,1\n", &expect!["line 2: `e` has no rows with the field `total`"]);
    refused("0,canary,e,total,1\n", &expect!["line 2: `e` has neither `bad` nor `good`: give one of them"]);
    refused(
        "0,canary,e,total,1\n0,canary,e,value,1\n",
        &expect!["line 2: `e` mixes the fields `total`, `value`: it is one kind of SLI"],
    );
    refused(
        "0,canary,e,total,1\n0,canary,e,good,1\n0,canary,e,bad,1\n",
        &expect!["line 2: `e` has both `bad` and `good`: give one of them"],
    );
    refused(
        "0,canary,l,le=+Inf,1\n",
        &expect!["line 2: the histogram of `l` has no edge but `+Inf`: add rows such as `le=0.25`"],
    );
}

// telemetry.md: "more bad events than events".
#[test]
fn counts_that_contradict_themselves_reach_the_judge() {
    check("0,canary,e,total,1\n0,canary,e,bad,3\n", &expect!["10s: - 3/1"]);
    check("0,canary,e,total,1\n0,canary,e,good,3\n", &expect!["10s: - 2/1"]);
}

// telemetry.md: "a file with a byte order mark, CRLF, quotes, blanks, other columns, another order".
#[test]
fn the_same_rows_in_other_dress_are_the_same_evidence() {
    let plain = Evidence::read(format!("{HEAD}{RATIO}").as_bytes()).expect("is sound");
    let looks = |evidence: &Evidence| evidence.looks(Span::secs(10)).expect("a sound interval");
    let lines: Vec<&str> = RATIO.lines().collect();
    let reversed = lines.iter().rev().copied().collect::<Vec<_>>().join("\n");
    let dated = RATIO.replace("\n10,", "\n2026-11-05T13:00:10+01:00,").replace("\n0,", "\n2026-11-05T12:00:00Z,");
    let dated = dated.replacen("0,", "2026-11-05T12:00:00Z,", 1);
    let object = |line: &&str| {
        let c: Vec<&str> = line.split(',').collect();
        format!(
            "{{\"time\":{},\"cohort\":\"{}\",\"sli\":\"{}\",\"field\":\"{}\",\"value\":{}}}",
            c[0], c[1], c[2], c[3], c[4]
        )
    };
    let objects: Vec<String> = lines.iter().map(object).collect();
    let dresses = [
        format!("\u{feff}{HEAD}{RATIO}").replace('\n', "\r\n"),
        format!("\"time\", cohort ,sli,field,value\n{}", RATIO.replace(",e,", ",\"e\", ")),
        format!("{HEAD}{reversed}"),
        format!("{HEAD}{dated}"),
        format!("{}\n{}", HEAD.trim_end().to_owned() + ",host", RATIO.replace('\n', ",h1\n")),
        format!("[{}]", objects.join(",\n")),
        objects.join("\r\n"),
    ];
    for dress in dresses {
        let evidence = Evidence::read(dress.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}\n{dress}"));
        assert_eq!(looks(&evidence), looks(&plain), "{dress}");
    }
    let broken = Evidence::read(b"[{\"time\": 1}]").expect_err("it is broken");
    assert!(broken[0].to_string().starts_with("line 1: this is no row: missing field `cohort`"), "{broken:?}");
}

#[test]
fn rows_of_one_interval_are_one_look() {
    check(
        "0,canary,e,total,10\n0,canary,e,bad,1\n5,canary,e,total,10\n5,canary,e,bad,2\n25,canary,e,total,1\n25,canary,e,bad,0\n0,canary,g,value,1\n9.999,canary,g,value,3\n",
        &expect![[r#"
            10s: - 3/20 | - 2
            20s: - - | - -
            30s: - 0/1 | - -"#]],
    );
    assert_eq!(sound(RATIO).interval(), Some(Span::secs(10)));
    assert_eq!(sound("7,canary,g,value,1\n").interval(), None);
    let long = sound("0,canary,g,value,1\n1e10,canary,g,value,1\n");
    let error = long.looks(Span::millis(1)).expect_err("it is too long");
    assert_eq!(error, "a look every `1ms` makes 10000000000001 looks of this file: choose a longer time");
    assert!(long.looks(Span::ZERO).is_err());
}

#[test]
fn many_edges_are_merged_to_forty_and_no_request_is_lost() {
    let rows: String = (1..=100).map(|i| format!("0,canary,l,le={},1\n", f64::from(i) / 100.0)).collect();
    let evidence = sound(&format!("{rows}0,canary,l,le=+Inf,5\n"));
    let Kind::Latency { edges_ms } = &evidence.slis()[0].kind else { panic!("a histogram") };
    assert_eq!((edges_ms.len(), edges_ms[0], edges_ms[1]), (34, 10.0, 40.0));
    let look = &evidence.looks(Span::secs(10)).expect("is sound")[0].look;
    let Reading::Seen { canary: Some(Counts::Latency { buckets }), .. } = &look.readings[0] else { panic!("buckets") };
    assert_eq!((buckets.len(), buckets.iter().sum::<u64>(), buckets[1]), (35, 105, 3));
}

proptest! {
    /// Whatever the bytes are: an answer, and no panic.
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Evidence::read(&bytes);
        let _ = Evidence::read(&[HEAD.as_bytes(), &bytes].concat());
    }

    /// Lines of plausible words in any order: what is read gives looks, and says the same again when its lines are shuffled.
    #[test]
    fn the_order_of_lines_means_nothing(
        rows in prop::collection::btree_map(
            (0i64..50, prop::bool::ANY, 0usize..3), (0u64..1_000, 0u64..1_000), 1..60),
    ) {
        let line = |((t, canary, sli), (total, bad)): (&(i64, bool, usize), &(u64, u64))| {
            let cohort = if *canary { "canary" } else { "baseline" };
            [format!("{t},{cohort},s{sli},total,{total}\n"), format!("{t},{cohort},s{sli},bad,{bad}\n")]
        };
        let lines: Vec<String> = rows.iter().flat_map(line).collect();
        let mut turned = lines.clone();
        turned.rotate_left(lines.len() / 3);
        let sums = |lines: &[String], every: u64| {
            let evidence = sound(&lines.concat());
            let looks = evidence.looks(Span::secs(every)).expect("a sound interval");
            let mut sums = BTreeMap::new();
            for (i, sli) in evidence.slis().iter().enumerate() {
                for timed in &looks {
                    let Reading::Seen { baseline, canary } = &timed.look.readings[i] else { continue };
                    for (cohort, counts) in [("b", baseline), ("c", canary)] {
                        if let Some(Counts::Ratio { total, bad }) = counts {
                            let sum: &mut (u64, u64) = sums.entry((sli.name.clone(), cohort)).or_default();
                            *sum = (sum.0 + total, sum.1 + bad);
                        }
                    }
                }
            }
            sums
        };
        // No event is lost or made, whatever the interval of looks.
        prop_assert_eq!(sums(&lines, 1), sums(&turned, 7));
        let total: u64 = rows.values().map(|(total, _)| total).sum();
        prop_assert_eq!(sums(&lines, 3).values().map(|(total, _)| total).sum::<u64>(), total);
    }
}
