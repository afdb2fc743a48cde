//! One release on one page: its changes in the order in which they go, how each stands, and everything that happened.
//!
//! The drawing shows the graph at a glance; the list below it says the same in words, and is what a reader without the drawing has.

use change::release::{Command, OnFailure, Standing};
use maud::{Markup, html};

use super::form::{Fields, Tried};
use super::frame::{Page, Place, command};
use super::svg;
use super::timeline::timeline;
use super::words::{self, prose};
use crate::api::releases::{MemberView, ReleaseView};
use crate::view::LogEntry;

/// What the page of a release shows.
#[derive(Clone, Debug)]
pub(crate) struct ReleasePage {
    pub view: ReleaseView,
    pub log: Vec<LogEntry>,
    /// What the reader may ask of it.
    pub acts: Vec<Act>,
    pub csrf: String,
    /// What the reader has just done.
    pub done: Option<Act>,
    pub tried: Option<Tried>,
}

/// What a reader can ask of a release as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Rollback,
    Withdraw,
}

impl Act {
    pub(crate) const ALL: [Self; 2] = [Self::Rollback, Self::Withdraw];

    /// The word in paths, on the command line and in the table of actions.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Withdraw => "withdraw",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }

    /// The id of its form.
    pub(crate) fn form(self) -> String {
        format!("act-{}", self.word())
    }

    pub(crate) fn command(self, reason: String) -> Command {
        match self {
            Self::Rollback => Command::RollBack { reason },
            Self::Withdraw => Command::Withdraw { reason },
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Rollback => "Roll back the whole release",
            Self::Withdraw => "Withdraw the whole release",
        }
    }

    /// What follows, in so many words.
    fn consequence(self) -> &'static str {
        match self {
            Self::Rollback => {
                "Nothing more of it begins. What was rolled out goes back, the last first; what has not begun is withdrawn. No freeze and no hold stands in the way."
            }
            Self::Withdraw => "That ends it, and each of its changes. They can be proposed anew.",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Rollback => "The rollback of the release is on its way.",
            Self::Withdraw => "The release is withdrawn, and its changes with it.",
        }
    }
}

impl ReleasePage {
    pub(crate) fn page(&self) -> Page {
        let view = &self.view;
        let main = html! {
            @if let Some(done) = self.done { p.done role="status" { (svg::mark(svg::Mark::Check)) " " (done.done()) } }
            div.change-head {
                p.crumbs { a href="/releases" { "Releases" } " / " span.id { (view.id) } span.muted { " · release" } }
                h1 { (view.title) }
                p.standing id="standing" data-live role="status" { (phase(&view.phase)) span.sentence { (prose(&view.status)) } }
            }
            (self.actions())
            (self.members())
            (self.about())
            (timeline(&self.log, "Each change has a log of its own; the number of an entry leads to its proof."))
        };
        Page {
            title: format!("{} {}", view.id, view.title),
            place: Place::Releases,
            // What was typed into a form is not news.
            events: self.tried.is_none().then(|| "/api/v1/events".into()),
            main,
        }
    }

    fn members(&self) -> Markup {
        let view = &self.view;
        html! {
            section.card id="members" data-live aria-labelledby="members-h" {
                h2 id="members-h" { "Changes, in their order" }
                (graph(view))
                ol.layers {
                    @for (i, layer) in view.layers.iter().enumerate() {
                        li {
                            h3 { (self.layer_name(i, layer)) }
                            ul { @for member in layer.iter().filter_map(|m| view.members.get(*m)) { (one(view, member)) } }
                        }
                    }
                }
            }
        }
    }

    /// A wave by its name and its rules; a layer of a graph by its place.
    fn layer_name(&self, i: usize, layer: &[usize]) -> String {
        let wave = layer.first().and_then(|member| self.view.members.get(*member)?.wave.as_ref());
        let Some(wave) = wave.and_then(|name| self.view.waves.iter().find(|wave| wave.name == *name)) else {
            return if i == 0 { "First".into() } else { "Then".into() };
        };
        let most = wave.at_once.map(|most| format!(", at most {most} at once")).unwrap_or_default();
        let bake =
            if wave.bake.as_millis() > 0 { format!(", then left alone for {}", wave.bake) } else { String::new() };
        format!("Wave {}{most}{bake}", wave.name)
    }

    fn about(&self) -> Markup {
        let view = &self.view;
        let follows = match view.on_failure {
            OnFailure::RollBack => "Nothing more begins, and what was rolled out goes back, the last first.",
            OnFailure::Stop => "Nothing more begins; what has begun goes on by its own verdict.",
        };
        html! {
            section.card id="about" aria-labelledby="about-h" {
                h2 id="about-h" { "About this release" }
                @if !view.description.is_empty() { p.description { (view.description) } }
                dl.facts {
                    dt { "Author" } dd { (change::explain::actor(&view.author)) ", " (words::time(view.proposed_at)) }
                    dt { "Owner" } dd { (view.owner) }
                    dt { "On a failure" } dd { (follows) }
                }
            }
        }
    }

    fn actions(&self) -> Markup {
        html! {
            @if self.acts.is_empty() {
                section id="actions" data-live {}
            } @else {
                section.card.actions id="actions" data-live aria-labelledby="actions-h" {
                    h2 id="actions-h" { "What you can do" }
                    @for act in &self.acts { (self.act(*act)) }
                }
            }
        }
    }

    fn act(&self, act: Act) -> Markup {
        let (id, form) = (self.view.id, act.form());
        let fields = Fields::of(&form, self.tried.as_ref());
        html! {
            details.act id=(form) name="act" open[fields.is_tried()] {
                summary.button.danger { (act.label()) }
                form method="post" action={ "/releases/" (id) "/" (act.word()) } {
                    input type="hidden" name="csrf" value=(self.csrf);
                    (fields.whole())
                    div.consequence { p { (act.consequence()) } }
                    (fields.words("reason", "Reason", true))
                    div.buttons { button.danger type="submit" { (act.label()) } }
                    p.muted { "The same on the command line:" }
                    (command(&format!("clearway release {} {id} --reason \"...\"", act.word())))
                }
            }
        }
    }
}

fn one(view: &ReleaseView, member: &MemberView) -> Markup {
    let after: Vec<&str> =
        member.after.iter().filter_map(|i| view.members.get(*i)).map(|member| member.name.as_str()).collect();
    html! {
        li.member {
            p {
                span.phase.{ "is-" (tone(member.standing)) } { (svg::mark(mark(member.standing))) span { (member.standing) } } " "
                strong { (member.name) } " "
                @match &member.seen {
                    Some(seen) => { a href={ "/changes/" (member.change) } { (member.change) } " " (seen.title) },
                    None => { (member.change) span.muted { " is not yours to see" } },
                }
            }
            @if let Some(seen) = &member.seen {
                p.muted { (prose(&seen.status)) @if let Some(verdict) = seen.verdict { " · " (words::answer(verdict)) } }
            }
            @if let Some(stuck) = &member.stuck { p.warning { (svg::mark(svg::Mark::Alarm)) " can't be rolled back: " (prose(stuck)) } }
            @if member.wave.is_none() && !after.is_empty() { p.muted { "after " (after.join(", ")) } }
        }
    }
}

const COLUMN: usize = 56;
const ROW: usize = 26;

/// The members as dots, a column for each layer, and lines from each to those that come after it.
fn graph(view: &ReleaseView) -> Markup {
    let rows = view.layers.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) = (view.layers.len() * COLUMN, rows * ROW);
    let at = |member: usize| {
        let column = view.layers.iter().position(|layer| layer.contains(&member))?;
        let row = view.layers[column].iter().position(|m| *m == member)?;
        let above = (rows - view.layers[column].len()) * ROW / 2;
        Some((column * COLUMN + COLUMN / 2, above + row * ROW + ROW / 2))
    };
    let described = format!(
        "{} changes in {} layers; the list below says the same in words",
        view.members.len(),
        view.layers.len()
    );
    html! {
        svg.graph viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-labelledby="graph-t graph-d" {
            title id="graph-t" { "The order of the changes" }
            desc id="graph-d" { (described) }
            @for (i, member) in view.members.iter().enumerate() {
                @for before in lines(view, i, member) {
                    @if let (Some((x1, y1)), Some((x2, y2))) = (at(before), at(i)) { line x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} }
                }
            }
            @for (i, member) in view.members.iter().enumerate() {
                @if let Some((x, y)) = at(i) { circle.{ "is-" (tone(member.standing)) } cx=(x) cy=(y) r="8" { title { (member.name) ": " (member.standing) } } }
            }
        }
    }
}

/// The lines that end at a member. Between whole waves only those from the wave directly before are drawn.
fn lines(view: &ReleaseView, i: usize, member: &MemberView) -> Vec<usize> {
    let layer = view.layers.iter().position(|layer| layer.contains(&i));
    let is_near = |before: &usize| layer.is_some_and(|at| at > 0 && view.layers[at - 1].contains(before));
    member.after.iter().copied().filter(|before| member.wave.is_none() || is_near(before)).collect()
}

fn tone(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting | Standing::Approved => "calm",
        Standing::UnderWay => "moving",
        Standing::Passed | Standing::Completed => "good",
        Standing::Failed | Standing::GoingBack | Standing::Back | Standing::NotBack => "bad",
        Standing::Gone => "over",
    }
}

fn mark(standing: Standing) -> svg::Mark {
    match standing {
        Standing::Waiting | Standing::Approved => svg::Mark::Ring,
        Standing::UnderWay => svg::Mark::Forward,
        Standing::Passed => svg::Mark::Eye,
        Standing::Completed => svg::Mark::Check,
        Standing::GoingBack | Standing::Back => svg::Mark::Back,
        Standing::Failed | Standing::NotBack => svg::Mark::Alarm,
        Standing::Gone => svg::Mark::Cross,
    }
}

/// A phase of a release as a shape and a word.
pub(crate) fn phase(name: &str) -> Markup {
    let (tone, mark) = match name {
        "waiting" => ("calm", svg::Mark::Ring),
        "rolling_out" => ("moving", svg::Mark::Forward),
        "completed" => ("good", svg::Mark::Check),
        "rolling_back" | "rolled_back" => ("bad", svg::Mark::Back),
        "rollback_incomplete" => ("bad", svg::Mark::Alarm),
        _ => ("over", svg::Mark::Cross),
    };
    html! { span.phase.{ "is-" (tone) } { (svg::mark(mark)) span { (name.replace('_', " ")) } } }
}

#[cfg(test)]
pub(crate) mod tests {
    use change::release::{self, Member, Proposed, Wave};
    use change::{Actor, ChangeId, Event, ReleaseId, Span};
    use engine::releases::ReleaseNow;

    use super::*;
    use crate::sample;

    /// A release of two waves: the first change has passed, the second is under way, a third is not the reader's to see.
    pub(crate) fn page() -> ReleasePage {
        let member = |name: &str, number: u64, wave| Member {
            name: name.into(),
            change: ChangeId::new(number),
            after: [].into(),
            wave: Some(wave),
        };
        let wave = |name: &str, bake| Wave { name: name.into(), bake: Span::secs(bake), at_once: Some(1) };
        let plan = Proposed {
            title: "Raise the pools <script>".into(),
            description: "One cell first.".into(),
            owner: "team-shop".into(),
            on_failure: OnFailure::RollBack,
            begins: change::release::Begins::AllApproved,
            waves: vec![wave("first", 600), wave("rest", 0)],
            members: vec![member("cell-1", 7, 0), member("cell-2", 8, 1), member("cell-3", 9, 1)],
        };
        let (id, ada) = (ReleaseId::new(1), Actor::User("ada".into()));
        let moved = |number: u64, to| Event::ReleaseMoved {
            release: id,
            change: ChangeId::new(number),
            to,
            why: String::new(),
        };
        let events = [
            Event::ReleaseProposed { release: id, plan: Box::new(plan) },
            moved(7, Standing::Passed),
            moved(8, Standing::UnderWay),
        ];
        let fold = |release, event| release::evolve(release, event, &ada, sample::start());
        let release = events.iter().fold(None, fold).expect("a release");
        let now = ReleaseNow { release, changes: vec![sample::change_of(&sample::watching())] };
        ReleasePage {
            view: ReleaseView::of(&now, "http://localhost:8080", |_| true),
            log: vec![],
            acts: vec![Act::Rollback],
            csrf: "form-token".into(),
            done: None,
            tried: None,
        }
    }

    #[test]
    fn a_release_says_its_order_and_how_each_of_its_changes_stands() {
        let text = page().page().main.into_string();
        for wanted in [
            "Raise the pools &lt;script&gt;",
            "1 of 3 passed, 1 under way",
            "Wave first, at most 1 at once, then left alone for 10m",
            "href=\"/changes/CHG-7\"",
            "CHG-9<span class=\"muted\"> is not yours to see</span>",
            "clearway release rollback REL-1",
            "cell-2: under way",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert_eq!(text.matches("<circle").count(), 3);
        assert_eq!(text.matches("<line").count(), 2);
    }
}
