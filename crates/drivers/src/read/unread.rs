//! Why a source of facts could not be read: what is wrong with it, in the words of whoever has the file, and what to do.

use std::fmt;

/// A source that was not read. Half of it is none: a reader gives all of its facts or this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file, folder or range.
    pub name: String,
    pub message: String,
    pub help: Option<String>,
}

impl Unread {
    pub(crate) fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: change::facts::material::shortened(name), message: message.into(), help: None }
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.message)
    }
}

impl std::error::Error for Unread {}

/// The largest file of facts that is read, in bytes: a plan of ten thousand resources stays below it.
pub const MOST_FILE_BYTES: usize = 32 << 20;

/// The text of a file, if it is text and not too large.
pub(crate) fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Unread> {
    if bytes.len() > MOST_FILE_BYTES {
        return Err(Unread::new(
            name,
            format!("it has {} bytes; the most that is read is {MOST_FILE_BYTES}", bytes.len()),
        ));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| Unread::new(name, "it is not UTF-8 text").help("save it as UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
