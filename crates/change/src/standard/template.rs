//! Template: parameters put into their places, and everything that can be wrong with a template before anybody uses it.
//!
//! A place is a string value of the `change`; what is put there is never looked at for places again, and never joined to YAML. The text that comes out
//! is read back and compared with what was meant, so that no reader's quirk can make another change of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Argument, Bounds, Parameter, Template};
use crate::course;
use crate::document::{self, Document, Place, Problem};
use crate::proposal::{ChangeFile, named_files};

type Arguments = BTreeMap<String, Argument>;

/// A piece of a text: as it stands, or a parameter.
enum Piece<'a> {
    Plain(&'a str),
    Parameter(&'a str),
}

/// Cuts a text at its places. `$${` stands for `${` itself.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, place) = rest.split_at(at);
        if let Some(unescaped) = before.strip_suffix('$') {
            found.push(Piece::Plain(unescaped));
            found.push(Piece::Plain("${"));
            rest = &place[2..];
            continue;
        }
        let (name, after) = place[2..].split_once('}').ok_or("`${` is not closed; write `$${` for the characters")?;
        found.extend((!before.is_empty()).then_some(Piece::Plain(before)));
        found.push(Piece::Parameter(name));
        rest = after;
    }
    found.extend((!rest.is_empty()).then_some(Piece::Plain(rest)));
    Ok(found)
}

/// Calls for every text of a value, with its JSON pointer; keys are texts too.
fn each_text<'a>(value: &'a Value, pointer: &str, see: &mut dyn FnMut(&str, &'a str, Stands)) {
    match value {
        Value::String(text) => see(pointer, text, Stands::AsValue),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| each_text(item, &format!("{pointer}/{i}"), see));
        }
        Value::Object(map) => each_of_map(map, pointer, see),
        _ => {}
    }
}

fn each_of_map<'a>(map: &'a Map<String, Value>, pointer: &str, see: &mut dyn FnMut(&str, &'a str, Stands)) {
    for (key, item) in map {
        let inner = format!("{pointer}/{}", document::escape(key));
        see(&inner, key, Stands::AsKey);
        each_text(item, &inner, see);
    }
}

/// How a text stands in a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    AsKey,
    AsValue,
}

/// The value with its parameters put in, below a JSON pointer.
fn put(value: &Value, pointer: &str, arguments: &Arguments) -> Result<Value, (String, String)> {
    Ok(match value {
        Value::String(text) => put_text(text, pointer, arguments)?,
        Value::Array(items) => {
            let each = items.iter().enumerate().map(|(i, item)| put(item, &format!("{pointer}/{i}"), arguments));
            Value::Array(each.collect::<Result<_, _>>()?)
        }
        Value::Object(map) => Value::Object(put_map(map, pointer, arguments)?),
        other => other.clone(),
    })
}

fn put_map(
    map: &Map<String, Value>,
    pointer: &str,
    arguments: &Arguments,
) -> Result<Map<String, Value>, (String, String)> {
    let inner = |key: &str| format!("{pointer}/{}", document::escape(key));
    map.iter().map(|(key, item)| Ok((key.clone(), put(item, &inner(key), arguments)?))).collect()
}

fn put_text(text: &str, pointer: &str, arguments: &Arguments) -> Result<Value, (String, String)> {
    let here = |message: String| (pointer.to_owned(), message);
    let pieces = pieces(text).map_err(here)?;
    let value_of = |name: &str| {
        let value = arguments.get(name).ok_or_else(|| here(format!("there is no parameter `{name}`")))?;
        match value {
            Argument::Text(text) if is_word_place(pointer) && !is_word(text) => Err(here(format!(
                "`{text}`, given for `{name}`, stands in a target or a command: it has to be one word"
            ))),
            value => Ok(value),
        }
    };
    if let [Piece::Parameter(name)] = pieces.as_slice() {
        return Ok(value_of(name)?.value());
    }
    let mut whole = String::new();
    for piece in pieces {
        match piece {
            Piece::Plain(plain) => whole.push_str(plain),
            Piece::Parameter(name) => whole.push_str(&value_of(name)?.to_string()),
        }
    }
    Ok(Value::String(whole))
}

/// Places that a driver or a shell reads: there a text is one word, so that no pattern, however wide, lets a second command in.
fn is_word_place(pointer: &str) -> bool {
    let below = |start: &str| pointer.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below("/plan/target") || below("/verify/commands") || below("/verify/checks")
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@%+=,-".contains(c);
    !text.is_empty() && !text.starts_with('-') && !text.contains("..") && text.chars().all(plain)
}

pub(super) fn instantiate(
    template: &Template,
    given: &BTreeMap<String, Value>,
) -> Result<(String, course::Standard), Vec<Problem>> {
    let arguments = arguments(template, given)?;
    let change = put_map(&template.change, "", &arguments).map_err(|(at, message)| vec![beside(&at, message)])?;
    let (text, change) = (serde_json::to_string_pretty(&change), Value::Object(change));
    let text = text.map_err(|error| vec![beside("", format!("it can't be written: {error}"))])?;
    // INVARIANT: what is read is what was meant.
    if Document::from_yaml(&text)?.value() != &change {
        return Err(vec![beside("", "a parameter holds characters that a change file can't".into())]);
    }
    if let Some(problem) = named(&text) {
        return Err(vec![beside("", problem)]);
    }
    let parameters = arguments.iter().map(|(name, value)| (name.clone(), value.value())).collect();
    Ok((text, course::Standard { id: template.id.clone(), template: template.digest(), parameters }))
}

/// What was given, and the defaults of the rest.
fn arguments(template: &Template, given: &BTreeMap<String, Value>) -> Result<Arguments, Vec<Problem>> {
    let mut problems = Vec::new();
    for name in given.keys().filter(|name| !template.parameters.contains_key(*name)) {
        let known = template.parameters.keys().map(String::as_str);
        let near = document::nearest(name, known.clone()).map(|near| format!("did you mean `{near}`?"));
        let help = near.unwrap_or_else(|| format!("the parameters are {}", document::list(known)));
        let mut problem = beside(&at_parameter(name), format!("`{}` has no such parameter", template.id));
        problem.help = Some(help);
        problems.push(problem);
    }
    let mut arguments = Arguments::new();
    for (name, parameter) in &template.parameters {
        match argument(parameter, given.get(name)) {
            Ok(argument) => drop(arguments.insert(name.clone(), argument)),
            Err(message) => problems.push(beside(&at_parameter(name), message)),
        }
    }
    if problems.is_empty() { Ok(arguments) } else { Err(problems) }
}

fn argument(parameter: &Parameter, given: Option<&Value>) -> Result<Argument, String> {
    let Some(given) = given else {
        return parameter.default.clone().ok_or_else(|| "it is not given, and has no default".to_owned());
    };
    let argument = match given {
        Value::String(text) => Argument::Text(text.clone()),
        Value::Number(number) if number.is_i64() => Argument::Number(number.as_i64().unwrap_or_default()),
        _ => return Err("a parameter is a text or a whole number".into()),
    };
    match parameter.refuses(&argument) {
        None => Ok(argument),
        Some(problem) => Err(problem),
    }
}

fn at_parameter(name: &str) -> String {
    format!("/parameters/{}", document::escape(name))
}

/// A problem of something that stands in no file.
fn beside(pointer: &str, message: String) -> Problem {
    Document::from_parts(Value::Null, BTreeMap::new()).problem(pointer, message, None)
}

/// Scripts that a change file names are read from a clone, and nobody approved what is in them.
fn named(text: &str) -> Option<String> {
    let runbook = Document::from_yaml(text).ok()?.value().pointer("/rollback/runbook").cloned();
    let script = named_files(text).into_iter().find(|name| runbook.as_ref().and_then(Value::as_str) != Some(name))?;
    Some(format!(
        "it runs the file `{script}`, and nobody approved what is in it: name a program of the server instead"
    ))
}

/// Everything that is wrong with a template whose form is right.
pub(super) fn problems(template: &Template, document: &Document) -> Vec<Problem> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, parameter) in &template.parameters {
        let said = of_parameter(name, parameter).into_iter();
        found.extend(said.map(|(field, message)| (format!("{}{field}", at_parameter(name)), message)));
    }
    found.extend(of_places(template));
    let mut problems: Vec<Problem> =
        found.into_iter().map(|(pointer, message)| document.problem(&pointer, message, None)).collect();
    // A template with holes can't be tried; its holes are said already.
    if problems.is_empty() {
        problems.extend(tried(template, document));
    }
    problems
}

fn of_parameter(name: &str, parameter: &Parameter) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) || name.len() > 40 {
        found.push((String::new(), "a parameter's name has small letters, digits, `_` and `-`, at most 40".into()));
    }
    let bounds = match parameter.bounds() {
        Ok(bounds) => bounds,
        Err(problem) => {
            let field = if parameter.pattern.is_some() && problem.starts_with('`') { "/pattern" } else { "" };
            found.push((field.into(), problem));
            return found;
        }
    };
    if matches!(bounds, Bounds::Text(_)) && parameter.sample().is_none() {
        found.push((String::new(), "a text needs a `default` or an `example`, by which the template is tried".into()));
    }
    let given = [("/default", &parameter.default), ("/example", &parameter.example)];
    for (field, value) in given.into_iter().filter_map(|(field, value)| Some((field, value.as_ref()?))) {
        found.extend(parameter.refuses(value).map(|problem| (field.to_owned(), problem)));
    }
    found
}

/// Places without a parameter, and parameters without a place.
fn of_places(template: &Template) -> Vec<(String, String)> {
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    each_of_map(&template.change, "/change", &mut |pointer, text, stands| match pieces(text) {
        Err(message) => found.push((pointer.to_owned(), message)),
        Ok(pieces) => {
            for name in pieces.iter().filter_map(|piece| match piece {
                Piece::Parameter(name) => Some(*name),
                Piece::Plain(_) => None,
            }) {
                used.insert(name);
                if stands == Stands::AsKey {
                    found.push((pointer.to_owned(), format!("`${{{name}}}` stands in a key: it can only be a value")));
                } else if !template.parameters.contains_key(name) {
                    found.push((pointer.to_owned(), unknown(template, name)));
                }
            }
        }
    });
    let unused = template.parameters.keys().filter(|name| !used.contains(name.as_str()));
    found.extend(unused.map(|name| (at_parameter(name), format!("the parameter `{name}` is used nowhere"))));
    found
}

fn unknown(template: &Template, name: &str) -> String {
    let known = template.parameters.keys().map(String::as_str);
    let near = document::nearest(name, known).map(|near| format!(": did you mean `{near}`?"));
    format!("there is no parameter `{name}`{}", near.unwrap_or_default())
}

/// The problems of the change file that it becomes with its defaults and examples, at their places in the template.
fn tried(template: &Template, document: &Document) -> Vec<Problem> {
    let sample = |(name, parameter): (&String, &Parameter)| Some((name.clone(), parameter.sample()?));
    let arguments: Arguments = template.parameters.iter().filter_map(sample).collect();
    let change = match put_map(&template.change, "", &arguments) {
        Ok(change) => Value::Object(change),
        Err((at, message)) => return vec![document.problem(&format!("/change{at}"), message, None)],
    };
    let named = named(&change.to_string());
    let file = document.part("/change", change);
    let below = |mut problem: Problem| {
        let dot = if problem.path.is_empty() || problem.path.starts_with('[') { "" } else { "." };
        problem.path = format!("change{dot}{}", problem.path);
        problem
    };
    match file.read::<ChangeFile>() {
        Err(problems) => problems.into_iter().map(below).collect(),
        Ok(read) => {
            let (_, problems) = read.plan.resolve();
            let plan = problems
                .into_iter()
                .map(|(at, message, help)| document.problem(&format!("/change/plan{at}"), message, help));
            plan.chain(named.map(|message| document.problem("/change", message, None))).collect()
        }
    }
}

impl Document {
    /// A document of its own made of a part of this one, with the places that the part has here.
    fn part(&self, pointer: &str, value: Value) -> Self {
        let start: Place = self.place(pointer);
        let below = self.places().iter().filter_map(|(at, place)| Some((at.strip_prefix(pointer)?.to_owned(), *place)));
        Self::from_parts(value, below.chain([(String::new(), start)]).collect())
    }
}
