//! Wire: the streaming protocol on standard input and output, one JSON value a line.
//!
//! A start message begins a canary and is not answered; every other line is, at once. What can't be read is answered by a hold and counts as a look
//! that saw nothing: it must never stop the stream, and never count as evidence. The judge is in [`judge::stream`]. Next room: none.

use std::io::{self, BufRead, Write};

use judge::Profile;
use judge::stream::{Start, Stream, Tick};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most bytes of one line; a start message with a long history is the longest.
pub(crate) const LONGEST_LINE: usize = 64 << 20;
/// As much of an error as a reason bears.
const ERROR_CHARS: usize = 300;

/// How a stream is judged where its start message doesn't say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub profile: Profile,
    pub alpha: Option<f64>,
}

/// Answers every line of `input` until it ends.
///
/// # Errors
/// Input that can't be read or output that can't be written; a reader that has gone away is the end of the stream.
pub(crate) fn serve(input: &mut impl BufRead, output: &mut impl Write, terms: Terms) -> io::Result<()> {
    let mut canary = Canary { stream: None, terms };
    let mut line = Vec::new();
    loop {
        let length = read_line(input, &mut line)?;
        if length == Length::Ended {
            return Ok(());
        }
        let Some(answer) = canary.take(&line, length) else { continue };
        match write_line(output, &answer) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}

fn write_line(output: &mut impl Write, answer: &str) -> io::Result<()> {
    output.write_all(answer.as_bytes())?;
    output.write_all(b"\n")?;
    output.flush()
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Whole,
    TooLong,
    Ended,
}

/// Reads a line without its end; of one that is too long only the beginning, and skips the rest.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Length> {
    line.clear();
    let mut length = Length::Ended;
    loop {
        let bytes = match input.fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(length);
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LONGEST_LINE - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        length = if part.len() > room || length == Length::TooLong { Length::TooLong } else { Length::Whole };
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(length);
        }
    }
}

/// A line as it is meant.
enum Message {
    Start(Box<Start>),
    Tick(Box<Tick>),
}

/// Why a line is none of the protocol.
struct Broken {
    /// It was to begin another canary, so that the one before must not go on by what follows.
    begins: bool,
    why: String,
}

struct Canary {
    stream: Option<Stream>,
    terms: Terms,
}

impl Canary {
    /// The answer to a line; a start message that is understood has none.
    fn take(&mut self, line: &[u8], length: Length) -> Option<String> {
        let message = match length {
            Length::TooLong => Err(Broken {
                begins: begins(line),
                why: format!("the line has more than {LONGEST_LINE} bytes, the most that is read"),
            }),
            Length::Whole | Length::Ended => read(line),
        };
        match message {
            Ok(Message::Start(start)) => self.start(*start),
            Ok(Message::Tick(tick)) => Some(self.tick(&tick)),
            Err(broken) => Some(self.refuse(&broken)),
        }
    }

    fn start(&mut self, mut start: Start) -> Option<String> {
        start.alpha = start.alpha.or(self.terms.alpha);
        match Stream::new(&start, self.terms.profile) {
            Ok(stream) => {
                self.stream = Some(stream);
                None
            }
            Err(e) => Some(self.refuse(&Broken { begins: true, why: e.to_string() })),
        }
    }

    fn tick(&mut self, tick: &Tick) -> String {
        match &mut self.stream {
            Some(stream) => serde_json::to_string(&stream.tick(tick))
                .unwrap_or_else(|e| hold(None, "invalid_line", &e.to_string()).to_string()),
            None => hold(None, "no_start", "no canary has begun: send a message of type `start` first").to_string(),
        }
    }

    /// A canary that has begun goes on, one look poorer.
    fn refuse(&mut self, broken: &Broken) -> String {
        if broken.begins {
            self.stream = None;
        }
        let seen = self.stream.as_mut().map(|stream| stream.tick(&Tick::default()));
        let seen = seen.and_then(|reply| serde_json::to_value(reply).ok());
        hold(seen, "invalid_line", &broken.why).to_string()
    }
}

/// A hold with its own reason before those of the judge, if it has begun.
fn hold(seen: Option<Value>, code: &str, why: &str) -> Value {
    let text: String = why.chars().filter(|c| !c.is_control()).take(ERROR_CHARS).collect();
    let mut answer =
        seen.unwrap_or_else(|| json!({"t": 0, "confidence": 0.0, "score": 50.0, "reasons": [], "metrics": []}));
    answer["decision"] = json!("HOLD");
    answer["verdict"] = json!("insufficient");
    answer["confidence"] = json!(0.0);
    if let Some(reasons) = answer["reasons"].as_array_mut() {
        reasons.insert(0, json!({"code": code, "sli": null, "text": text}));
    }
    answer
}

/// Whether what can't be read was to begin a canary.
fn begins(line: &[u8]) -> bool {
    let head = &line[..line.len().min(4_096)];
    head.windows(b"\"start\"".len()).any(|part| part == b"\"start\"")
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

fn read(line: &[u8]) -> Result<Message, Broken> {
    parse(line).or_else(|broken| match without_tokens(line) {
        Some(plain) => parse(&plain),
        None => Err(broken),
    })
}

fn parse(line: &[u8]) -> Result<Message, Broken> {
    let broken =
        |e: serde_json::Error| Broken { begins: begins(line), why: format!("this is no line of the protocol: {e}") };
    let typed: Typed<'_> = serde_json::from_slice(line).map_err(broken)?;
    match &*typed.kind {
        "start" => serde_json::from_slice(line).map(Message::Start).map_err(broken),
        "tick" => serde_json::from_slice(line).map(Message::Tick).map_err(broken),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(Broken { begins: false, why: format!("`{other}` is no type of message: it is `start` or `tick`") })
        }
    }
}

const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The same line with `null` for the numbers that some writers put as `NaN` or `Infinity`: a value that is none is missing. Nothing where there are none.
fn without_tokens(line: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(line.len());
    let (mut at, mut quoted, mut found) = (0, false, false);
    while let Some(byte) = line.get(at) {
        let token = TOKENS.iter().find(|token| !quoted && line[at..].starts_with(token));
        if let Some(token) = token {
            plain.extend_from_slice(b"null");
            at += token.len();
            found = true;
            continue;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                plain.push(*byte);
                at += 1;
            }
            _ => {}
        }
        plain.extend(line.get(at));
        at += 1;
    }
    found.then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"type":"start","tick_s":10,"horizon_ticks":6,"metrics":["err"]}"#;
    const TICK: &str = r#"{"type":"tick","t":0,"baseline":{"n":1000,"x":1},"canary":{"n":100,"x":0}}"#;

    fn answers(input: &[u8]) -> Vec<Value> {
        let mut output = Vec::new();
        serve(&mut &*input, &mut output, Terms::default()).expect("it is served");
        let text = String::from_utf8(output).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn codes(answer: &Value) -> Vec<&str> {
        answer["reasons"].as_array().expect("reasons").iter().filter_map(|r| r["code"].as_str()).collect()
    }

    #[test]
    fn a_value_that_is_no_number_is_missing_and_the_line_is_not_broken() {
        for token in ["NaN", "Infinity", "-Infinity", "null"] {
            let tick = TICK.replace("\"x\":0", &format!("\"x\":{token}"));
            let answered = answers(format!("{START}\n{tick}\n").as_bytes());
            assert_eq!(answered[0]["decision"], "HOLD");
            assert!(!codes(&answered[0]).contains(&"invalid_line"), "{answered:?}");
            assert_eq!(answered[0]["metrics"][0]["effect"], Value::Null, "{answered:?}");
        }
        assert_eq!(without_tokens(br#"{"a":"NaN \" NaN"}"#), None, "what is quoted is text");
        assert_eq!(without_tokens(br#"["\\",NaN]"#).as_deref(), Some(&br#"["\\",null]"#[..]));
    }

    #[test]
    fn a_line_that_is_too_long_is_answered_by_a_hold_and_the_next_is_read() {
        let mut input = format!("{START}\n").into_bytes();
        input.resize(input.len() + LONGEST_LINE + 10, b'x');
        input.extend_from_slice(format!("\n{TICK}").as_bytes());
        let answered = answers(&input);
        assert_eq!(answered.len(), 2);
        assert_eq!((codes(&answered[0])[0], answered[0]["t"].as_u64()), ("invalid_line", Some(0)));
        assert_eq!(answered[1]["t"], 1, "a look that could not be read is a look");
    }

    #[test]
    fn a_start_that_cannot_be_read_ends_the_canary_before() {
        let broken = START.replace("10", "-1");
        let answered = answers(format!("{START}\n{TICK}\n{broken}\n{TICK}\n{START}\n{TICK}").as_bytes());
        let decided: Vec<&str> = answered.iter().map(|a| codes(a)[0]).collect();
        assert_eq!((decided[1], decided[2]), ("invalid_line", "no_start"));
        assert_eq!((answered.len(), &answered[3]["t"]), (4, &json!(0)), "begun anew");
    }
}
