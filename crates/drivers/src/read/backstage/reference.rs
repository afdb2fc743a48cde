//! References: how one entity of Backstage names another, `[kind:][namespace/]name`, with what is left out filled in from where it stands.
//!
//! Backstage compares references without regard to case, so they are kept in lower case here.

use std::fmt;

use super::super::imported::name_of;
use super::shown;

/// The longest name of a service, user or group of ours.
const LONGEST: usize = 64;
const DEFAULT: &str = "default";

/// An entity by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Reference {
    /// Reads a reference, with the kind and the namespace that it means if it names none.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn read(text: &str, kind: &str, namespace: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is no reference: it is written `[kind:][namespace/]name`", shown(text));
        let (kind, rest) = text.trim().split_once(':').unwrap_or((kind, text.trim()));
        let (namespace, name) = rest.split_once('/').unwrap_or((namespace, rest));
        if [kind, namespace, name].iter().any(|part| part.is_empty() || part.contains([':', '/'])) {
            return Err(wrong());
        }
        Self::of(kind, namespace, name).ok_or_else(wrong)
    }

    /// An entity by what its file says; nothing if no name can be made of it.
    pub(super) fn of(kind: &str, namespace: &str, name: &str) -> Option<Self> {
        let name = clean(name)?;
        Some(Self { kind: kind.to_lowercase(), namespace: clean(namespace)?, name })
    }

    /// Its name in our catalog: with the namespace in front if that is not the default one.
    pub(super) fn id(&self) -> String {
        if self.namespace == DEFAULT { self.name.clone() } else { format!("{}.{}", self.namespace, self.name) }
    }

    /// Whether its name is one that a service can have.
    pub(super) fn fits(&self) -> bool {
        self.id().len() <= LONGEST
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.kind, self.namespace, self.name)
    }
}

/// A name as ours are written; none if nothing is left of it.
fn clean(text: &str) -> Option<String> {
    text.chars().any(|c| c.is_ascii_alphanumeric()).then(|| name_of(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_all_their_forms() {
        for (text, wanted) in [
            ("team-a", "group:default/team-a"),
            ("group:team-a", "group:default/team-a"),
            ("Group:default/Team-A", "group:default/team-a"),
            ("user:ada", "user:default/ada"),
            ("shop/team-a", "group:shop/team-a"),
            ("resource:shop/db_1", "resource:shop/db_1"),
        ] {
            assert_eq!(Reference::read(text, "group", "default").map(|r| r.to_string()), Ok(wanted.into()), "{text}");
        }
        for text in ["", ":", "a:", "/", "a/", "a/b/c", "a:b:c", "group:-", "\u{7}"] {
            assert!(Reference::read(text, "group", "default").is_err(), "{text}");
        }
    }

    #[test]
    fn a_namespace_of_its_own_is_part_of_the_name() {
        let id = |text: &str| Reference::read(text, "component", "shop").map(|r| r.id());
        assert_eq!(id("cart"), Ok("shop.cart".into()));
        assert_eq!(id("default/cart"), Ok("cart".into()));
    }
}
