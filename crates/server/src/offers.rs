//! Offers: which commands a page shows to this reader, for this change, now.
//!
//! Asks the core what it would say, with a reason that is yet to be written. Nothing is decided here: the command itself is asked again, with all that
//! is true then. A refusal that a reader would wonder about is shown in the core's own words.

use change::actor::{Limits, row};
use change::assessment::{Denial, Item, Level};
use change::exception;
use change::lifecycle::{Found, Rejection};
use change::rollout::StepState;
use change::{Change, Command, Digest, Given, Timestamp, decide, time};
use serde::Deserialize;

/// What a reader can do from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Approve,
    RequestChanges,
    TakeBack,
    Reject,
    Override,
    Tick,
    BreakGlass,
    Pause,
    Resume,
    Promote,
    Rollback,
    Veto,
    LiftVeto,
    Complete,
    Review,
    Withdraw,
}

impl Act {
    pub(crate) const ALL: [Self; 16] = [
        Self::Approve,
        Self::RequestChanges,
        Self::TakeBack,
        Self::Reject,
        Self::Override,
        Self::Tick,
        Self::BreakGlass,
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::Rollback,
        Self::Veto,
        Self::LiftVeto,
        Self::Complete,
        Self::Review,
        Self::Withdraw,
    ];

    /// The word in paths and on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::RequestChanges => "request-changes",
            Self::TakeBack => "take-back",
            Self::Reject => "reject",
            Self::Override => "override",
            Self::Tick => "tick",
            Self::BreakGlass => "break-glass",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Veto => "veto",
            Self::LiftVeto => "lift-veto",
            Self::Complete => "complete",
            Self::Review => "review",
            Self::Withdraw => "withdraw",
        }
    }

    /// The word of the table of actions that it needs.
    pub(crate) fn action(self) -> &'static str {
        if self == Self::LiftVeto { "veto" } else { self.word() }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }

    /// What a page says once it has happened.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Approve => "Your approval is in the log.",
            Self::RequestChanges => "Your request is in the log; the author is told.",
            Self::TakeBack => "What you said is taken back.",
            Self::Reject => "The change is refused.",
            Self::Override => "The rule is set aside, with your name.",
            Self::Tick => "The point is ticked, with your name.",
            Self::BreakGlass => "Your hand is on the glass, and that is in the log.",
            Self::Pause => "The change is paused.",
            Self::Resume => "The change goes on.",
            Self::Promote => "The step was promoted.",
            Self::Rollback => "The rollback is on its way.",
            Self::Veto => "Your veto holds the change.",
            Self::LiftVeto => "The veto is lifted.",
            Self::Complete => "The rollback is recorded as completed.",
            Self::Review => "The review is in the log.",
            Self::Withdraw => "The change is withdrawn.",
        }
    }

    /// Whether what it does stands for one effect, and falls with it.
    pub(crate) fn is_for_one_effect(self) -> bool {
        matches!(self, Self::Approve | Self::Override | Self::Tick | Self::BreakGlass)
    }

    /// The command with what a form brought.
    pub(crate) fn command(self, brought: Brought) -> Command {
        let Brought { effect, text, found, rule, point, until } = brought;
        match self {
            Self::Approve => {
                Command::Approve { effect, comment: Some(text).filter(|t| !t.trim().is_empty()), signature: None }
            }
            Self::RequestChanges => Command::RequestChanges { reason: text },
            Self::TakeBack => Command::TakeBack { reason: text },
            Self::Reject => Command::Refuse { reason: text },
            Self::Override => Command::Override { code: rule, reason: text },
            Self::Tick => {
                let (list, code) = point.split_once('/').unwrap_or((&point, ""));
                Command::Tick { list: list.to_owned(), code: code.to_owned(), note: text }
            }
            Self::BreakGlass => Command::BreakGlass { reason: text },
            Self::Pause => Command::Pause { reason: text },
            Self::Resume => Command::Resume { found },
            Self::Promote => Command::Promote { reason: text },
            Self::Rollback => Command::Rollback { reason: text },
            // Without an end it is over already, which is refused.
            Self::Veto => Command::Veto { reason: text, until: until.unwrap_or(Timestamp::MIN) },
            Self::LiftVeto => Command::LiftVeto { reason: text },
            Self::Complete => Command::CompleteByHand { evidence: text },
            Self::Review => Command::Review { summary: text },
            Self::Withdraw => Command::Withdraw { reason: text },
        }
    }
}

/// What a form brings.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Brought {
    /// The effect that was on the page.
    pub effect: Digest,
    #[serde(default)]
    pub text: String,
    pub found: Option<Found>,
    /// The code of a rule that is to be set aside.
    #[serde(default)]
    pub rule: String,
    /// A point of a checklist, as `list/code`.
    #[serde(default)]
    pub point: String,
    /// The end of a veto.
    #[serde(skip)]
    pub until: Option<Timestamp>,
}

impl Brought {
    /// What would be brought to a change as it is now, with a reason that is yet to be written.
    fn to(change: &Change, given: &Given) -> Self {
        Self {
            effect: change.proposal.effect_digest,
            text: "to be written".into(),
            found: None,
            rule: String::new(),
            point: String::new(),
            until: Some(time::after(given.now, given.longest_hold)),
        }
    }
}

/// A point of a checklist as forms and command lines name it.
pub(crate) fn point(item: &Item) -> String {
    format!("{}/{}", item.list, item.code)
}

/// What is offered to one reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    pub acts: Vec<Act>,
    /// Why this reader can't approve, where they would wonder.
    pub not_approve: Option<String>,
    /// Whether going on needs to be told what was found at the target.
    pub asks_what_was_found: bool,
    /// The soft rules that this reader can set aside.
    pub rules: Vec<Denial>,
    /// The points of checklists that this reader can tick.
    pub points: Vec<Item>,
}

impl Offers {
    /// What is offered to somebody whose token leaves them this much.
    pub(crate) fn to(limits: &Limits, change: &Change, given: &Given) -> Self {
        let offers = Self::of(change, given);
        let (services, environment) = (&change.proposal.services, &change.proposal.environment);
        let is_left = |act: &Act| {
            let needs = row(act.action()).and_then(|row| row.needs);
            needs.is_none_or(|needs| limits.gap(needs, services, environment).is_none())
        };
        Self { acts: offers.acts.into_iter().filter(is_left).collect(), ..offers }
    }

    /// What the core would say to one act; of several things that it could be about, to the first that it would let pass.
    pub(crate) fn rejection(act: Act, change: &Change, given: &Given) -> Option<Rejection> {
        let rejected = |brought| decide(change, act.command(brought), given).err();
        let about = about(act, change, given);
        if about.is_empty() {
            return rejected(Brought::to(change, given));
        }
        let answers: Option<Vec<Rejection>> = about.into_iter().map(rejected).collect();
        answers.and_then(|answers| answers.into_iter().next())
    }

    pub(crate) fn of(change: &Change, given: &Given) -> Self {
        let unknown =
            change.rollout().is_some_and(|r| r.back.is_none() && matches!(r.state, StepState::Unknown { .. }));
        let found = unknown.then_some(Found::Applied);
        let ask = |act: Act, brought: Brought| decide(change, act.command(brought), given);
        let passes = |act: Act, brought: Brought| ask(act, brought).is_ok_and(|events| !events.is_empty());
        let rules =
            soft_rules(change, given).into_iter().filter(|rule| passes(Act::Override, about_rule(change, given, rule)));
        let rules: Vec<Denial> = rules.cloned().collect();
        let points = open_points(change).into_iter().filter(|item| passes(Act::Tick, about_point(change, given, item)));
        let points: Vec<Item> = points.cloned().collect();
        let is_offered = |act: &Act| match act {
            Act::Override => !rules.is_empty(),
            Act::Tick => !points.is_empty(),
            act => passes(*act, Brought { found, ..Brought::to(change, given) }),
        };
        let acts = Act::ALL.into_iter().filter(is_offered).collect();
        let not_approve = match ask(Act::Approve, Brought::to(change, given)) {
            Err(
                no @ (Rejection::OwnChange { .. }
                | Rejection::AlreadyVoted { .. }
                | Rejection::NotEntitled { .. }
                | Rejection::Excluded { .. }),
            ) => Some(no.to_string()),
            Err(no @ Rejection::SignatureNeeded { .. }) => {
                Some(no.help().map_or_else(|| no.to_string(), |help| format!("{no}. Help: {help}")))
            }
            _ => None,
        };
        Self { acts, not_approve, asks_what_was_found: unknown, rules, points }
    }
}

/// Everything that an act could be about: the soft rules that stand, or the points that are open.
fn about(act: Act, change: &Change, given: &Given) -> Vec<Brought> {
    match act {
        Act::Override => soft_rules(change, given).into_iter().map(|rule| about_rule(change, given, rule)).collect(),
        Act::Tick => open_points(change).into_iter().map(|item| about_point(change, given, item)).collect(),
        _ => vec![],
    }
}

fn about_rule(change: &Change, given: &Given, rule: &Denial) -> Brought {
    Brought { rule: rule.code.clone(), ..Brought::to(change, given) }
}

fn about_point(change: &Change, given: &Given, item: &Item) -> Brought {
    Brought { point: point(item), ..Brought::to(change, given) }
}

/// The soft rules that stand against a change.
fn soft_rules<'a>(change: &'a Change, given: &Given) -> Vec<&'a Denial> {
    let Some(assessed) = &change.assessment else { return vec![] };
    let set_aside = exception::still_aside(&change.set_aside, given);
    let mut standing = exception::standing(&assessed.assessment, &set_aside, change.proposal.effect_digest);
    standing.retain(|denial| denial.level == Level::Soft);
    // One form for each code: an override covers all that it names.
    standing.sort_by(|a, b| a.code.cmp(&b.code));
    standing.dedup_by(|a, b| a.code == b.code);
    standing
}

/// The points that neither evidence nor a person has ticked.
fn open_points(change: &Change) -> Vec<&Item> {
    let Some(assessed) = &change.assessment else { return vec![] };
    exception::unticked(&assessed.assessment, &change.ticked, change.proposal.effect_digest)
}

#[cfg(test)]
mod tests {
    use change::{Actor, Permission};
    use engine::ports::Recorded;

    use super::*;
    use crate::sample;

    fn offers(user: &str, log: &[Recorded], may: &[Permission]) -> Offers {
        let given = Given {
            may: may.iter().copied().collect(),
            groups: ["sre".to_owned()].into(),
            ..Given::bare(sample::start(), Actor::User(user.into()))
        };
        Offers::of(&sample::change_of(log), &given)
    }

    #[test]
    fn what_is_offered_follows_phase_and_permission() {
        use Act::{Approve, Pause, Promote, Reject, RequestChanges, Resume, Review, Rollback, Veto, Withdraw};
        let all = Permission::ALL;
        assert_eq!(offers("dora", &sample::waiting(), &all).acts, [Approve, RequestChanges, Reject, Veto, Withdraw]);
        assert_eq!(offers("dora", &sample::waiting(), &[Permission::Approve]).acts, [Approve, RequestChanges, Reject]);
        assert_eq!(offers("dora", &sample::log(), &all).acts, [Pause, Promote, Rollback, Veto]);
        assert_eq!(offers("dora", &sample::paused(), &all).acts, [Resume, Promote, Rollback, Veto]);
        assert_eq!(offers("dora", &sample::rolled_back(), &all).acts, [Review]);
        assert_eq!(offers("dora", &sample::completed(), &all).acts, []);
        assert_eq!(offers("dora", &sample::log(), &[Permission::Read]), Offers::default());
    }

    // F4, X16
    #[test]
    fn soft_rules_and_open_points_are_offered_to_those_who_may() {
        let codes = |offers: &Offers| {
            let rules: Vec<String> = offers.rules.iter().map(|rule| rule.code.clone()).collect();
            (rules, offers.points.iter().map(point).collect::<Vec<_>>())
        };
        let told = ["before-production/told".to_owned(), "before-production/rollback".to_owned()];
        let dora = offers("dora", &sample::denied(), &Permission::ALL);
        assert_eq!(codes(&dora), (vec!["late".to_owned(), "weekend".to_owned()], told.to_vec()));
        assert!(dora.acts.contains(&Act::Override) && dora.acts.contains(&Act::Tick));
        let place = |act| dora.acts.iter().position(|a| *a == act);
        assert!(place(Act::Override) < place(Act::BreakGlass), "the gentle way comes first: {:?}", dora.acts);
        let author = offers("ada", &sample::denied(), &Permission::ALL);
        assert_eq!(codes(&author), (vec![], told.to_vec()));
        let reader = offers("dora", &sample::denied(), &[Permission::Read]);
        assert_eq!((codes(&reader), reader.acts), ((vec![], vec![]), vec![]));
    }

    #[test]
    fn somebody_who_wonders_why_they_cannot_approve_is_told() {
        let author = offers("ada", &sample::waiting(), &Permission::ALL);
        assert!(!author.acts.contains(&Act::Approve));
        assert!(author.not_approve.is_some_and(|why| why.contains("approved by somebody else")));
        let voter = offers("bob", &sample::waiting(), &Permission::ALL);
        assert!(voter.not_approve.is_some_and(|why| why.contains("has approved this effect already")));
    }

    #[test]
    fn each_word_leads_back_to_its_act() {
        for act in Act::ALL {
            assert_eq!(Act::of(act.word()), Some(act));
        }
        assert_eq!(Act::of("amend"), None);
    }
}
