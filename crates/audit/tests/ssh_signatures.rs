//! SSH signatures as the real `ssh-keygen` makes them, and as somebody hostile would.
//!
//! Hardware keys can't be had here: theirs are put together by hand, from the formats that OpenSSH documents, with keys in software.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the real ssh-keygen is run, on files in a scratch folder"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use audit::sshsig::{self, KeyError, MOST_BYTES, PublicKey, SshsigError, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use p256::ecdsa::Signature as EcSignature;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};

const NAMESPACE: &str = "clearway-approval@v1";
const MESSAGE: &[u8] = b"decision: approve\nchange: CHG-7\n";

fn keygen(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    let done = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("ssh-keygen runs");
    assert!(done.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A key made by ssh-keygen, its public line, and its signature of the message.
fn signed(folder: &Path, kind: &[&str], namespace: &str) -> (PathBuf, String, String) {
    let name = format!("key-{}", kind.join("-"));
    let file = folder.join(&name);
    if !file.exists() {
        keygen(folder, &[&["-q", "-N", "", "-C", "ada", "-f", &name, "-t"], kind].concat());
    }
    std::fs::write(folder.join("message"), MESSAGE).expect("a message");
    let _ = std::fs::remove_file(folder.join("message.sig"));
    keygen(folder, &["-q", "-Y", "sign", "-f", &name, "-n", namespace, "message"]);
    let line = std::fs::read_to_string(folder.join(format!("{name}.pub"))).expect("a public key");
    (file, line, std::fs::read_to_string(folder.join("message.sig")).expect("a signature"))
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

// F2: a signature holds for the very bytes that were signed, with every kind of key that is accepted.
#[test]
fn what_ssh_keygen_signs_is_verified_for_each_kind_of_key() {
    let scratch = scratch();
    let kinds: [&[&str]; 5] =
        [&["ed25519"], &["ecdsa", "-b", "256"], &["rsa", "-b", "2048"], &["rsa", "-b", "3072"], &["rsa", "-b", "2088"]];
    for kind in kinds {
        let (_, line, armored) = signed(scratch.path(), kind, NAMESPACE);
        let key = verify(&armored, NAMESPACE, MESSAGE).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
        assert_eq!(Ok(&key), PublicKey::from_line(&line).as_ref(), "{kind:?}");
        assert!(line.starts_with(&key.to_string()), "{kind:?} is written as it was read");
        assert_eq!(verify(&armored, NAMESPACE, b"another text"), Err(SshsigError::Mismatch), "{kind:?}");
        assert_eq!(verify(&armored.replace('\n', "\r\n"), NAMESPACE, MESSAGE), Ok(key), "{kind:?} from a mail");
    }
}

#[test]
fn a_fingerprint_is_the_one_that_ssh_keygen_shows() {
    let scratch = scratch();
    let (file, line, _) = signed(scratch.path(), &["ed25519"], NAMESPACE);
    let shown = Command::new("ssh-keygen").arg("-lf").arg(file).output().expect("ssh-keygen runs");
    let fingerprint = PublicKey::from_line(&line).expect("a key").fingerprint();
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&fingerprint), "{fingerprint}");
}

#[test]
fn kinds_of_keys_that_are_not_accepted_are_named() {
    let scratch = scratch();
    let kinds: [(&[&str], &str); 3] = [
        (&["ecdsa", "-b", "384"], "keys of the kind `ecdsa-sha2-nistp384` are not accepted; use one of ssh-ed25519, "),
        (&["ecdsa", "-b", "521"], "keys of the kind `ecdsa-sha2-nistp521` are not accepted; use one of ssh-ed25519, "),
        (&["rsa", "-b", "1024"], "the RSA key has `1024` bits; from 2048 to 8192 are accepted"),
    ];
    for (kind, wanted) in kinds {
        let (_, line, armored) = signed(scratch.path(), kind, NAMESPACE);
        let refused = verify(&armored, NAMESPACE, MESSAGE).expect_err("it is not accepted");
        assert!(refused.to_string().starts_with(wanted), "{refused}");
        assert_eq!(SshsigError::Key(PublicKey::from_line(&line).expect_err("nor is the key")), refused);
    }
}

#[test]
fn a_signature_for_another_purpose_is_refused() {
    let scratch = scratch();
    let (_, _, armored) = signed(scratch.path(), &["ed25519"], "git");
    let refused = verify(&armored, NAMESPACE, MESSAGE).expect_err("it was made for git");
    assert_eq!(
        refused.to_string(),
        "the signature was made for the namespace `git`, not for `clearway-approval@v1`: sign again with `-n clearway-approval@v1`"
    );
}

#[test]
fn a_hash_other_than_the_two_known_is_refused_and_both_of_them_hold() {
    let scratch = scratch();
    let (file, _, _) = signed(scratch.path(), &["ed25519"], NAMESPACE);
    let name = file.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
    for hash in ["sha256", "sha512"] {
        std::fs::remove_file(scratch.path().join("message.sig")).expect("a signature before");
        let option = format!("hashalg={hash}");
        keygen(scratch.path(), &["-q", "-Y", "sign", "-O", &option, "-f", &name, "-n", NAMESPACE, "message"]);
        let armored = std::fs::read_to_string(scratch.path().join("message.sig")).expect("a signature");
        assert!(verify(&armored, NAMESPACE, MESSAGE).is_ok(), "{hash}");
    }
    let other = armor(&blob(&ed25519_line(&software_key()), NAMESPACE, b"md5", b""));
    assert_eq!(verify(&other, NAMESPACE, MESSAGE), Err(SshsigError::Hash { found: "md5".into() }));
}

fn put(bytes: &mut Vec<u8>, string: &[u8]) {
    bytes.extend(u32::try_from(string.len()).expect("short").to_be_bytes());
    bytes.extend(string);
}

fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![];
    parts.iter().for_each(|part| put(&mut bytes, part));
    bytes
}

fn blob(key: &[u8], namespace: &str, hash: &[u8], signature: &[u8]) -> Vec<u8> {
    let rest = strings(&[key, namespace.as_bytes(), b"", hash, signature]);
    [&b"SSHSIG"[..], &1_u32.to_be_bytes(), &rest].concat()
}

fn armor(blob: &[u8]) -> String {
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", STANDARD.encode(blob))
}

fn software_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn ed25519_line(key: &SigningKey) -> Vec<u8> {
    strings(&[b"ssh-ed25519", key.verifying_key().as_bytes()])
}

fn to_sign() -> Vec<u8> {
    let rest = strings(&[NAMESPACE.as_bytes(), b"", b"sha512", &Sha512::digest(MESSAGE)]);
    [&b"SSHSIG"[..], &rest].concat()
}

/// What a hardware key signs, and what stands behind its signature.
fn by_hardware(flags: u8) -> (Vec<u8>, Vec<u8>) {
    let tail = [&[flags][..], &41_u32.to_be_bytes()].concat();
    let signed = [&Sha256::digest(b"ssh:")[..], &tail, &Sha256::digest(to_sign())].concat();
    (signed, tail)
}

#[test]
fn hardware_keys_are_verified_with_their_flags_and_have_to_be_touched() {
    let key = software_key();
    let line = strings(&[b"sk-ssh-ed25519@openssh.com", key.verifying_key().as_bytes(), b"ssh:"]);
    let with = |flags: u8, claimed: u8| {
        let (signed, _) = by_hardware(flags);
        let (_, tail) = by_hardware(claimed);
        let value = strings(&[b"sk-ssh-ed25519@openssh.com", &key.sign(&signed).to_bytes()]);
        verify(&armor(&blob(&line, NAMESPACE, b"sha512", &[value, tail].concat())), NAMESPACE, MESSAGE)
    };
    assert!(with(1, 1).is_ok_and(|key| key.kind() == "sk-ssh-ed25519@openssh.com"));
    assert!(with(5, 5).is_ok(), "with a PIN too");
    assert_eq!(with(0, 0), Err(SshsigError::Untouched));
    assert_eq!(with(0, 1), Err(SshsigError::Mismatch), "the flags are signed");
    assert_eq!(with(4, 4), Err(SshsigError::Untouched));
}

#[test]
fn hardware_keys_on_the_other_curve_are_verified_too() {
    let secret = p256::ecdsa::SigningKey::from_slice(&[9; 32]).expect("a scalar");
    let point = secret.verifying_key().to_sec1_point(false);
    let line = strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", point.as_bytes(), b"ssh:"]);
    let (signed, tail) = by_hardware(1);
    let signature: EcSignature = secret.sign(&signed);
    let (r, s) = signature.split_bytes();
    let natural = |scalar: &[u8]| {
        let start = scalar.iter().position(|byte| *byte != 0).expect("not zero");
        let sign: &[u8] = if scalar[start] & 0x80 == 0 { &[] } else { &[0] };
        [sign, &scalar[start..]].concat()
    };
    let value = strings(&[b"sk-ecdsa-sha2-nistp256@openssh.com", &strings(&[&natural(&r), &natural(&s)])]);
    let armored = armor(&blob(&line, NAMESPACE, b"sha512", &[value, tail].concat()));
    assert!(verify(&armored, NAMESPACE, MESSAGE).is_ok());
    assert_eq!(verify(&armored, NAMESPACE, b"other"), Err(SshsigError::Mismatch));
}

#[test]
fn a_signature_of_another_kind_than_its_key_is_refused() {
    let scratch = scratch();
    let (_, _, armored) = signed(scratch.path(), &["rsa", "-b", "2048"], NAMESPACE);
    let bytes = decode(&armored);
    // SHA-1 under its old name, which is as long as the one that stands there but for a few characters.
    let at = bytes.windows(12).position(|w| w == b"rsa-sha2-512").expect("the kind of the signature");
    let mut weak = bytes.clone();
    weak.splice(at - 8..at + 12, strings(&[b"ssh-rsa"]));
    let lengths: [usize; 2] = [at - 8, bytes.len() - (at - 4)];
    let whole = u32::try_from(lengths[1] - 5).expect("short").to_be_bytes();
    weak.splice(at - 8..at - 8, whole);
    let refused = verify(&armor(&weak), NAMESPACE, MESSAGE).expect_err("SHA-1 is broken");
    assert_eq!(
        refused.to_string(),
        "the signature is of the kind `ssh-rsa`, which does not go with a key of the kind `ssh-rsa`"
    );
}

fn decode(armored: &str) -> Vec<u8> {
    let body: String = armored.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).expect("base64")
}

#[test]
fn hostile_signatures_are_refused_with_a_reason() {
    let scratch = scratch();
    let (_, _, armored) = signed(scratch.path(), &["ed25519"], NAMESPACE);
    let bytes = decode(&armored);
    let refused = |text: &str| verify(text, NAMESPACE, MESSAGE).expect_err("it is hostile");
    for length in 10..bytes.len() {
        assert_eq!(refused(&armor(&bytes[..length])), SshsigError::Truncated, "cut at {length}");
    }
    assert_eq!(refused(&armor(&[&bytes[..], b"x"].concat())), SshsigError::Truncated);
    assert_eq!(refused("x".repeat(MOST_BYTES + 1).as_str()), SshsigError::TooLong { bytes: MOST_BYTES + 1 });
    for nonsense in ["", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----"]
    {
        assert_eq!(refused(nonsense), SshsigError::Armor, "{nonsense}");
    }
    let mut newer = bytes.clone();
    newer[9] = 2;
    assert_eq!(refused(&armor(&newer)), SshsigError::Version { found: 2 });
    let mut endless = bytes.clone();
    endless[10] = 0xff;
    assert_eq!(refused(&armor(&endless)), SshsigError::Truncated, "a length beyond the end");
    let weak = blob(&strings(&[b"ssh-ed25519", &[0; 32]]), NAMESPACE, b"sha512", &strings(&[b"ssh-ed25519", &[0; 64]]));
    assert_eq!(refused(&armor(&weak)), KeyError::Damaged { kind: "ssh-ed25519".into() }.into());
}

#[test]
fn lines_that_are_no_keys_are_refused_with_a_reason() {
    let refused = |line: &str| PublicKey::from_line(line).expect_err("it is no key").to_string();
    assert!(refused("ssh-ed25519").starts_with("this is not an SSH public key"));
    assert!(refused("ssh-ed25519 !!!!").starts_with("this is not an SSH public key"));
    let line = STANDARD.encode(ed25519_line(&software_key()));
    assert!(refused(&format!("ssh-rsa {line}")).starts_with("the key is damaged"), "the kind is said twice");
    assert!(PublicKey::from_line(&format!("ssh-ed25519 {line} ada@example.com")).is_ok());
    assert!(sshsig::key::KINDS.iter().all(|kind| refused(&format!("{kind} AAAA")).starts_with("this is not")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever one bit of a signature is changed, it no longer holds; and no input makes the reader panic.
    #[test]
    fn no_changed_signature_holds(at in 6_usize..1_000, bit in 0_u8..8, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = software_key();
        let value = strings(&[b"ssh-ed25519", &key.sign(&to_sign()).to_bytes()]);
        let mut bytes = blob(&ed25519_line(&key), NAMESPACE, b"sha512", &value);
        prop_assert!(verify(&armor(&bytes), NAMESPACE, MESSAGE).is_ok());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(verify(&armor(&bytes), NAMESPACE, MESSAGE).is_err());
        prop_assert!(verify(&armor(&noise), NAMESPACE, MESSAGE).is_err());
        prop_assert!(verify(&armor(&[&b"SSHSIG\0\0\0\x01"[..], &noise].concat()), NAMESPACE, MESSAGE).is_err());
    }
}
