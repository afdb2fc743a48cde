//! What the catalog answers, and what is said about it.

use crate::actor::Access;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::document::Document;
use crate::verification::Sli;

fn service(name: &str, depends_on: &[&str]) -> Service {
    let depends_on = depends_on.iter().map(|d| (*d).to_owned()).collect();
    Service { tier: 2, depends_on, ..Service::named(name, "ada") }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn knot() -> Catalog {
    Catalog::new(vec![
        service("web", &["cart"]),
        service("cart", &["stock"]),
        service("stock", &["cart"]),
        service("mail", &[]),
    ])
}

#[test]
fn dependents_are_found_through_others_and_through_a_cycle() {
    let catalog = knot();
    assert_eq!(catalog.dependents(&set(&["stock"])), set(&["cart", "web"]));
    assert_eq!(catalog.dependents_within(&set(&["stock"]), 1), set(&["cart"]));
    assert_eq!(catalog.dependents_within(&set(&["stock"]), 0), set(&[]));
    assert_eq!(catalog.dependents(&set(&["nobody"])), set(&[]));
    assert_eq!(catalog.dependencies_within(&set(&["web"]), 9), [("cart", 1), ("stock", 2)]);
    assert_eq!(catalog.callers("cart"), ["stock", "web"]);
}

// LC2: blast radius from the dependency graph.
#[test]
fn a_blast_radius_weighs_by_tier_and_distance_and_never_reaches_a_hundred() {
    let mut services = vec![service("db", &[]), service("cart", &["db"]), service("web", &["cart"])];
    services[1].tier = 1;
    services[2].tier = 1;
    let radius = |services: &[Service]| Catalog::new(services.to_vec()).blast_radius(&set(&["db"]));
    let two = radius(&services);
    // 1 + 1/2 = 1.5, and 150 / 5.5.
    assert_eq!((two.figure, two.direct(), two.depth(), two.of_tier(1)), (27.3, 1, 2, 2));
    services[2].tier = 4;
    assert_eq!(radius(&services).figure, 20.8);
    assert_eq!(radius(&services[..1]).figure, 0.0);
    let crowd = (0..9_000).map(|i| Service { tier: 1, ..service(&format!("s{i}"), &["db"]) });
    assert_eq!(radius(&services.iter().cloned().chain(crowd).collect::<Vec<_>>()).figure, 99.9);
}

// The catalog as one thing that was read: our own form, from files of these names.
fn read(files: &[(&str, &str)]) -> Catalog {
    let entries = files.iter().map(|(path, text)| {
        let document = Document::from_yaml(text).expect("YAML");
        Entry::of(path, &document, document.read().expect("a service"))
    });
    Catalog::assemble(entries.collect(), Entries::default())
}

fn access() -> Access {
    Access::of_one("ada")
}

fn said(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn check(files: &[(&str, &str)], wanted: &Expect) {
    wanted.assert_eq(&said(&read(files).findings(&access(), &[])));
}

// X12: an owner is a real principal.
#[test]
fn everything_that_is_wrong_with_a_catalog_is_said_with_its_file_and_line() {
    check(
        &[
            ("services/cart.yaml", "name: cart\nowner: ada\ntier: 1\ndepends_on: [stok, cart, stock]\n"),
            ("services/mail.yaml", "name: mail\nowner: bob\non_call: cem\nslis: [mails]\nslos: [delivery]\n"),
            ("services/mail2.yaml", "name: mail\nowner: ada\n"),
            ("services/stock.yaml", "name: stock\nowner: ada\ntier: 4\ndepends_on:\n  - cart\n"),
        ],
        &expect![[r#"
            services/cart.yaml:4:14: error: `depends_on[0]`: there is no service `stok`
              help: did you mean `stock`?
            services/mail.yaml:2:1: error: `owner`: there is no user or group `bob`
            services/mail.yaml:4:8: error: `slis[0]`: there is no SLI `mails` in slis.yaml
            services/mail.yaml:5:8: error: `slos[0]`: there is no SLO `delivery`, in slos/ or slis.yaml
            services/mail2.yaml:1:1: error: there is a service `mail` in services/mail.yaml:1:1 already
              help: rename one of them, or remove it
            services/cart.yaml:4:20: warning: `depends_on[1]`: `cart` depends on itself
              help: remove the line
            services/cart.yaml:4:26: warning: `depends_on[2]`: `cart` has tier 1 and depends on `stock` of tier 4, which matters less
              help: what it needs matters as much as it does: lower the number there, or do without it
            services/mail.yaml:3:1: warning: `on_call`: there is no user or group `cem` to be called
              help: name a user or group of access.yaml, or a schedule of roster.yaml; until then the owner is called"#]],
    );
}

#[test]
fn a_sound_catalog_has_nothing_to_be_said_about() {
    check(&[("services/cart.yaml", "name: cart\nowner: ada\non_call: ada\n")], &expect![""]);
}

#[test]
fn a_promise_without_an_objective_is_a_warning() {
    let sli = "name: delivery\nsource: s\ngauge: {value: x}\n";
    let sli: Sli = Document::from_yaml(sli).and_then(|d| d.read()).expect("an SLI");
    let catalog = read(&[("services/mail.yaml", "name: mail\nowner: ada\nslos: [delivery]\n")]);
    expect![[r#"
        services/mail.yaml:3:8: warning: `slos[0]`: `delivery` has no objective, so it promises nothing
          help: give it an `objective`, or name it under `slis`"#]]
    .assert_eq(&said(&catalog.findings(&access(), &[sli])));
}

#[test]
fn a_knot_of_services_is_one_finding_with_its_shortest_circle() {
    let ring = |i: usize, all: usize| (format!("s{i:02}"), format!("s{:02}", (i + 1) % all));
    let services = (0..20).map(|i| ring(i, 20)).map(|(name, next)| service(&name, &[&next]));
    let mut catalog: Vec<Service> = services.collect();
    catalog[3].depends_on.push("s00".into());
    let found = Catalog::new(catalog).findings(&access(), &[]);
    expect!["catalog:1:1: warning: services depend on each other: s00 -> s01 -> s02 -> s03 -> s00; 16 more services are in the same knot
  help: when one of them fails, none can be started alone; let one do without the other"]
    .assert_eq(&said(&found));
}

// X23: entries past their review date, and services that nobody watches.
#[test]
fn what_is_overdue_or_unwatched_is_said() {
    let catalog = read(&[
        ("services/cart.yaml", "name: cart\nowner: ada\nreview_by: 2026-11-01\nslos: [a]\n"),
        ("services/mail.yaml", "name: mail\nowner: ada\nreview_by: 2026-11-02\n"),
    ]);
    expect![[r#"
        services/cart.yaml:3:1: warning: `review_by`: `cart` was to be reviewed by 2026-11-01
          help: look whether the entry is still true, and set a later `review_by`
        services/mail.yaml:1:1: warning: nothing is counted of `mail`: it names no SLI
          help: name SLIs under `slis`, or promises under `slos`"#]]
    .assert_eq(&said(&catalog.upkeep("2026-11-02T23:59:00Z".parse().expect("a time"))));
}

// X23: dependencies that are observed but undeclared, and the other way round.
#[test]
fn observed_calls_are_compared_with_what_is_declared() {
    let catalog = read(&[
        ("services/cart.yaml", "name: cart\nowner: ada\ndepends_on: [stock]\n"),
        ("services/stock.yaml", "name: stock\nowner: ada\n"),
        ("services/web.yaml", "name: web\nowner: ada\ndepends_on: [cart, stock]\n"),
    ]);
    let seen = |client: &str, server: &str, calls: Option<f64>| Observed {
        client: client.into(),
        server: server.into(),
        calls,
    };
    let observed = [
        seen("web", "Cart", Some(12.0)),
        seen("stock", "cart", Some(3.0)),
        seen("web", "stock", Some(0.0)),
        seen("web", "cdn\u{1b}[31m", None),
        seen("web", "web", None),
        seen("", "web", None),
    ];
    expect![[r#"
        observed:1:1: warning: `cdn[31m` was observed and is not in the catalog
          help: add it to services/, or leave it if it is not yours
        services/cart.yaml:3:14: warning: `depends_on[0]`: `cart` declares `stock` and was not seen to call it
          help: it was not seen to call anybody: is it traced at all?
        services/stock.yaml:1:1: warning: `stock` calls `cart` (3 calls) and does not declare it
          help: add `cart` to its `depends_on`
        services/web.yaml:3:20: warning: `depends_on[1]`: `web` declares `stock` and was not seen to call it
          help: remove it from `depends_on` if it is gone, or observe for longer"#]]
    .assert_eq(&said(&catalog.dependency_drift(&observed)));
}

#[test]
fn every_field_is_read_and_written_as_it_was() {
    let text = "name: cart
title: The cart
owner: ada
on_call: shop-duty
tier: 1
environments: [staging, production]
depends_on: [stock]
slis: [a]
slos: [b]
data: [payment]
links: ['https://wiki.example/cart']
lifecycle: experimental
review_by: 2027-01-31
gates: observe
";
    let document = Document::from_yaml(text).expect("YAML");
    let service: Service = document.read().expect("a service");
    assert_eq!((service.gates, service.lifecycle), (Gating::Observe, Lifecycle::Experimental));
    assert_eq!(&serde_json::to_value(&service).expect("JSON"), document.value());
    let plain: Service = Document::from_yaml("name: a\nowner: b\n").and_then(|d| d.read()).expect("a service");
    assert_eq!(plain, Service::named("a", "b"));
}

#[test]
fn a_value_that_no_service_has_is_refused_with_its_place() {
    let refused = |text: &str| {
        let problems = Document::from_yaml(text).and_then(|d| d.read::<Service>()).expect_err("it is refused");
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(refused("name: a\nowner: b\ngates: off\n").starts_with("3:1: `gates`: `off` is not known here"));
    assert!(refused("name: a\nowner: b\nreview_by: 2026-02-30\n").starts_with("3:1: `review_by`: "));
    assert!(refused("name: A\nowner: b\n").starts_with("1:1: `name`: "));
    assert!(refused("name: a\nowner: b\nlinks: ['javascript:x']\n").starts_with("3:9: `links[0]`: "));
}

/// Services `s0` to `s(n-1)` with these calls.
fn graph(count: usize, calls: &[(usize, usize)]) -> Catalog {
    let mut services: Vec<Service> = (0..count).map(|i| service(&format!("s{i}"), &[])).collect();
    for (from, to) in calls {
        services[*from].depends_on.push(format!("s{to}"));
    }
    Catalog::new(services)
}

/// Who calls a service, by trying again and again until nothing is added.
fn closure(count: usize, calls: &[(usize, usize)], of: usize) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::from([(of, 0)]);
    for hops in 1..=count {
        let ends: BTreeSet<usize> = found.iter().filter(|(_, h)| **h == hops - 1).map(|(s, _)| *s).collect();
        for (from, to) in calls {
            if ends.contains(to) {
                found.entry(*from).or_insert(hops);
            }
        }
    }
    found.remove(&of);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_blast_radius_is_what_a_naive_closure_finds(calls in proptest::collection::vec((0..12_usize, 0..12_usize), 0..40), of in 0..12_usize) {
        let catalog = graph(12, &calls);
        let radius = catalog.blast_radius(&set(&[&format!("s{of}")]));
        let wanted = closure(12, &calls, of);
        let found: BTreeMap<usize, usize> = radius.reached.iter().map(|r| (r.service[1..].parse().expect("a number"), r.hops)).collect();
        prop_assert_eq!(&found, &wanted);
        prop_assert!((0.0..100.0).contains(&radius.figure));
        let near: BTreeSet<String> = wanted.iter().filter(|(_, h)| **h <= 2).map(|(s, _)| format!("s{s}")).collect();
        prop_assert_eq!(catalog.dependents_within(&set(&[&format!("s{of}")]), 2), near);
    }

    #[test]
    fn services_are_in_one_cycle_exactly_if_each_reaches_the_other(calls in proptest::collection::vec((0..9_usize, 0..9_usize), 0..24)) {
        let catalog = graph(9, &calls);
        let callers: Vec<BTreeMap<usize, usize>> = (0..9).map(|s| closure(9, &calls, s)).collect();
        let cycles = catalog.cycles();
        for a in 0..9 {
            for b in (0..9).filter(|b| *b != a) {
                let (name_a, name_b) = (format!("s{a}"), format!("s{b}"));
                let together = cycles.iter().any(|c| c.contains(&name_a.as_str()) && c.contains(&name_b.as_str()));
                prop_assert_eq!(together, callers[a].contains_key(&b) && callers[b].contains_key(&a));
            }
        }
    }
}

/// Ten thousand services in a hundred rings of a hundred, each ring depending on the next, and further calls across: 30,000 in all.
fn large() -> Catalog {
    let ring = |i: usize| i / 100 * 100 + (i + 1) % 100;
    let mut calls: Vec<(usize, usize)> = (0..10_000).map(|i| (i, ring(i))).collect();
    calls.extend((0..9_900).map(|i| (i, i + 100)));
    calls.extend((0..9_900).map(|i| (i, (i * 37) % 100 + (i / 100 + 1) * 100)));
    calls.extend((0..200).map(|i| (i, i + 300)));
    assert_eq!(calls.len(), 30_000);
    graph(10_000, &calls)
}

// LC2: the catalog of a large house, with deep cycles.
#[test]
fn ten_thousand_services_with_deep_cycles_are_answered_rightly() {
    let catalog = large();
    assert_eq!(catalog.cycles().len(), 100);
    assert!(catalog.cycles().iter().all(|ring| ring.len() == 100));
    let last = catalog.blast_radius(&set(&["s9999"]));
    assert_eq!(last.reached.len(), 9_999);
    assert_eq!(catalog.blast_radius(&set(&["s50"])).reached.len(), 99);
    assert_eq!(catalog.dependents_within(&set(&["s9999"]), 1).len(), catalog.callers("s9999").len());
    let circles = catalog.findings(&access(), &[]);
    assert_eq!(circles.iter().filter(|f| f.kind == FindingKind::Cycle).count(), 100);
}

#[test]
fn one_cycle_of_ten_thousand_services_ends() {
    let calls: Vec<(usize, usize)> = (0..10_000).map(|i| (i, (i + 1) % 10_000)).collect();
    let catalog = graph(10_000, &calls);
    assert_eq!(catalog.cycles().iter().map(Vec::len).collect::<Vec<_>>(), [10_000]);
    let radius = catalog.blast_radius(&set(&["s0"]));
    assert_eq!((radius.reached.len(), radius.depth()), (9_999, 9_999));
    assert!(radius.figure < 100.0);
    let found = catalog.findings(&access(), &[]);
    assert!(found[0].message.ends_with("-> (9992 more) -> s0"), "{}", found[0].message);
}

#[test]
fn a_target_is_held_by_whoever_lists_it() {
    let on = |name: &str, targets: &[&str]| Service {
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        ..service(name, &[])
    };
    let catalog =
        Catalog::new(vec![on("shop", &["router:edge/shop*"]), on("till", &["router:edge/shop-till"]), on("mail", &[])]);
    let holders = |resource: &str| Vec::from_iter(catalog.holders(resource));
    assert_eq!(holders("router:edge/shop-till"), ["shop", "till"]);
    assert_eq!(holders("router:edge/shop"), ["shop"]);
    assert_eq!(holders("router:edge/mail"), Vec::<&str>::new());
}
