//! Builtins that policies do without: those that answer differently each time, and those that a small argument makes huge.
//!
//! An assessment has to come out the same whenever it is run again, on any machine. The interpreter can't take a builtin away, but it asks an extension
//! of the same name first. It has no builtin that reaches the network or the environment in this build. What is refused by name when a bundle is
//! compiled is in [`REFUSED`]; the same names fail here should a module find another way to spell them.

use std::fmt;

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
    guard(engine, "sprintf", narrow_fields)?;
    guard(engine, "bits.lsh", near_shift)?;
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
        builtin(&span, &params, &args, true)
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
