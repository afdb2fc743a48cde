//! The gallery: every page with samples, checked for what each must hold. With `CLEARWAY_GALLERY=DIR` the pages are written there, to be looked at.

use std::collections::BTreeSet;

use change::Timestamp;
use engine::project::ChangeRow;
use serde_json::Value;

use super::change::tests::page_of;
use super::form::{Fault, Tried, Typed};
use super::frame::{Page, ReaderView};
use super::list::ListPage;
use super::log::LogPage;
use super::login::LoginPage;
use super::releases::ReleasesPage;
use super::{api, assets, problem};
use crate::api::diffs;
use crate::offers::Act;
use crate::problem::Problem;
use crate::sample;
use crate::view::{ChangeList, LogEntry, no_plan};

fn list(rows: Vec<ChangeRow>) -> Page {
    let list = ChangeList::page(rows, 50);
    ListPage {
        list,
        group: None,
        service: String::new(),
        services: vec!["checkout".into()],
        is_older: false,
        holds: vec![],
    }
    .page()
}

fn pages() -> Vec<(&'static str, Page)> {
    let logs = [
        sample::waiting(),
        sample::log(),
        sample::paused(),
        sample::rolled_back(),
        sample::watching(),
        sample::completed(),
    ];
    let rows = logs.iter().map(|log| ChangeRow::of(&sample::change_of(log))).collect();
    let entries = |log: &[engine::ports::Recorded]| log.iter().rev().map(|r| LogEntry::of(r, &no_plan())).collect();
    let log = LogPage {
        entries: entries(&sample::completed()),
        size: 62,
        checkpoint: Some("clearway.example/log\n62\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n".into()),
        verifier_key: "clearway.example/log+6f1c2a10+ARpc2WcUT5jGmF1l2kdc".into(),
        base_url: "http://localhost:8080".into(),
        older: Some(12),
    };
    let document: Value = serde_json::from_str(crate::api::document::json()).expect("JSON");
    let mut mine =
        page_of(&sample::waiting(), sample::gates("approvals are missing: 1 of `sre`"), vec![Act::Withdraw], 0);
    mine.offers.not_approve =
        Some("`user:ada` wrote `CHG-7` or a part of it; a change is approved by somebody else".into());
    let mut done = page_of(&sample::paused(), vec![], vec![Act::Resume, Act::Promote, Act::Rollback], 400);
    done.done = Some(Act::Pause);
    done.offers.asks_what_was_found = true;
    let mut denied = page_of(
        &sample::denied(),
        sample::gates("denied: the shop is full at the weekend"),
        vec![Act::Override, Act::Tick, Act::BreakGlass, Act::Withdraw],
        0,
    );
    let assessed = denied.view.change.assessment.clone().expect("it is assessed").assessment;
    (denied.offers.rules, denied.offers.points) = (assessed.denials, assessed.checklist[1..].to_vec());
    denied.since = diffs::since_vote(&diffs::tests::amended(), &change::Actor::User("bob".into()));
    let open = vec![Act::Approve, Act::Reject];
    vec![
        ("list", list(rows)),
        ("empty", list(vec![])),
        ("waiting", page_of(&sample::waiting(), sample::gates("approvals are missing: 1 of `sre`"), open, 0).page()),
        ("mine", mine.page()),
        ("denied", denied.page()),
        (
            "rolling",
            page_of(&sample::log(), sample::gates("none"), vec![Act::Pause, Act::Promote, Act::Rollback], 300).page(),
        ),
        ("paused", done.page()),
        ("rolled-back", page_of(&sample::rolled_back(), vec![], vec![Act::Review], 300).page()),
        ("watching", page_of(&sample::watching(), vec![], vec![Act::Pause, Act::Rollback], 90).page()),
        ("completed", page_of(&sample::completed(), vec![], vec![], 60).page()),
        (
            "hostile",
            page_of(&sample::hostile(), sample::gates("<script>alert(1)</script>"), Act::ALL.into(), 60).page(),
        ),
        ("release", super::release::tests::page().page()),
        ("release-refused", refused_release().page()),
        ("releases", ReleasesPage { releases: vec![super::release::tests::page().view], more: false }.page()),
        ("no-releases", ReleasesPage::default().page()),
        ("calendar", super::calendar::tests::page().page()),
        ("on-call", super::on_call::tests::page().page()),
        ("log", log.page()),
        ("login", LoginPage { failed: Some("the token is not known".into()), next: "/".into() }.page()),
        ("api", api::page(&document)),
        (
            "problem",
            problem::page(
                &Problem::not_allowed("`user:dora` may not pause changes of these services here")
                    .help("ask for a role with `pause` in access.yaml"),
                "/",
            ),
        ),
    ]
}

/// A form that came back with what was typed.
fn refused_release() -> super::release::ReleasePage {
    let fault = Fault::of("reason", "a reason is needed").help("it stands in the log, for those who ask later");
    let tried = Tried { form: "act-rollback".into(), typed: Typed::new(), fault };
    super::release::ReleasePage { tried: Some(tried), ..super::release::tests::page() }
}

fn framed(page: &Page) -> String {
    let reader = ReaderView {
        caller: crate::identity::Caller { user: "dora".into(), ..Default::default() },
        csrf: "form-token".into(),
        notices: vec![],
    };
    page.frame(Some(&reader)).into_string()
}

/// The tags of a document, in order, without their `<` and `>`.
fn tags(text: &str) -> Vec<&str> {
    text.split('<').skip(1).filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag)).collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[test]
fn every_tag_is_closed_in_its_turn() {
    const ALONE: [&str; 6] = ["!DOCTYPE", "meta", "link", "input", "img", "br"];
    for (name, page) in pages() {
        let text = framed(&page);
        let mut open = Vec::new();
        for tag in tags(&text) {
            let element = tag.split([' ', '\n']).next().unwrap_or_default();
            match element.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{name}"),
                None if ALONE.contains(&element) => {}
                None => open.push(element),
            }
        }
        assert!(open.is_empty(), "{name}: {open:?}");
    }
}

#[test]
fn every_id_is_used_once_and_every_reference_leads_to_one() {
    for (name, page) in pages() {
        let text = framed(&page);
        let mut ids = BTreeSet::new();
        for id in tags(&text).into_iter().filter_map(|tag| attribute(tag, "id")) {
            assert!(ids.insert(id), "{name}: {id}");
        }
        for tag in tags(&text) {
            let labels = attribute(tag, "aria-labelledby").into_iter().flat_map(str::split_whitespace);
            let local = attribute(tag, "href").and_then(|href| href.strip_prefix('#'));
            for id in labels.chain(attribute(tag, "for")).chain(attribute(tag, "list")).chain(local) {
                assert!(ids.contains(id), "{name}: {id}");
            }
        }
    }
}

#[test]
fn every_control_has_a_name_and_every_page_one_heading_of_the_first_rank() {
    for (name, page) in pages() {
        let text = framed(&page);
        assert_eq!(text.matches("<h1").count(), 1, "{name}");
        let labelled: BTreeSet<&str> = tags(&text).into_iter().filter_map(|tag| attribute(tag, "for")).collect();
        for tag in tags(&text).into_iter().filter(|t| t.starts_with("input") || t.starts_with("textarea")) {
            let kind = attribute(tag, "type").unwrap_or("text");
            let named =
                kind == "hidden" || kind == "radio" || attribute(tag, "id").is_some_and(|id| labelled.contains(id));
            assert!(named, "{name}: {tag}");
        }
        for tag in tags(&text).into_iter().filter(|t| t.starts_with("svg")) {
            let named =
                ["aria-hidden", "aria-label", "aria-labelledby"].into_iter().any(|a| attribute(tag, a).is_some());
            assert!(named, "{name}: {tag}");
        }
    }
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for (name, page) in pages() {
        let text = framed(&page);
        for tag in tags(&text) {
            assert!(attribute(tag, "style").is_none() && !tag.contains(" on"), "{name}: {tag}");
            let loaded = attribute(tag, "src").or(attribute(tag, "href").filter(|_| tag.starts_with("link")));
            assert!(loaded.is_none_or(|path| path.starts_with("/assets/")), "{name}: {tag}");
        }
    }
}

#[test]
fn every_time_is_an_instant() {
    for (name, page) in pages() {
        let text = framed(&page);
        for at in tags(&text).into_iter().filter(|t| t.starts_with("time")).filter_map(|tag| attribute(tag, "datetime"))
        {
            assert!(at.parse::<Timestamp>().is_ok(), "{name}: {at}");
        }
    }
}

#[test]
fn each_page_can_be_written_out_and_read_alone() {
    let found = std::env::var_os("CLEARWAY_GALLERY").map(std::path::PathBuf::from);
    for (name, page) in pages() {
        let text = framed(&page);
        let loose =
            [(assets::STYLE.path(), "app.css"), (assets::SCRIPT.path(), "app.js"), (assets::ICON.path(), "icon.svg")]
                .into_iter()
                .fold(text, |text, (path, file)| text.replace(&path, file));
        assert!(!loose.contains("/assets/"), "{name}");
        if let Some(folder) = &found {
            std::fs::write(folder.join(format!("{name}.html")), loose)
                .expect("the folder of the gallery can be written");
        }
    }
}
