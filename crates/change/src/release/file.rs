//! A release file: several changes that belong together, as people write them.
//!
//! Reads it, checks that its names and its order make sense, and says where the change of each member is to be found. Opens no file: whoever has the
//! files fills them in with [`Sketch::fill`]. What becomes of it is [`release`](super)'s to say.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::order::{Order, Place};
use super::{Begins, OnFailure, Wave};
use crate::document::{Document, Problem, nearest};
use crate::id::ChangeId;
use crate::time::Span;

/// The most members of one release.
pub const MOST_MEMBERS: usize = 100;
/// Where the value of a template goes.
const EACH: &str = "{{each}}";

/// `release.yaml`: several changes as one, in an order or in waves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    /// What the release does, in one line.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Why, for those who decide.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 20_000))]
    pub description: String,
    /// The user or group that answers for the release, and hears when it stops.
    #[schemars(length(min = 1, max = 100))]
    pub owner: String,
    /// What follows when one of its changes fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What has to be approved before anything of it begins.
    #[serde(default)]
    pub begins: Begins,
    /// The changes, where they have an order of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub changes: Vec<MemberFile>,
    /// The changes in waves: one wave begins when the one before it has passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub waves: Vec<WaveFile>,
}

/// A member as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    /// Its name in the release.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub name: String,
    /// The path of its change file, beside the release file; or the change file itself; or a change that is proposed already, such as `CHG-7`.
    pub change: Source,
    /// The members that have to pass before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub after: Vec<String>,
}

/// A wave as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveFile {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub name: String,
    /// How long it is left alone after its last change has passed, before the next wave begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<Span>,
    /// The most of its changes that are under way at once; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub at_once: Option<u32>,
    /// Its changes, each written out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub changes: Vec<MemberFile>,
    /// Or the names for which `change` is filled in, wherever it says `{{each}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub each: Vec<String>,
    /// The change file that is filled in for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Source>,
}

/// Where a change is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// A path, or the id of a change.
    Named(String),
    /// The change file itself.
    Inline(Map<String, Value>),
}

/// A release file that makes sense, before its change files are there.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    pub title: String,
    pub description: String,
    pub owner: String,
    pub on_failure: OnFailure,
    pub begins: Begins,
    pub waves: Vec<Wave>,
    pub members: Vec<Sketch>,
    document: Document,
}

/// A member before its change is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    pub name: String,
    pub from: Origin,
    /// What is filled in for `{{each}}`.
    pub each: Option<String>,
    pub after: BTreeSet<String>,
    pub wave: Option<usize>,
    /// Where it stands in the file, as a JSON pointer.
    pub pointer: String,
}

/// Where the change of a member comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A file, beside the release file.
    Path(String),
    /// The change file, as text.
    Text(String),
    Existing(ChangeId),
}

/// Reads a release file.
///
/// # Errors
/// Every problem at once, in the order of the file.
pub fn read(text: &str) -> Result<Outline, Vec<Problem>> {
    let document = Document::from_yaml(text)?;
    let file: ReleaseFile = document.read()?;
    let members: Vec<Sketch> = sketches(&file);
    let mut problems = problems_of_form(&file, &document);
    problems.extend(problems_of_members(&members, &document));
    if problems.is_empty() {
        problems.extend(circle(&members, &document));
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.place);
        return Err(problems);
    }
    let ReleaseFile { title, description, owner, on_failure, begins, waves, .. } = file;
    let wave =
        |wave: WaveFile| Wave { name: wave.name, bake: wave.bake.unwrap_or(Span::secs(0)), at_once: wave.at_once };
    let waves = waves.into_iter().map(wave).collect();
    Ok(Outline { title, description, owner, on_failure, begins, waves, members, document })
}

/// Whether a text is meant as a release file: it has members, and no plan of its own.
pub fn is_meant(text: &str) -> bool {
    let has = |value: &Value, name: &str| value.get(name).is_some();
    let document = Document::from_yaml(text).ok();
    document.is_some_and(|d| (has(d.value(), "changes") || has(d.value(), "waves")) && !has(d.value(), "plan"))
}

impl Outline {
    /// A problem with a member, at its place in the file.
    pub fn problem(&self, member: usize, message: impl Into<String>, help: Option<String>) -> Problem {
        let pointer = self.members.get(member).map_or("", |sketch| sketch.pointer.as_str());
        self.document.problem(pointer, message, help)
    }

    /// A problem with a field of the release itself.
    pub fn problem_at(&self, pointer: &str, message: impl Into<String>, help: Option<String>) -> Problem {
        self.document.problem(pointer, message, help)
    }

    pub fn order(&self) -> Order {
        order(&self.members)
    }

    /// Members that may be under way at the same time, although both change one resource: the second of them, and a sentence.
    pub fn collisions(&self, resources: &[BTreeSet<String>]) -> Vec<(usize, String)> {
        let after = self.order().all_after();
        let mut found = Vec::new();
        for (second, claimed) in resources.iter().enumerate() {
            let apart = |first: &usize| !after[*first].contains(&second) && !after[second].contains(first);
            for first in (0..second).filter(apart) {
                if let Some(resource) = claimed.intersection(&resources[first]).next() {
                    let names = (&self.members[second].name, &self.members[first].name);
                    found.push((second, format!("`{}` and `{}` both change `{resource}`", names.0, names.1)));
                }
            }
        }
        found
    }
}

impl Sketch {
    /// The text of its change file, with `{{each}}` filled in.
    pub fn fill(&self, text: &str) -> String {
        self.each.as_ref().map_or_else(|| text.to_owned(), |each| text.replace(EACH, each))
    }

    fn new(name: &str, source: &Source, after: &[String], wave: Option<usize>, pointer: String) -> Self {
        let after = after.iter().cloned().collect();
        Self { name: name.to_owned(), from: Origin::of(source), each: None, after, wave, pointer }
    }
}

impl Origin {
    fn of(source: &Source) -> Self {
        match source {
            Source::Named(text) if is_id(text) => {
                text.parse().map_or_else(|_| Self::Path(text.clone()), Self::Existing)
            }
            Source::Named(path) => Self::Path(path.clone()),
            Source::Inline(map) => Self::Text(Value::Object(map.clone()).to_string()),
        }
    }
}

// A bare number is a path like any other: a file may be called `7`.
fn is_id(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("chg-"))
}

fn sketches(file: &ReleaseFile) -> Vec<Sketch> {
    let written = |members: &[MemberFile], at: &str, wave: Option<usize>| {
        let each = members.iter().enumerate();
        let sketch =
            |(i, m): (usize, &MemberFile)| Sketch::new(&m.name, &m.change, &m.after, wave, format!("{at}/changes/{i}"));
        each.map(sketch).collect::<Vec<_>>()
    };
    let mut members = written(&file.changes, "", None);
    for (i, wave) in file.waves.iter().enumerate() {
        let at = format!("/waves/{i}");
        members.extend(written(&wave.changes, &at, Some(i)));
        let filled = wave.change.iter().flat_map(|source| {
            let sketch = |(j, each): (usize, &String)| Sketch {
                each: Some(each.clone()),
                ..Sketch::new(each, source, &[], Some(i), format!("/waves/{i}/each/{j}"))
            };
            wave.each.iter().enumerate().map(sketch).collect::<Vec<_>>()
        });
        members.extend(filled);
    }
    members
}

fn problems_of_form(file: &ReleaseFile, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |at: &str, message: &str, help: &str| {
        problems.push(document.problem(at, message, Some(help.to_owned())));
    };
    match (file.changes.is_empty(), file.waves.is_empty()) {
        (true, true) => say("", "a release without changes releases nothing", "give `changes`, or `waves`"),
        (false, false) => {
            say("/waves", "a release has changes or waves", "put the changes that come first into a wave of their own");
        }
        _ => {}
    }
    for (i, wave) in file.waves.iter().enumerate() {
        let at = format!("/waves/{i}");
        let is_written = !wave.changes.is_empty();
        match (is_written, wave.each.is_empty(), &wave.change) {
            (true, true, None) | (false, false, Some(_)) => {}
            (false, true, None) => say(&at, "the wave has no change", "give `changes`, or `each` with one `change`"),
            _ => say(&at, "a wave has `changes`, or `each` with one `change`", "take the other away"),
        }
        if let Some(Source::Named(_)) =
            wave.change.as_ref().filter(|source| matches!(Origin::of(source), Origin::Existing(_)))
        {
            say(&at, "a change that is proposed already can't be filled in", "name a change file");
        }
    }
    let again = |i: &usize| file.waves[..*i].iter().any(|earlier| earlier.name == file.waves[*i].name);
    for i in (0..file.waves.len()).filter(again) {
        let message = format!("there is another wave `{}`", file.waves[i].name);
        problems.push(document.problem(&format!("/waves/{i}/name"), message, Some("give it a name of its own".into())));
    }
    problems
}

fn problems_of_members(members: &[Sketch], document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let mut changes: BTreeSet<ChangeId> = BTreeSet::new();
    let mut say = |at: &str, message: String, help: String| problems.push(document.problem(at, message, Some(help)));
    if members.len() > MOST_MEMBERS {
        let message = format!("{} changes are more than one release can have: {MOST_MEMBERS}", members.len());
        say("", message, "make several releases of them".into());
    }
    for (i, member) in members.iter().enumerate() {
        if known.insert(&member.name, i).is_some() {
            say(
                &member.pointer,
                format!("there is another member `{}`", member.name),
                "give it a name of its own".into(),
            );
        }
        if let Origin::Existing(id) = &member.from
            && !changes.insert(*id)
        {
            say(&member.pointer, format!("`{id}` is in it twice"), "take one of them away".into());
        }
        if let Some(each) = member.each.as_ref().filter(|each| !is_word(each)) {
            let help = "use lower-case letters, digits, `-`, `_` and `.`, at most 63 of them";
            say(&member.pointer, format!("`{each}` can't be filled in"), help.into());
        }
    }
    for member in members {
        for (j, name) in member.after.iter().enumerate().filter(|(_, name)| !known.contains_key(name.as_str())) {
            let near = nearest(name, known.keys().copied()).map(|near| format!("did you mean `{near}`?"));
            let help =
                near.unwrap_or_else(|| format!("its members are {}", crate::document::all(known.keys().copied())));
            say(&format!("{}/after/{j}", member.pointer), format!("there is no member `{name}`"), help);
        }
    }
    problems
}

/// What is filled into a change file is one word, so that it can't become another part of it.
fn is_word(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins && text.len() <= 63 && text.chars().all(fits)
}

fn circle(members: &[Sketch], document: &Document) -> Option<Problem> {
    let circle = order(members).circle()?;
    let first = &members[*circle.first()?];
    let names = circle.iter().chain(circle.first()).map(|i| format!("`{}`", members[*i].name)).collect::<Vec<_>>();
    let message = format!("none of these can be the first: {}", names.join(" comes after "));
    Some(document.problem(&format!("{}/after", first.pointer), message, Some("take one `after` away".into())))
}

fn order(members: &[Sketch]) -> Order {
    let place = |member: &Sketch| (member.name.clone(), member.after.clone(), member.wave);
    let places: Vec<_> = members.iter().map(place).collect();
    let borrowed: Vec<Place<'_>> =
        places.iter().map(|(name, after, wave)| Place { name, after, wave: *wave }).collect();
    Order::of(&borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text).expect_err("refused").iter().map(ToString::to_string).collect()
    }

    const HEAD: &str = "title: a\nowner: ada\n";

    // U1
    #[test]
    fn a_release_of_an_order_names_paths_changes_and_change_files() {
        let text = format!(
            "{HEAD}changes:\n  - {{name: api, change: api.yaml}}\n  - {{name: web, change: CHG-7, after: [api]}}\n  - {{name: app, change: {{title: x}}, after: [api]}}\n"
        );
        let outline = read(&text).expect("a release");
        let from: Vec<&Origin> = outline.members.iter().map(|m| &m.from).collect();
        let (api, web) = (Origin::Path("api.yaml".into()), Origin::Existing(ChangeId::new(7)));
        assert_eq!(from, [&api, &web, &Origin::Text("{\"title\":\"x\"}".into())]);
        assert_eq!((outline.on_failure, outline.order().layers()), (OnFailure::RollBack, vec![vec![0], vec![1, 2]]));
    }

    // U9
    #[test]
    fn a_wave_fills_one_change_file_in_for_each() {
        let text = format!(
            "{HEAD}waves:\n  - {{name: one, bake: 10m, each: [cell-1], change: cell.yaml}}\n  - {{name: rest, at_once: 2, each: [cell-2, cell-3], change: cell.yaml}}\n"
        );
        let outline = read(&text).expect("a release");
        assert_eq!(outline.order().layers(), [vec![0], vec![1, 2]]);
        assert_eq!(outline.members[1].fill("backend: {{each}}-b, {{each}}"), "backend: cell-2-b, cell-2");
        assert_eq!(outline.waves[1].at_once, Some(2));
    }

    #[test]
    fn a_circle_is_refused_and_named_with_its_line() {
        let text = format!(
            "{HEAD}changes:\n  - {{name: a, change: a.yaml, after: [b]}}\n  - {{name: b, change: b.yaml, after: [a]}}\n"
        );
        let said = problems(&text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("4:"), "{said:?}");
        assert!(said[0].contains("none of these can be the first: `a` comes after `b` comes after `a`"), "{said:?}");
    }

    #[test]
    fn every_name_that_is_unknown_or_given_twice_is_refused_at_once() {
        let text = format!(
            "{HEAD}changes:\n  - {{name: api, change: a.yaml}}\n  - {{name: api, change: CHG-7, after: [apii]}}\n  - {{name: web, change: chg-7}}\n"
        );
        let said = problems(&text).join("\n");
        for wanted in [
            "there is another member `api`",
            "there is no member `apii`",
            "did you mean `api`?",
            "`CHG-7` is in it twice",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn what_is_filled_in_is_one_word() {
        for bad in ["'a b'", "'a\\nplan: {}'", "'A'", "'-a'"] {
            let text = format!("{HEAD}waves:\n  - {{name: one, each: [{bad}], change: cell.yaml}}\n");
            assert!(problems(&text)[0].contains("can't be filled in"), "{bad}");
        }
    }

    #[test]
    fn a_release_says_what_it_lacks() {
        assert!(problems(HEAD)[0].contains("a release without changes releases nothing"));
        let both = format!("{HEAD}waves: [{{name: one, each: [a], change: CHG-3}}, {{name: one}}]\n");
        let said = problems(&both).join("\n");
        for wanted in ["can't be filled in", "the wave has no change", "there is another wave `one`"] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn two_members_on_one_target_need_an_edge_between_them() {
        let apart = format!("{HEAD}changes:\n  - {{name: a, change: a.yaml}}\n  - {{name: b, change: b.yaml}}\n");
        let claims: [BTreeSet<String>; 2] = [["x".to_owned()].into(), ["x".to_owned(), "y".to_owned()].into()];
        let found = read(&apart).expect("a release").collisions(&claims);
        assert_eq!(found, [(1, "`b` and `a` both change `x`".to_owned())]);
        let ordered = apart.replace("b.yaml", "b.yaml, after: [a]");
        assert!(read(&ordered).expect("a release").collisions(&claims).is_empty());
    }
}
