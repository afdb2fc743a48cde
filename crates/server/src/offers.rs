//! Offers: which commands a page shows to this reader, for this change, now.
//!
//! Asks the core what it would say, with a reason that is yet to be written. Nothing is decided here: the command itself is asked again, with all that
//! is true then. A refusal that a reader would wonder about is shown in the core's own words.

use change::actor::{Limits, row};
use change::lifecycle::{Found, Rejection};
use change::rollout::StepState;
use change::{Change, Command, Digest, Given, decide};

/// What a reader can do from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Approve,
    RequestChanges,
    TakeBack,
    Reject,
    BreakGlass,
    Pause,
    Resume,
    Promote,
    Rollback,
    Complete,
    Review,
    Withdraw,
}

impl Act {
    pub(crate) const ALL: [Self; 12] = [
        Self::Approve,
        Self::RequestChanges,
        Self::TakeBack,
        Self::Reject,
        Self::BreakGlass,
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::Rollback,
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
            Self::BreakGlass => "break-glass",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Complete => "complete",
            Self::Review => "review",
            Self::Withdraw => "withdraw",
        }
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
            Self::BreakGlass => "Your hand is on the glass, and that is in the log.",
            Self::Pause => "The change is paused.",
            Self::Resume => "The change goes on.",
            Self::Promote => "The step was promoted.",
            Self::Rollback => "The rollback is on its way.",
            Self::Complete => "The rollback is recorded as completed.",
            Self::Review => "The review is in the log.",
            Self::Withdraw => "The change is withdrawn.",
        }
    }

    /// The command with what a form brought.
    pub(crate) fn command(self, text: String, effect: Digest, found: Option<Found>) -> Command {
        match self {
            Self::Approve => {
                Command::Approve { effect, comment: Some(text).filter(|t| !t.trim().is_empty()), signature: None }
            }
            Self::RequestChanges => Command::RequestChanges { reason: text },
            Self::TakeBack => Command::TakeBack { reason: text },
            Self::Reject => Command::Refuse { reason: text },
            Self::BreakGlass => Command::BreakGlass { reason: text },
            Self::Pause => Command::Pause { reason: text },
            Self::Resume => Command::Resume { found },
            Self::Promote => Command::Promote { reason: text },
            Self::Rollback => Command::Rollback { reason: text },
            Self::Complete => Command::CompleteByHand { evidence: text },
            Self::Review => Command::Review { summary: text },
            Self::Withdraw => Command::Withdraw { reason: text },
        }
    }
}

/// What is offered to one reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    pub acts: Vec<Act>,
    /// Why this reader can't approve, where they would wonder.
    pub not_approve: Option<String>,
    /// Whether going on needs to be told what was found at the target.
    pub asks_what_was_found: bool,
}

impl Offers {
    /// What is offered to somebody whose token leaves them this much.
    pub(crate) fn to(limits: &Limits, change: &Change, given: &Given) -> Self {
        let offers = Self::of(change, given);
        let (services, environment) = (&change.proposal.services, &change.proposal.environment);
        let is_left = |act: &Act| {
            let needs = row(act.word()).and_then(|row| row.needs);
            needs.is_none_or(|needs| limits.gap(needs, services, environment).is_none())
        };
        Self { acts: offers.acts.into_iter().filter(is_left).collect(), ..offers }
    }

    /// What the core would say to one act.
    pub(crate) fn rejection(act: Act, change: &Change, given: &Given) -> Option<Rejection> {
        let command = act.command("to be written".into(), change.proposal.effect_digest, None);
        decide(change, command, given).err()
    }

    pub(crate) fn of(change: &Change, given: &Given) -> Self {
        let unknown =
            change.rollout().is_some_and(|r| r.back.is_none() && matches!(r.state, StepState::Unknown { .. }));
        let found = unknown.then_some(Found::Applied);
        let ask =
            |act: Act| decide(change, act.command("to be written".into(), change.proposal.effect_digest, found), given);
        let acts = Act::ALL.into_iter().filter(|act| ask(*act).is_ok_and(|events| !events.is_empty())).collect();
        let not_approve = match ask(Act::Approve) {
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
        Self { acts, not_approve, asks_what_was_found: unknown }
    }
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
        use Act::{Approve, Pause, Promote, Reject, RequestChanges, Resume, Review, Rollback, Withdraw};
        let all = Permission::ALL;
        assert_eq!(offers("dora", &sample::waiting(), &all).acts, [Approve, RequestChanges, Reject, Withdraw]);
        assert_eq!(offers("dora", &sample::waiting(), &[Permission::Approve]).acts, [Approve, RequestChanges, Reject]);
        assert_eq!(offers("dora", &sample::log(), &all).acts, [Pause, Promote, Rollback]);
        assert_eq!(offers("dora", &sample::paused(), &all).acts, [Resume, Promote, Rollback]);
        assert_eq!(offers("dora", &sample::rolled_back(), &all).acts, [Review]);
        assert_eq!(offers("dora", &sample::completed(), &all).acts, []);
        assert_eq!(offers("dora", &sample::log(), &[Permission::Read]), Offers::default());
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
