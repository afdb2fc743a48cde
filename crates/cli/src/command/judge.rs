//! Judge: a recording or a stream of one canary, judged without a server.
//!
//! Reads files and prints; what the figures mean is decided elsewhere. Each answer has an exit code of its own, so that a pipeline can act on it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use change::document::Problem;
use drivers::read::evidence::Evidence;
use judge::Answer;
use serde_json::{Value, json};

use crate::args::{Args, JudgeOptions, ProfileName};
use crate::exit::{ERROR, Failure, INVALID, JUDGED_FAIL, JUDGED_INSUFFICIENT, JUDGED_UNREACHABLE, Outcome};
use crate::judging::case::{Asked, Case};
use crate::judging::config::Config;
use crate::judging::many::{self, Files, Listener};
use crate::judging::report::{self, Report};
use crate::judging::{picture, trajectory, wire};
use crate::show;

/// The most bytes that are read of a file of evidence.
const LARGEST_FILE: u64 = 1 << 30;

pub(super) fn run(args: &Args, options: &JudgeOptions) -> Outcome {
    let profile = match options.profile {
        ProfileName::Default => judge::Profile::Default,
        ProfileName::Reference => judge::Profile::Reference,
    };
    if options.ndjson {
        return stream(wire::Terms { profile, alpha: options.alpha });
    }
    let asked = Asked { alpha: options.alpha, every: options.every, bake: options.bake, profile };
    let config = options.config.as_deref().map(read_config).transpose()?;
    let bench = Bench { asked, config, history: History::of(options.history.as_deref())? };
    match Files::of(&options.evidence).map_err(|e| Failure::new(INVALID, e))? {
        Files::One(file) => one(args, options, &bench, &file),
        Files::Many(_) if options.svg.is_some() => {
            let help = "name one file with `--evidence`";
            Err(Failure::new(ERROR, "a picture is of one recording").help(help))
        }
        Files::Many(files) => many(&bench, &files),
    }
}

fn stream(terms: wire::Terms) -> Outcome {
    let mut output = std::io::stdout().lock();
    wire::serve(&mut std::io::stdin().lock(), &mut output, terms)
        .map_err(|e| Failure::new(ERROR, format!("the stream broke off: {e}")))
}

/// What every recording of one call is judged by.
struct Bench {
    asked: Asked,
    config: Option<Config>,
    history: History,
}

/// The time before the rollout.
enum History {
    None,
    One(Box<Evidence>),
    /// A file of the same name for each recording.
    Beside(PathBuf),
}

impl History {
    fn of(path: Option<&Path>) -> Outcome<Self> {
        match path {
            None => Ok(Self::None),
            Some(path) if path.is_dir() => Ok(Self::Beside(path.to_owned())),
            Some(path) => read_evidence(path).map(|it| Self::One(Box::new(it))).map_err(|e| Failure::new(INVALID, e)),
        }
    }
}

impl Bench {
    /// A recording, ready to be judged.
    fn case(&self, file: &Path) -> Result<Case, String> {
        let evidence = read_evidence(file)?;
        let beside = match &self.history {
            History::Beside(folder) => {
                let path = file.file_name().map(|name| folder.join(name)).filter(|path| path.exists());
                path.map(|path| read_evidence(&path)).transpose()?
            }
            History::None | History::One(_) => None,
        };
        let history = match &self.history {
            History::One(history) => Some(&**history),
            History::None | History::Beside(_) => beside.as_ref(),
        };
        Case::new(&evidence, history, self.config.as_ref(), &self.asked)
    }

    fn report(&self, file: &Path) -> Result<Report, String> {
        let case = self.case(file)?;
        let outcome = case.judge().and_then(|judge| trajectory::outcome(judge, case.moments()));
        Ok(Report::new(&case, &outcome.map_err(|e| e.to_string())?))
    }
}

fn one(args: &Args, options: &JudgeOptions, bench: &Bench, file: &Path) -> Outcome {
    let invalid = |e: String| Failure::new(INVALID, e);
    let case = bench.case(file).map_err(invalid)?;
    let judge = case.judge().map_err(|e| invalid(e.to_string()))?;
    let report = match &options.svg {
        None => {
            let outcome = trajectory::outcome(judge, case.moments()).map_err(|e| invalid(e.to_string()))?;
            Report::new(&case, &outcome)
        }
        Some(svg) => {
            let followed = trajectory::trajectory(judge, case.moments()).map_err(|e| invalid(e.to_string()))?;
            let report = Report::new(&case, &followed.outcome);
            let title = file.file_name().map_or_else(|| "a recording".to_owned(), |n| n.to_string_lossy().into_owned());
            std::fs::write(svg, picture::draw(&title, &case, &followed, &report))
                .map_err(|e| Failure::new(ERROR, format!("`{}` can't be written: {e}", svg.display())))?;
            report
        }
    };
    let value = serde_json::to_value(&report).unwrap_or_default();
    super::print(args, &value, || report::text(&report));
    match report.verdict {
        Answer::Pass => Ok(()),
        Answer::Fail => Err(Failure::new(JUDGED_FAIL, "")),
        Answer::Insufficient => Err(Failure::new(JUDGED_INSUFFICIENT, "")),
        Answer::Unreachable => Err(Failure::new(JUDGED_UNREACHABLE, "")),
    }
}

fn many(bench: &Bench, files: &[PathBuf]) -> Outcome {
    let mut broken = 0_usize;
    let work = |file: &Path| {
        let name = file.display().to_string();
        match bench.report(file) {
            Ok(report) => Ok(serde_json::to_string(&Report { file: Some(name), ..report }).unwrap_or_default()),
            Err(error) => Err(json!({"file": name, "error": error}).to_string()),
        }
    };
    many::each(files, work, |told| {
        broken += usize::from(told.is_err());
        let text = told.unwrap_or_else(|error| error);
        tell(&text)
    });
    if broken == 0 {
        return Ok(());
    }
    let what = if broken == 1 { "file" } else { "files" };
    Err(Failure::new(ERROR, format!("{broken} of {} {what} could not be judged", files.len()))
        .help("their lines say why, in the field `error`"))
}

/// Prints a line, and says whether anybody reads it.
fn tell(text: &str) -> Listener {
    use std::io::Write as _;
    if writeln!(std::io::stdout(), "{text}").is_err() { Listener::Gone } else { Listener::There }
}

fn read_evidence(file: &Path) -> Result<Evidence, String> {
    let name = file.display();
    let bytes = read_bytes(file).map_err(|e| format!("`{name}` can't be read: {e}"))?;
    Evidence::read(&bytes).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        format!("`{name}` is no evidence:{}", lines.concat())
    })
}

/// All of a file, or of standard input.
fn read_bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(LARGEST_FILE + 1).read_to_end(&mut bytes)?
    } else {
        std::fs::File::open(file)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?
    };
    if read as u64 > LARGEST_FILE {
        return Err(std::io::Error::other(format!("it has more than {LARGEST_FILE} bytes, the most that is read")));
    }
    Ok(bytes)
}

fn read_config(file: &Path) -> Outcome<Config> {
    let text = super::files::read_text(file)?;
    Config::read(&text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(problem_line).collect();
        Failure::new(INVALID, format!("`{}` can't be used\n{}", file.display(), lines.join("\n")))
    })
}

fn problem_line(problem: &Problem) -> String {
    show::problem_line(&serde_json::to_value(problem).unwrap_or(Value::Null))
}
