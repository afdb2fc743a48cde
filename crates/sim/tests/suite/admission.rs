//! LC4, U1: which places in the sequence of all changes a release may take, and which it may not.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use change::lifecycle::Rejection;
use change::{Change, ChangeId, Event, Phase};
use engine::ports::{Appended, Batch, Store, StoreError};
use engine::releases::ReleaseDraft;
use engine::{CommandError, Draft, Handle, ProposeError};
use sim::fleet::{Fleet, member_file};
use sim::world::{NOBODY, ONE_OF_SRE, ada, governance, governed};

use crate::support::{Hooked, Hooks, memory, paused, propose, until};

const TWO: &str = "title: Two as one\nowner: ada\nchanges:\n";

fn file(target: &str, after: &str) -> String {
    let more = if after.is_empty() { String::new() } else { format!("after: [{after}]\n") };
    format!("{}{more}", member_file(target))
}

/// A release of changes that are proposed already, and of new ones by their targets and what they come after.
fn release(known: &[&str], new: &[(&str, &str)]) -> ReleaseDraft {
    let members = known.iter().map(|id| (id.to_lowercase(), (*id).to_owned()));
    let news = new.iter().map(|(target, _)| ((*target).to_owned(), format!("{target}.yaml")));
    let line = |(name, change): (String, String)| format!("  - {{name: {name}, change: {change}}}\n");
    let text = format!("{TWO}{}", members.chain(news).map(line).collect::<String>());
    let draft = |(target, after): &(&str, &str)| {
        ((*target).to_owned(), Draft { text: file(target, after), ..Draft::default() })
    };
    ReleaseDraft { text, changes: new.iter().map(draft).collect() }
}

async fn problems(handle: &Handle, draft: &ReleaseDraft) -> Vec<String> {
    match handle.propose_release(&ada(), draft, None).await {
        Err(ProposeError::Invalid(problems)) => problems.into_iter().map(|problem| problem.message).collect(),
        other => panic!("{other:?}"),
    }
}

async fn amend(handle: &Handle, id: ChangeId, text: &str) -> Result<Change, CommandError> {
    let draft = Draft { text: text.to_owned(), ..Draft::default() };
    handle.amend(&ada(), id, &draft, None).await.expect("the file is valid")
}

async fn start(store: &Arc<dyn Store>, rules: &str) -> Handle {
    Fleet::default().start(store.clone(), governance(rules)).await.expect("the engine starts")
}

// LC4, U1: members are completed together, so one that wants another completed first would never begin.
#[test]
fn a_release_whose_members_come_after_one_another_by_their_own_files_is_refused() {
    paused().block_on(async {
        let handle = start(&memory(), ONE_OF_SRE).await;
        propose(&handle, &file("a", "")).await;
        propose(&handle, &file("b", "CHG-1")).await;
        let said = "it comes after `CHG-1`, which is a member too: members are completed together";
        assert_eq!(problems(&handle, &release(&["CHG-1", "CHG-2"], &[])).await, [said]);
        assert_eq!(problems(&handle, &release(&["CHG-1"], &[("c", "CHG-1")])).await, [said]);
    });
}

// LC4, U1: whoever waits for a member waits for the whole release.
#[test]
fn a_release_that_would_wait_for_itself_around_a_change_outside_is_refused() {
    paused().block_on(async {
        let handle = start(&memory(), ONE_OF_SRE).await;
        let first = propose(&handle, &file("a", "")).await;
        propose(&handle, &file("b", "CHG-1")).await;
        let circle = "it would wait for itself: CHG-3 -> CHG-2 -> CHG-1 -> CHG-3, each waits for the next";
        assert_eq!(problems(&handle, &release(&["CHG-1"], &[("c", "CHG-2")])).await, [circle]);

        // The same, where the circle would be closed by an amendment.
        let good = release(&["CHG-1"], &[("c", "")]);
        handle.propose_release(&ada(), &good, None).await.expect("nothing is wrong");
        let refused = amend(&handle, ChangeId::new(3), &file("c", "CHG-2")).await;
        let Err(CommandError::Rejected(rejection @ Rejection::Circle { .. })) = refused else { panic!("{refused:?}") };
        assert!(rejection.to_string().contains("CHG-3 -> CHG-2 -> CHG-1 -> CHG-3"), "{rejection}");
        let refused = amend(&handle, ChangeId::new(3), &file("c", "CHG-1")).await;
        let Err(CommandError::Rejected(rejection)) = refused else { panic!("{refused:?}") };
        assert_eq!(rejection, Rejection::AfterFellow { change: ChangeId::new(3), fellow: first });
        amend(&handle, first, &member_file("a").replace("Roll a", "Roll a, slowly")).await.expect("nothing is wrong");
    });
}

// LC4: nobody comes after what there is not, nor after the number that another member is about to get.
#[test]
fn a_release_whose_members_come_after_changes_that_there_are_not_is_refused() {
    paused().block_on(async {
        let handle = start(&memory(), ONE_OF_SRE).await;
        let coming = release(&[], &[("a", "CHG-2"), ("b", "CHG-1"), ("c", "CHG-999")]);
        let said = problems(&handle, &coming).await;
        for unknown in ["there is no change `CHG-2`", "there is no change `CHG-1`", "there is no change `CHG-999`"] {
            assert!(said.iter().any(|message| message == unknown), "{said:?}");
        }
        assert!(handle.check_release(&coming).await.is_err(), "who only asks is told as well");
        assert_eq!(handle.releases().await.expect("the store answers"), []);
    });
}

// LC4: what the rules refuse beside something that is under way is refused as a member, too.
#[test]
fn a_release_with_a_member_where_the_rules_let_nothing_be_proposed_is_refused() {
    paused().block_on(async {
        let (fleet, store) = (Fleet::default(), memory());
        let rules = governed(NOBODY, &[("conflicts.yaml", "rules: [{between: service, then: refuse}]")]);
        let handle = fleet.start(store, rules).await.expect("the engine starts");
        let first = propose(&handle, &file("a", "")).await;
        until(&handle, first, |phase| matches!(phase, Phase::RollingOut { .. })).await;
        let refused = handle.propose_release(&ada(), &release(&[], &[("b", ""), ("c", "")]), None).await;
        assert!(matches!(refused, Err(ProposeError::Rejected(Rejection::InTheWay { .. }))), "{refused:?}");
    });
}

/// Amends a change right before a release is appended.
#[derive(Default)]
struct Between {
    handle: OnceLock<Handle>,
    was_there: OnceLock<()>,
}

#[async_trait]
impl Hooks for Between {
    async fn append(&self, store: &dyn Store, batch: Batch) -> Result<Appended, StoreError> {
        let events = || batch.writes.iter().flat_map(|write| &write.events);
        let is_release = events().any(|new| matches!(new.event, Event::ReleaseProposed { .. }));
        if let Some(handle) = self.handle.get().filter(|_| is_release && self.was_there.set(()).is_ok()) {
            amend(handle, ChangeId::new(2), &file("b", "CHG-1")).await.expect("nothing is wrong");
        }
        store.append(batch).await
    }
}

// LC4, U1: a release and an amendment that would close a circle together: the later one is asked again, and refused.
#[test]
fn a_circle_that_is_closed_while_a_release_is_proposed_is_seen() {
    paused().block_on(async {
        let hooked = Hooked::around(memory(), Between::default());
        let store: Arc<dyn Store> = hooked.clone();
        let handle = start(&store, ONE_OF_SRE).await;
        propose(&handle, &file("a", "")).await;
        propose(&handle, &file("b", "")).await;
        assert!(hooked.hooks.handle.set(handle.clone()).is_ok());
        let said = problems(&handle, &release(&["CHG-1"], &[("c", "CHG-2")])).await;
        assert_eq!(said, ["it would wait for itself: CHG-3 -> CHG-2 -> CHG-1 -> CHG-3, each waits for the next"]);
        assert!(hooked.hooks.was_there.get().is_some());
    });
}
