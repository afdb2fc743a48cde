//! Who: the actor of a command, and what each user may do.
//!
//! An [`Actor`] arrives here already identified; nothing in this crate knows a secret. [`Access`] is `access.yaml` as a value, [`Limits`] are what a token
//! narrows it to, [`TABLE`] is the one list of what needs which permission, and [`Explanation`] says why somebody may or may not.

mod access;
mod action;
mod explanation;
mod findings;
mod index;
mod scope;

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use access::{Access, Grant, Group, Role, User, UserKind};
pub use action::{Row, TABLE, Where, row, table_in_markdown};
pub use explanation::{Because, Explanation, Question, Subject};
pub use findings::Finding;
pub use scope::{Limits, Purpose, Reach, Scope};

/// Who did it, as the log says: `user:ada`, or `clearway:policy` for a part of the product itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Actor {
    User(String),
    Clearway(Part),
}

/// The parts of the product that act by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Policy,
    Clock,
    Rollout,
    Judge,
    Notify,
    Server,
    Release,
}

const PARTS: [(Part, &str); 7] = [
    (Part::Policy, "policy"),
    (Part::Clock, "clock"),
    (Part::Rollout, "rollout"),
    (Part::Judge, "judge"),
    (Part::Notify, "notify"),
    (Part::Server, "server"),
    (Part::Release, "release"),
];

impl Actor {
    /// The user behind this actor, if it is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(id) => Some(id),
            Self::Clearway(_) => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Clearway(part) => {
                let name = PARTS.into_iter().find(|(p, _)| p == part).map_or("server", |(_, name)| name);
                write!(f, "clearway:{name}")
            }
        }
    }
}

impl FromStr for Actor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}` is not an actor; actors are written `user:ada` or `clearway:policy`");
        match text.split_once(':').ok_or_else(unknown)? {
            ("user", id) if !id.is_empty() => Ok(Self::User(id.to_owned())),
            ("clearway", name) => {
                PARTS.into_iter().find(|(_, n)| *n == name).map(|(p, _)| Self::Clearway(p)).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

impl TryFrom<String> for Actor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Actor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Actor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(user|clearway):.+$", "description": "Who did it.", "examples": ["user:ada"]})
    }
}

/// One thing that a role may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Propose,
    Approve,
    Pause,
    Resume,
    Rollback,
    Promote,
    Freeze,
    Override,
    Emergency,
    Govern,
    Audit,
    Read,
}

impl Permission {
    pub const ALL: [Self; 12] = [
        Self::Propose,
        Self::Approve,
        Self::Pause,
        Self::Resume,
        Self::Rollback,
        Self::Promote,
        Self::Freeze,
        Self::Override,
        Self::Emergency,
        Self::Govern,
        Self::Audit,
        Self::Read,
    ];

    /// What it lets somebody do, as a refusal says it: "`user:eve` may not ...".
    pub fn deed(self) -> &'static str {
        match self {
            Self::Propose => "propose changes of these services here",
            Self::Approve => "approve changes of these services here",
            Self::Pause => "pause changes of these services here",
            Self::Resume => "resume changes of these services here",
            Self::Rollback => "roll back changes of these services here",
            Self::Promote => "promote changes of these services here",
            Self::Freeze => "stop or release what is asked here",
            Self::Override => "set rules aside for changes of these services here",
            Self::Emergency => "use the emergency lane for changes of these services here",
            Self::Govern => "rule who may what",
            Self::Audit => "read the log of all changes",
            Self::Read => "read changes of these services here",
        }
    }
}

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(ToString::to_string).collect();
            format!("`{text}` is no permission; there are {}", crate::document::list(known.iter().map(String::as_str)))
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Propose => "propose",
            Self::Approve => "approve",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Freeze => "freeze",
            Self::Override => "override",
            Self::Emergency => "emergency",
            Self::Govern => "govern",
            Self::Audit => "audit",
            Self::Read => "read",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_reads_back_what_it_writes() {
        for text in ["user:ada", "clearway:policy", "clearway:judge"] {
            assert_eq!(text.parse::<Actor>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for bad in ["ada", "user:", "clearway:ghost", "robot:x"] {
            assert!(bad.parse::<Actor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_permission_reads_back_what_it_writes() {
        for permission in Permission::ALL {
            assert_eq!(permission.to_string().parse(), Ok(permission));
        }
        assert!("aprove".parse::<Permission>().is_err_and(|why| why.contains("`approve`")));
    }
}
