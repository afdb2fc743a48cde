//! A portrait: one service with its neighbours on both sides, for people and programs that look at one.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{At, BlastRadius, Catalog, Finding, Service};

/// A service and where it stands among the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Portrait {
    pub service: Service,
    /// Where it is described.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
    /// The services that it calls, by name.
    pub calls: Vec<Neighbour>,
    /// The services that call it, by name.
    pub called_by: Vec<Neighbour>,
    pub blast_radius: BlastRadius,
    /// What there is to say about it.
    pub findings: Vec<Finding>,
}

/// A service beside another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    pub service: String,
    /// None for a name that the catalog does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
}

impl Catalog {
    /// A service with its neighbours, and those of the findings that are about it.
    pub fn portrait(&self, name: &str, findings: &[Finding]) -> Option<Portrait> {
        let service = self.service(name)?.clone();
        let callees: BTreeSet<&str> = service.depends_on.iter().map(String::as_str).collect();
        let about = findings.iter().filter(|f| f.service.as_deref() == Some(name));
        Some(Portrait {
            at: self.origin(name).cloned(),
            calls: callees.into_iter().map(|callee| self.neighbour(callee)).collect(),
            called_by: self.callers(name).into_iter().map(|caller| self.neighbour(caller)).collect(),
            blast_radius: self.blast_radius(&BTreeSet::from([name.to_owned()])),
            findings: about.cloned().collect(),
            service,
        })
    }

    fn neighbour(&self, name: &str) -> Neighbour {
        Neighbour { service: name.to_owned(), tier: self.service(name).map(|s| s.tier) }
    }
}
