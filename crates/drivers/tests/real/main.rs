//! A real Prometheus: what its answers mean to the eyes, sample by sample.
//!
//! Samples are written by remote write with times of the test's choosing, so that no test waits for a scrape.

mod prometheus;
mod remote_write;

use change::{Span, Timestamp};
use drivers::{CommandSettings, Limits, Probes, Source, SourceKind};
use engine::ports::{Answer, Ask, Cohorts, Eyes, Glance, Meaning, Part, Series, Side};

use prometheus::Prometheus;
use remote_write::{Sample, Sparse, request};

fn probes(prometheus: &Prometheus, labels: Option<&str>) -> Probes {
    let source =
        Source { labels: labels.map(str::to_owned), ..SourceKind::Prometheus { url: prometheus.url.clone() }.into() };
    let commands = CommandSettings {
        allow: false,
        dir: ".".into(),
        path: "/usr/bin:/bin".into(),
        home: "/".into(),
        lang: "C.UTF-8".into(),
        grace: std::time::Duration::from_secs(1),
    };
    Probes::new([("prom".to_owned(), source)].into(), commands, Limits::default()).expect("is sound")
}

fn ask(query: &str, part: Part, side: Side) -> Ask {
    let cohorts = Cohorts { canary: "v2".into(), stable: "v1".into() };
    Ask { query: query.to_owned(), part, side, cohorts }
}

fn canary(query: &str, part: Part) -> Ask {
    ask(query, part, Side::Canary)
}

fn glance(now_ms: i64) -> Glance {
    Glance { now: Timestamp::from_millisecond(now_ms).expect("a time"), every: Span::secs(10) }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

async fn one(probes: &Probes, ask: Ask, glance: &Glance) -> Answer {
    let found = probes.read("prom", &[ask], glance).await.expect("it answers");
    found.into_iter().next().expect("one answer for each query")
}

fn values(series: &[Series]) -> Vec<f64> {
    series.iter().map(|s| s.value).collect()
}

/// Samples of a counter that grows by `by` every ten seconds and ends now.
fn counter(name: &str, version: &str, now: i64, by: f64) -> Vec<Sample> {
    let labels = [("__name__", name), ("version", version)];
    let sample = |i: i64| Sample::new(&labels, now - (30 - i) * 10_000, by * i as f64);
    (0..=30).map(sample).collect()
}

// LC6, telemetry.md: "a selector", "an expression".
#[tokio::test]
async fn a_selector_is_read_raw_and_an_expression_is_the_increment_of_its_window() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    let samples = [counter("hits_total", "v1", now, 100.0), counter("hits_total", "v2", now, 10.0)].concat();
    prometheus.write(&request(&samples, &[])).await;
    let probes = probes(&prometheus, None);
    let glance = glance(now);
    let raw = one(&probes, canary("hits_total{$labels}", Part::Count), &glance).await;
    assert_eq!(
        (raw.meaning, values(&raw.series), raw.series[0].at),
        (Meaning::Total, vec![300.0], Timestamp::from_millisecond(now).ok())
    );
    let window = Glance { every: Span::secs(60), ..glance };
    let computed =
        one(&probes, canary("sum(increase(hits_total{version=\"$cohort\"}[$window]))", Part::Count), &window).await;
    assert_eq!(computed.meaning, Meaning::Window(Span::secs(60)));
    assert!((values(&computed.series)[0] - 60.0).abs() < 1e-6, "ten every ten seconds: {computed:?}");
    let end = computed.series[0].at.expect("the end of the window").as_millisecond();
    assert!(end % 60_000 == 0 && end <= now && now - end < 60_000, "a whole minute");
    let share = one(
        &probes,
        canary("hits_total{version=\"$canary\"} / on() hits_total{version=\"$baseline\"}", Part::Value),
        &glance,
    )
    .await;
    assert_eq!(values(&share.series), [0.1]);
    let nothing = one(&probes, canary("sum(increase(none{$labels}[$window]))", Part::Count), &glance).await;
    assert_eq!(nothing.series, [], "an empty answer is an answer");
    let broken = probes.read("prom", &[canary("sum(increase(none{$labels}[nonsense]))", Part::Count)], &glance).await;
    assert!(broken.is_err_and(|why| why.contains("refused `sum(increase(none{version=\"v2\"}[nonsense]))`: ")));
}

// LC6, telemetry.md: "a value in the place of a name": what is odd in a version reaches Prometheus as it is.
#[tokio::test]
async fn values_are_escaped_as_prometheus_reads_them() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    let odd = "v2\"} or up{x=\"\\.*'`ä";
    let samples = [
        Sample::new(&[("__name__", "up"), ("version", odd)], now, 1.0),
        Sample::new(&[("__name__", "up"), ("version", "other")], now, 2.0),
    ];
    prometheus.write(&request(&samples, &[])).await;
    let probes = probes(&prometheus, None);
    let cohorts = Cohorts { canary: odd.into(), stable: "other".into() };
    for query in
        ["up{$labels}", "up{version='$cohort'}", "up{version=~\"$cohort\"}", "max(up{version=~'$cohort|none'})"]
    {
        let ask = Ask { cohorts: cohorts.clone(), ..canary(query, Part::Value) };
        assert_eq!(values(&one(&probes, ask, &glance(now)).await.series), [1.0], "{query}");
    }
}

// telemetry.md: "an old sample", "NaN in a gauge".
#[tokio::test]
async fn old_samples_are_missing_and_the_interval_of_the_scrapes_is_seen() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    let at = |i: &'static str, ages: &[i64]| {
        let sample = |age: &i64| Sample::new(&[("__name__", "mem"), ("i", i)], now - age * 1_000, 1.0);
        ages.iter().map(sample).collect::<Vec<_>>()
    };
    let samples = [
        at("every 10 s, 15 s old", &[35, 25, 15]),
        at("every 10 s, 25 s old", &[45, 35, 25]),
        at("every 20 s, 25 s old", &[45, 25]),
        vec![Sample::new(&[("__name__", "mem"), ("i", "no number")], now - 1_000, f64::NAN)],
    ]
    .concat();
    prometheus.write(&request(&samples, &[])).await;
    let found = one(&probes(&prometheus, None), canary("mem", Part::Value), &glance(now)).await;
    let mut fresh: Vec<&str> = found.series.iter().map(|s| s.labels["i"].as_str()).collect();
    fresh.sort_unstable();
    assert_eq!(fresh, ["every 10 s, 15 s old", "every 20 s, 25 s old", "no number"]);
}

// LC6, telemetry.md: "a native histogram".
#[tokio::test]
async fn a_native_histogram_is_read_as_buckets_whose_edges_stay() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    let name = [("__name__", "seconds"), ("version", "v2")];
    // Schema 3: index 0 is the bucket that ends at 1 s, -8 that at 0.5 s.
    let first = Sparse { at_ms: now - 10_000, schema: 3, zero: 1, first: -8, counts: vec![5, 0, 0, 0, 0, 0, 0, 0, 2] };
    let second = Sparse { at_ms: now, schema: 3, zero: 1, first: -9, counts: vec![3, 7, 0, 0, 0, 0, 0, 0, 0, 4] };
    prometheus.write(&request(&[], &[(&name, first)])).await;
    let probes = probes(&prometheus, None);
    let ask = canary("seconds{$labels}", Part::Buckets);
    let before = one(&probes, ask.clone(), &glance(now)).await;
    prometheus.write(&request(&[], &[(&name, second)])).await;
    let after = one(&probes, ask.clone(), &glance(now)).await;
    let below = |answer: &Answer, le: &str| answer.series.iter().find(|s| s.labels["le"] == le).map(|s| s.value);
    let shown = |answer: &Answer| ["0.25", "0.5", "1", "+Inf"].map(|le| below(answer, le).expect("an edge"));
    assert_eq!((shown(&before), shown(&after)), ([1.0, 6.0, 8.0, 8.0], [1.0, 11.0, 15.0, 15.0]));
    let edges = |answer: &Answer| answer.series.iter().map(|s| s.labels["le"].clone()).collect::<Vec<_>>();
    assert_eq!((edges(&before).len(), edges(&before)), (41, edges(&after)));
    // Where there are classic buckets, those are read.
    let classic = [("0.5", 6.0), ("+Inf", 8.0)];
    let classic =
        classic.map(|(le, n)| Sample::new(&[("__name__", "seconds_bucket"), ("version", "v2"), ("le", le)], now, n));
    prometheus.write(&request(&classic, &[])).await;
    let found = one(&probes, ask, &glance(now)).await;
    assert_eq!((found.asked.as_str(), values(&found.series).len()), ("seconds_bucket{version=\"v2\"}", 2));
}

// LC6: what `before` is compared with.
#[tokio::test]
async fn the_past_is_read_as_it_was() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    prometheus.write(&request(&counter("hits_total", "v2", now, 10.0), &[])).await;
    let probes = probes(&prometheus, None);
    let asks = [
        canary("hits_total{$labels}", Part::Count),
        canary("max(hits_total{$labels})", Part::Value),
        canary("sum(increase(hits_total{$labels}[$window]))", Part::Count),
    ];
    let past = |age: i64| Glance { every: Span::secs(60), ..glance(now - age * 1_000) };
    let then = probes.read_at("prom", &asks, &past(100)).await.expect("it keeps history");
    assert_eq!((values(&then[0].series), values(&then[1].series)), (vec![200.0], vec![200.0]));
    assert_eq!(then[0].series[0].at, Timestamp::from_millisecond(now - 100_000).ok());
    assert!((values(&then[2].series)[0] - 60.0).abs() < 1e-6, "{then:?}");
    let before_all = probes.read_at("prom", &asks[..1], &past(7 * 86_400)).await.expect("it keeps history");
    assert_eq!(before_all[0].series, []);
}

// X18: what a wide scan looks at.
#[tokio::test]
async fn the_series_of_each_cohort_are_listed() {
    let Some(prometheus) = Prometheus::start() else { return };
    let now = now_ms();
    let series = |version| {
        let names = ["hits_total", "mem", "seconds_bucket"];
        names.map(|name| Sample::new(&[("__name__", name), ("deployment", version)], now, 1.0)).to_vec()
    };
    let sparse = Sparse { at_ms: now, schema: 3, zero: 0, first: 0, counts: vec![1] };
    let native = [("__name__", "native"), ("deployment", "shop-v2")];
    let samples = [series("shop-v1"), series("shop-v2")].concat();
    prometheus.write(&request(&samples, &[(&native, sparse)])).await;
    let probes = probes(&prometheus, Some("deployment=\"shop-$cohort\""));
    let listed = async |side, most| {
        let matcher = ask("{$labels}", Part::Value, side);
        let found = probes.series("prom", &matcher, &glance(now), most).await.expect("it answers");
        found.into_iter().map(|s| format!("{} {}", s.labels["__name__"], s.labels["deployment"])).collect::<Vec<_>>()
    };
    assert_eq!(listed(Side::Canary, 9).await, ["hits_total shop-v2", "mem shop-v2", "seconds_bucket shop-v2"]);
    assert_eq!(listed(Side::Baseline, 2).await, ["hits_total shop-v1", "mem shop-v1"]);
}
