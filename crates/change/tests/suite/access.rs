//! The table of permissions beside the core: what the table says a command needs is what `decide` asks for.

use std::collections::{BTreeMap, BTreeSet};

use change::actor::{Part, row};
use change::circumstances::Circumstances;
use change::time::after;
use change::{Actor, ChangeId, Command, Digest, Event, Given, Permission, Rejection, Span, decide, evolve};

use crate::world::{ID, Life, proposal, start};

fn commands() -> Vec<(&'static str, Command)> {
    let why = || "because".to_owned();
    vec![
        ("amend", Command::Amend { proposal: Box::new(proposal("b")), revision: None }),
        ("withdraw", Command::Withdraw { reason: why() }),
        ("review", Command::Review { summary: why() }),
        ("approve", Command::Approve { effect: Digest::of_bytes(b"x"), comment: None, signature: None }),
        ("reject", Command::Refuse { reason: why() }),
        ("request-changes", Command::RequestChanges { reason: why() }),
        ("override", Command::Override { code: "x".into(), reason: why() }),
        ("break-glass", Command::BreakGlass { reason: why() }),
        ("veto", Command::Veto { reason: why(), until: after(start(), Span::secs(60)) }),
        ("veto", Command::LiftVeto { reason: why() }),
        ("pause", Command::Pause { reason: why() }),
        ("resume", Command::Resume { found: None }),
        ("promote", Command::Promote { reason: why() }),
        ("rollback", Command::Rollback { reason: why() }),
        ("complete", Command::CompleteByHand { evidence: why() }),
    ]
}

fn asked(command: Command, may: BTreeSet<Permission>) -> Option<Permission> {
    let author = Actor::User("ada".into());
    let proposed =
        change::proposal::Proposed { uid: uuid::Uuid::nil(), author: author.clone(), proposal: proposal("a") };
    let change = evolve(None, ID, &Event::Proposed(Box::new(proposed)), &author, start()).expect("a change");
    let given = Given { may, ..Given::bare(start(), Actor::User("bob".into())) };
    match decide(&change, command, &given) {
        Err(Rejection::NotAllowed { permission, .. }) => Some(permission),
        _ => None,
    }
}

// I10: who may is one table, and the core keeps to it.
#[test]
fn the_core_asks_for_the_permission_that_the_table_names_and_for_no_other() {
    for (action, command) in commands() {
        let needs = row(action).and_then(|row| row.needs).expect("a row with a permission");
        let all_but: BTreeSet<Permission> = Permission::ALL.into_iter().filter(|p| *p != needs).collect();
        assert_eq!(asked(command.clone(), all_but), Some(needs), "{action}");
        assert_eq!(asked(command, [needs].into()), None, "{action}");
    }
}

// I10: an auditor reads everything and changes nothing.
#[test]
fn audit_alone_allows_no_command() {
    let until = after(start(), Span::secs(60));
    let of_freezes = [
        ("except", Command::AskException { freeze: "x".into(), until, reason: "because".into() }),
        ("grant-exception", Command::GrantException { freeze: "x".into(), until: start() }),
        ("revoke-exception", Command::RevokeException { freeze: "x".into(), reason: "because".into() }),
    ];
    for (action, command) in commands().into_iter().chain(of_freezes) {
        assert!(asked(command, [Permission::Audit, Permission::Read].into()).is_some(), "{action}");
    }
}

// F2: a clock that steps back between the proposal and the edit hides nothing, and one that steps forward accuses nobody.
#[test]
fn an_edit_of_the_rules_is_after_a_proposal_by_the_order_of_the_log_alone() {
    let (early, late) = (start(), after(start(), Span::secs(60)));
    let server = Actor::Clearway(Part::Server);
    let edited_by = |who: &str| Event::GovernanceLoaded {
        digest: Digest::of_bytes(who.as_bytes()),
        files: BTreeMap::new(),
        editors: [who.to_owned()].into(),
        policy: None,
        timezones: None,
        commit: None,
    };
    let life = Life::begin(ID, proposal("a"));
    let (proposed, author, _) = &life.log[0];
    let mut all = Circumstances::default();
    all.add(None, &edited_by("cyd"), &server, late);
    all.add(Some(ID), proposed, author, late);
    all.add(None, &edited_by("bob"), &server, early);
    assert!(all.edited_since("bob", ID), "the clock says before, the log says after");
    assert!(!all.edited_since("cyd", ID), "it was proposed under these rules");
    assert!(all.edited_since("cyd", ChangeId::new(9)), "of what the log does not know, nobody can say");
}
