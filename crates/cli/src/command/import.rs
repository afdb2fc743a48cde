//! Importing: SLIs and plans from the files of other tools, for people to read and keep.
//!
//! What is taken over goes to standard output and the notes to standard error, so that one can be kept without the other. The readers are in
//! `drivers::read`.

use std::collections::BTreeMap;
use std::path::Path;

use change::document::{Document, MAX_BYTES, Problem};
use drivers::read::{Format, Given, Imported, Note, analysis_as, format_of, openslo};
use serde_json::json;

use super::files::{problems_json, read_text, say};
use super::{line, print};
use crate::args::{Args, Foreign, Import};
use crate::exit::{ERROR, Failure, Outcome};

pub(super) fn run(args: &Args, options: &Import) -> Outcome {
    let given = Given { source: options.source.clone(), values: values(&options.set)? };
    let text = read_text(&options.file)?;
    let name = options.file.display().to_string();
    let imported = match analysis_as(&text, options.kind.map(format), &given) {
        Ok(imported) => imported,
        Err(problems) => return say(args, &name, &problems_json(&problems), None),
    };
    if args.json {
        print(args, &imported.to_json(), String::new);
    } else {
        if !imported.is_empty() {
            line(imported.to_yaml().trim_end());
        }
        say_notes(&name, &imported);
    }
    if imported.is_empty() {
        return Err(Failure::new(ERROR, format!("nothing of {name} could be taken over")));
    }
    Ok(())
}

fn format(kind: Foreign) -> Format {
    match kind {
        Foreign::Openslo => Format::OpenSlo,
        Foreign::Kayenta => Format::Kayenta,
        Foreign::Argo => Format::Argo,
        Foreign::Flagger => Format::Flagger,
    }
}

fn values(set: &[String]) -> Outcome<BTreeMap<String, String>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::new(ERROR, format!("`--set {text}` sets nothing")).help("write it as `--set name=value`")),
    };
    set.iter().map(pair).collect()
}

fn say_notes(name: &str, imported: &Imported) {
    let taken = match imported.slis.len() {
        1 => "1 SLI".to_owned(),
        slis => format!("{slis} SLIs"),
    };
    let notes = if imported.notes.is_empty() { "nothing else to say" } else { "please read" };
    super::aside(&format!("{taken} taken over from {name} ({}); {notes}", imported.format));
    imported.notes.iter().map(Note::to_string).for_each(|note| super::aside(&format!("{name}:{note}")));
}

/// Whether a text is SLIs of any format, ours included, and no change file.
pub(super) fn is_ours(text: &str) -> bool {
    Document::all_from_yaml(text).is_ok_and(|documents| format_of(&documents).is_some())
}

/// Checks such a text. An OpenSLO file may refer to the files beside it.
pub(super) fn check(args: &Args, file: &Path, text: &str) -> Outcome {
    let name = file.display().to_string();
    let documents = Document::all_from_yaml(text).unwrap_or_default();
    if format_of(&documents) == Some(Format::OpenSlo) && file != Path::new("-") {
        return match openslo::slis(&with_siblings(file, text)) {
            Ok(slis) => {
                let here = slis.into_iter().filter(|(path, _)| *path == name).map(|(_, sli)| sli.name);
                let whole =
                    json!({"valid": true, "problems": [], "format": Format::OpenSlo, "slis": here.collect::<Vec<_>>()});
                say(args, &name, &[], Some(&whole))
            }
            Err(found) => {
                let here = found.into_iter().filter(|(path, _)| *path == name).map(|(_, problem)| problem);
                say(args, &name, &problems_json(&here.collect::<Vec<Problem>>()), None)
            }
        };
    }
    match analysis_as(text, None, &Given::default()) {
        Err(problems) => say(args, &name, &problems_json(&problems), None),
        Ok(imported) => {
            let names: Vec<&str> = imported.slis.iter().map(|s| s.name.as_str()).collect();
            let whole = json!({"valid": true, "problems": [], "format": imported.format, "slis": names, "notes": imported.notes});
            say(args, &name, &[], Some(&whole))
        }
    }
}

/// The file and the OpenSLO files of its folder, by path and text.
fn with_siblings(file: &Path, text: &str) -> BTreeMap<String, String> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let beside = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_yaml = |p: &Path| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let is_small = |p: &Path| std::fs::metadata(p).is_ok_and(|m| m.is_file() && m.len() <= MAX_BYTES as u64);
    let is_openslo = |text: &str| {
        Document::all_from_yaml(text).is_ok_and(|documents| format_of(&documents) == Some(Format::OpenSlo))
    };
    let others = beside.filter(|p| is_yaml(p) && is_small(p) && p.file_name() != file.file_name());
    let others = others.filter_map(|p| Some((p.display().to_string(), std::fs::read_to_string(&p).ok()?)));
    let mut all: BTreeMap<String, String> = others.filter(|(_, text)| is_openslo(text)).collect();
    all.insert(file.display().to_string(), text.to_owned());
    all
}
