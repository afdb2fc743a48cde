//! An exhaustive check of a second small world: the orders of what people may do to a change before it begins, and of what an emergency leaves owed.
//!
//! What is in it. Five people: an author, a committer, two of the group that is asked (one may leave, and may name a stand-in), and an approver of no
//! group. Five kinds of change ([`Kind`]). Two effects, three moments (the beginning, after the end of an emergency, after votes have lapsed), and a
//! rollout of two steps in which nothing fails. Who may and who counts is asked of the product's own [`Entitlement`] over an access.yaml and delegations;
//! the laws are kept by a [`Witness`] that sees nothing but what was asked and the events that followed, and shares no rule with it.
//!
//! What is bounded. [`most_moves`](Kind::most_moves) moves; within them, [`most_turns`](Kind::most_turns) of what turns up from outside (somebody leaves
//! or delegates, an amendment, a request for changes). Each kind has the moves that can matter to it ([`Kind::moves`]): nobody breaks glass where no
//! rule stands. Only one of the people leaves, one asks for changes or refuses, and two review. What a state leaves out of its key is in its `Hash` and in
//! [`forget`]: prose, pages, due dates of debts. What becomes of a change that is left alone is followed from one state of [`ONE_OF`], picked by its key.
//!
//! What is left out: reminders and escalation, signatures, who has edited the rules, committers whom nobody knows, services that are only observed,
//! pipelines outside, changes that nobody is asked for and no rule stands against, whether an emergency begins after its end, and all that goes wrong
//! in a rollout, which is in [`model`](crate::model). What was found beside it is in [`stories`](crate::stories).

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use change::aftermath::Debt;
use change::approval::{APPROVERS, ON_CALL, Vote};
use change::assessment::{Assessment, Denial, Item, Level, Requirement, Tick};
use change::circumstances::{Circumstances, Delegation};
use change::course::{Course, EmergencyRules};
use change::entitlement::Entitlement;
use change::facts::material::Material;
use change::gate::Readiness;
use change::governance::Governance;
use change::lane::Lane;
use change::lifecycle::{Command, Event, Given, Intent, Phase, Stage};
use change::proposal::Proposal;
use change::rollout::{BackState, StepState};
use change::time::{Span, Timestamp, after};
use change::verification::Answer;
use change::{Actor, Change, decide, due};
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::world::{DAY, GROUP, ID, Life, RESOURCE, allowed, fold, judge, part, proposal, sealed, start, user};

const PEOPLE: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];
/// The author, of the group.
const ADA: usize = 0;
/// Of the group; may leave, and may name `dan` as a stand-in.
const BOB: usize = 1;
/// Of the group; has committed to the change.
const CYD: usize = 2;
/// May approve, and is in no group. Stands in for the author and the committer at all times, which must come to nothing.
const DAN: usize = 3;
/// Of the group; comes up only where two of it are asked.
const EVE: usize = 4;
const EFFECTS: [&str; 2] = ["shop@sha256:aa", "shop@sha256:bb"];
const TITLES: [&str; 2] = ["a title", "another title"];
/// The codes of the rules that stand against a change.
const SOFT_RULE: &str = "large";
const HARD_RULE: &str = "no_runbook";
/// The last of the moments.
const LATE: usize = 2;

/// The beginning, after an emergency that began then is over, and after the votes of both have lapsed.
fn moment(index: usize) -> Timestamp {
    after(start(), [Span::ZERO, Span::secs(5 * 3_600), DAY.times(8)][index])
}

const ACCESS: &str = "
users:
  - {id: ada, emails: [ada@example.com], roles: [{role: all}]}
  - {id: bob, emails: [bob@example.com], roles: [BOB]}
  - {id: cyd, emails: [cyd@example.com], roles: [{role: all}]}
  - {id: dan, emails: [dan@example.com], roles: [{role: all}]}
  - {id: eve, emails: [eve@example.com], roles: [{role: all}]}
groups: [{id: sre, members: [adaBY, cyd, eve]}]
roles: [{id: all, may: [propose, approve, override, pause, resume, rollback, promote]}]
";

/// The rules while `bob` is there, and after he has left.
static GOVERNANCE: LazyLock<[Governance; 2]> = LazyLock::new(|| {
    [("{role: all}", ", bob"), ("", "")].map(|(role, member)| {
        let text = ACCESS.replace("BOB", role).replace("BY", member);
        Governance::read(&[("access.yaml".to_owned(), text)].into()).expect("access.yaml has no fault")
    })
});

/// Who stands in for whom, without and with `dan` for `bob`.
static CIRCUMSTANCES: LazyLock<[Circumstances; 2]> = LazyLock::new(|| {
    let of = |from: &[&str], until: Timestamp| {
        let delegated = |from: &&str| {
            let (from, to) = ((*from).to_owned(), Some("dan".to_owned()));
            Event::Delegated(Delegation { from, to, groups: [].into(), until, reason: "away".into() })
        };
        from.iter().map(delegated).collect::<Vec<_>>()
    };
    [of(&[], start()), of(&["bob"], moment(LATE))].map(|more| {
        let mut circumstances = Circumstances::default();
        let events = of(&["ada", "cyd"], Timestamp::MAX).into_iter().chain(more);
        events.for_each(|event| circumstances.add(None, &event, &user("ada"), start()));
        circumstances
    })
});

/// What policy says of the change, and by which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// One of the group and one approver.
    Matrix,
    /// Two of the group.
    Seats,
    /// Nobody is asked; a soft rule stands that the group may set aside, and a point of a checklist is open.
    Soft,
    /// One approver is asked; a soft and a hard rule stand.
    Hard,
    /// One approver now, and the matrix afterwards.
    Emergency,
}

const KINDS: [Kind; 5] = [Kind::Matrix, Kind::Seats, Kind::Soft, Kind::Hard, Kind::Emergency];

/// Everything that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// Time passes.
    Age,
    /// `bob` leaves.
    Leave,
    /// `bob` is away, and `dan` votes in his place.
    Delegate,
    AmendEffect(usize),
    AmendTitle,
    /// A new commit with the same effect, of which only `bob` is known to have written it.
    AmendCommit,
    Assess,
    Approve(usize),
    Refuse(usize),
    Request(usize),
    TakeBack(usize),
    Override(usize),
    BreakGlass(usize),
    Tick(usize),
    ApproveByAutomation,
    LapseVotes,
    RevokeVotes,
    Lapse,
    Schedule,
    BeginStep,
    Applied,
    Passed,
    Resume,
    Review(usize),
    Rollback,
    BeginUndo,
    Undone,
}

impl Kind {
    /// The longest order of moves that is looked at; the start counts as the first.
    fn most_moves(self) -> usize {
        match self {
            Self::Hard => 9,
            Self::Matrix | Self::Seats | Self::Soft | Self::Emergency => 10,
        }
    }

    /// How often in one life somebody leaves, delegates, amends or asks for changes.
    fn most_turns(self) -> u8 {
        match self {
            Self::Soft => 2,
            Self::Matrix | Self::Seats | Self::Hard | Self::Emergency => 1,
        }
    }

    /// What people say of a change of this kind before it begins, or of its debts.
    fn moves(self) -> Vec<Action> {
        let yes =
            |people: &[usize]| people.iter().flat_map(|by| [Action::Approve(*by), Action::TakeBack(*by)]).collect();
        let glass = [ADA, BOB, CYD, DAN].map(Action::BreakGlass);
        let more = match self {
            Self::Matrix => vec![Action::Refuse(DAN)],
            Self::Seats => vec![],
            Self::Soft => [ADA, BOB, CYD, DAN].map(Action::Override).into_iter().chain([Action::Tick(ADA)]).collect(),
            Self::Hard => [Action::Override(BOB)].into_iter().chain(glass).collect(),
            Self::Emergency => vec![Action::Refuse(DAN), Action::Resume, Action::Review(ADA), Action::Review(DAN)],
        };
        let votes: Vec<Action> = match self {
            Self::Matrix | Self::Emergency => yes(&[ADA, BOB, CYD, DAN]),
            Self::Seats => yes(&[BOB, CYD, DAN, EVE]),
            Self::Soft => vec![Action::TakeBack(DAN)],
            Self::Hard => vec![Action::Approve(DAN)],
        };
        votes.into_iter().chain(more).collect()
    }

    /// What turns up from outside.
    fn turns(self) -> Vec<Action> {
        let amendments = [Action::AmendEffect(ADA), Action::AmendEffect(BOB), Action::AmendTitle, Action::AmendCommit];
        if self == Self::Hard {
            return vec![Action::Leave, Action::AmendEffect(ADA), Action::AmendCommit];
        }
        let delegates = matches!(self, Self::Matrix | Self::Seats | Self::Soft).then_some(Action::Delegate);
        amendments.into_iter().chain([Action::Leave, Action::Request(DAN)]).chain(delegates).collect()
    }
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Law {
    // LC3
    Matrix,
    Seats,
    Wrote,
    Proxy,
    FoundOut,
    OldEffect,
    TooOld,
    Gone,
    Requested,
    TakenBack,
    // F4
    Insider,
    Soft,
    Glass,
    GlassOwes,
    Hard,
    // X16
    Checklist,
    // LC9 PA6
    Quorum,
    EmergencyOwes,
    PaidInFull,
    NoIsNo,
    Over,
    RefusedAfterwards,
    Settled,
    // LC7
    Ended,
}

impl Law {
    fn in_words(self) -> &'static str {
        match self {
            Self::Matrix => "no rollout begins without its whole matrix, each place by another person",
            Self::Seats => "no rollout begins on one seat of the group that was counted twice",
            Self::Wrote => "no vote is taken of who wrote, amended or committed",
            Self::Proxy => {
                "no vote is taken in the place of somebody who named no stand-in, or could not vote themselves"
            }
            Self::FoundOut => "no rollout begins on the vote of somebody who has amended or committed since",
            Self::OldEffect => "no rollout begins on a vote that was given before the effect was another",
            Self::TooOld => "no rollout begins on a vote that has lapsed",
            Self::Gone => "no rollout begins on the vote of somebody who has left, or in their place",
            Self::Requested => "no rollout begins while somebody waits for changes",
            Self::TakenBack => "no step begins on an approval that was taken back",
            Self::Insider => "no soft rule is set aside by who wrote the change, nor in another's place",
            Self::Soft => {
                "no rollout begins against a soft rule, unless somebody who still may has set it aside for this effect"
            }
            Self::Glass => {
                "the glass is broken only by two people who still may, one of them without a part in the change, within an \
                 hour, over rules that both saw"
            }
            Self::GlassOwes => "broken glass pages and owes a review",
            Self::Hard => {
                "no rollout begins against a hard rule, unless two who still may broke the glass for this effect"
            }
            Self::Checklist => "no rollout begins with a point that nobody has ticked for this effect",
            Self::Quorum => "no emergency begins without somebody else's yes",
            Self::EmergencyOwes => {
                "an emergency that has begun owes the approval that it lacks and its review until they are given"
            }
            Self::PaidInFull => "what is owed is paid by everybody whom it asks for, and nobody else",
            Self::NoIsNo => "a no afterwards is not outvoted by a yes",
            Self::Over => "no further step of an emergency begins after its time without the whole approval",
            Self::RefusedAfterwards => "what was refused afterwards begins nothing more",
            Self::Settled => {
                "what was refused afterwards is settled by a review, when it is over, by somebody else than its author"
            }
            Self::Ended => "a change that has ended begins nothing",
        }
    }
}

/// A yes as the witness saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Yes {
    /// Whose seat in the group it takes, if any.
    seat: Option<usize>,
    /// Whether the effect has changed since.
    old: bool,
    /// Whether it was said before the votes of then lapsed.
    early: bool,
}

/// Which of the votes that it has seen the witness counts.
#[derive(Clone, Copy, Debug)]
struct Counts {
    old: bool,
    lapsed: bool,
    gone: bool,
    writers: bool,
    /// Whether one seat counts as often as it was taken.
    seats: bool,
}

const STRICT: Counts = Counts { old: false, lapsed: false, gone: false, writers: false, seats: false };
/// In a rollout neither age nor leaving matters.
const CONSUMED: Counts = Counts { lapsed: true, gone: true, ..STRICT };

/// A hand on the glass as the witness saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Touch {
    by: usize,
    at: usize,
    /// Whether the soft rule stood then.
    saw_soft: bool,
}

/// How a rule was set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Aside {
    /// By people who stay.
    for_good: bool,
    /// With a hand of who may leave.
    by_bob: bool,
}

impl Aside {
    fn add(&mut self, with_bob: bool) {
        (self.for_good, self.by_bob) = (self.for_good || !with_bob, self.by_bob || with_bob);
    }
}

/// Sees what was asked and what followed, and keeps its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Witness {
    kind: Kind,
    now: usize,
    /// Authors, amenders and committers.
    wrote: [bool; 5],
    yes: [Option<Yes>; 5],
    /// Whether automation has voted, and whether that was early.
    automation: Option<bool>,
    gone: bool,
    delegated: bool,
    amendments: u8,
    /// Whether the effect is that of before, after it was another.
    came_back: bool,
    effect_is_other: bool,
    turns: u8,
    requested: bool,
    touch: Option<Touch>,
    soft: Aside,
    hard: Aside,
    ticked: bool,
    rolling: bool,
    /// Whether all whom it asks for had agreed when it began.
    whole: bool,
    paid: bool,
    refused: bool,
    settled: bool,
    reviewed: bool,
    taken_back: bool,
    ended: bool,
    broken: Option<Law>,
}

impl Witness {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            now: 0,
            wrote: [true, false, true, false, false],
            yes: [None; 5],
            automation: None,
            gone: false,
            delegated: false,
            amendments: 0,
            came_back: false,
            effect_is_other: false,
            turns: 0,
            requested: false,
            touch: None,
            soft: Aside::default(),
            hard: Aside::default(),
            ticked: false,
            rolling: false,
            whole: false,
            paid: false,
            refused: false,
            settled: false,
            reviewed: false,
            taken_back: false,
            ended: false,
            broken: None,
        }
    }

    fn breaks(&mut self, law: Law) {
        self.broken.get_or_insert(law);
    }

    fn see(&mut self, action: Action, event: &Event) {
        match (event, action) {
            (Event::Amended { .. }, _) => self.amended(action),
            (Event::Approved { on_behalf, .. }, Action::Approve(by)) => self.voted(by, on_behalf.get(GROUP)),
            (Event::Approved { .. }, _) => self.automation = Some(self.now < LATE),
            (Event::ChangesRequested { .. }, _) => (self.requested, self.turns) = (true, self.turns + 1),
            (Event::TakenBack { .. }, Action::TakeBack(by)) => self.took_back(by),
            (Event::DenialOverridden { .. }, Action::Override(by)) => self.overrode(by),
            (Event::GlassTouched { .. }, Action::BreakGlass(by)) => {
                self.touch = Some(Touch { by, at: self.now, saw_soft: !self.is_aside(self.soft) });
            }
            (Event::GlassBroken { codes, by, .. }, Action::BreakGlass(second)) => self.broke(codes, by, second),
            (Event::Ticked { .. }, _) => self.ticked = true,
            (Event::DebtPaid { debt: Debt::Review, .. }, Action::Review(by)) => {
                self.reviewed = true;
                if self.refused && self.wrote[by] {
                    self.breaks(Law::Settled);
                }
            }
            (Event::DebtPaid { .. }, Action::Review(_)) => {
                self.settled = true;
                if !self.refused || !self.ended {
                    self.breaks(Law::Settled);
                }
            }
            (Event::DebtPaid { .. }, _) => self.was_paid(),
            (Event::DebtRefused { .. }, Action::Refuse(by)) => {
                self.refused = true;
                if self.wrote[by] {
                    self.breaks(Law::Wrote);
                }
            }
            (Event::StepBegun { .. }, _) => self.begun(),
            _ => {}
        }
    }

    fn amended(&mut self, action: Action) {
        self.amendments += 1;
        self.turns += 1;
        self.requested = false;
        match action {
            Action::AmendEffect(by) => {
                self.wrote[by] = true;
                self.came_back = self.effect_is_other;
                self.effect_is_other = !self.effect_is_other;
                self.yes.iter_mut().flatten().for_each(|yes| yes.old = true);
                (self.touch, self.automation, self.ticked) = (None, None, false);
                (self.soft, self.hard) = (Aside::default(), Aside::default());
            }
            Action::AmendCommit => self.wrote[BOB] = true,
            _ => {}
        }
    }

    /// Whether `dan` may vote in `bob`'s place.
    fn stands_in(&self) -> bool {
        self.delegated && self.now < LATE && !self.gone && !self.wrote[BOB]
    }

    fn voted(&mut self, by: usize, place: Option<&String>) {
        if self.wrote[by] || (self.gone && by == BOB) {
            self.breaks(Law::Wrote);
        }
        if place.is_some_and(|of| by != DAN || of != PEOPLE[BOB] || !self.stands_in()) {
            self.breaks(Law::Proxy);
        }
        let seat = match by {
            DAN => self.stands_in().then_some(BOB),
            member => Some(member),
        };
        self.yes[by] = Some(Yes { seat, old: false, early: self.now < LATE });
    }

    fn took_back(&mut self, by: usize) {
        if by == DAN {
            (self.requested, self.refused) = (false, false);
        }
        if self.yes[by].take().is_some() && self.rolling {
            self.taken_back = true;
            let all = self.meets_matrix(CONSUMED);
            (self.paid, self.whole) = (self.paid && all, self.whole && all);
        }
    }

    fn overrode(&mut self, by: usize) {
        let may = match self.kind {
            Kind::Soft => by != DAN,
            _ => true,
        };
        if self.wrote[by] || !may || (self.gone && by == BOB) {
            self.breaks(Law::Insider);
        }
        self.soft.add(by == BOB);
    }

    fn is_aside(&self, aside: Aside) -> bool {
        aside.for_good || aside.by_bob && !self.gone
    }

    fn broke(&mut self, codes: &BTreeSet<String>, by: &BTreeSet<Actor>, second: usize) {
        let first = self.touch.take().filter(|touch| touch.at == self.now && touch.by != second);
        let is_there = |person: usize| !(self.gone && person == BOB);
        let both = first.filter(|first| {
            let one_outside = !(self.wrote[first.by] && self.wrote[second]);
            let saw_all = first.saw_soft || !codes.contains(SOFT_RULE);
            let named = *by == [user(PEOPLE[first.by]), user(PEOPLE[second])].into();
            one_outside && saw_all && named && is_there(first.by) && is_there(second)
        });
        if both.is_none() {
            self.breaks(Law::Glass);
        }
        let with_bob = by.contains(&user(PEOPLE[BOB]));
        if codes.contains(SOFT_RULE) {
            self.soft.add(with_bob);
        }
        if codes.contains(HARD_RULE) {
            self.hard.add(with_bob);
        }
    }

    fn was_paid(&mut self) {
        self.paid = true;
        if self.refused {
            self.breaks(Law::NoIsNo);
        }
        if !self.meets_matrix(Counts { lapsed: true, ..STRICT }) {
            self.breaks(Law::PaidInFull);
        }
    }

    fn counts(&self, by: usize, with: Counts) -> Option<Yes> {
        let lost = |person: usize| self.wrote[person] && !with.writers || self.gone && person == BOB && !with.gone;
        let yes = self.yes[by].filter(|yes| with.old || !yes.old)?;
        let lapsed = yes.early && self.now == LATE;
        (!lost(by) && (with.lapsed || !lapsed)).then_some(Yes { seat: yes.seat.filter(|p| !lost(*p)), ..yes })
    }

    fn counted(&self, with: Counts) -> impl Iterator<Item = Yes> {
        (0..PEOPLE.len()).filter_map(move |by| self.counts(by, with))
    }

    /// One of the group, and another person.
    fn meets_matrix(&self, with: Counts) -> bool {
        self.counted(with).count() >= 2 && self.counted(with).any(|yes| yes.seat.is_some())
    }

    /// Two of the group.
    fn meets_seats(&self, with: Counts) -> bool {
        let mut seats: Vec<usize> = self.counted(with).filter_map(|yes| yes.seat).collect();
        seats.sort_unstable();
        if !with.seats {
            seats.dedup();
        }
        seats.len() >= 2
    }

    fn meets(&self, with: Counts) -> bool {
        let anybody = self.counted(with).next().is_some();
        match self.kind {
            Kind::Matrix => self.meets_matrix(with),
            Kind::Seats => self.meets_seats(with),
            Kind::Soft => anybody || self.automation.is_some_and(|early| with.lapsed || !early || self.now < LATE),
            Kind::Hard | Kind::Emergency => anybody,
        }
    }

    fn begun(&mut self) {
        if self.ended {
            self.breaks(Law::Ended);
        }
        if self.rolling {
            self.further_begun();
        } else {
            self.first_begun();
        }
        self.rolling = true;
    }

    fn further_begun(&mut self) {
        if self.taken_back && !self.meets(CONSUMED) {
            self.breaks(Law::TakenBack);
        }
        if self.refused {
            self.breaks(Law::RefusedAfterwards);
        }
        if self.kind == Kind::Emergency && self.now > 0 && !self.paid && !self.whole {
            self.breaks(Law::Over);
        }
    }

    fn first_begun(&mut self) {
        self.whole = self.meets_matrix(Counts { lapsed: true, ..STRICT });
        if !self.meets(STRICT) {
            self.breaks(self.lacking());
        }
        if self.requested {
            self.breaks(Law::Requested);
        }
        if self.kind == Kind::Hard && !self.is_aside(self.hard) {
            self.breaks(Law::Hard);
        }
        if matches!(self.kind, Kind::Soft | Kind::Hard) && !self.is_aside(self.soft) {
            self.breaks(Law::Soft);
        }
        if self.kind == Kind::Soft && !self.ticked {
            self.breaks(Law::Checklist);
        }
    }

    /// Which law it is that a rollout breaks by which too few agreed: the one but for which they would be enough.
    fn lacking(&self) -> Law {
        match self.kind {
            _ if self.meets(Counts { old: true, ..STRICT }) => Law::OldEffect,
            _ if self.meets(Counts { gone: true, ..STRICT }) => Law::Gone,
            _ if self.meets(Counts { writers: true, ..STRICT }) => Law::FoundOut,
            _ if self.meets(Counts { lapsed: true, ..STRICT }) => Law::TooOld,
            _ if self.meets(Counts { seats: true, ..STRICT }) => Law::Seats,
            Kind::Emergency => Law::Quorum,
            _ => Law::Matrix,
        }
    }

    /// Looks at the state after a batch.
    fn look(&mut self, change: &Change, events: &[Event]) {
        let broke = events.iter().any(|event| matches!(event, Event::GlassBroken { .. }));
        let pages = events.iter().any(|event| matches!(event, Event::PageOwed { key, .. } if key.ends_with("/glass")));
        if broke && !(pages && change.owes(Debt::Review)) {
            self.breaks(Law::GlassOwes);
        }
        let owes_approval = self.whole || self.paid || self.settled || change.owes(Debt::Approval);
        let owes_review = self.reviewed || change.owes(Debt::Review);
        if self.kind == Kind::Emergency && self.rolling && !(owes_approval && owes_review) {
            self.breaks(Law::EmergencyOwes);
        }
        self.ended = change.phase().is_terminal();
    }
}

/// A change, and what its witness has seen.
#[derive(Clone, Debug)]
struct State {
    change: Change,
    witness: Witness,
}

// What is not in the key is settled by [`forget`], follows from what is, or is asked by nobody in this world.
impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.witness.hash(into);
        let change = &self.change;
        let proposal = &change.proposal;
        (&proposal.artifact, &proposal.title, &proposal.commit, &change.amended_by).hash(into);
        change.committers.iter().for_each(|one| one.email.hash(into));
        change.assessment.as_ref().map(|a| a.at.as_second()).hash(into);
        change.asked.iter().for_each(|(by, asked)| (by, asked.since.as_second(), asked.escalated).hash(into));
        change.votes.iter().for_each(|v| (&v.voter, v.effect, &v.groups, &v.on_behalf, v.until.as_second()).hash(into));
        change.requested.iter().for_each(|r| (&r.by, r.at.as_second()).hash(into));
        change.set_aside.iter().for_each(|s| (&s.code, s.effect, &s.by).hash(into));
        change.hand.as_ref().map(|h| (&h.by, h.effect, &h.codes, h.at.as_second())).hash(into);
        change.ticked.iter().for_each(|t| (&t.code, t.effect).hash(into));
        change.exceptions.hash(into);
        change.debts.iter().for_each(|(debt, owed)| (debt, owed.is_open(), owed.refused.is_some()).hash(into));
        (change.hold.is_some(), change.release).hash(into);
        change.veto.iter().chain(&change.other_vetoes).for_each(|veto| (&veto.by, veto.until.as_second()).hash(into));
        match &change.stage {
            Stage::Waiting => 0.hash(into),
            Stage::Scheduled { not_before } => (1, not_before.as_second()).hash(into),
            Stage::Ended { end, .. } => (2, end).hash(into),
            Stage::Rolling(rollout) => {
                let (mut is_begun, mut is_applied) = (false, false);
                match rollout.state {
                    StepState::Begun { .. } => is_begun = true,
                    StepState::Applied { .. } => is_applied = true,
                    StepState::Ready | StepState::Retrying { .. } | StepState::Unknown { .. } => {}
                }
                let undoing = rollout.back.as_ref().map(|back| matches!(back.state, BackState::Begun { .. }));
                (3, rollout.step, rollout.attempt, is_begun, is_applied, undoing).hash(into);
                (rollout.pause.is_some(), &rollout.taken_back, rollout.closed, &rollout.halted_by).hash(into);
            }
        }
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.change == other.change && self.witness == other.witness
    }
}

/// Takes out of a state what no decision depends on: prose, counters of the log, and who has been told.
fn forget(change: &mut Change) {
    (change.version, change.revision, change.updated_at) = (1, 1, start());
    change.pages.clear();
    change.votes.sort_by(|a, b| a.voter.cmp(&b.voter));
    change.requested.sort_by(|a, b| a.by.cmp(&b.by));
    change.set_aside.sort_by(|a, b| a.code.cmp(&b.code));
    change.debts.values_mut().for_each(|owed| owed.reason.clear());
    if let Some(hold) = &mut change.hold {
        (hold.since, hold.gates) = (start(), vec![]);
    }
    // What is over is only looked at for its debts.
    if let Stage::Ended { rollout, reason, .. } = &mut change.stage {
        (*rollout, *reason) = (None, String::new());
    }
}

fn people_of(list: &[usize]) -> Material {
    let origin = json!({"tool": "git", "name": "base..head"});
    let person = |by: &usize| json!({"name": PEOPLE[*by], "email": format!("{}@example.com", PEOPLE[*by])});
    let people = json!({"total": list.len(), "list": list.iter().map(person).collect::<Vec<_>>()});
    let none = json!({"total": 0, "list": []});
    let range = json!({
        "from": origin, "base": "b", "head": "h", "merge_base": "b", "added": 0, "removed": 0, "files": none, "commits": none,
        "people": people, "unsigned": 0,
    });
    serde_json::from_value(json!({"range": range})).expect("is material")
}

fn first_proposal(kind: Kind) -> Proposal {
    let course = match kind {
        Kind::Emergency => Course::Emergency(EmergencyRules::default().declare("INC-1", "it burns", start())),
        Kind::Matrix | Kind::Seats | Kind::Soft | Kind::Hard => Course::Regular,
    };
    let title = TITLES[0].to_owned();
    sealed(Proposal { title, course, material: Some(people_of(&[CYD])), ..proposal(EFFECTS[0]) })
}

/// What policy answers.
fn answer(kind: Kind, change: &Change) -> Assessment {
    let effect = change.proposal.effect_digest;
    let within = DAY.times(3);
    let matrix = || vec![Requirement::of(GROUP, 1, within), Requirement::of(APPROVERS, 1, within)];
    let hard = Denial::hard(HARD_RULE, "it needs a runbook");
    let soft = Denial { code: SOFT_RULE.into(), level: Level::Soft, ..hard.clone() };
    let (list, code, title) = ("before".to_owned(), "told".to_owned(), "support was told".to_owned());
    let item = Item { list, code, title, evidence: None, tick: Tick::Person };
    let free = allowed(effect, 0);
    match kind {
        Kind::Matrix => Assessment { requires: matrix(), ..free },
        Kind::Seats => Assessment { requires: vec![Requirement::of(GROUP, 2, within)], ..free },
        Kind::Soft => {
            let of_group = Denial { override_by: [GROUP.to_owned()].into(), ..soft };
            Assessment { denials: vec![of_group], checklist: vec![item], ..free }
        }
        Kind::Hard => {
            let requires = vec![Requirement::of(APPROVERS, 1, within)];
            Assessment { denials: vec![soft, hard], requires, ..free }
        }
        Kind::Emergency => {
            let emergency = change.proposal.course.emergency().expect("is an emergency");
            assert_eq!(emergency.quorum[0].by, ON_CALL);
            Assessment { requires: matrix(), ..free }.in_emergency(emergency)
        }
    }
}

/// The world as the shell would tell it to the core.
fn given(state: &State, actor: Actor, now: Timestamp) -> Given {
    let governance = &GOVERNANCE[usize::from(state.witness.gone)];
    let circumstances = &CIRCUMSTANCES[usize::from(state.witness.delegated)];
    let entitlement = Entitlement { change: &state.change, governance, circumstances, now };
    let mut given = Given {
        lanes: vec![Lane::free(RESOURCE)],
        readiness: Readiness::Ready,
        unknown_committers: entitlement.unknown_committers(),
        revoked: entitlement.revoked(),
        hands_off: entitlement.hands_off(),
        insiders: entitlement.insiders(),
        ..Given::bare(now, actor)
    };
    if let Some(name) = given.actor.user() {
        let voice = entitlement.voice(name);
        (given.may, given.excluded) = (entitlement.may(name), entitlement.excluded(name));
        (given.groups, given.on_behalf) = (voice.groups, voice.on_behalf);
    }
    given
}

fn command(state: &State, action: Action) -> Option<Command> {
    let change = &state.change;
    let reason = || "because".to_owned();
    let amend = |proposal: Proposal| Command::Amend { proposal: Box::new(sealed(proposal)), revision: None };
    let (step, attempt) = change.rollout().map_or((0, 0), |r| (r.step, r.attempt));
    Some(match action {
        Action::Age | Action::Leave | Action::Delegate => return None,
        Action::AmendEffect(_) => {
            let other = EFFECTS.iter().find(|e| change.proposal.artifact.as_deref() != Some(**e));
            amend(Proposal { artifact: other.map(|e| (*e).to_owned()), ..change.proposal.clone() })
        }
        Action::AmendTitle => {
            let other = TITLES.iter().find(|t| change.proposal.title != **t).copied().unwrap_or_default();
            amend(Proposal { title: other.to_owned(), ..change.proposal.clone() })
        }
        Action::AmendCommit => {
            let (commit, material) = (Some("decade".to_owned()), Some(people_of(&[BOB])));
            amend(Proposal { commit, material, ..change.proposal.clone() })
        }
        Action::Assess => Command::Assess(Box::new(answer(state.witness.kind, change))),
        Action::Approve(_) => {
            Command::Approve { effect: change.proposal.effect_digest, comment: None, signature: None }
        }
        Action::Refuse(_) => Command::Refuse { reason: reason() },
        Action::Request(_) => Command::RequestChanges { reason: reason() },
        Action::TakeBack(_) => Command::TakeBack { reason: reason() },
        Action::Override(_) => Command::Override { code: SOFT_RULE.into(), reason: reason() },
        Action::BreakGlass(_) => Command::BreakGlass { reason: reason() },
        Action::Tick(_) => Command::Tick { list: "before".into(), code: "told".into(), note: reason() },
        Action::ApproveByAutomation => Command::ApproveByAutomation,
        Action::LapseVotes => Command::LapseVotes,
        Action::RevokeVotes => Command::RevokeVotes,
        Action::Lapse => Command::Lapse,
        Action::Schedule => Command::Schedule,
        Action::BeginStep => Command::BeginStep { observed: json!(null) },
        Action::Applied => Command::ReportApplied { step, attempt, actual: json!(null) },
        Action::Passed => judge(Answer::Pass, step, attempt, start()),
        Action::Resume => Command::Resume { found: None },
        Action::Review(_) => Command::Review { summary: reason() },
        Action::Rollback => Command::Rollback { reason: reason() },
        Action::BeginUndo => Command::BeginUndo,
        Action::Undone => Command::ReportUndone { observed: json!(null) },
    })
}

/// Who asks.
fn asker(action: Action, command: &Command) -> Actor {
    let by = match action {
        Action::AmendEffect(by)
        | Action::Approve(by)
        | Action::Refuse(by)
        | Action::Request(by)
        | Action::TakeBack(by)
        | Action::Override(by)
        | Action::BreakGlass(by)
        | Action::Review(by)
        | Action::Tick(by) => by,
        Action::Rollback | Action::Resume => DAN,
        _ => ADA,
    };
    part(command).map_or_else(|| user(PEOPLE[by]), Actor::Clearway)
}

fn step(state: &State, action: Action) -> Option<State> {
    let command = command(state, action)?;
    let given = given(state, asker(action, &command), moment(state.witness.now));
    let events = decide(&state.change, command, &given).ok().filter(|events| !events.is_empty())?;
    let mut next = State { change: fold(&state.change, &events, &given.actor, given.now), witness: state.witness };
    events.iter().for_each(|event| next.witness.see(action, event));
    next.witness.look(&next.change, &events);
    forget(&mut next.change);
    Some(next)
}

/// The second small world, for changes of one kind.
#[derive(Clone, Copy, Debug)]
struct World(Kind);

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut change = Life::begin(ID, first_proposal(self.0)).change;
        forget(&mut change);
        let proposed = State { change, witness: Witness::new(self.0) };
        vec![step(&proposed, Action::Assess).expect("policy answers")]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        let witness = &state.witness;
        if witness.broken.is_some() {
            return;
        }
        if witness.ended {
            out.extend([Action::BeginStep, Action::Lapse, Action::Schedule]);
            return out.extend(witness.kind.moves());
        }
        out.extend([Action::Age].into_iter().filter(|_| witness.now < LATE));
        if witness.turns < witness.kind.most_turns() {
            out.extend(witness.kind.turns().into_iter().filter(|turn| match turn {
                Action::Leave => !witness.gone,
                Action::Delegate => !witness.delegated,
                Action::Request(_) => !witness.requested,
                _ => !witness.rolling,
            }));
        }
        out.extend(witness.kind.moves());
        out.extend([Action::Assess, Action::ApproveByAutomation, Action::LapseVotes, Action::RevokeVotes]);
        out.extend([Action::Lapse, Action::Schedule, Action::BeginStep, Action::Applied, Action::Passed]);
        out.extend([Action::Rollback, Action::BeginUndo, Action::Undone]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Age => next.witness.now += 1,
            Action::Leave => (next.witness.gone, next.witness.turns) = (true, last.witness.turns + 1),
            Action::Delegate => (next.witness.delegated, next.witness.turns) = (true, last.witness.turns + 1),
            _ => return step(last, action),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let places = PLACES.iter().zip(reaches()).map(|((name, _), reached)| Property::sometimes(name, reached));
        let law = Property::always(NO_LAW_IS_BROKEN, |_, state: &State| state.witness.broken.is_none());
        let end = Property::always("left alone, every change comes to an end or waits for a rollout", comes_to_an_end);
        [law, end].into_iter().chain(places).collect()
    }
}

const NO_LAW_IS_BROKEN: &str = "no law is broken";

type Place = (&'static str, fn(&State) -> bool);

/// Places that the check has to come to; were one never reached, its laws would hold for nothing.
const PLACES: [Place; 19] = [
    ("a matrix is met with a stand-in", |s| {
        s.witness.kind == Kind::Matrix && s.witness.rolling && s.change.votes.iter().any(|v| !v.on_behalf.is_empty())
    }),
    ("two of the group agree, one of them by a stand-in", |s| {
        s.witness.kind == Kind::Seats && s.witness.rolling && s.change.votes.iter().any(|v| !v.on_behalf.is_empty())
    }),
    ("a seat is taken twice", |s| {
        let of_bob = |v: &Vote| v.on_behalf.get(GROUP).is_some_and(|of| of == PEOPLE[BOB]);
        s.witness.kind == Kind::Seats && s.witness.yes[BOB].is_some() && s.change.votes.iter().any(of_bob)
    }),
    ("a rollout begins after votes were carried over", |s| {
        s.witness.rolling && s.witness.amendments == 1 && is_first_effect(s)
    }),
    ("a rollout begins for another effect than the first", |s| s.witness.rolling && !is_first_effect(s)),
    ("an effect comes back", |s| s.witness.came_back && !s.witness.ended),
    ("a soft rule is set aside by one person", |s| s.witness.rolling && s.witness.kind == Kind::Soft),
    ("a hard rule is set aside by two", |s| s.witness.rolling && s.witness.kind == Kind::Hard),
    ("a rule stands again because who set it aside has left", |s| {
        s.witness.gone && s.witness.soft.by_bob && !s.witness.soft.for_good
    }),
    ("one hand waited too long on the glass", |s| s.witness.touch.is_some_and(|touch| touch.at < s.witness.now)),
    ("changes are asked for after everybody agreed", |s| !s.change.requested.is_empty() && s.change.votes.len() == 2),
    ("a request was answered by its maker", |s| {
        s.witness.rolling
            && s.witness.amendments == 0
            && s.witness.turns == 1
            && !s.witness.gone
            && !s.witness.delegated
    }),
    ("a vote waits although its voter has left", |s| {
        s.witness.gone && s.change.votes.iter().any(|v| v.voter == user("bob")) && !s.witness.rolling
    }),
    ("a vote is taken back in a rollout", |s| s.witness.taken_back),
    ("an emergency begins and owes", |s| s.witness.rolling && s.change.owes(Debt::Approval)),
    ("an emergency has all approval before it begins", |s| s.witness.kind == Kind::Emergency && s.witness.whole),
    ("an emergency is approved afterwards", |s| s.witness.paid),
    ("an emergency is refused afterwards, and somebody would go on", |s| {
        s.witness.refused && s.change.rollout().is_some_and(|r| r.pause.is_none())
    }),
    ("a change lapses", |s| s.change.phase() == Phase::Lapsed),
];

fn is_first_effect(state: &State) -> bool {
    state.change.proposal.artifact.as_deref() == Some(EFFECTS[0])
}

fn reached<const PLACE: usize>(_: &World, state: &State) -> bool {
    PLACES[PLACE].1(state)
}

fn reaches() -> [fn(&World, &State) -> bool; PLACES.len()] {
    [
        reached::<0>,
        reached::<1>,
        reached::<2>,
        reached::<3>,
        reached::<4>,
        reached::<5>,
        reached::<6>,
        reached::<7>,
        reached::<8>,
        reached::<9>,
        reached::<10>,
        reached::<11>,
        reached::<12>,
        reached::<13>,
        reached::<14>,
        reached::<15>,
        reached::<16>,
        reached::<17>,
        reached::<18>,
    ]
}

/// Of so many states one is left alone to see what becomes of it: to follow each would take the most of the time.
const ONE_OF: u64 = 16;

/// The most moves that a change which is left alone may need: two rounds of asking, and what stands between.
const MOST_ROUNDS: usize = 40;

/// Whether a change that nobody touches any more ends, by what is due alone. A rollout is ended by one person who rolls it back.
fn comes_to_an_end(_: &World, state: &State) -> bool {
    let mut hasher = std::hash::DefaultHasher::new();
    state.hash(&mut hasher);
    if !hasher.finish().is_multiple_of(ONE_OF) || state.witness.broken.is_some() {
        return true;
    }
    let (mut state, mut now) = (state.clone(), moment(state.witness.now));
    for _ in 0..MOST_ROUNDS {
        if state.change.phase().is_terminal() {
            return true;
        }
        if state.change.rollout().is_some() {
            return can_be_rolled_back(&state);
        }
        if !moves(&mut state, now) {
            now = due(&state.change, now).wake_at.unwrap_or_else(|| after(now, DAY));
        }
    }
    false
}

/// Performs the first of what is due that changes anything.
fn moves(state: &mut State, now: Timestamp) -> bool {
    let intents = due(&state.change, now).intents;
    let commands = intents.iter().filter_map(|intent| match intent {
        Intent::Assess => Some(Command::Assess(Box::new(answer(state.witness.kind, &state.change)))),
        Intent::Schedule => Some(Command::Schedule),
        Intent::ApproveByAutomation => Some(Command::ApproveByAutomation),
        Intent::LapseVotes => Some(Command::LapseVotes),
        Intent::Lapse => Some(Command::Lapse),
        Intent::Call => Some(Command::Call),
        Intent::BeginStep => Some(Command::BeginStep { observed: json!(null) }),
        _ => None,
    });
    let commands: Vec<Command> = std::iter::once(Command::RevokeVotes).chain(commands).collect();
    commands.into_iter().any(|command| tell(state, command, now))
}

fn tell(state: &mut State, command: Command, now: Timestamp) -> bool {
    let actor = part(&command).map_or_else(|| user(PEOPLE[DAN]), Actor::Clearway);
    let given = given(state, actor, now);
    let events = decide(&state.change, command, &given).unwrap_or_default();
    state.change = fold(&state.change, &events, &given.actor, now);
    !events.is_empty()
}

fn can_be_rolled_back(state: &State) -> bool {
    let mut state = state.clone();
    for command in [
        Command::Rollback { reason: "enough".into() },
        Command::BeginUndo,
        Command::ReportUndone { observed: json!(null) },
    ] {
        tell(&mut state, command, moment(LATE));
    }
    state.change.phase() == Phase::RolledBack
}

/// What breaks, each with the shortest way to it.
fn faults(checker: &impl Checker<World>) -> Vec<String> {
    let found = checker.discoveries();
    let broken = found.into_iter().filter(|(name, _)| PLACES.iter().all(|(place, _)| place != name));
    let told = broken.map(|(name, path)| {
        let last = path.last_state();
        let law = last.witness.broken.map_or(name, Law::in_words);
        format!("{:?}: {law}: {:?}", last.witness.kind, path.clone().into_actions())
    });
    told.collect()
}

// LC3 LC9 F2 F4 X16 PA6
#[test]
fn no_order_of_what_people_do_breaks_a_law_of_governance_in_the_small_world() {
    let (mut faults_of_all, mut reached) = (vec![], BTreeSet::new());
    for kind in KINDS {
        // One thread: with more, a state may be met by a longer way first, and what lies behind it be out of reach.
        let checker = World(kind).checker().threads(1).target_max_depth(kind.most_moves());
        let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        println!("{kind:?}: {} states, {} transitions", checker.unique_state_count(), checker.state_count());
        faults_of_all.extend(faults(&checker));
        reached.extend(checker.discoveries().into_keys());
    }
    assert!(faults_of_all.is_empty(), "{}", faults_of_all.join("\n"));
    let missed: Vec<&str> = PLACES.iter().map(|(place, _)| *place).filter(|place| !reached.contains(place)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}
