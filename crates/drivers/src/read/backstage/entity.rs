//! Entities: one document of a Backstage file, with its head read and its values by pointer.

use change::catalog::{At, Finding, FindingKind};
use change::document::Document;
use serde_json::Value;

use super::super::imported::words;
use super::reference::Reference;
use super::shown;

/// The kinds that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    Resource,
    System,
    Api,
    Group,
    User,
    /// Location, Domain, Template, and kinds that somebody made up.
    Other,
}

const KINDS: [(&str, Kind); 6] = [
    ("Component", Kind::Component),
    ("Resource", Kind::Resource),
    ("System", Kind::System),
    ("API", Kind::Api),
    ("Group", Kind::Group),
    ("User", Kind::User),
];
const VERSIONS: [&str; 2] = ["backstage.io/v1alpha1", "backstage.io/v1beta1"];

/// One entity.
#[derive(Clone, Debug)]
pub(super) struct Entity<'a> {
    pub(super) file: &'a str,
    document: &'a Document,
    pub(super) kind: Kind,
    /// Its kind, as the file says it.
    pub(super) word: String,
    pub(super) reference: Reference,
}

impl<'a> Entity<'a> {
    /// # Errors
    /// If it is no entity, or one without a name.
    pub(super) fn of(file: &'a str, document: &'a Document) -> Result<Self, Box<Finding>> {
        let refuse = |pointer: &str, message: String, help: &str| {
            let finding = Finding::error(FindingKind::Unreadable, At::of(file, document, pointer), message);
            Box::new(if help.is_empty() { finding } else { finding.help(help) })
        };
        let text = |pointer: &str| document.value().pointer(pointer).and_then(words);
        let Some(word) = text("/kind") else {
            let help = "an entity has `apiVersion: backstage.io/v1alpha1`, `kind`, `metadata` and `spec`";
            return Err(refuse("", "this is no entity of Backstage: `kind` is missing".to_owned(), help));
        };
        let version = text("/apiVersion").unwrap_or_default();
        let known = KINDS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)).map(|(_, kind)| kind);
        let is_ours = VERSIONS.contains(&version.as_str());
        if known.is_some() && !is_ours && (version.starts_with("backstage.io/") || version.is_empty()) {
            let message = format!("`apiVersion` is `{}`, which is not read", shown(&version));
            return Err(refuse("/apiVersion", message, "write it as `backstage.io/v1alpha1`"));
        }
        let kind = known.filter(|_| is_ours).unwrap_or(Kind::Other);
        let name = text("/metadata/name");
        let space = text("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        let reference = match &name {
            Some(name) => Reference::of(&word, &space, name),
            None if kind == Kind::Other => Reference::of(&word, "default", "unnamed"),
            None => return Err(refuse("/metadata", "`metadata.name` is missing".to_owned(), "")),
        };
        let Some(reference) = reference.filter(|r| r.fits() || kind == Kind::Other) else {
            let message = format!("`{}` can't be a name here", shown(&name.unwrap_or_default()));
            let help = "a name has letters, digits, `-`, `_` and `.`, and with its namespace at most 64 of them";
            return Err(refuse("/metadata/name", message, help));
        };
        Ok(Self { file, document, kind, word, reference })
    }

    pub(super) fn is_service(&self) -> bool {
        matches!(self.kind, Kind::Component | Kind::Resource)
    }

    pub(super) fn at(&self, pointer: &str) -> At {
        At::of(self.file, self.document, pointer)
    }

    pub(super) fn name(&self) -> String {
        self.text("/metadata/name").unwrap_or_default()
    }

    pub(super) fn text(&self, pointer: &str) -> Option<String> {
        self.document.value().pointer(pointer).and_then(words)
    }

    pub(super) fn count(&self, pointer: &str) -> usize {
        self.document.value().pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// The texts of a list, or the one text that stands in its place, each with its pointer.
    pub(super) fn texts(&self, pointer: &str) -> Vec<(String, String)> {
        match self.document.value().pointer(pointer) {
            Some(Value::Array(items)) => {
                let each = items.iter().enumerate();
                each.filter_map(|(i, item)| Some((words(item)?, format!("{pointer}/{i}")))).collect()
            }
            Some(alone) => words(alone).map(|text| (text, pointer.to_owned())).into_iter().collect(),
            None => vec![],
        }
    }

    pub(super) fn annotation(&self, name: &str) -> Option<String> {
        self.annotations().into_iter().find(|(key, _)| key.strip_prefix(super::OURS) == Some(name)).map(|(_, v)| v)
    }

    pub(super) fn annotations(&self) -> Vec<(String, String)> {
        let all = self.document.value().pointer("/metadata/annotations").and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), words(value)?))).collect()
    }
}
