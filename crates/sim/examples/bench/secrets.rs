//! Secrets: what the scan costs on the write path, beside what the same texts cost a plain set of patterns.
//!
//! The peer is one `RegexSet` of the keywords, in any case of letters, as a scanner without a filter of its own would begin. Ours also tries the rules at the
//! keywords that it meets. `ordinary` is the JSON of events as the log has them; `telling` is text in which a keyword stands in nearly every line and no secret.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use drivers::read::secrets::{Scrubber, keywords, scrub};
use engine::ports::Scrub as _;
use regex::RegexSetBuilder;

use crate::rounds::median;
use crate::table::{Aim, Row};

const ROUNDS: usize = 21;
const KIB: usize = 64;

const ORDINARY: &str = r#"{"type":"StepApplied","step":0,"attempt":1,"actual":{"versions":[{"name":"v1","weight":9500},{"name":"v2","weight":500}],"backend":"checkout"},"digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","time":"2026-03-02T10:00:00Z"}
"#;
const TELLING: &str = "token: ${TOKEN}\nsecretKeyRef: {name: shop, key: db}\nurl: https://shop.example/path\npassword_file: /run/db\nname: checkout\n";

pub(crate) fn run() -> Result<Vec<Row>> {
    let words: Vec<String> = keywords().map(regex::escape).collect();
    let peer = RegexSetBuilder::new(words).case_insensitive(true).unicode(false).size_limit(64 << 20).build()?;
    let cases = [("ordinary events", ORDINARY), ("telling text", TELLING)];
    Ok(cases.into_iter().map(|(name, line)| compare(name, line, &peer)).collect())
}

fn compare(name: &str, line: &str, peer: &regex::RegexSet) -> Row {
    let text = line.repeat((KIB << 10) / line.len());
    let scrubber = Scrubber::default();
    let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let our_time = nanos_a_kib(&text, |text| {
            // As the engine asks: a value is only looked through if it can hold a secret.
            if scrubber.may_hold(text.as_bytes()) {
                black_box(scrub(text));
            }
        });
        let peer_time = nanos_a_kib(&text, |text| {
            black_box(peer.matches(text));
        });
        if round > 0 {
            ours.push(our_time);
            theirs.push(peer_time);
            ratios.push(our_time / peer_time);
        }
    }
    Row {
        name: format!("secrets: {name}"),
        figure: format!("{:.0} ns a KiB", median(ours)),
        beside: format!("{:.0} ns a KiB, set of patterns", median(theirs)),
        ratio: Some(median(ratios)),
        aim: Aim::None,
    }
}

fn nanos_a_kib(text: &str, scan: impl Fn(&str)) -> f64 {
    let began = Instant::now();
    scan(black_box(text));
    began.elapsed().as_nanos() as f64 / (text.len() as f64 / 1024.0)
}
