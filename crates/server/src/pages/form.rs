//! Forms: fields that keep what was typed, and say beside each what is wrong with it.
//!
//! Without a script a form that is refused comes back whole: the page as it is now, the form open, the fault beside its field. Reads what people type
//! (a name, a text, an end) and knows no rule of a change: whether it may happen is asked of the core by [`routes`](super::routes).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use change::{Span, Timestamp, time};
use maud::{Markup, html};

use super::svg;
use super::words::prose;
use crate::problem::Problem;

/// As long as an entry of the log holds with ease.
pub(crate) const LONGEST: usize = 4_000;
/// As long as a name or a time ever is.
pub(crate) const LONGEST_LINE: usize = 400;

/// Everything that a form sent, by the name of its field.
pub(crate) type Typed = BTreeMap<String, String>;

/// A form that was sent and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    /// The form, by its id on the page.
    pub form: String,
    pub typed: Typed,
    pub fault: Fault,
}

/// What is wrong with what a form sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The field that it is about; the form as a whole, if absent.
    pub field: Option<&'static str>,
    pub status: StatusCode,
    pub why: String,
    pub help: Option<String>,
}

impl Fault {
    pub(crate) fn of(field: &'static str, why: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { field: Some(field), status, why: why.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same where there is no form to say it in.
    pub(crate) fn problem(&self) -> Problem {
        Problem { help: self.help.clone(), ..Problem::new(self.status, "refused", self.why.clone()) }
    }

    /// A refusal, beside the field that its code is about.
    pub(crate) fn said(problem: &Problem, fields: &[(&str, &'static str)]) -> Self {
        let field = fields.iter().find(|(code, _)| *code == problem.code).map(|(_, field)| *field);
        Self { field, status: problem.status, why: problem.detail.clone(), help: problem.help.clone() }
    }
}

/// A text of one line that was typed; nothing where it is blank.
///
/// # Errors
/// If it is too long, or holds what no keyboard types.
pub(crate) fn line(typed: &Typed, field: &'static str) -> Result<Option<String>, Fault> {
    let text = typed.get(field).map(|text| text.trim()).unwrap_or_default();
    at_most(field, text, LONGEST_LINE)?;
    if text.chars().any(char::is_control) {
        return Err(Fault::of(field, "this holds a control character, which is in no name and no time"));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// A text of several lines that was typed, such as a reason.
///
/// # Errors
/// If there is none, if it is too long, or if it holds what no keyboard types.
pub(crate) fn words(typed: &Typed, field: &'static str) -> Result<String, Fault> {
    let text = typed.get(field).map(|text| text.replace("\r\n", "\n")).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::of(field, "a reason is needed").help("it stands in the log, for those who ask later"));
    }
    at_most(field, text, LONGEST)?;
    if text.chars().any(|letter| letter.is_control() && !['\n', '\t'].contains(&letter)) {
        return Err(Fault::of(field, "this holds a control character").help("type it, or paste it as plain text"));
    }
    Ok(text.to_owned())
}

fn at_most(field: &'static str, text: &str, most: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    if length > most {
        return Err(Fault::of(field, format!("this has {length} characters, and at most {most} are taken")));
    }
    Ok(())
}

/// The end that was typed: how long from now, or a time with its zone.
///
/// # Errors
/// If there is none, or it can't be read. Whether it may be that late is the core's to say.
pub(crate) fn end(typed: &Typed, field: &'static str, what: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let Some(text) = line(typed, field)? else {
        return Err(Fault::of(field, format!("{what} has an end: say until when"))
            .help("what has no end stands in the way when nobody remembers why"));
    };
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        let lasts: Span = text.parse().map_err(|why: String| Fault::of(field, why))?;
        return Ok(time::after(time::to_millis(now), lasts));
    }
    time::parse_instant(&text).map_err(|why| Fault::of(field, why))
}

/// The names that were typed into one field, with commas or blanks between them.
pub(crate) fn names(line: Option<&str>) -> Vec<String> {
    let each = line.unwrap_or_default().split([',', ' ', ';']).map(str::trim);
    each.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The fields of one form of a page, with what was typed into it if it was not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    form: &'a str,
    tried: Option<&'a Tried>,
}

/// One field of a single line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line<'a> {
    pub name: &'a str,
    pub label: &'a str,
    pub hint: &'a str,
    pub is_required: bool,
    /// The id of a list of what could be meant.
    pub list: Option<&'a str>,
    /// What stands in it before anything is typed.
    pub value: &'a str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(form: &'a str, tried: Option<&'a Tried>) -> Self {
        Self { form, tried: tried.filter(|tried| tried.form == form) }
    }

    /// Whether this form was sent and not taken.
    pub(crate) fn is_tried(&self) -> bool {
        self.tried.is_some()
    }

    pub(crate) fn typed(&self, name: &str) -> Option<&'a str> {
        self.tried.and_then(|tried| tried.typed.get(name)).map(String::as_str)
    }

    fn fault(&self, name: Option<&str>) -> Option<&'a Fault> {
        self.tried.map(|tried| &tried.fault).filter(|fault| fault.field == name)
    }

    /// What is wrong with the form as a whole. The page comes back where the fault is, not at its top.
    pub(crate) fn whole(&self) -> Markup {
        html! { @if let Some(fault) = self.fault(None) { div.failed role="alert" tabindex="-1" autofocus { (said(fault)) } } }
    }

    fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.form)
    }

    /// The ids of what is said of a field, for those who hear the page.
    fn described(&self, name: &str, hint: &str) -> Option<String> {
        let (id, has_fault) = (self.id(name), self.fault(Some(name)).is_some());
        let fault = has_fault.then(|| format!("{id}-fault"));
        let hint = (!hint.is_empty()).then(|| format!("{id}-hint"));
        let all: Vec<String> = fault.into_iter().chain(hint).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    fn beside(&self, name: &str, hint: &str) -> Markup {
        html! {
            @if let Some(fault) = self.fault(Some(name)) {
                div.fault id={ (self.id(name)) "-fault" } role="alert" { (said(fault)) }
            }
            @if !hint.is_empty() { p.muted.hint id={ (self.id(name)) "-hint" } { (prose(hint)) } }
        }
    }

    pub(crate) fn line(&self, line: &Line<'_>) -> Markup {
        let Line { name, label, hint, is_required, list, value } = *line;
        let id = self.id(name);
        let value = self.typed(name).unwrap_or(value);
        html! {
            div.field {
                label for=(id) { (label) @if !is_required { span.muted { " (optional)" } } }
                input id=(id) name=(name) value=(value) maxlength=(LONGEST_LINE) required[is_required] list=[list] autocomplete="off" spellcheck="false"
                    autofocus[self.fault(Some(name)).is_some()] aria-invalid=[self.fault(Some(name)).map(|_| "true")] aria-describedby=[self.described(name, hint)];
                (self.beside(name, hint))
            }
        }
    }

    /// The end of something, which it must have.
    pub(crate) fn end(&self, most: &str) -> Markup {
        let hint = format!("`2h`, or a time with its zone: `2026-12-01T18:00 Europe/Berlin`; {most}");
        self.line(&Line { name: "until", label: "Until", hint: &hint, is_required: true, ..Line::default() })
    }

    pub(crate) fn words(&self, name: &str, label: &str, is_required: bool) -> Markup {
        let id = self.id(name);
        html! {
            div.field {
                label for=(id) { (label) @if !is_required { span.muted { " (optional)" } } }
                textarea id=(id) name=(name) rows="2" maxlength=(LONGEST) required[is_required]
                    autofocus[self.fault(Some(name)).is_some()] aria-invalid=[self.fault(Some(name)).map(|_| "true")] aria-describedby=[self.described(name, "")] { (self.typed(name).unwrap_or_default()) }
                (self.beside(name, ""))
            }
        }
    }

    /// One of a few, the first one if nobody chose.
    pub(crate) fn one_of(&self, name: &str, legend: &str, choices: &[(&str, &str)]) -> Markup {
        let chosen = self.typed(name).or(choices.first().map(|(value, _)| *value));
        html! {
            fieldset {
                legend { (legend) }
                @for (value, label) in choices {
                    label { input type="radio" name=(name) value=(value) checked[chosen == Some(*value)]; " " (label) }
                }
            }
        }
    }

    pub(crate) fn tick(&self, name: &str, label: &str) -> Markup {
        let id = self.id(name);
        html! {
            p.tick { input type="checkbox" id=(id) name=(name) value="yes" checked[self.typed(name).is_some()]; " " label for=(id) { (label) } }
        }
    }
}

fn said(fault: &Fault) -> Markup {
    html! {
        p { (svg::mark(svg::Mark::Alarm)) " " (prose(&fault.why)) }
        @if let Some(help) = &fault.help { p.muted { (prose(help)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn typed(field: &str, text: &str) -> Typed {
        [(field.to_owned(), text.to_owned())].into()
    }

    fn why<T>(read: Result<T, Fault>) -> String {
        read.err().map(|fault| format!("{}: {}", fault.field.unwrap_or("the form"), fault.why)).unwrap_or_default()
    }

    // A4: what has no end is refused, and no end is guessed.
    #[test]
    fn an_end_is_how_long_or_a_time_with_its_zone_and_nothing_else() {
        let read = |text: &str| end(&typed("until", text), "until", "a hold", sample::start());
        assert_eq!(read("2h").map(|at| at.to_string()), Ok("2026-09-01T11:00:00Z".into()));
        assert_eq!(
            read(" 2026-12-01T18:00 Europe/Berlin ").map(|at| at.to_string()),
            Ok("2026-12-01T17:00:00Z".into())
        );
        assert_eq!(
            read("2026-12-01T18:00 America/Los_Angeles").map(|at| at.to_string()),
            Ok("2026-12-02T02:00:00Z".into())
        );
        assert_eq!(read("2026-12-01T18:00:00Z").map(|at| at.to_string()), Ok("2026-12-01T18:00:00Z".into()));
        for (text, said) in [
            ("", "until: a hold has an end: say until when"),
            ("   ", "until: a hold has an end: say until when"),
            ("2026-12-01T18:00", "has no time zone"),
            ("2026-12-01T18:00 Mars/Olympus", "until: "),
            ("2026-02-30T18:00 Europe/Berlin", "is not a time with its zone"),
            ("tomorrow", "is not a time with its zone"),
            ("9999999999999999w", "until: "),
            ("2x", "is not a length of time"),
            ("2026-12-01T18:00 Europe/Berlin\u{0}", "control character"),
        ] {
            let found = why(read(text));
            assert!(found.contains(said) && !found.is_empty(), "{text}: {found}");
        }
        assert!(why(read(&"9".repeat(500))).contains("at most 400 are taken"));
    }

    #[test]
    fn a_text_is_neither_empty_nor_endless_nor_full_of_control_characters() {
        let read = |text: &str| words(&typed("reason", text), "reason");
        assert_eq!(read("  two\r\nlines\t"), Ok("two\nlines".into()));
        assert!(why(read(" \n ")).contains("a reason is needed") && why(read("a\u{7}")).contains("control character"));
        assert!(why(read("\u{1b}[2J")).contains("control character"));
        assert!(read(&"ä".repeat(LONGEST)).is_ok() && why(read(&"ä".repeat(LONGEST + 1))).contains("4001 characters"));
        assert_eq!(names(Some("shop, till;mail  web")), ["shop", "till", "mail", "web"]);
    }

    #[test]
    fn a_fault_stands_beside_its_field_and_what_was_typed_stays_text() {
        let tried = Tried {
            form: "hold".into(),
            typed: typed("until", "\"><script>alert(1)</script>"),
            fault: Fault::of("until", "`<b>` is no time"),
        };
        let fields = Fields::of("hold", Some(&tried));
        let text = fields.end("at most 7d").into_string();
        for wanted in [
            "value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\"",
            "autofocus aria-invalid=\"true\"",
            "aria-describedby=\"hold-until-fault hold-until-hint\"",
            "id=\"hold-until-fault\" role=\"alert\"",
            "<code>&lt;b&gt;</code> is no time",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(fields.whole().into_string().is_empty(), "it is said once");
        assert_eq!(fields.words("reason", "Reason", true).into_string().matches("autofocus").count(), 0);
        let tried_whole = Tried { fault: Fault { field: None, ..tried.fault.clone() }, ..tried.clone() };
        let whole = Fields::of("hold", Some(&tried_whole)).whole().into_string();
        assert!(whole.contains("role=\"alert\" tabindex=\"-1\" autofocus"), "{whole}");
        let other = Fields::of("lift", Some(&tried));
        assert!(!other.end("").into_string().contains("script"), "another form has nothing to do with it");
    }
}
