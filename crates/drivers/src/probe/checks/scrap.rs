//! A scrap: the little of a foreign answer that a reason may show.
//!
//! At most 80 characters on one line, without what looks like a secret. It is for a person who asks what came instead; it is never the answer itself.

/// The most characters of an answer that are shown.
const MOST: usize = 80;
/// A run of this many letters and digits, both among them, is taken for a token.
const TOKEN: usize = 16;
/// Words after which a value is a secret.
const TELLTALE: [&str; 10] =
    ["password", "passwd", "pwd", "secret", "token", "authorization", "bearer", "apikey", "api_key", "cookie"];

/// The beginning of an answer as it may be shown, in backticks; what it is where there is nothing to show.
pub(super) fn of(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".into();
    }
    // A token that the cut would shorten below what is taken for one is still whole here.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(16 * MOST)]);
    let scrubbed = scrub(&text);
    let mut shown: String = scrubbed.chars().take(MOST).collect();
    if scrubbed.chars().nth(MOST).is_some() {
        shown = format!("{}…", shown.chars().take(MOST - 1).collect::<String>());
    }
    format!("`{shown}`")
}

/// One line without backticks, control characters and what looks like a secret.
fn scrub(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() || c == '`' || c == '\u{fffd}' { ' ' } else { c }).collect();
    let mut out = String::new();
    let mut hides_next = false;
    for word in clean.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let lower = word.to_ascii_lowercase();
        let tells = TELLTALE.iter().filter_map(|telltale| lower.find(telltale).map(|at| at + telltale.len())).max();
        match tells {
            Some(end) => {
                let (name, rest) = word.split_at(end);
                let value = rest.trim_start_matches(['"', '\'', ':', '=', ' ']);
                out.push_str(name);
                out.push_str(if value.is_empty() { rest } else { "=…" });
                hides_next = value.is_empty();
            }
            None if hides_next => {
                out.push('…');
                // `Authorization: Bearer x`: the scheme is no secret, what follows it is. Both go.
                hides_next = lower == "basic" || word.ends_with([':', '=']);
            }
            None => out.push_str(&without_tokens(word)),
        }
    }
    out
}

/// A word with each long run of letters and digits replaced.
fn without_tokens(word: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/_-.~=".contains(c);
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain(['\0']) {
        if is_part(c) {
            run.push(c);
            continue;
        }
        let looks_secret = run.len() >= TOKEN
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic());
        out.push_str(if looks_secret { "…" } else { &run });
        run.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrap_is_one_short_line() {
        assert_eq!(of(b""), "nothing");
        assert_eq!(of(b"not\r\n  found\x1b[31m `x`"), "`not found [31m x`");
        let long = of("ä ".repeat(500).as_bytes());
        assert!(long.chars().count() == MOST + 2 && long.ends_with("…`"), "{long}");
        assert_eq!(of(&[0xff, 0xfe, b'a']), "`a`");
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        for (body, shown) in [
            (r#"{"token":"abc","a":1}"#, "`{\"token=…`"),
            ("password: hunter2 and more", "`password: … and more`"),
            ("Authorization: Bearer abc", "`Authorization: Bearer …`"),
            ("key sk4f9a8b7c6d5e4f3a2b ok", "`key … ok`"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.x2 y", "`… y`"),
            ("plain words stay, and 12345678901234567890 too", "`plain words stay, and 12345678901234567890 too`"),
        ] {
            assert_eq!(of(body.as_bytes()), shown);
        }
    }
}
