//! Builtins that policies do without: those that answer differently each time, and those that a small argument makes huge. Of the others, how much they make.
//!
//! An assessment has to come out the same whenever it is run again, on any machine. The interpreter can't take a builtin away, but it asks an extension
//! of the same name first. It has no builtin that reaches the network or the environment in this build. What is refused by name when a bundle is
//! compiled is in [`REFUSED`]; the same names fail here should a module find another way to spell them.

use std::cell::Cell;
use std::fmt;

use crate::PolicyError;
use regorus::unstable::{BUILTINS, Expr, Ref, Span};
use regorus::{Engine, Extension, Source, Value};

/// Builtins of Rego that no policy may name, and why.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("http.send", "policies don't reach the network"),
    ("net.lookup_ip_addr", "policies don't reach the network"),
    ("opa.runtime", "policies don't see the environment"),
    ("time.now_ns", "an assessment comes out the same when it is run again; use `input.now`"),
    ("rand.intn", "an assessment comes out the same when it is run again"),
    ("uuid.rfc4122", "an assessment comes out the same when it is run again"),
    ("net.cidr_expand", "one call can take all memory; use `net.cidr_contains`"),
    ("graph.reachable_paths", "one call can take all memory; use `graph.reachable`"),
];

/// The longest range that a policy may ask for: ten times the most facts of any kind that a change has.
const LONGEST_RANGE: i64 = 10_000;
/// The widest field of `sprintf`, in digits: 999 columns.
const WIDTH_DIGITS: usize = 3;
/// The farthest shift of a number to the left.
const FARTHEST_SHIFT: i64 = 1_024;

/// The most bytes that one value may have which a builtin takes or makes, counted as JSON would write it: a part that is shared counts each time.
const MOST_VALUE: usize = 1 << 20;
/// The most bytes that all builtins together may make for one assessment. What comprehensions collect is bounded by time: a second of it is 100 MiB.
const MOST_MADE: usize = 64 << 20;
/// The longest text that may become a number.
const MOST_DIGITS: usize = 400;
/// The longest pattern, in bytes, and the most that its counts `{n}` may come to when they are multiplied.
const LONGEST_PATTERN: usize = 1_000;
const MOST_REPEATS: u64 = 1_000;

/// Builtins that make something as large as what they are given, or a few times larger; by asking again and again it doubles.
const GROWING: [&str; 28] = [
    "array.concat",
    "array.reverse",
    "array.slice",
    "base64.decode",
    "base64.encode",
    "hex.decode",
    "hex.encode",
    "json.marshal",
    "json.unmarshal",
    "json.filter",
    "json.remove",
    "object.filter",
    "object.keys",
    "object.remove",
    "object.union",
    "object.union_n",
    "union",
    "intersection",
    "split",
    "strings.reverse",
    "substring",
    "lower",
    "upper",
    "sort",
    "product",
    "format_int",
    "indexof_n",
    "graph.reachable",
];
/// Builtins whose first or second argument is a pattern.
const REGULAR: [&str; 6] =
    ["regex.match", "regex.find_n", "regex.split", "regex.is_valid", "regex.template_match", "glob.match"];

thread_local! {
    /// What builtins have made on this thread since the counting began: each evaluation has a thread of its own.
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// Begins to count what builtins make.
pub(crate) fn start_counting() {
    MADE.set(0);
}

fn count_in(made: &Value) -> Result<(), Guarded> {
    let size = size_within(made, MOST_VALUE).ok_or_else(too_large)?;
    MADE.set(MADE.get().saturating_add(size));
    if MADE.get() <= MOST_MADE {
        Ok(())
    } else {
        Err(Guarded(format!("the policies made more than {MOST_MADE} bytes; the memory for one assessment is bounded")))
    }
}

fn too_large() -> Guarded {
    Guarded(format!("a value of more than {MOST_VALUE} bytes; the memory for one assessment is bounded"))
}

/// The size of a value as it would be written, or nothing where it is larger than that. A value may hold a part many times over at the cost of one; it is
/// counted each time, and never further than `most`.
pub(crate) fn size_within(value: &Value, most: usize) -> Option<usize> {
    let mut left = most;
    subtract(value, &mut left)?;
    Some(most - left)
}

/// What a value costs beside its text.
const EACH: usize = 8;

fn subtract(value: &Value, left: &mut usize) -> Option<()> {
    *left = left.checked_sub(EACH)?;
    match value {
        Value::String(text) => *left = left.checked_sub(text.len())?,
        Value::Array(items) => items.iter().try_for_each(|item| subtract(item, left))?,
        Value::Set(items) => items.iter().try_for_each(|item| subtract(item, left))?,
        Value::Object(fields) => {
            fields.iter().try_for_each(|(k, v)| subtract(k, left).and_then(|()| subtract(v, left)))?;
        }
        _ => {}
    }
    Some(())
}

fn growth(args: &[Value]) -> Result<(), Guarded> {
    let mut left = MOST_VALUE;
    args.iter().try_for_each(|arg| subtract(arg, &mut left)).ok_or_else(too_large)
}

/// Whether one argument may be repeated for each byte of another.
fn product(one: Option<&Value>, other: Option<&Value>) -> Result<(), Guarded> {
    let size = |value: Option<&Value>| value.map_or(Some(0), |v| size_within(v, MOST_VALUE));
    let (Some(one), Some(other)) = (size(one), size(other)) else { return Err(too_large()) };
    if one.saturating_mul(other) <= 64 * MOST_VALUE { Ok(()) } else { Err(too_large()) }
}

/// Walking gives the way to each part: as much as there are parts, times how deep they lie.
fn flat_enough(args: &[Value]) -> Result<(), Guarded> {
    growth(args)?;
    let deep = args.first().map_or(0, depth);
    let size = args.first().and_then(|value| size_within(value, MOST_VALUE)).unwrap_or(MOST_VALUE);
    if deep.saturating_mul(size) <= 16 * MOST_VALUE { Ok(()) } else { Err(too_large()) }
}

// Only for values whose size has been checked: it visits every part.
fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Set(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.iter().map(|(_, v)| depth(v)).max(),
        _ => None,
    };
    1 + below.unwrap_or(0)
}

fn few_digits(args: &[Value]) -> Result<(), Guarded> {
    let text = args.first().and_then(|arg| arg.as_string().ok()).map_or("", |text| text.as_ref());
    let exponent = text.to_lowercase().split_once('e').and_then(|(_, e)| e.parse::<i64>().ok()).unwrap_or(0);
    if text.len() <= MOST_DIGITS && exponent.unsigned_abs() <= MOST_DIGITS as u64 {
        Ok(())
    } else {
        Err(Guarded(format!("a number of more than {MOST_DIGITS} digits")))
    }
}

fn simple_pattern(args: &[Value]) -> Result<(), Guarded> {
    // Which of both is the pattern differs; a text that looks like a heavy pattern is refused only if it is as short as one.
    let texts = args.iter().take(2).filter_map(|arg| arg.as_string().ok());
    let shortest = texts.min_by_key(|text| text.len()).cloned();
    let patterns = args.iter().take(2).filter_map(|arg| arg.as_string().ok());
    if shortest.is_some_and(|text| text.len() > LONGEST_PATTERN) {
        return Err(Guarded(format!("a pattern of more than {LONGEST_PATTERN} bytes")));
    }
    for text in patterns.filter(|text| text.len() <= LONGEST_PATTERN) {
        let counts = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let most = counts.filter_map(|range| range.rsplit(',').find_map(|n| n.trim().parse::<u64>().ok()));
        if most.fold(1, u64::saturating_mul) > MOST_REPEATS {
            return Err(Guarded(format!("a pattern whose counts come to more than {MOST_REPEATS}")));
        }
    }
    Ok(())
}

/// Puts the guards in place.
///
/// # Errors
/// If the interpreter has an extension of that name already.
pub(crate) fn install(engine: &mut Engine) -> Result<(), String> {
    for &(name, why) in REFUSED {
        // The argument counts of those that this build has at all; the others are unknown to it anyway.
        let Some((_, count)) = BUILTINS.get(name) else { continue };
        add(engine, name, *count, move |_| Err(Guarded(format!("`{name}` is not for policies: {why}"))))?;
    }
    for name in ["numbers.range", "numbers.range_step"] {
        guard(engine, name, short_range)?;
    }
    guard(engine, "sprintf", |args| narrow_fields(args).and_then(|()| growth(args)))?;
    guard(engine, "bits.lsh", near_shift)?;
    for name in GROWING {
        guard(engine, name, growth)?;
    }
    for name in REGULAR {
        guard(engine, name, |args| growth(args).and_then(|()| simple_pattern(args)))?;
    }
    // The text and the separators between its parts; the text with each of its bytes replaced.
    guard(engine, "concat", |args| growth(args).and_then(|()| product(args.first(), args.get(1))))?;
    guard(engine, "replace", |args| growth(args).and_then(|()| product(args.first(), args.get(2))))?;
    guard(engine, "strings.replace_n", |args| growth(args).and_then(|()| product(args.first(), args.get(1))))?;
    guard(engine, "regex.replace", |args| {
        growth(args).and_then(|()| simple_pattern(args)).and_then(|()| product(args.first(), args.get(2)))
    })?;
    guard(engine, "walk", flat_enough)?;
    for name in ["to_number", "units.parse", "units.parse_bytes"] {
        guard(engine, name, few_digits)?;
    }
    for name in ["time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.weekday"] {
        guard(engine, name, named_zone)?;
    }
    Ok(())
}

/// Lets the builtin of this name run only where the check finds nothing.
fn guard(engine: &mut Engine, name: &'static str, check: fn(&[Value]) -> Result<(), Guarded>) -> Result<(), String> {
    let (builtin, count) = BUILTINS.get(name).copied().ok_or_else(|| format!("there is no builtin `{name}`"))?;
    let source = Source::from_contents(name.into(), String::new()).map_err(|e| e.to_string())?;
    let span = Span { source, line: 1, col: 1, start: 0, end: 0 };
    // The builtin wants expressions only to point at them; the interpreter adds the true place to an error of an extension.
    let param = Ref::new(Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 });
    let params = vec![param; usize::from(count)];
    let extension = extension(move |args| {
        check(&args)?;
        // Its error points into a source that nobody wrote; the words alone are kept.
        let made = builtin(&span, &params, &args, true)
            .map_err(|e| Guarded(PolicyError::of_interpreter(&e.to_string(), name).message))?;
        count_in(&made)?;
        Ok(made)
    });
    engine.add_extension(name.into(), count, extension).map_err(|e| e.to_string())
}

fn add<F>(engine: &mut Engine, name: &str, count: u8, answer: F) -> Result<(), String>
where
    F: Fn(&[Value]) -> Result<Value, Guarded> + Clone + Send + Sync + 'static,
{
    let extension = extension(move |args| Ok(answer(&args)?));
    engine.add_extension(name.into(), count, extension).map_err(|e| e.to_string())
}

fn extension(extension: impl Extension + 'static) -> Box<dyn Extension> {
    Box::new(extension)
}

fn short_range(args: &[Value]) -> Result<(), Guarded> {
    let [from, to, ..] = args else { return Ok(()) };
    let (Ok(from), Ok(to)) = (from.as_i64(), to.as_i64()) else {
        return Err(Guarded("a range goes from one whole number to another".into()));
    };
    if to.checked_sub(from).is_some_and(|length| length.abs() <= LONGEST_RANGE) {
        Ok(())
    } else {
        Err(Guarded(format!("a range of more than {LONGEST_RANGE} numbers")))
    }
}

fn narrow_fields(args: &[Value]) -> Result<(), Guarded> {
    let format = args.first().and_then(|f| f.as_string().ok()).map_or("", |f| f.as_ref());
    let width = |field: &str| field.trim_start_matches('.').chars().take_while(|c| c.is_numeric()).count();
    if format.len() > LONGEST_PATTERN {
        return Err(Guarded(format!("a format of more than {LONGEST_PATTERN} bytes")));
    }
    if format.split('%').skip(1).all(|field| width(field) <= WIDTH_DIGITS) {
        Ok(())
    } else {
        Err(Guarded("`sprintf` with a field of a thousand columns or more".into()))
    }
}

fn near_shift(args: &[Value]) -> Result<(), Guarded> {
    match args.get(1).map(Value::as_i64) {
        Some(Ok(shift)) if shift <= FARTHEST_SHIFT => Ok(()),
        _ => Err(Guarded(format!("a shift by more than {FARTHEST_SHIFT}"))),
    }
}

// The zone of the machine is an accident; the same policy would answer otherwise on another replica.
fn named_zone(args: &[Value]) -> Result<(), Guarded> {
    let is_local = |v: &Value| v.as_string().is_ok_and(|s| s.as_ref() == "Local");
    let hit = args.iter().any(|arg| is_local(arg) || arg.as_array().is_ok_and(|items| items.iter().any(is_local)));
    if hit { Err(Guarded("the time zone `Local` depends on the machine; name a zone".into())) } else { Ok(()) }
}

#[derive(Debug)]
struct Guarded(String);

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Guarded {}
