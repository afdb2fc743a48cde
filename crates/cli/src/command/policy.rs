//! Policies: what their authors ask before a server is told of them, and what they ask a server about its past.
//!
//! What needs no log works on a folder alone, with the interpreter that a server uses. Prints; the answers are made in the crate `policy` and by the server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use change::document::Document;
use change::governance::{Matrix, Settings};
use engine::policies::{PolicyReplay, WhyPolicy};
use policy::compare::{Outline, Way};
use policy::doc::Whose;
use policy::sweep::Swept;
use policy::testing::Tested;
use policy::{Bundle, PolicyError};
use serde_json::{Value, json};

use super::files::{problems_json, read_text, say};
use super::{line, print};
use crate::args::{Args, Policy, PolicyTest};
use crate::client::Client;
use crate::exit::{ERROR, Failure, INVALID, Outcome};
use crate::serve::read_governance;
use crate::show::table;

/// The commands that need no server.
pub(super) fn offline(args: &Args, asked: &Policy) -> Outcome {
    match asked {
        Policy::Test(options) => test(args, options),
        Policy::Check { dir } => check(args, dir),
        Policy::Doc { dir, built_in } => doc(dir, *built_in),
        Policy::Drift { dir } => drift(args, dir),
        Policy::Eval { input, dir } => {
            let text = read_text(Path::new(input))?;
            eval(args, dir, &text)
        }
        Policy::Replay { .. } | Policy::Explain { .. } | Policy::Decisions { .. } => Ok(()),
    }
}

/// Whether a server has to be asked.
pub(super) fn needs_server(asked: &Policy) -> bool {
    match asked {
        Policy::Eval { input, .. } => change_of(input).is_some(),
        Policy::Replay { .. } | Policy::Explain { .. } | Policy::Decisions { .. } => true,
        Policy::Test(_) | Policy::Check { .. } | Policy::Doc { .. } | Policy::Drift { .. } => false,
    }
}

/// The commands that read the log of a server.
pub(super) async fn online(args: &Args, asked: &Policy) -> Outcome {
    let client = Client::find(args)?;
    match asked {
        Policy::Eval { input, dir } => {
            let answer = client.get(&format!("/changes/{input}/policy")).await?;
            eval(args, dir, &answer["input"].to_string())
        }
        Policy::Explain { change } => {
            let answer = client.get(&format!("/changes/{change}/policy")).await?;
            let why: WhyPolicy = read(answer.clone())?;
            print(args, &answer, || explained(&why));
            Ok(())
        }
        Policy::Decisions { from, limit } => {
            super::exactly(client.text(&format!("/api/v1/decisions?from={from}&limit={limit}")).await?.trim_end());
            Ok(())
        }
        Policy::Replay { dir, since, show } => replay(args, &client, dir, *since, *show).await,
        Policy::Test(_) | Policy::Check { .. } | Policy::Doc { .. } | Policy::Drift { .. } => Ok(()),
    }
}

/// A change if it is one, and no file of that name.
fn change_of(input: &str) -> Option<change::ChangeId> {
    if Path::new(input).exists() { None } else { input.parse().ok() }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Outcome<T> {
    serde_json::from_value(answer).map_err(|e| Failure::new(ERROR, format!("the server's answer can't be read: {e}")))
}

fn invalid(error: &PolicyError) -> Failure {
    Failure::new(INVALID, error.to_string())
}

/// The Rego modules of a governance folder, or of a folder that holds nothing else.
fn modules(dir: &Path) -> Outcome<BTreeMap<String, String>> {
    let below = dir.join("policy");
    let (folder, prefix) = if below.is_dir() { (below, "policy/") } else { (dir.to_owned(), "") };
    let failed = |e: std::io::Error| Failure::new(ERROR, format!("`{}` can't be read: {e}", folder.display()));
    let mut modules = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|name| name.to_str())) else { continue };
        if name.ends_with(".rego") {
            modules.insert(format!("{prefix}{name}"), read_text(&path)?);
        }
    }
    Ok(modules)
}

fn bundle(dir: &Path) -> Outcome<Bundle> {
    Bundle::compile(&modules(dir)?).map_err(|e| invalid(&e))
}

/// A file of a governance folder, or nothing where it is not there.
fn file<T: schemars::JsonSchema + serde::de::DeserializeOwned>(
    args: &Args,
    dir: &Path,
    name: &str,
) -> Outcome<Option<T>> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(None);
    }
    match Document::from_yaml(&read_text(&path)?).and_then(|document| document.read()) {
        Ok(value) => Ok(Some(value)),
        Err(problems) => {
            say(args, &path.display().to_string(), &problems_json(&problems), None)?;
            Ok(None)
        }
    }
}

fn check(args: &Args, dir: &Path) -> Outcome {
    let modules = modules(dir)?;
    let bundle = Bundle::compile(&modules).map_err(|e| invalid(&e))?;
    policy::testing::forms(&bundle, &modules)
        .map_err(|e| Failure::new(INVALID, e).help("what each rule holds stands in docs/guide/write-a-rule.md"))?;
    let own = bundle.modules().len();
    let answer = json!({"digest": bundle.digest(), "modules": bundle.modules().keys().collect::<Vec<_>>()});
    print(args, &answer, || format!("{own} modules compile, the built-in ones included: {}", bundle.digest()));
    Ok(())
}

fn eval(args: &Args, dir: &Path, input: &str) -> Outcome {
    let bundle = bundle(dir)?;
    let answer = bundle.evaluate(input).map_err(|e| Failure::new(INVALID, e))?;
    let rules = bundle.explain(input).map_err(|e| Failure::new(INVALID, e))?;
    let both = json!({"answer": answer, "rules": rules});
    print(args, &both, || rules.iter().fold(String::new(), |text, rule| text + &rule_text(rule)));
    Ok(())
}

fn doc(dir: &Path, built_in: bool) -> Outcome {
    let (bundle, whose, title) = if built_in {
        (Bundle::compile(&BTreeMap::new()).map_err(|e| invalid(&e))?, Whose::BuiltIn, "The default policy pack")
    } else {
        (bundle(dir)?, Whose::Own, "Policies")
    };
    line(policy::doc::markdown(&bundle, whose, title).map_err(|e| invalid(&e))?.trim_end());
    Ok(())
}

fn drift(args: &Args, dir: &Path) -> Outcome {
    let governance = read_governance(dir)?;
    let bundle = Bundle::compile(&governance.policies).map_err(|e| invalid(&e))?;
    let today = engine::ports::Clock::now(&engine::clock::SystemClock).to_string();
    let found =
        policy::drift::drift(&bundle, &governance, today.get(..10).unwrap_or_default()).map_err(|e| invalid(&e))?;
    print(args, &json!({"findings": found}), || {
        let lines: Vec<String> = found.iter().map(|f| format!("{}:{}: {}", f.file, f.line, f.message)).collect();
        if lines.is_empty() { "nothing has drifted apart".into() } else { lines.join("\n") }
    });
    Ok(())
}

// ------------------------------------------------------------------------------------------------------------------------------------------- tests

fn test(args: &Args, options: &PolicyTest) -> Outcome {
    let modules = modules(&options.dir)?;
    let tested = policy::testing::test(&modules).map_err(|e| invalid(&e))?;
    let swept = if options.sweep || !options.input.is_empty() { sweep(args, options, &modules)? } else { vec![] };
    let answer =
        json!({"tests": tested.runs, "coverage": tested.coverage, "percent": tested.percent(), "sweep": swept});
    print(args, &answer, || tests_text(&tested) + &sweeps_text(&swept));
    let failed = tested.failed();
    if failed > 0 {
        return Err(Failure::new(INVALID, format!("{failed} of {} tests failed", tested.runs.len())));
    }
    match options.coverage_min.map(f64::from) {
        Some(least) if tested.percent() < least => {
            let message =
                format!("the tests cover {:.1} % of the lines, and {least} % are asked for", tested.percent());
            Err(Failure::new(INVALID, message).help("the lines that no test reaches are listed above"))
        }
        _ => Ok(()),
    }
}

/// Plays the inputs that were given, or those that the tests are written around, through a year.
fn sweep(args: &Args, options: &PolicyTest, modules: &BTreeMap<String, String>) -> Outcome<Vec<Swept>> {
    let mut settings: Settings = file(args, &options.dir, "settings.yaml")?.unwrap_or_default();
    if let Some(time_zone) = &options.time_zone {
        settings.time_zone.clone_from(time_zone);
    }
    let zone = settings.zone().map_err(|e| Failure::new(INVALID, e))?;
    let bundle = Bundle::compile(modules).map_err(|e| invalid(&e))?;
    let mut inputs = Vec::new();
    for path in &options.input {
        let input = serde_json::from_str(&read_text(path)?)
            .map_err(|e| Failure::new(INVALID, format!("`{}` is no JSON: {e}", path.display())))?;
        inputs.push((path.display().to_string(), input));
    }
    if inputs.is_empty() {
        inputs = policy::testing::examples(modules).map_err(|e| invalid(&e))?;
    }
    let now = engine::ports::Clock::now(&engine::clock::SystemClock);
    Ok(inputs.iter().map(|(name, input)| policy::sweep::sweep(&bundle, name, input, &zone, now)).collect())
}

fn tests_text(tested: &Tested) -> String {
    let mut text = String::new();
    // INVARIANT: writing into a string can't fail.
    for run in tested.runs.iter().filter(|run| run.failure.is_some()) {
        let why = run.failure.as_deref().unwrap_or_default();
        let _ = writeln!(text, "FAILED {}:{} {}: {why}", run.file, run.line, run.name);
    }
    let passed = tested.runs.len() - tested.failed();
    let _ = writeln!(
        text,
        "{passed} of {} tests passed; {:.1} % of the lines were reached",
        tested.runs.len(),
        tested.percent()
    );
    for file in &tested.coverage {
        let lines: Vec<String> = file.not_covered.iter().map(u32::to_string).collect();
        let missing = if lines.is_empty() { String::new() } else { format!(", not lines {}", lines.join(", ")) };
        let _ = writeln!(text, "  {} {:.1} %{missing}", file.file, file.percent());
    }
    text
}

fn sweeps_text(swept: &[Swept]) -> String {
    let mut text = String::new();
    for of in swept {
        let _ = writeln!(text, "\n{}: {} moments played, {} flips", of.input, of.moments, of.flips.len());
        for flip in &of.flips {
            let begins = flip.begins.iter().map(|said| format!("+ {said}"));
            let said: Vec<String> = begins.chain(flip.ends.iter().map(|said| format!("- {said}"))).collect();
            let _ = writeln!(text, "  {}  {}", flip.local, said.join("; "));
        }
        if let Some(failure) = &of.failure {
            let _ = writeln!(text, "  the rules failed: {failure}");
        }
    }
    text
}

// ----------------------------------------------------------------------------------------------------------------------------------------- explain

fn explained(why: &WhyPolicy) -> String {
    let assessment = &why.assessment;
    let mut text =
        format!("{}: {} of 100, {}; policies {}\n", why.change, assessment.score, assessment.level, why.policy.short());
    why.rules.iter().for_each(|rule| text.push_str(&rule_text(rule)));
    // Where the policies failed, no rule answered.
    let denials = assessment.denials.iter().filter(|_| why.rules.is_empty());
    for denial in denials {
        let _ = writeln!(text, "deny `{}`: {}", denial.code, denial.reason);
    }
    let required: Vec<String> = Outline::of(assessment).approvals.into_iter().collect();
    if !required.is_empty() {
        let _ = writeln!(text, "approvals, those of the matrix included: {}", required.join("; "));
    }
    text
}

fn rule_text(rule: &policy::explain::Explained) -> String {
    let field = |name: &str| rule.answer.get(name).and_then(Value::as_str);
    let points = rule.answer.get("points").map(|points| format!(" {points} points")).unwrap_or_default();
    let said = field("reason").or_else(|| field("title")).or_else(|| rule.answer.as_str());
    let said = said.map_or_else(|| rule.answer.to_string(), str::to_owned);
    let code = field("code").map(|code| format!(" `{code}`")).unwrap_or_default();
    let mut text = format!("{}{code}{points}: {said}\n  {}:{}", rule.kind, rule.file, rule.line);
    if let Some(title) = &rule.title {
        let _ = write!(text, "  {title}");
    }
    if let Some(description) = &rule.description {
        let _ = write!(text, "\n  {description}");
    }
    let reads: Vec<String> = rule.reads.iter().map(|(fact, value)| format!("{fact} = {}", short(value))).collect();
    if !reads.is_empty() {
        let _ = write!(text, "\n  read {}", reads.join(", "));
    }
    text.push('\n');
    text
}

/// A fact as it is shown: the first of it.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(57).collect::<String>() + "..." }
}

// ------------------------------------------------------------------------------------------------------------------------------------------ replay

async fn replay(
    args: &Args,
    client: &Client,
    dir: &Path,
    since: change::Span,
    show: Option<change::ChangeId>,
) -> Outcome {
    let approvals: Option<Matrix> = file(args, dir, "approvals.yaml")?;
    let now = engine::ports::Clock::now(&engine::clock::SystemClock);
    let body = json!({
        "modules": modules(dir)?,
        "approvals": approvals,
        "since": change::time::before(now, since).to_string(),
    });
    let answer = client.post("/policy/replay", &body, None).await?;
    let mut replayed: PolicyReplay = read(answer["replayed"].clone())?;
    if let Some(change) = show {
        replayed.differing.retain(|differing| differing.change == change);
    }
    print(args, &json!(replayed), || replayed_text(&replayed, show.is_some()));
    Ok(())
}

fn replayed_text(replayed: &PolicyReplay, drill_down: bool) -> String {
    let PolicyReplay { assessed, same, unknown, ways, differing, .. } = replayed;
    let mut text =
        format!("{assessed} assessments replayed: {same} come to the same, {} differ", assessed - same - unknown);
    if *unknown > 0 {
        let _ = write!(text, ", {unknown} have no facts any more");
    }
    let counts: Vec<String> =
        Way::ALL.iter().filter_map(|way| ways.get(way).map(|count| format!("{count} {}", way.text()))).collect();
    let _ = writeln!(text, "{}", if counts.is_empty() { ".".into() } else { format!(": {}.", counts.join(", ")) });
    if drill_down {
        for each in differing {
            let _ = write!(
                text,
                "\n{} {}\n  was   {}\n  would {}\n",
                each.change,
                each.title,
                outline(&each.was),
                outline(&each.would)
            );
        }
        return text;
    }
    let rows = differing.iter().map(|each| {
        let ways: Vec<&str> = each.ways.iter().map(|way| way.text()).collect();
        let denials: Vec<String> = each.would.denials.iter().cloned().collect();
        vec![each.change.to_string(), each.title.clone(), ways.join(", "), denials.join(", ")]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "{}", table(&["Change", "Title", "What differs", "Would be denied by"], rows));
    }
    text
}

fn outline(of: &Outline) -> String {
    let list = |name: &str, items: &std::collections::BTreeSet<String>| {
        if items.is_empty() {
            String::new()
        } else {
            format!("; {name} {}", items.iter().cloned().collect::<Vec<_>>().join(", "))
        }
    };
    let failed = of.failure.as_ref().map_or_else(String::new, |why| format!("; the policies failed: {why}"));
    format!(
        "{} {}{}{}{}{}{failed}",
        of.level,
        of.score,
        list("denied by", &of.denials),
        list("asks", &of.approvals),
        list("factors", &of.factors),
        list("checklist", &of.checklist),
    )
}
