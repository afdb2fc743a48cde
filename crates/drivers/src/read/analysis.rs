//! Analysis: which tool a file is for, and what is taken over from it.
//!
//! A file is told by what stands in it, never by its name. Our own `slis.yaml` is one of the formats, so that whoever reads a configuration for
//! the judge asks here.

use change::document::{Document, Place, Problem};
use change::verification::Sli;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::imported::{Format, Given, Imported, JudgeFile};
use super::{argo, flagger, kayenta, openslo};

/// `slis.yaml`, with how strictly to judge where there is no change file that says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalysisFile {
    pub slis: Vec<Sli>,
    #[serde(default)]
    pub judge: JudgeFile,
}

/// Takes over a file of any of the formats.
///
/// # Errors
/// Every problem of the file, or one if no format is recognised.
pub fn analysis(text: &str) -> Result<Imported, Vec<Problem>> {
    analysis_as(text, None, &Given::default())
}

/// The same with what the one who imports says about it: the format, where it is not to be guessed, names and values.
///
/// # Errors
/// Every problem of the file, or one if it is not of the format.
pub fn analysis_as(text: &str, wanted: Option<Format>, given: &Given) -> Result<Imported, Vec<Problem>> {
    // A mark of the byte order at the start, as some editors write it, is no part of the text.
    let documents = Document::all_from_yaml(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let Some(format) = wanted.or_else(|| format_of(&documents)) else { return Err(vec![unknown(&documents)]) };
    let these = |is_one: fn(&Document) -> bool| {
        let found: Vec<&Document> = documents.iter().filter(|d| is_one(d)).collect();
        if found.is_empty() { Err(vec![is_not(&documents, format)]) } else { Ok(found) }
    };
    let mut imported = match format {
        Format::Clearway => own(&documents, text),
        Format::OpenSlo => {
            these(openslo::is_one)?;
            let ours: Vec<Document> = documents.iter().filter(|d| openslo::is_one(d)).cloned().collect();
            openslo::take(&ours, &ours.iter().collect::<Vec<_>>(), given, openslo::Keep::Used)
        }
        Format::Kayenta => kayenta::take(these(kayenta::is_one)?[0], given),
        Format::Argo => argo::take(&these(argo::is_one)?, given),
        Format::Flagger => flagger::take(&these(flagger::is_one)?, given),
    }?;
    if format != Format::Clearway {
        make_names_unique(&mut imported.slis);
    }
    Ok(imported)
}

/// The format of a file, if it is one that is known.
pub fn format_of(documents: &[Document]) -> Option<Format> {
    let any = |is_one: fn(&Document) -> bool| documents.iter().any(is_one);
    if any(openslo::is_one) {
        Some(Format::OpenSlo)
    } else if any(argo::is_one) {
        Some(Format::Argo)
    } else if any(flagger::is_one) {
        Some(Format::Flagger)
    } else if any(kayenta::is_one) {
        Some(Format::Kayenta)
    } else if any(|d| d.value().get("slis").is_some()) {
        Some(Format::Clearway)
    } else {
        None
    }
}

fn own(documents: &[Document], text: &str) -> Result<Imported, Vec<Problem>> {
    let document = match documents {
        [only] => only,
        // For the problem that a second document is.
        _ => &Document::from_yaml(text)?,
    };
    let AnalysisFile { slis, judge } = document.read()?;
    let mut problems: Vec<Problem> = Vec::new();
    for (i, sli) in slis.iter().enumerate() {
        // Which sources there are only a server knows.
        for (pointer, message, help) in sli.problems(std::slice::from_ref(&sli.source)) {
            problems.push(document.problem(&format!("/slis/{i}{pointer}"), message, help));
        }
        if slis[..i].iter().any(|other| other.name == sli.name) {
            problems.push(document.problem(
                &format!("/slis/{i}/name"),
                format!("the SLI `{}` is listed twice", sli.name),
                None,
            ));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Imported { format: Format::Clearway, slis, judge, steps: vec![], notes: vec![] })
}

const KINDS: &str = "an OpenSLO file (`apiVersion: openslo/v1`), a canary configuration of Kayenta, an AnalysisTemplate of Argo Rollouts, a Canary of Flagger, or `slis:`";

fn unknown(documents: &[Document]) -> Problem {
    let message =
        if documents.is_empty() { "the file is empty" } else { "this is no kind of file that can be taken over" };
    first(documents, message, format!("it can be {KINDS}"))
}

fn is_not(documents: &[Document], format: Format) -> Problem {
    first(documents, &format!("this is no file of {format}"), "leave out `--as` to have it recognised".to_owned())
}

fn first(documents: &[Document], message: &str, help: String) -> Problem {
    match documents.first() {
        Some(document) => document.problem("", message, Some(help)),
        None => Problem {
            place: Place { line: 1, column: 1 },
            path: String::new(),
            message: message.into(),
            help: Some(help),
        },
    }
}

/// A second metric of the same name, as templates that are merged have, is told apart by a number.
fn make_names_unique(slis: &mut [Sli]) {
    for i in 1..slis.len() {
        let (before, rest) = slis.split_at_mut(i);
        let name = rest[0].name.clone();
        let taken = |name: &str| before.iter().any(|s| s.name == name);
        let free = (2..).map(|n| format!("{}-{n}", name.chars().take(90).collect::<String>())).find(|n| !taken(n));
        if let Some(free) = free.filter(|_| taken(&name)) {
            rest[0].name = free;
        }
    }
}
