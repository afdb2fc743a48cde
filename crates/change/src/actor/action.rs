//! The table: what somebody can ask for, which permission it needs, and how far a grant of it has to reach.
//!
//! The one place that says so; docs/reference/access.md is written from it, [`explanation`](super::explanation) reads it, and tests hold the core and the
//! server to it. Decides nothing itself.

use super::Permission;

/// How far a grant has to reach before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// All services of the change, in its environment.
    EveryService,
    /// One service of the change, in its environment.
    OneService,
    /// Everywhere: it is about no change.
    Everywhere,
}

/// One thing that somebody can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The word for it, as on the command line.
    pub action: &'static str,
    /// Nothing where any permission does.
    pub needs: Option<Permission>,
    /// Another one that does as well.
    pub instead: Option<Permission>,
    pub reach: Where,
    /// What it is.
    pub says: &'static str,
    /// What holds beside the permission.
    pub also: &'static str,
}

impl Row {
    /// Whether a permission is one of those that allow it.
    pub fn is_allowed_by(&self, permission: Permission) -> bool {
        self.needs == Some(permission) || self.instead == Some(permission)
    }
}

const fn on_change(action: &'static str, needs: Permission, says: &'static str, also: &'static str) -> Row {
    Row { action, needs: Some(needs), instead: None, reach: Where::EveryService, says, also }
}

const fn everywhere(action: &'static str, needs: Permission, says: &'static str, also: &'static str) -> Row {
    Row { action, needs: Some(needs), instead: None, reach: Where::Everywhere, says, also }
}

/// What needs what. One row for each thing that can be asked.
pub const TABLE: [Row; 35] = [
    Row {
        action: "read",
        needs: None,
        instead: None,
        reach: Where::OneService,
        says: "see a change: its page, log, gates, looks and events",
        also: "any permission will do",
    },
    on_change("propose", Permission::Propose, "propose a change, or take part with a pipeline of one's own", ""),
    on_change(
        "amend",
        Permission::Propose,
        "replace what a change proposes",
        "its author always may; an emergency only with `emergency`, on what it becomes",
    ),
    on_change("withdraw", Permission::Propose, "withdraw a change before its rollout", "its author always may"),
    on_change("review", Permission::Propose, "record the review that a change owes", ""),
    on_change(
        "approve",
        Permission::Approve,
        "approve the effect of a change",
        "never one's own; one of the groups that are asked",
    ),
    on_change("reject", Permission::Approve, "refuse a change, which ends it", ""),
    on_change(
        "request-changes",
        Permission::Approve,
        "ask for changes: it does not go on before it is amended or the request is taken back",
        "never of one's own",
    ),
    Row {
        action: "take-back",
        needs: None,
        instead: None,
        reach: Where::OneService,
        says: "take back one's own vote, or one's own request for changes",
        also: "whatever became of one's roles",
    },
    Row {
        instead: Some(Permission::Approve),
        ..on_change("tick", Permission::Propose, "tick a point of a checklist by name", "or `approve`")
    },
    on_change("begin", Permission::Propose, "begin a step that a pipeline performs", "only behind open gates"),
    on_change("finish", Permission::Propose, "report how a step of a pipeline ended", ""),
    on_change("pause", Permission::Pause, "pause a rollout", ""),
    on_change("resume", Permission::Resume, "go on after a pause", ""),
    on_change("promote", Permission::Promote, "let a step pass without a verdict", "never while the verdict is `fail`"),
    on_change("rollback", Permission::Rollback, "roll a change back", ""),
    on_change("complete", Permission::Rollback, "record that a rollback was completed by hand", ""),
    on_change("freeze", Permission::Freeze, "stop changes of services for a time, and end that", ""),
    Row {
        instead: Some(Permission::Approve),
        ..on_change("except", Permission::Propose, "ask that a change pass a freeze for a time", "or `approve`")
    },
    Row {
        instead: Some(Permission::Approve),
        ..on_change(
            "grant-exception",
            Permission::Freeze,
            "let a change pass a freeze, as was asked",
            "or `approve`, as the owner of the freeze; never of one's own",
        )
    },
    Row {
        instead: Some(Permission::Approve),
        ..on_change(
            "revoke-exception",
            Permission::Freeze,
            "end what a freeze let a change do, or what was asked for",
            "or `approve`, as the owner of the freeze; who asked for it always may",
        )
    },
    on_change(
        "hold",
        Permission::Freeze,
        "hold the rollouts of services for a time, and release that",
        "whoever is on call for all of them may too; rollbacks pass",
    ),
    on_change(
        "veto",
        Permission::Freeze,
        "close the gate of one change for a time, and lift that",
        "whoever is on call for its services may too; a rollback passes",
    ),
    on_change("override", Permission::Override, "pass a soft rule, with a reason", "hard rules never"),
    on_change(
        "break-glass",
        Permission::Override,
        "set every rule aside that stands, together with a second person",
        "one of the two did not write it; pages, and owes a review",
    ),
    on_change("emergency", Permission::Emergency, "use the emergency lane", "owes approval and a review afterwards"),
    everywhere(
        "audit",
        Permission::Audit,
        "read the log of all changes and its files",
        "anybody, where `public_log` is set",
    ),
    everywhere("govern", Permission::Govern, "rule who may what: policy, access, and tokens of others", ""),
    everywhere("stop-all", Permission::Freeze, "stop everything, and release it", "rollbacks pass"),
    everywhere("batch-release", Permission::Freeze, "let the rest of a batch go on, of which one has failed", ""),
    everywhere(
        "delegate",
        Permission::Govern,
        "put somebody in another's place for a while",
        "for oneself no permission is needed, only a token without limits; never into one's own hands",
    ),
    everywhere(
        "reinstate",
        Permission::Govern,
        "let a suspended standard change count again",
        "its failures are counted anew",
    ),
    Row {
        instead: Some(Permission::Govern),
        ..everywhere("list-access", Permission::Audit, "see who may what, and ask why for others", "or `govern`")
    },
    everywhere(
        "make-token",
        Permission::Govern,
        "make, list and revoke tokens of others",
        "for oneself no permission is needed",
    ),
    Row {
        action: "measure",
        needs: None,
        instead: None,
        reach: Where::Everywhere,
        says: "see figures about all changes",
        also: "any permission will do",
    },
];

/// The row of an action, by its word.
pub fn row(action: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.action == action)
}

/// The table as documents show it.
pub fn table_in_markdown() -> String {
    let mut text = String::from("| to | needs | on | also |\n|---|---|---|---|\n");
    for row in TABLE {
        let needs = row.needs.map_or_else(|| "any permission".to_owned(), |p| format!("`{p}`"));
        let reach = match row.reach {
            Where::EveryService => "every service of the change, in its environment",
            Where::OneService => "one service of the change, in its environment",
            Where::Everywhere => "everywhere",
        };
        text.push_str(&format!("| `{}`: {} | {needs} | {reach} | {} |\n", row.action, row.says, row.also));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_action_stands_once_and_each_permission_but_read_is_needed_somewhere() {
        let names: BTreeSet<&str> = TABLE.iter().map(|row| row.action).collect();
        assert_eq!(names.len(), TABLE.len());
        let needed: BTreeSet<Permission> = TABLE.iter().filter_map(|row| row.needs).collect();
        let idle: Vec<Permission> = Permission::ALL.into_iter().filter(|p| !needed.contains(p)).collect();
        assert_eq!(idle, [Permission::Read], "`read` allows what any permission allows, and nothing else");
    }

    #[test]
    fn what_is_about_no_change_needs_a_grant_everywhere() {
        for action in ["audit", "govern", "make-token"] {
            assert_eq!(row(action).map(|row| row.reach), Some(Where::Everywhere), "{action}");
        }
        assert_eq!(row("dance"), None);
    }
}
