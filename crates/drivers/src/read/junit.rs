//! JUnit XML: results of tests, in the dialects that test runners write.
//!
//! Counts the cases themselves, and believes a suite that claims more failures than it lists. Keeps names, never output: that may hold anything. A
//! document with a DTD is refused, so there is no entity to expand and none to fetch.

use change::facts::material::{Origin, Tests, shortened};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::unread::{Unread, text};

/// Suites in suites: runners write two or three levels.
const MOST_DEPTH: usize = 64;
const MOST_CASES: u32 = 1_000_000;

/// Reads result files and adds them up. The same content twice counts once.
///
/// # Errors
/// If one of them is not a result file, broken, or too large.
pub fn tests(files: &[(String, Vec<u8>)]) -> Result<Tests, Unread> {
    let mut all = Tests::default();
    for (name, bytes) in files {
        let from = Origin::of_bytes("junit", name, bytes);
        if all.from.iter().any(|earlier| earlier.digest == from.digest) {
            continue;
        }
        let mut reading = Reading { name, tests: &mut all, open: Vec::new(), case: None, seen_root: false };
        reading.file(text(name, bytes)?)?;
        all.from.push(from);
    }
    // No result of a floating-point sum goes into the log with more digits than a clock has.
    all.duration_s = (all.duration_s * 1_000.0).round() / 1_000.0;
    Ok(all)
}

struct Reading<'a> {
    name: &'a str,
    tests: &'a mut Tests,
    open: Vec<Open>,
    case: Option<Case>,
    seen_root: bool,
}

/// An element that has begun.
enum Open {
    Suite(Suite),
    Other,
}

/// What a suite claims, and what was found in it and in those below.
struct Suite {
    name: String,
    claimed: u32,
    found: u32,
}

struct Case {
    name: String,
    depth: usize,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Passed,
    Flaky,
    Skipped,
    Failed,
    Broken,
}

impl Reading<'_> {
    fn file(&mut self, text: &str) -> Result<(), Unread> {
        let mut reader = Reader::from_str(text);
        loop {
            let event = reader.read_event().map_err(|error| self.broken(&error.to_string()))?;
            match event {
                Event::Start(element) => self.begin(&element)?,
                Event::Empty(element) => {
                    self.begin(&element)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::DocType(_) => {
                    let unread = Unread::new(self.name, "it has a DTD, which results of tests do not need");
                    return Err(unread.help("remove the `<!DOCTYPE ...>`"));
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if !self.open.is_empty() {
            return Err(self.broken("it ends in the middle"));
        }
        if !self.seen_root {
            return Err(self.broken("it has no `testsuite`"));
        }
        Ok(())
    }

    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), Unread> {
        if self.open.len() >= MOST_DEPTH {
            return Err(self.broken(&format!("its elements are nested more than {MOST_DEPTH} deep")));
        }
        let local = element.local_name();
        let name: &str = local.as_ref();
        if self.open.is_empty() && !matches!(name, "testsuites" | "testsuite") {
            return Err(self.broken("its root is neither `testsuites` nor `testsuite`"));
        }
        self.seen_root = true;
        let open = match name {
            "testsuites" | "testsuite" => Open::Suite(self.suite(element)?),
            "testcase" => {
                self.begin_case(element)?;
                Open::Other
            }
            _ => {
                self.fate(name);
                Open::Other
            }
        };
        self.open.push(open);
        Ok(())
    }

    fn suite(&mut self, element: &BytesStart<'_>) -> Result<Suite, Unread> {
        let count = |value: Option<String>| value.and_then(|v| v.trim().parse::<u32>().ok()).unwrap_or(0);
        let claimed =
            count(self.attribute(element, "failures")?).saturating_add(count(self.attribute(element, "errors")?));
        if self.tests.at.is_none() {
            self.tests.at = self.attribute(element, "timestamp")?.map(|at| shortened(&at));
        }
        Ok(Suite { name: self.attribute(element, "name")?.unwrap_or_default(), claimed, found: 0 })
    }

    fn begin_case(&mut self, element: &BytesStart<'_>) -> Result<(), Unread> {
        if self.case.is_some() {
            return Err(self.broken("a `testcase` stands in another"));
        }
        if self.total() >= MOST_CASES {
            return Err(self.broken(&format!("it has more than {MOST_CASES} cases")));
        }
        let (class, name) = (self.attribute(element, "classname")?, self.attribute(element, "name")?);
        let name = [class.as_deref(), name.as_deref()]
            .into_iter()
            .flatten()
            .filter(|n| !n.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let time = self.attribute(element, "time")?.and_then(|t| t.replace(',', "").parse::<f64>().ok());
        self.tests.duration_s += time.filter(|t| t.is_finite() && (0.0..1e9).contains(t)).unwrap_or(0.0);
        let status = self.attribute(element, "status")?.unwrap_or_default().to_lowercase();
        let result = self.attribute(element, "result")?.unwrap_or_default().to_lowercase();
        let fate = match (status.as_str(), result.as_str()) {
            ("failed" | "fail" | "failure", _) | (_, "failed" | "failure") => Fate::Failed,
            ("error" | "broken", _) | (_, "error") => Fate::Broken,
            ("notrun" | "skipped" | "disabled" | "ignored", _) | (_, "suppressed" | "skipped") => Fate::Skipped,
            _ => Fate::Passed,
        };
        self.case = Some(Case { name, depth: self.open.len(), fate });
        Ok(())
    }

    /// An element in a case says how it fared; the worst counts. In a suite itself, a failure is one without a case.
    fn fate(&mut self, element: &str) {
        let fate = match element {
            "failure" => Fate::Failed,
            "error" => Fate::Broken,
            "skipped" | "disabled" | "ignored" => Fate::Skipped,
            "flakyFailure" | "flakyError" | "rerunFailure" | "rerunError" => Fate::Flaky,
            _ => return,
        };
        let directly = self.case.as_ref().is_some_and(|case| self.open.len() == case.depth + 1);
        match &mut self.case {
            Some(case) if directly => case.fate = case.fate.max(fate),
            Some(_) => {}
            None if matches!(fate, Fate::Failed | Fate::Broken) => {
                let name = self.suite_name();
                self.count(fate, &name);
            }
            None => {}
        }
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::Suite(suite)) => self.end_suite(&suite),
            _ => {
                if let Some(case) = self.case.take_if(|case| case.depth == self.open.len()) {
                    self.count(case.fate, &case.name);
                }
            }
        }
    }

    fn end_suite(&mut self, suite: &Suite) {
        let unlisted = suite.claimed.saturating_sub(suite.found);
        if unlisted > 0 {
            self.tests.errors = self.tests.errors.saturating_add(unlisted);
            self.tests.failures.push(shortened(&format!("{} (claims {unlisted} more than it lists)", suite.name)));
        }
        if let Some(Open::Suite(above)) = self.open.last_mut() {
            above.found = above.found.saturating_add(suite.found).saturating_add(unlisted);
        }
    }

    fn count(&mut self, fate: Fate, name: &str) {
        let tests = &mut *self.tests;
        match fate {
            Fate::Passed => tests.passed += 1,
            Fate::Flaky => {
                tests.passed += 1;
                tests.flaky += 1;
            }
            Fate::Skipped => tests.skipped += 1,
            Fate::Failed => tests.failed += 1,
            Fate::Broken => tests.errors += 1,
        }
        if matches!(fate, Fate::Failed | Fate::Broken) {
            tests.failures.push(shortened(name));
            let suite = self.open.iter_mut().rev().find_map(|open| match open {
                Open::Suite(suite) => Some(suite),
                Open::Other => None,
            });
            if let Some(suite) = suite {
                suite.found += 1;
            }
        }
    }

    fn suite_name(&self) -> String {
        let names = self.open.iter().rev().filter_map(|open| match open {
            Open::Suite(suite) => Some(suite.name.clone()),
            Open::Other => None,
        });
        names.into_iter().next().unwrap_or_default()
    }

    fn total(&self) -> u32 {
        let t = &self.tests;
        [t.passed, t.failed, t.errors, t.skipped].into_iter().fold(0, u32::saturating_add)
    }

    fn attribute(&self, element: &BytesStart<'_>, name: &str) -> Result<Option<String>, Unread> {
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| self.broken(&error.to_string()))?;
            if AsRef::<str>::as_ref(&attribute.key) == name {
                let value = attribute
                    .normalized_value(XmlVersion::Implicit1_0)
                    .map_err(|error| self.broken(&error.to_string()))?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }

    fn broken(&self, why: &str) -> Unread {
        Unread::new(self.name, format!("it is not a JUnit result: {}", shortened(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[&str]) -> Result<Tests, Unread> {
        let files: Vec<_> =
            files.iter().enumerate().map(|(i, t)| (format!("{i}.xml"), t.as_bytes().to_vec())).collect();
        tests(&files)
    }

    fn counts(tests: &Tests) -> (u32, u32, u32, u32, u32) {
        (tests.passed, tests.failed, tests.errors, tests.skipped, tests.flaky)
    }

    // X16: results of tests are evidence, in each dialect.
    #[test]
    fn nested_suites_of_every_dialect_are_counted() {
        let all = read(&[
            r#"<?xml version="1.0"?><testsuites><testsuite name="a" timestamp="2026-11-23T07:00:00"><testsuite name="b">
                <testcase classname="c" name="one" time="0.5"/><testcase name="two" time="1,000.25"><failure message="m">out</failure></testcase>
                </testsuite><testcase name="three"><skipped/></testcase></testsuite></testsuites>"#,
            r#"<testsuite name="surefire" failures="0"><testcase name="f"><flakyFailure/></testcase><testcase name="r"><failure/><rerunFailure/></testcase></testsuite>"#,
            r#"<testsuites><testsuite name="gtest"><testcase name="x" status="notrun" result="suppressed"/><testcase name="y" status="run" result="completed"/><testcase name="z"><error type="E"><![CDATA[<failure/>]]></error><system-out><failure/></system-out></testcase></testsuite></testsuites>"#,
        ])
        .expect("results");
        assert_eq!(counts(&all), (3, 2, 1, 2, 1));
        assert_eq!(all.failures.list, ["two", "r", "z"]);
        assert_eq!((all.duration_s, all.at.as_deref()), (1_000.75, Some("2026-11-23T07:00:00")));
        assert!(!all.is_green());
    }

    #[test]
    fn green_needs_a_test_and_no_failure_that_is_listed_or_claimed() {
        let green = |text: &str| read(&[text]).expect("results").is_green();
        assert!(green(r#"<testsuite><testcase name="a"/></testsuite>"#));
        assert!(!green("<testsuite/>"));
        assert!(!green(r#"<testsuite><testcase name="a"><skipped/></testcase></testsuite>"#));
        assert!(
            !green(r#"<testsuite errors="1"><testcase name="a"/></testsuite>"#),
            "a suite that broke off lists no case"
        );
        assert!(!green(r#"<testsuites failures="1"><testsuite><testcase name="a"/></testsuite></testsuites>"#));
        assert!(!green(r#"<testsuite><error/><testcase name="a"/></testsuite>"#));
    }

    #[test]
    fn the_same_result_twice_counts_once() {
        let one = r#"<testsuite failures="1"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>"#;
        let all = read(&[one, one]).expect("results");
        assert_eq!((counts(&all), all.from.len()), ((1, 1, 0, 0, 0), 1));
    }

    #[test]
    fn bombs_and_broken_files_are_refused() {
        let deep = format!("<testsuite>{}{}</testsuite>", "<testsuite>".repeat(99), "</testsuite>".repeat(99));
        for bad in [
            "",
            "no xml",
            "<html/>",
            "<testsuite>",
            "<testsuite></testsuites>",
            r#"<testsuite name="a" name="b"/>"#,
            r#"<testsuite><testcase name="&unknown;"/></testsuite>"#,
            r#"<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><testsuite name="&c;"/>"#,
            r#"<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite name="&e;"/>"#,
            "<testsuite><testcase><testcase/></testcase></testsuite>",
            &deep,
        ] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        assert!(tests(&[("x".into(), vec![0xff, 0xfe])]).is_err());
    }

    #[test]
    fn names_are_bounded_and_output_is_not_kept() {
        let case = format!(
            r#"<testcase name="{}"><failure message="hunter2">hunter2</failure></testcase>"#,
            "n".repeat(5_000)
        );
        let all = read(&[&format!("<testsuite>{}</testsuite>", case.repeat(4_000))]).expect("results");
        assert_eq!((all.failed, all.failures.total, all.failures.list.len()), (4_000, 4_000, 3_000));
        assert!(all.failures.list.iter().all(|name| name.len() <= 300 && !name.contains("hunter2")));
    }
}
