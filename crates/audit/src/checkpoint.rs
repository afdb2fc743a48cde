//! Checkpoints: how long is the log, what is its root, and does the log itself say so?
//!
//! The format of C2SP tlog-checkpoint: origin, size and root as a signed note. It signs what it is given: that a log never signs
//! two roots for one size is kept by whoever holds the key. Next room: [`proof_file`](crate::proof_file).

use std::fmt;

use crate::decimal;
use crate::hash::Hash;
use crate::note::{Note, NoteError, SigningKey, VerifierKey, list};

/// What a log says of itself at one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, and the name of the key that signs for it: a URL without its scheme, such as `log.example/prod`.
    pub origin: String,
    /// How many entries the tree has.
    pub size: u64,
    /// The root of that tree.
    pub root: Hash,
    /// Further lines, none of them empty. We write none and keep those of others, since they are signed too.
    pub extensions: Vec<String>,
}

/// Why a checkpoint can't be written or is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("a checkpoint has lines for origin, size and root, and ends with a newline")]
    Lines,
    #[error("`{line}` is not an origin: expected at least one character and no line break")]
    Origin { line: String },
    #[error("`{line}` is not a size: expected a decimal number without sign or leading zeros")]
    Size { line: String },
    #[error("`{line}` is not a root hash: expected 32 bytes as standard base64")]
    Root { line: String },
    #[error("an extension line of the checkpoint is empty or breaks the line")]
    Extension,
    #[error("the checkpoint is for the log `{found}`, not for `{expected}`")]
    OtherLog { expected: String, found: String },
    #[error("the key `{key}` can't sign for the log `{origin}`: a log's key has the log's name")]
    OtherKey { key: String, origin: String },
    #[error("the checkpoint is signed by {}, but not by the log `{origin}` itself: give the log's verifier key", list(.signed_by))]
    NotByLog { origin: String, signed_by: Vec<String> },
    #[error("the checkpoint's note is refused: {0}")]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    #[must_use]
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a checkpoint, without signatures.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: decimal::parse(size).ok_or_else(|| CheckpointError::Size { line: size.to_owned() })?,
            root: root.parse().map_err(|_| CheckpointError::Root { line: root.to_owned() })?,
            extensions: lines.map(str::to_owned).collect(),
        };
        checkpoint.check_lines()?;
        Ok(checkpoint)
    }

    /// The checkpoint as a note signed by the log. The key's name must be the origin.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        self.check_lines()?;
        if key.name() != self.origin {
            return Err(CheckpointError::OtherKey { key: key.name().to_owned(), origin: self.origin.clone() });
        }
        Ok(key.sign(&self.to_string())?.to_string())
    }

    /// Reads a signed checkpoint of the log `origin`.
    ///
    /// A key of the log itself must have signed: a witness alone does not speak for it. Signatures by unknown keys are ignored; a
    /// wrong one by a known key rejects the checkpoint.
    pub fn open(note: &str, known: &[VerifierKey], origin: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let signers = note.verify(known)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherLog { expected: origin.to_owned(), found: checkpoint.origin });
        }
        if signers.iter().all(|key| key.name() != origin) {
            let signed_by = signers.iter().map(|key| key.name().to_owned()).collect();
            return Err(CheckpointError::NotByLog { origin: origin.to_owned(), signed_by });
        }
        Ok(checkpoint)
    }

    fn check_lines(&self) -> Result<(), CheckpointError> {
        if !is_line(&self.origin) {
            return Err(CheckpointError::Origin { line: self.origin.clone() });
        }
        if self.extensions.iter().all(|line| is_line(line)) { Ok(()) } else { Err(CheckpointError::Extension) }
    }
}

fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.contains('\n')
}

impl fmt::Display for Checkpoint {
    /// The text that is signed: a line each, the last one ended too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

// Shows LC8: what the log signed can be read in one way only.
#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{empty_root, leaf};

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name, [name.len() as u8; 32]).unwrap()
    }

    #[test]
    fn a_checkpoint_is_three_lines_and_a_signature() {
        let checkpoint = Checkpoint::new("log.example/prod", 0, empty_root());
        let signed = checkpoint.sign(&key("log.example/prod")).unwrap();
        let (text, signature) = signed.split_once("\n\n").unwrap();
        assert_eq!(text, "log.example/prod\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert!(signature.starts_with("— log.example/prod ") && signature.lines().count() == 1);
        assert_eq!(
            Checkpoint::open(&signed, &[key("log.example/prod").verifier()], "log.example/prod"),
            Ok(checkpoint)
        );
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!((checkpoint.size, checkpoint.to_string().as_str()), (20_852_163, text));
    }

    #[test]
    fn extension_lines_of_others_are_kept() {
        let text = format!("a\n1\n{}\nfirst\nsecond\n", leaf(b""));
        let checkpoint = Checkpoint::parse(&text).unwrap();
        assert_eq!(checkpoint.extensions, ["first", "second"]);
        assert_eq!(checkpoint.to_string(), text);
        let signed = checkpoint.sign(&key("a")).unwrap();
        assert_eq!(Checkpoint::open(&signed, &[key("a").verifier()], "a"), Ok(checkpoint));
    }

    #[test]
    fn any_other_text_is_refused() {
        let root = leaf(b"").to_base64();
        let line = |text: &str| text.to_owned();
        let cases = [
            (String::new(), CheckpointError::Lines),
            (line("a\n1\n"), CheckpointError::Lines),
            (format!("a\n1\n{root}"), CheckpointError::Lines),
            (format!("\n1\n{root}\n"), CheckpointError::Origin { line: line("") }),
            (format!("a\n01\n{root}\n"), CheckpointError::Size { line: line("01") }),
            (format!("a\n+1\n{root}\n"), CheckpointError::Size { line: line("+1") }),
            (format!("a\n1 \n{root}\n"), CheckpointError::Size { line: line("1 ") }),
            (
                format!("a\n18446744073709551616\n{root}\n"),
                CheckpointError::Size { line: line("18446744073709551616") },
            ),
            (line("a\n1\nAAAA\n"), CheckpointError::Root { line: line("AAAA") }),
            (format!("a\n1\n{root}\n\n"), CheckpointError::Extension),
            (format!("a\n1\n{root}\nx\n\ny\n"), CheckpointError::Extension),
        ];
        for (text, error) in cases {
            assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn only_the_log_itself_speaks_for_the_log() {
        let checkpoint = Checkpoint::new("log.example", 1, leaf(b""));
        let (log, witness) = (key("log.example"), key("witness.example"));
        expect!["the key `witness.example` can't sign for the log `log.example`: a log's key has the log's name"]
            .assert_eq(&checkpoint.sign(&witness).unwrap_err().to_string());

        let known = [log.verifier(), witness.verifier()];
        let witnessed = witness.sign(&checkpoint.to_string()).unwrap();
        expect!["the checkpoint is signed by `witness.example`, but not by the log `log.example` itself: give the log's verifier key"]
            .assert_eq(&Checkpoint::open(&witnessed.to_string(), &known, "log.example").unwrap_err().to_string());
        let both = log.sign(&checkpoint.to_string()).unwrap().with_signatures(witnessed.signatures().to_vec());
        assert_eq!(Checkpoint::open(&both.to_string(), &known, "log.example"), Ok(checkpoint.clone()));

        let signed = checkpoint.sign(&log).unwrap();
        expect!["the checkpoint is for the log `log.example`, not for `other.example`"]
            .assert_eq(&Checkpoint::open(&signed, &known, "other.example").unwrap_err().to_string());
        expect!["the checkpoint's note is refused: none of the known keys signed the note; it has signatures by `log.example`"]
            .assert_eq(&Checkpoint::open(&signed, &known[1..], "log.example").unwrap_err().to_string());
    }

    #[test]
    fn a_checkpoint_that_would_read_differently_is_not_signed() {
        let with = |origin: &str, extension: &str| {
            let extensions = vec![extension.to_owned()];
            Checkpoint { extensions, ..Checkpoint::new(origin, 1, leaf(b"")) }.sign(&key("a"))
        };
        assert_eq!(with("a\n1", "x"), Err(CheckpointError::Origin { line: "a\n1".into() }));
        assert_eq!(with("a", ""), Err(CheckpointError::Extension));
        assert_eq!(with("a", "x\ny"), Err(CheckpointError::Extension));
        assert_eq!(with("a", "x\ty"), Err(CheckpointError::Note(NoteError::Text)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_text_makes_the_checkpoint_parser_panic(text: String, size in "[0-9 +-]{0,21}", rest in "(x\n){0,3}.{0,3}\n?") {
            let known = [key("a").verifier()];
            let almost = format!("a\n{size}\n{}\n{rest}", leaf(b""));
            for text in [text, almost] {
                if let Ok(checkpoint) = Checkpoint::parse(&text) {
                    prop_assert_eq!(checkpoint.to_string(), text.clone());
                }
                prop_assert!(Checkpoint::open(&text, &known, "a").is_err());
            }
        }
    }
}
