//! Proof files: one entry, proved to somebody who has nothing but this file and the log's key.
//!
//! The format of C2SP tlog-proof (`.tlog-proof`): an index, an inclusion proof and the signed checkpoint it leads to. The `extra`
//! part is not covered by any signature, and nothing here relies on it. Next room: [`verify`](crate::verify).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::decimal;
use crate::hash::{self, Hash};
use crate::note::{Note, VerifierKey};
use crate::proof::{self, ProofError};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A tree of 64-bit size has at most 64 rows above its leaves; the format allows one hash fewer.
const MAX_HASHES: usize = 63;

/// The contents of a `.tlog-proof` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// Bytes for the application, which nobody has signed.
    pub extra: Option<Vec<u8>>,
    /// The place of the entry in the log, counted from 0.
    pub index: u64,
    /// The inclusion proof, the leaf's sibling first; at most 63 hashes.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, to the byte as the log served it.
    pub checkpoint: String,
}

/// Why a proof file can't be read or proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    #[error("the file does not start with `{FIRST_LINE}`: it is not a proof file, or one of a later version")]
    FirstLine,
    #[error("`{line}` is not the extra data: expected `extra` and standard base64")]
    Extra { line: String },
    #[error("`{line}` is not the index: expected `index` and a decimal number without leading zeros")]
    Index { line: String },
    #[error("`{line}` is not a hash of the proof: expected 32 bytes as standard base64")]
    Hash { line: String },
    #[error("the proof has more than `{MAX_HASHES}` hashes, more than a tree can have rows")]
    TooManyHashes,
    #[error("the file ends before its checkpoint: it was cut off")]
    CutShort,
    #[error("the checkpoint in the file is refused: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("entry `{index}` is not proved: {source}")]
    Proof { index: u64, source: ProofError },
}

impl ProofFile {
    /// Checks that `entry` stands at the file's index in the log `origin`, and returns the checkpoint that says so.
    pub fn verify(&self, entry: &[u8], known: &[VerifierKey], origin: &str) -> Result<Checkpoint, ProofFileError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, known, origin)?;
        let index = self.index;
        proof::verify_inclusion(&hash::leaf(entry), index, checkpoint.size, &self.proof, &checkpoint.root)
            .map_err(|source| ProofFileError::Proof { index, source })?;
        Ok(checkpoint)
    }
}

impl fmt::Display for ProofFile {
    /// The file, as [`ProofFile::from_str`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for ProofFile {
    type Err = ProofFileError;

    /// Reads a proof file down to the form of its checkpoint. Whether any of it is true is for [`ProofFile::verify`].
    fn from_str(file: &str) -> Result<Self, ProofFileError> {
        // No line above the checkpoint may be empty, so the first empty line is where it begins.
        let (head, checkpoint) = file.split_once("\n\n").ok_or(ProofFileError::CutShort)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(ProofFileError::FirstLine);
        }
        let mut line = lines.next().ok_or(ProofFileError::CutShort)?;
        let mut extra = None;
        if line.starts_with("extra") {
            extra = Some(parse_extra(line)?);
            line = lines.next().ok_or(ProofFileError::CutShort)?;
        }
        let index = parse_index(line)?;
        let proof = parse_hashes(lines)?;
        let note = Note::parse(checkpoint).map_err(CheckpointError::Note)?;
        Checkpoint::parse(note.text())?;
        Ok(Self { extra, index, proof, checkpoint: checkpoint.to_owned() })
    }
}

fn parse_extra(line: &str) -> Result<Vec<u8>, ProofFileError> {
    let extra = line.strip_prefix("extra ").and_then(|base64| STANDARD.decode(base64).ok());
    extra.ok_or_else(|| ProofFileError::Extra { line: line.to_owned() })
}

fn parse_index(line: &str) -> Result<u64, ProofFileError> {
    let index = line.strip_prefix("index ").and_then(decimal::parse);
    index.ok_or_else(|| ProofFileError::Index { line: line.to_owned() })
}

fn parse_hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ProofFileError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() == MAX_HASHES {
            return Err(ProofFileError::TooManyHashes);
        }
        hashes.push(line.parse().map_err(|_| ProofFileError::Hash { line: line.to_owned() })?);
    }
    Ok(hashes)
}

// Shows LC8: one entry is proved with nothing but a file and a key.
#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{leaf, node};
    use crate::note::SigningKey;

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example", [5; 32]).unwrap()
    }

    /// The second of three entries.
    fn file() -> ProofFile {
        let leaves = [leaf(b"a"), leaf(b"b"), leaf(b"c")];
        let root = node(&node(&leaves[0], &leaves[1]), &leaves[2]);
        let checkpoint = Checkpoint::new("log.example", 3, root).sign(&key()).unwrap();
        ProofFile { extra: None, index: 1, proof: vec![leaves[0], leaves[2]], checkpoint }
    }

    fn verify(file: &ProofFile, entry: &[u8]) -> Result<Checkpoint, ProofFileError> {
        file.verify(entry, &[key().verifier()], "log.example")
    }

    #[test]
    fn a_proof_file_looks_like_this() {
        let file = ProofFile { extra: Some(b"context".to_vec()), ..file() };
        expect![[r#"
            c2sp.org/tlog-proof@v1
            extra Y29udGV4dA==
            index 1
            Aippeebat6pa5MPl5F9+l3ESp+Y1k4INvsHsc4ok+Tw=
            WX/LMSgtNGVMIA00GPylcFxkjr8ybsc9jd7xGEH4dtg=

            log.example
            3
        "#]]
        .assert_eq(&file.to_string().lines().take(8).map(|line| format!("{line}\n")).collect::<String>());
        assert_eq!(file.to_string().parse(), Ok(file));
    }

    #[test]
    fn a_proof_file_proves_its_entry_and_no_other() {
        assert_eq!(verify(&file(), b"b").map(|checkpoint| checkpoint.size), Ok(3));
        assert!(matches!(
            verify(&file(), b"a"),
            Err(ProofFileError::Proof { index: 1, source: ProofError::Root { .. } })
        ));
        assert!(verify(&ProofFile { index: 0, ..file() }, b"b").is_err());
        expect![
            "entry `3` is not proved: entry `3` is not in a log of `3` entries: ask for a proof in a later checkpoint"
        ]
        .assert_eq(&verify(&ProofFile { index: 3, ..file() }, b"b").unwrap_err().to_string());
        let stranger = SigningKey::from_seed("log.example", [6; 32]).unwrap().verifier();
        assert!(matches!(file().verify(b"b", &[stranger], "log.example"), Err(ProofFileError::Checkpoint(_))));
    }

    #[test]
    fn a_flipped_bit_in_a_proof_file_is_noticed() {
        let good = file().to_string();
        let known = [key().verifier()];
        for at in 0..good.len() {
            let mut damaged = good.clone().into_bytes();
            damaged[at] ^= 1 << (at % 7);
            let verified = String::from_utf8(damaged)
                .ok()
                .and_then(|text| text.parse().ok())
                .map(|file: ProofFile| file.verify(b"b", &known, "log.example"));
            assert!(verified.is_none_or(|verdict| verdict.is_err()), "byte {at}");
        }
    }

    #[test]
    fn a_log_of_one_entry_needs_no_hashes() {
        let checkpoint = Checkpoint::new("log.example", 1, leaf(b"a")).sign(&key()).unwrap();
        let file = ProofFile { extra: Some(vec![]), index: 0, proof: vec![], checkpoint };
        let read: ProofFile = file.to_string().parse().unwrap();
        assert_eq!(read, file);
        assert!(verify(&read, b"a").is_ok());
    }

    #[test]
    fn what_is_not_a_proof_file_says_where() {
        let good = file().to_string();
        let error = |text: String| text.parse::<ProofFile>().unwrap_err().to_string();
        expect![
            "the file does not start with `c2sp.org/tlog-proof@v1`: it is not a proof file, or one of a later version"
        ]
        .assert_eq(&error(good.replace("@v1", "@v2")));
        expect!["`index 01` is not the index: expected `index` and a decimal number without leading zeros"]
            .assert_eq(&error(good.replace("index 1", "index 01")));
        expect!["`extra !` is not the extra data: expected `extra` and standard base64"]
            .assert_eq(&error(good.replace("index 1", "extra !\nindex 1")));
        expect!["`AAAA` is not a hash of the proof: expected 32 bytes as standard base64"]
            .assert_eq(&error(good.replace("index 1", "index 1\nAAAA")));
        expect!["the file ends before its checkpoint: it was cut off"]
            .assert_eq(&error("c2sp.org/tlog-proof@v1\nindex 1\n".into()));
        let hashes = format!("{}\n", leaf(b"")).repeat(64);
        assert_eq!(
            good.replace("index 1\n", &format!("index 1\n{hashes}")).parse::<ProofFile>(),
            Err(ProofFileError::TooManyHashes)
        );
        assert!(matches!(good.replace("\n3\n", "\n03\n").parse::<ProofFile>(), Err(ProofFileError::Checkpoint(_))));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_proof_file_parser_panic(
            text: String, head in "(extra [A-Za-z=]{0,9}\n)?index [0-9]{0,3}\n([A-Z]{0,3}\n){0,2}"
        ) {
            let almost = format!("{FIRST_LINE}\n{head}\nlog.example\n0\n{}\n\n— a AAAAAAA=\n", leaf(b""));
            for text in [text, almost] {
                if let Ok(file) = text.parse::<ProofFile>() {
                    prop_assert_eq!(file.to_string(), text);
                }
            }
        }
    }
}
