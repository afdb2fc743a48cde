//! Files that people write: read once into values with places, then checked as a whole.
//!
//! All that is wrong with a file is said at once, each with line, column and a hint. Bombs are refused while reading: size, depth and the number
//! of nodes are bounded, and aliases are not allowed. Knows nothing of what a file means; the rooms do, through [`Document::read`].

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use saphyr_parser::{Event, Parser, ScalarStyle};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// The largest file that is read, in bytes. A change file is one or two kilobytes; a catalog of a thousand services stays below this.
pub const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 24;
const MAX_NODES: usize = 50_000;
const MAX_PROBLEMS: usize = 100;

/// A place in a file: line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The place of the value, or of the mapping in which something is missing.
    pub place: Place,
    /// The path of the value in the file, such as `plan.steps[1].weight`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "\n  help: {help}"))
    }
}

/// A file as values, with the place of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    value: Value,
    /// By JSON pointer.
    places: BTreeMap<String, Place>,
}

impl Document {
    /// Reads YAML 1.2 (and so JSON) with the core schema. One document, no aliases, no tags, no key twice.
    ///
    /// # Errors
    /// One problem: a file that is not YAML has no second one that could be trusted.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<Problem>> {
        Self::only(Self::all_from_yaml(text)?)
    }

    /// The one document of a file.
    ///
    /// # Errors
    /// If there is a second one.
    pub fn only(documents: Vec<Self>) -> Result<Self, Vec<Problem>> {
        let mut documents = documents.into_iter();
        let first = documents.next();
        if let Some(second) = documents.next() {
            let help = Some("put one document in a file".to_owned());
            return Err(vec![second.problem("", "the file holds a second document", help)]);
        }
        Ok(first.unwrap_or_else(|| Self::from_parts(Value::Null, BTreeMap::new())))
    }

    /// Reads a file of several YAML documents, as other tools write them, under the same bounds for all of them together. Empty ones are left out.
    ///
    /// # Errors
    /// One problem, as for a file of one document.
    pub fn all_from_yaml(text: &str) -> Result<Vec<Self>, Vec<Problem>> {
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; the most that is read is {MAX_BYTES}", text.len());
            return Err(vec![Problem {
                place: Place { line: 1, column: 1 },
                path: String::new(),
                message,
                help: None,
            }]);
        }
        Reader::new(text).documents().map_err(|problem| vec![*problem])
    }

    /// A document made of parts that another reader (of TOML, say) has found.
    pub fn from_parts(value: Value, places: BTreeMap<String, Place>) -> Self {
        Self { value, places }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The places of its values, by JSON pointer.
    pub(crate) fn places(&self) -> &BTreeMap<String, Place> {
        &self.places
    }

    /// The place of the value at a JSON pointer, or of its nearest ancestor that has one.
    pub fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(at) => pointer = &pointer[..at],
                None => return Place { line: 1, column: 1 },
            }
        }
    }

    /// A problem with the value at a JSON pointer.
    pub fn problem(&self, pointer: &str, message: impl Into<String>, help: Option<String>) -> Problem {
        Problem { place: self.place(pointer), path: readable(pointer), message: message.into(), help }
    }

    /// Checks the document against the schema of `T` and reads it. For many documents of one kind, make the [`Form`] once.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn read<T: JsonSchema + DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        Form::new().read(self)
    }

    /// The pointer of the text that a message quotes, if there is one such text. A value that has the right form and still can't be read (a time in
    /// a zone that nobody knows) is refused by its type, which knows what is wrong and not where it stands.
    fn quoted(&self, message: &str) -> String {
        let Some(quoted) = message.split('`').nth(1).filter(|q| !q.is_empty()) else { return String::new() };
        let says =
            |pointer: &str| self.value.pointer(pointer).and_then(Value::as_str).is_some_and(|t| t.contains(quoted));
        let found: Vec<&String> = self.places.keys().filter(|pointer| says(pointer)).collect();
        if let [only] = found.as_slice() { (*only).clone() } else { String::new() }
    }

    fn explain(&self, schema: &Value, error: &jsonschema::ValidationError<'_>, out: &mut Vec<Problem>) {
        let at = error.instance_path().as_str();
        let instance = error.instance();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = properties(schema, error.schema_path().as_str());
                for name in unexpected {
                    let help = nearest(name, known.iter().map(String::as_str)).map_or_else(
                        || format!("the fields here are {}", list(known.iter().map(String::as_str))),
                        |near| format!("did you mean `{near}`?"),
                    );
                    out.push(self.problem(
                        &format!("{at}/{}", escape(name)),
                        format!("there is no field `{name}`"),
                        Some(help),
                    ));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let description = properties_of(schema, error.schema_path().as_str())
                    .and_then(|p| p.get(name)?.get("description")?.as_str().map(first_sentence));
                out.push(self.problem(at, format!("`{name}` is missing"), description));
            }
            ValidationErrorKind::Type { kind } => {
                let help = instead(&types(kind), instance, example(schema, error));
                out.push(self.expected(at, &types(kind), instance, help));
            }
            ValidationErrorKind::Enum { options } => {
                let known: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                out.push(self.one_of(at, instance, &known));
            }
            ValidationErrorKind::Pattern { pattern } => {
                let help = example(schema, error).unwrap_or_else(|| format!("it has to match `{pattern}`"));
                out.push(self.problem(at, format!("`{}` does not have the right form", plain(instance)), Some(help)));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.explain_choice(schema, error, context, out);
            }
            ValidationErrorKind::MinItems { limit: 1 } => out.push(self.problem(at, "the list is empty", None)),
            ValidationErrorKind::MinItems { limit } => {
                out.push(self.problem(at, format!("needs at least {limit} of them"), None));
            }
            ValidationErrorKind::MaxItems { limit } => {
                out.push(self.problem(at, format!("has more than {limit} of them"), None));
            }
            ValidationErrorKind::MinLength { limit: 1 } => out.push(self.problem(at, "the text is empty", None)),
            ValidationErrorKind::MinLength { limit } => {
                out.push(self.problem(at, format!("needs at least {limit} characters"), None));
            }
            ValidationErrorKind::MaxLength { limit } => {
                out.push(self.problem(at, format!("has more than {limit} characters"), None));
            }
            _ => out.push(self.problem(at, shorten(&error.masked().to_string()), None)),
        }
    }

    /// Of several forms that a value may have, reports the problems of the one it was meant to have.
    fn explain_choice(
        &self,
        schema: &Value,
        error: &jsonschema::ValidationError<'_>,
        context: &[Vec<jsonschema::ValidationError<'static>>],
        out: &mut Vec<Problem>,
    ) {
        let at = error.instance_path().as_str();
        let constants: Vec<String> = context
            .iter()
            .flatten()
            .filter(|e| e.instance_path().as_str() == at)
            .flat_map(|e| match e.kind() {
                ValidationErrorKind::Constant { expected_value } => vec![plain(expected_value)],
                ValidationErrorKind::Enum { options } => options.as_array().into_iter().flatten().map(plain).collect(),
                _ => vec![],
            })
            .collect();
        if error.instance().is_string() && !constants.is_empty() {
            let known: Vec<&str> = constants.iter().map(String::as_str).collect();
            return out.push(self.one_of(at, error.instance(), &known));
        }
        let mismatched = |branch: &[jsonschema::ValidationError<'static>]| {
            branch
                .iter()
                .any(|e| e.instance_path().as_str() == at && matches!(e.kind(), ValidationErrorKind::Type { .. }))
        };
        let fitting: Vec<_> = context.iter().filter(|branch| !mismatched(branch)).collect();
        if let Some(branch) = fitting.iter().min_by_key(|branch| branch.len()) {
            return branch.iter().for_each(|e| self.explain(schema, e, out));
        }
        let mismatches = context.iter().flatten().filter_map(|e| match e.kind() {
            ValidationErrorKind::Type { kind } if e.instance_path().as_str() == at && types(kind) != ["null"] => {
                Some((e, types(kind)))
            }
            _ => None,
        });
        let mismatches: Vec<_> = mismatches.collect();
        match mismatches.as_slice() {
            [(only, _)] => self.explain(schema, only, out),
            several => {
                let names: Vec<String> = several.iter().flat_map(|(_, names)| names.clone()).collect();
                out.push(self.expected(at, &names, error.instance(), None));
            }
        }
    }

    fn expected(&self, at: &str, types: &[String], instance: &Value, help: Option<String>) -> Problem {
        self.problem(at, format!("expected {}, found {}", wanted(types), found(instance)), help)
    }

    fn one_of(&self, at: &str, instance: &Value, known: &[&str]) -> Problem {
        let given = plain(instance);
        let near = nearest(&given, known.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        let help = format!("{}it can be {}", near.unwrap_or_default(), list(known.iter().copied()));
        self.problem(at, format!("`{given}` is not known here"), Some(help))
    }
}

/// The form of one kind of file: its schema, made ready once.
#[derive(Debug)]
pub struct Form<T> {
    schema: Value,
    validator: jsonschema::Validator,
    kind: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + DeserializeOwned> Form<T> {
    #[allow(clippy::new_without_default, reason = "making a form is work, and no default")]
    pub fn new() -> Self {
        let schema = schemars::schema_for!(T).to_value();
        // INVARIANT: schemas come from our own types; a test reads each kind of file.
        let validator = jsonschema::validator_for(&schema).expect("a generated schema is valid");
        Self { schema, validator, kind: PhantomData }
    }

    /// Checks a document against the form and reads it.
    ///
    /// # Errors
    /// Every problem found, in the order of the file.
    pub fn read(&self, document: &Document) -> Result<T, Vec<Problem>> {
        let mut problems: Vec<Problem> = Vec::new();
        for error in self.validator.iter_errors(&document.value).take(MAX_PROBLEMS) {
            document.explain(&self.schema, &error, &mut problems);
        }
        if problems.is_empty() {
            return serde_json::from_value(document.value.clone()).map_err(|error| {
                vec![document.problem(&document.quoted(&error.to_string()), error.to_string(), None)]
            });
        }
        problems.sort_by(|a, b| (a.place, &a.path, &a.message).cmp(&(b.place, &b.path, &b.message)));
        problems.dedup();
        Err(problems)
    }
}

/// The known name that is nearest to a mistyped one, if one is near.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored =
        known.into_iter().map(|name| (strsim::jaro_winkler(&given.to_lowercase(), &name.to_lowercase()), name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Names as a sentence lists them: `a`, `b` or `c`.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "or")
}

/// Names that belong together: `a`, `b` and `c`.
pub fn all<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "and")
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let quoted: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        None => "none".into(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    places: BTreeMap<String, Place>,
    nodes: usize,
    depth: usize,
}

type Read<T> = Result<T, Box<Problem>>;

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { parser: Parser::new_from_str(text), places: BTreeMap::new(), nodes: 0, depth: 0 }
    }

    fn documents(mut self) -> Read<Vec<Document>> {
        let mut found = Vec::new();
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(found),
                event => {
                    let value = self.node(event, place, "")?;
                    let places = std::mem::take(&mut self.places);
                    if !value.is_null() {
                        found.push(Document { value, places });
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Read<(Event<'a>, Place)> {
        let end = Place { line: 1, column: 1 };
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, end)),
            Some(Ok((event, span))) => {
                Ok((event, Place { line: span.start.line().max(1), column: span.start.col() + 1 }))
            }
            Some(Err(error)) => {
                let place = Place { line: error.marker().line().max(1), column: error.marker().col() + 1 };
                // The parser has a limit of its own, and may look ahead far enough to meet it before this reader meets its one.
                let message = match error.info() {
                    info if info.contains("recursion limit") => too_deep(),
                    info => format!("this is not YAML: {info}"),
                };
                Err(refuse(place, "", &message, None))
            }
        }
    }

    fn node(&mut self, event: Event<'a>, place: Place, pointer: &str) -> Read<Value> {
        self.nodes += 1;
        self.places.insert(pointer.to_owned(), place);
        if self.nodes > MAX_NODES {
            return Err(refuse(place, pointer, &format!("the file has more than {MAX_NODES} values"), None));
        }
        if self.depth > MAX_DEPTH {
            return Err(refuse(place, pointer, &too_deep(), None));
        }
        match event {
            Event::Alias(_) => Err(refuse(place, pointer, "aliases are not allowed here", Some("write the value out"))),
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(refuse(place, pointer, "tags are not allowed here", Some("remove the word that begins with `!`")))
            }
            Event::Scalar(text, style, _, None) => Ok(scalar(&text, style)),
            Event::SequenceStart(..) => self.nested(|reader| reader.sequence(pointer)),
            Event::MappingStart(..) => self.nested(|reader| reader.mapping(pointer)),
            _ => Err(refuse(place, pointer, "the file ends in the middle of a value", None)),
        }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Read<Value>) -> Read<Value> {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn sequence(&mut self, pointer: &str) -> Read<Value> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, place) => items.push(self.node(event, place, &format!("{pointer}/{}", items.len()))?),
            }
        }
    }

    fn mapping(&mut self, pointer: &str) -> Read<Value> {
        let mut map = Map::new();
        loop {
            let (event, place) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Object(map)),
                Event::Scalar(text, _, _, None) => text.into_owned(),
                _ => return Err(refuse(place, pointer, "a key has to be a plain word", None)),
            };
            let inner = format!("{pointer}/{}", escape(&key));
            let (event, value_place) = self.next()?;
            let value = self.node(event, value_place, &inner)?;
            self.places.insert(inner.clone(), place);
            if map.insert(key, value).is_some() {
                return Err(refuse(place, &inner, "this key stands here twice", Some("keep one of them")));
            }
        }
    }
}

fn too_deep() -> String {
    format!("the file is nested more than {MAX_DEPTH} deep")
}

fn refuse(place: Place, pointer: &str, message: &str, help: Option<&str>) -> Box<Problem> {
    Box::new(Problem { place, path: readable(pointer), message: message.to_owned(), help: help.map(str::to_owned) })
}

/// A plain scalar by the core schema of YAML 1.2.2, section 10.3.2; numbers that JSON can't hold stay text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    let number = |n: Option<Number>| n.map_or_else(|| Value::String(text.to_owned()), Value::Number);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            let unsigned = text.strip_prefix('+').unwrap_or(text);
            let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            let whole = unsigned.parse::<i64>().ok().map(Number::from);
            number(whole.or_else(|| numeric.then(|| unsigned.parse::<f64>().ok().and_then(Number::from_f64)).flatten()))
        }
        _ => Value::String(text.to_owned()),
    }
}

pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// `/plan/steps/1/weight` as `plan.steps[1].weight`.
fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(&part);
        }
    }
    shorten(&path)
}

fn parent(pointer: &str) -> &str {
    pointer.rfind('/').map_or("", |at| &pointer[..at])
}

fn properties_of<'a>(schema: &'a Value, keyword: &str) -> Option<&'a Map<String, Value>> {
    schema.pointer(parent(keyword))?.get("properties")?.as_object()
}

fn properties(schema: &Value, keyword: &str) -> Vec<String> {
    properties_of(schema, keyword).into_iter().flat_map(Map::keys).cloned().collect()
}

/// The first sentence of a description, as the end of another one: without its capital and its full stop.
fn first_sentence(text: &str) -> String {
    let first = text.split_once(". ").map_or(text, |(first, _)| first).replace('\n', " ");
    let first = if first.ends_with("...") { &first } else { first.trim_end_matches('.') };
    let capital = first.chars().take(2).filter(|c| c.is_uppercase()).count() == 1;
    match first.chars().next() {
        Some(c) if capital => format!("{}{}", c.to_lowercase(), &first[c.len_utf8()..]),
        _ => first.to_owned(),
    }
}

/// What the schema around a keyword says of a value: its description, and how one is written.
fn example(schema: &Value, error: &jsonschema::ValidationError<'_>) -> Option<String> {
    let around = schema.pointer(parent(error.schema_path().as_str()))?;
    let example = format!("write for example `{}`", around.get("examples")?.get(0)?.as_str()?);
    let description = around.get("description").and_then(Value::as_str).map(first_sentence);
    Some(description.map_or_else(|| example.clone(), |description| format!("{description}; {example}")))
}

/// How to write a value of another type instead.
fn instead(types: &[String], instance: &Value, example: Option<String>) -> Option<String> {
    let wants = |name: &str| types.iter().any(|t| t == name);
    let scalar = !instance.is_object() && !instance.is_array() && !instance.is_null();
    if wants("object") {
        Some("write its fields as `name: value`".into())
    } else if wants("array") && scalar {
        Some(format!("write `[{}]`", plain(instance)))
    } else if wants("string") && scalar {
        example.or_else(|| Some("put it in quotes, so that it is text".into()))
    } else {
        None
    }
}

fn types(kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Single(t) => vec![t.to_string()],
        TypeKind::Multiple(types) => types.iter().map(|t| t.to_string()).collect(),
    }
}

fn wanted(types: &[String]) -> String {
    let name = |t: &String| match t.as_str() {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "text",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "nothing",
    };
    let names: Vec<&str> = types.iter().map(name).filter(|n| *n != "nothing" || types.len() == 1).collect();
    names.join(" or ")
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Object(_) => "a mapping".into(),
        Value::Array(_) => "a list".into(),
        Value::String(text) => format!("the text `{}`", shorten(text)),
        Value::Number(number) => format!("the number `{number}`"),
        Value::Bool(truth) => format!("`{truth}`"),
    }
}

fn plain(value: &Value) -> String {
    shorten(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Document::from_yaml(text)
            .expect_err("the text is refused")
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "a: 5%\nb: 12\nc: 1.5\nd: true\ne: ~\nf: '12'\ng: 0x1F\nh: 2026-12-01\ni: .nan\nj: -3\nk: 1e3\n";
        let value = Document::from_yaml(text).expect("valid YAML").value().clone();
        let wanted = serde_json::json!({"a": "5%", "b": 12, "c": 1.5, "d": true, "e": null, "f": "12", "g": "0x1F", "h": "2026-12-01", "i": ".nan", "j": -3, "k": 1000.0});
        assert_eq!(value, wanted);
    }

    #[test]
    fn bombs_are_refused_and_not_unfolded() {
        let laughs = "a: &a [lol, lol]\nb: &b [*a, *a]\nc: [*b, *b]\n";
        assert!(refused(laughs).contains("aliases are not allowed"));
        assert!(refused(&"[".repeat(5_000)).contains("nested more than"));
        assert!(refused(&format!("{}{}", "[".repeat(40), "]".repeat(40))).contains("nested more than"));
        assert!(refused(&format!("[{}]", "1,".repeat(60_000))).contains("more than 50000 values"));
        assert!(refused(&"x".repeat(10 << 20)).contains("the most that is read"));
    }

    #[test]
    fn what_is_not_one_plain_document_is_refused_with_its_place() {
        assert!(refused("a: 1\na: 2\n").starts_with("2:1: `a`: this key stands here twice"));
        assert!(refused("a: 1\n---\nb: 2\n").contains("second document"));
        assert!(refused("a: !!python/object:x {}\n").contains("tags are not allowed"));
        assert!(refused("a: [1, 2\nb: 3\n").contains("this is not YAML"));
        assert!(refused("? [a, b]\n: 1\n").contains("a key has to be a plain word"));
    }

    #[test]
    fn several_documents_are_read_with_the_places_of_the_file_and_bounded_together() {
        let documents = Document::all_from_yaml("# kinds\n---\na: 1\n---\n---\nb:\n  - c\n...\n").expect("valid YAML");
        let values: Vec<String> = documents.iter().map(|d| d.value().to_string()).collect();
        assert_eq!(values, [r#"{"a":1}"#, r#"{"b":["c"]}"#]);
        assert_eq!(documents[1].place("/b/0"), Place { line: 7, column: 5 });
        let many = "a: [1, 2, 3]\n---\n".repeat(12_000);
        let refused = Document::all_from_yaml(&many).expect_err("too many values");
        assert!(refused[0].message.contains("more than 50000 values"), "{refused:?}");
        assert_eq!(Document::all_from_yaml(" \n# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("enviroment", ["environment", "effects"]), Some("environment"));
        assert_eq!(nearest("zzz", ["environment", "effects"]), None);
    }
}
