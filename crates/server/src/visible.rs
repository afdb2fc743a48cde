//! Visible: the rows of the change list that somebody can see, page by page.
//!
//! Where a reader sees some services only, the store is asked for these, and what it gives is filtered once more by the same rule that answers for one
//! change. Bounded: a page that looked through many rows and found few says where to go on.

use std::collections::BTreeMap;

use change::ChangeId;
use change::actor::Reach;
use engine::ports::{ListQuery, StoreError};
use engine::project::ChangeRow;

use crate::Shared;
use crate::problem::Problem;
use crate::view::ChangeList;

/// How often the store is asked for one page.
const MOST_ROUNDS: usize = 20;
/// Beyond so many services it is cheaper to read all rows than those of each.
const MOST_SERVICES: usize = 20;

/// The page of a list that a reader sees. The query asks for one row more than `limit`.
pub(crate) async fn rows(
    server: &Shared,
    reach: &Reach,
    mut query: ListQuery,
    limit: usize,
) -> Result<ChangeList, Problem> {
    if reach.is_everything() {
        return Ok(ChangeList::page(server.handle.list(&query).await?, limit));
    }
    let mut found: Vec<ChangeRow> = Vec::new();
    let mut looked_to = None;
    for _ in 0..MOST_ROUNDS {
        let some = candidates(server, reach, &query).await?;
        let is_last = some.len() < query.limit;
        looked_to = some.last().map(|row| row.id).filter(|_| !is_last);
        found.extend(some.into_iter().filter(|row| reach.sees(&row.services, &row.environment)));
        if found.len() > limit || looked_to.is_none() {
            return Ok(ChangeList::page(found, limit));
        }
        query.before = looked_to;
    }
    Ok(going_on(ChangeList::page(found, limit), looked_to))
}

fn going_on(mut list: ChangeList, from: Option<ChangeId>) -> ChangeList {
    list.next = list.next.or(from);
    list
}

/// Rows newest first, among which are all that the reader sees down to the last of them.
async fn candidates(server: &Shared, reach: &Reach, query: &ListQuery) -> Result<Vec<ChangeRow>, StoreError> {
    let services = reach.services().filter(|services| query.service.is_none() && services.len() <= MOST_SERVICES);
    let Some(services) = services else { return server.handle.list(query).await };
    let mut rows: BTreeMap<ChangeId, ChangeRow> = BTreeMap::new();
    for service in services {
        let of_one = ListQuery { service: Some(service.to_owned()), ..query.clone() };
        rows.extend(server.handle.list(&of_one).await?.into_iter().map(|row| (row.id, row)));
    }
    Ok(rows.into_values().rev().take(query.limit).collect())
}
