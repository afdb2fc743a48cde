//! Access: how often a second it can be asked what somebody may, in a table of 5,000 users, beside a bare look-up in a hash map.

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use change::Permission;
use change::actor::Access;
use serde_json::json;

use crate::rounds::{median, whole};
use crate::table::{Aim, Row};

const USERS: usize = 5_000;
const ASKED: usize = 200_000;
const ROUNDS: usize = 5;
/// What the product is held to.
const LIMIT: f64 = 1_000_000.0;

pub(crate) fn run() -> Result<Vec<Row>> {
    let access = table()?;
    let ids: Vec<String> = (0..USERS).map(|i| format!("user-{:05}", i * 7_919 % USERS)).collect();
    let map: HashMap<&str, u16> = ids.iter().map(|id| (id.as_str(), 7)).collect();
    let services: BTreeSet<String> = ["service-3".to_owned()].into();
    ensure!(access.may("user-00003", Permission::Propose, &services, "production"), "the table is not as it should be");
    let (mut checks, mut sets, mut groups, mut lookups) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        checks.push(rate(&ids, |id| access.may(id, Permission::Propose, &services, "production")));
        sets.push(rate(&ids, |id| access.permissions(id, &services, "production").is_empty()));
        groups.push(rate(&ids, |id| access.groups_of(id).is_empty()));
        lookups.push(rate(&ids, |id| map.get(id) == Some(&7)));
    }
    let lookup = median(lookups);
    let row = |name: &str, figure: f64| Row {
        name: format!("access: {name}, {USERS} users"),
        figure: format!("{}/s", whole(figure)),
        beside: format!("limit {}/s; a bare hash look-up {}/s", whole(LIMIT), whole(lookup)),
        ratio: Some(figure / LIMIT),
        aim: Aim::AtLeast(1.0),
    };
    Ok(vec![row("may", median(checks)), row("permissions", median(sets)), row("groups of", median(groups))])
}

fn rate(ids: &[String], ask: impl Fn(&str) -> bool) -> f64 {
    let began = Instant::now();
    for id in ids.iter().cycle().take(ASKED) {
        black_box(ask(black_box(id)));
    }
    ASKED as f64 / began.elapsed().as_secs_f64()
}

fn table() -> Result<Access> {
    let user = |i: usize| {
        let on = json!({"services": [format!("service-{}", i % 50)], "environments": ["production"]});
        json!({"id": format!("user-{i:05}"), "roles": [{"role": "operator", "on": on}, {"role": "reader"}]})
    };
    let group = |g: usize| {
        let members: Vec<String> = (0..USERS).filter(|i| i % 200 == g).map(|i| format!("user-{i:05}")).collect();
        json!({"id": format!("group-{g}"), "members": members})
    };
    let table = json!({
        "users": (0..USERS).map(user).collect::<Vec<_>>(),
        "groups": (0..200).map(group).collect::<Vec<_>>(),
        "roles": [{"id": "operator", "may": ["propose", "pause", "rollback"]}, {"id": "reader", "may": ["read"]}],
    });
    Ok(serde_json::from_value(table)?)
}
