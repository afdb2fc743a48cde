//! Differences: what another revision of a change would do otherwise.
//!
//! The core compares; here it is only asked which two. Without a choice it is what the reader has not yet said yes to.

use axum::extract::State;
use change::diff::{self, Diff};
use change::{Actor, Event, Timestamp};
use engine::Overview;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::Shared;
use crate::api::changes;
use crate::extract::{Id, Query};
use crate::identity::Reader;
use crate::problem::Problem;
use crate::schema::documented;

/// Which revisions are compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Between {
    /// A revision, from 1; by default the one that you voted for last, or the first.
    pub from: Option<u32>,
    /// A revision; the newest by default.
    pub to: Option<u32>,
}

/// What is another between two revisions.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DiffView {
    #[serde(flatten)]
    pub diff: Diff,
}

documented!(DiffView);

/// Shows what is another between two revisions of a change.
#[utoipa::path(get, path = "/changes/{id}/diff", operation_id = "showDiff", tag = "changes",
    params(("id" = String, Path, description = "`CHG-7` or `7`."), Between),
    responses((status = 200, description = "The differences, those with effect first.", body = DiffView)))]
pub(crate) async fn diff(
    State(server): State<Shared>,
    Reader(caller): Reader,
    Id(id): Id,
    Query(between): Query<Between>,
) -> Result<axum::Json<DiffView>, Problem> {
    let overview = changes::overview(&server, &caller, id).await?;
    compare(&overview, &caller.actor(), between).map(|diff| axum::Json(DiffView { diff }))
}

fn compare(overview: &Overview, reader: &Actor, between: Between) -> Result<Diff, Problem> {
    let revisions = diff::revisions(events(overview));
    let find = |number: u32| {
        revisions.iter().find(|revision| revision.number == number).ok_or_else(|| {
            let (id, newest) = (overview.change.id, overview.change.revision);
            Problem::not_found(format!("`{id}` has no revision {number}")).help(format!("it has 1 to {newest}"))
        })
    };
    let from = find(between.from.unwrap_or_else(|| diff::seen_by(events(overview), reader)))?;
    let to = find(between.to.unwrap_or(overview.change.revision))?;
    Ok(diff::between(from, to))
}

/// What is another since this reader's last vote, if it is another revision.
pub(crate) fn since_vote(overview: &Overview, reader: &Actor) -> Option<Diff> {
    compare(overview, reader, Between::default()).ok().filter(|diff| diff.from != diff.to)
}

fn events(overview: &Overview) -> impl Iterator<Item = (&Event, &Actor, Timestamp)> {
    overview.log.iter().map(|recorded| (&recorded.event, &recorded.actor, recorded.time))
}

#[cfg(test)]
pub(crate) mod tests {
    use change::proposal::Carry;
    use engine::ports::Recorded;

    use super::*;
    use crate::sample;

    /// The sample that waits for a vote, amended by its author after bob's.
    pub(crate) fn amended() -> Overview {
        let mut log = sample::waiting();
        let mut proposal = sample::proposal();
        proposal.title = "Raise the pool <b>further</b>".into();
        proposal.artifact = Some("checkout@sha256:ffff".into());
        proposal.effect_digest = proposal.compute_effect_digest();
        let last = log.last().expect("the sample has events").clone();
        let event = Event::Amended { proposal: Box::new(proposal), votes: Carry::Void };
        log.push(Recorded { position: last.position + 1, version: last.version + 1, event, ..last });
        Overview { change: sample::change_of(&log), gates: vec![], log }
    }

    #[test]
    fn a_reader_is_shown_what_is_new_since_their_vote_and_may_choose() {
        let overview = amended();
        let bob = Actor::User("bob".into());
        let diff = since_vote(&overview, &bob).expect("another revision");
        assert_eq!((diff.from, diff.to), (1, 2));
        let said: Vec<(&str, bool)> = diff.differences.iter().map(|d| (d.path.as_str(), d.has_effect)).collect();
        assert_eq!(said, [("artifact", true), ("title", false)]);
        let same = compare(&overview, &bob, Between { from: Some(2), to: None }).expect("the same twice");
        assert_eq!(same.differences, []);
        let back = compare(&overview, &bob, Between { from: Some(2), to: Some(1) }).expect("backwards");
        assert_eq!(back.differences[0].after, diff.differences[0].before);
        let lost = compare(&overview, &bob, Between { from: Some(3), to: None }).expect_err("there is no third");
        assert!(lost.detail.contains("has no revision 3"), "{}", lost.detail);
    }

    #[test]
    fn a_change_that_was_never_amended_shows_no_difference() {
        let log = sample::waiting();
        let overview = Overview { change: sample::change_of(&log), gates: vec![], log };
        assert_eq!(since_vote(&overview, &Actor::User("bob".into())), None);
    }
}
