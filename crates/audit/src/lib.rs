//! The audit log as bytes: entries, their Merkle tree, and everything that proves something about them.
//!
//! Pure: bytes in, bytes out. It never reads a file, a clock or a random number, and it never learns what a change is; callers
//! read tiles for it, and fold the entries that it hands them. The formats are the open ones of C2SP (tlog-tiles,
//! tlog-checkpoint, signed-note, tlog-proof) over RFC 6962 trees, so that tools of others check what we wrote.
//!
//! The modules stand in reading order: what is hashed, what an entry is, where hashes are kept, how the tree grows, what can be
//! proved, who signs, and how a stranger checks a whole log. Start with [`hash`].

mod decimal;

pub mod hash;

pub mod entry;

pub mod tile;

pub mod tree;

pub mod proof;

pub mod note;

pub mod checkpoint;

pub mod proof_file;

pub mod verify;

pub mod sshsig;

pub use checkpoint::Checkpoint;
pub use entry::Envelope;
pub use hash::Hash;
pub use note::{Note, SigningKey, VerifierKey};
pub use proof_file::ProofFile;
pub use tile::{EntriesId, TileId};
pub use tree::Edge;
