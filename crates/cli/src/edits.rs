//! Edits of the governance: which commit of its repository is loaded, and which users have edited it since the load before.
//!
//! Whoever edits the rules has no vote on what was proposed under others, so where nobody can say who has edited them, everybody may have: that is said
//! loudly. An editor is looked up in access.yaml as it was and as it is, or taking one's own address out of it would be a way around this.

use std::collections::BTreeSet;
use std::path::Path;

use change::actor::Access;
use change::document::{Document, list};
use change::facts::material::Committer;
use change::governance::Governance;
use drivers::read::git::Clone;
use drivers::read::unread::Unread;
use engine::Edits;

const ACCESS: &str = "access.yaml";

/// What the repository of a governance folder says; nothing where it lies in none, or its files are not committed there at all.
pub(crate) async fn of(folder: &Path, governance: &Governance, since: Option<&str>) -> Option<Edits> {
    let clone = Clone::at(folder);
    let commit = clone.commit("HEAD").await.ok()?;
    clone.file_here(&commit, ACCESS).await.ok()??;
    // The first load: there is nothing before it that could have been edited.
    let Some(since) = since else { return Some(Edits { commit, editors: BTreeSet::new() }) };
    let editors = match editors(&clone, governance, since).await {
        Ok(editors) => editors,
        Err(why) => {
            tracing::warn!(
                why,
                "nobody can say who has edited the governance: nobody who is in access.yaml may vote on what was proposed before"
            );
            governance.access.users.iter().map(|user| user.id.clone()).collect()
        }
    };
    Some(Edits { commit, editors })
}

async fn editors(clone: &Clone, governance: &Governance, since: &str) -> Result<BTreeSet<String>, String> {
    let said = |unread: Unread| unread.message;
    let files: Vec<&str> = governance.files.keys().map(String::as_str).collect();
    if !clone.is_as_committed(&files).await.map_err(said)? {
        return Err("its files are not committed as they are".into());
    }
    let people = clone.editors(since).await.map_err(said)?;
    let before = access_at(clone, since).await;
    let unknown: Vec<&str> = people
        .iter()
        .filter(|who| users(who, &governance.access, before.as_ref()).next().is_none())
        .map(|who| who.email.as_str())
        .collect();
    // Somebody in the table is perhaps behind the address; nobody can say who.
    if !unknown.is_empty() {
        return Err(format!("access.yaml does not know who committed as {}", list(unknown)));
    }
    Ok(people.iter().flat_map(|who| users(who, &governance.access, before.as_ref())).collect())
}

/// The users behind a commit, in the table of now and in the one of before.
fn users<'a>(
    who: &'a Committer,
    now: &'a Access,
    before: Option<&'a Access>,
) -> impl Iterator<Item = String> + use<'a> {
    [Some(now), before].into_iter().flatten().filter_map(|access| access.user_of_commit(who)).map(str::to_owned)
}

/// The table as it was; a table of before that can't be read knows nobody.
async fn access_at(clone: &Clone, commit: &str) -> Option<Access> {
    let bytes = clone.file_here(commit, ACCESS).await.ok()??;
    let text = String::from_utf8(bytes).ok()?;
    Document::from_yaml(&text).ok()?.read().ok()
}
