//! Looks: is this a secret, or a sample, a name, a reference to one?
//!
//! Asked only of what a rule has found. Where it is in doubt, a format that says what it is counts as a secret, and a value that only its name makes
//! suspicious does not: a scanner that cries over every `token_type` is switched off. Which it misses stands in docs/reference/secrets.md.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Named;
use super::rules::Ask;

/// Bits a character below which no machine made it.
const LEAST_OF_A_TOKEN: f64 = 2.7;
const LEAST_OF_A_VALUE: f64 = 3.0;
const LEAST_OF_A_PASSWORD: f64 = 2.3;

/// Whether what was found passes for a secret.
pub(super) fn passes(ask: Ask, text: &str, at: &Range<usize>, named: &Named<'_>) -> bool {
    let Some(secret) = text.get(at.clone()) else { return matches!(ask, Ask::Password) };
    match ask {
        Ask::Format => ends_free(text.as_bytes(), at) && !is_sample(secret) && random_part(secret) >= LEAST_OF_A_TOKEN,
        Ask::Checksum => {
            let is_free = ends_free(text.as_bytes(), at);
            is_free && (has_checksum(secret) || !is_sample(secret) && random_part(secret) >= LEAST_OF_A_TOKEN)
        }
        Ask::Header => has_algorithm(secret),
        Ask::Password => !is_harmless_name(text, named) && !is_sample(secret) && is_password(secret, named.is_bare),
        Ask::Value => {
            let is_type = named.is_bare && is_name_in_code(secret);
            !is_harmless_name(text, named) && !is_sample(secret) && !is_type && is_value(secret)
        }
    }
}

/// Whether a token begins here, and does not go on from something longer. An escaped character before it is no part of it.
pub(super) fn is_free(text: &[u8], at: &Range<usize>) -> bool {
    let before = &text[..at.start];
    let Some(last) = before.last() else { return true };
    if !(last.is_ascii_alphanumeric() || *last == b'_') {
        return !is_within_base64(text, at);
    }
    match before {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'0'] => true,
        [.., b'%', a, b] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        [.., b'\\', b'u', b'0', b'0', _, _] => true,
        // A colour of a terminal ends with `m`.
        [.., b'm'] => before.iter().rev().take(8).any(|b| *b == 0x1b),
        _ => false,
    }
}

/// Sixty characters of base64 before it, and none but base64 in it: a picture, not a token.
fn is_within_base64(text: &[u8], at: &Range<usize>) -> bool {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/".contains(b);
    at.start >= 60 && text[at.start - 60..at.start].iter().all(is_base64) && text[at.clone()].iter().all(is_base64)
}

fn ends_free(text: &[u8], at: &Range<usize>) -> bool {
    text.get(at.end).is_none_or(|next| !next.is_ascii_alphanumeric())
}

pub(super) fn begins_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// Shannon's entropy in bits a character.
pub(super) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    text.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let total = text.len().max(1) as f64;
    let share = |count: u32| f64::from(count) / total;
    counts.iter().filter(|c| **c > 0).map(|c| -share(*c) * share(*c).log2()).sum()
}

/// The entropy of what follows the last prefix.
fn random_part(secret: &str) -> f64 {
    let tail = secret.len() - secret.len() * 2 / 3;
    entropy(&secret.as_bytes()[tail..])
}

/// Whether its last six characters are the CRC32 (ISO 3309) of those before them in base 62, as GitHub describes it for its tokens.
fn has_checksum(token: &str) -> bool {
    let Some((_, body)) = token.split_once('_') else { return false };
    let Some(cut) = body.len().checked_sub(6) else { return false };
    let Some((random, checksum)) = body.split_at_checked(cut) else { return false };
    base62(crc32(random.as_bytes())) == checksum
}

pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

pub(super) fn base62(mut number: u32) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    text.iter().map(|b| char::from(*b)).collect()
}

/// Whether the header of a token names an algorithm; nobody writes that by accident.
fn has_algorithm(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    header.get("alg").is_some()
}

/// Words of documents, where a secret stands in real life.
const SAMPLES: [&str; 18] = [
    "example",
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "your",
    "dummy",
    "redacted",
    "xxxx",
    "****",
    "....",
    "sample",
    "insert",
    "replace",
    "hunter2",
    "todo",
    "0123456789abcdef",
    "notasecret",
];

fn is_sample(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let different: std::collections::BTreeSet<u8> = secret.bytes().collect();
    different.len() < 5 || SAMPLES.iter().any(|word| lower.contains(word)) || is_reference(secret)
}

/// Whether it says where a secret is, instead of being one.
pub(super) fn is_reference(value: &str) -> bool {
    let begins = [
        "$",
        "<",
        "{",
        "[",
        "%(",
        "*",
        "./",
        "/",
        "~",
        "!",
        "^",
        "arn:",
        "vault:",
        "env:",
        "file:",
        "ref:",
        "op:",
        "secret://",
        "http:",
        "https:",
        "urn:",
        "sha1",
        "sha256",
        "sha384",
        "sha512",
        "md5:",
        "ssm:",
        "@",
        "&",
    ];
    let holds = ["${", "{{", "$(", "()", "::", "->", "env.", "environ", "secretsmanager", "[redacted"];
    let lower = value.to_ascii_lowercase();
    begins.iter().any(|word| lower.starts_with(word)) || holds.iter().any(|word| lower.contains(word))
}

/// Ends of a name after which no secret stands, such as `token_type` and `password_file`.
const HARMLESS: [&str; 42] = [
    "hash",
    "digest",
    "sha",
    "sum",
    "fingerprint",
    "id",
    "name",
    "file",
    "path",
    "dir",
    "url",
    "uri",
    "type",
    "kind",
    "env",
    "var",
    "length",
    "len",
    "count",
    "size",
    "ttl",
    "expir",
    "age",
    "policy",
    "ref",
    "arn",
    "version",
    "manager",
    "class",
    "provider",
    "prompt",
    "label",
    "field",
    "header",
    "host",
    "endpoint",
    "limit",
    "index",
    "public",
    "store",
    "bucket",
    "format",
];

fn is_harmless_name(text: &str, named: &Named<'_>) -> bool {
    let tail = String::from_utf8_lossy(named.tail).to_ascii_lowercase();
    let words: Vec<&str> = tail.split(['_', '-', '.']).collect();
    let head = text.get(..named.from).unwrap_or_default();
    let before = head.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).next().unwrap_or_default();
    let before = before.to_ascii_lowercase();
    HARMLESS
        .iter()
        .any(|end| words.iter().any(|word| word.starts_with(end) || word.ends_with(end) && word.len() > end.len()))
        || ["hash", "sha256", "digest", "public", "no_", "csrf", "tokeni"].iter().any(|word| before.contains(word))
        || tail.starts_with("iz")
}

/// Letters with digits or signs, as people are told to choose them.
fn is_password(secret: &str, is_bare: bool) -> bool {
    let has = |wanted: fn(&u8) -> bool| secret.bytes().filter(wanted).count();
    let (letters, digits) = (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit));
    let signs = has(|b| b"!@#$%^&*+?".contains(b));
    let length = if is_bare { 8 } else { 6 };
    let is_mixed = letters >= 2 && (digits >= 1 || signs >= 1);
    secret.len() >= length && is_mixed && entropy(secret.as_bytes()) >= LEAST_OF_A_PASSWORD && !is_words(secret)
}

/// Long, mixed, and by chance.
fn is_value(secret: &str) -> bool {
    let digits = secret.bytes().filter(u8::is_ascii_digit).count();
    let letters = secret.bytes().filter(u8::is_ascii_alphabetic).count();
    secret.len() >= 12
        && digits >= 2
        && letters >= 3
        && entropy(secret.as_bytes()) >= LEAST_OF_A_VALUE
        && !is_words(secret)
        && !is_uuid(secret)
}

/// Words and short numbers between signs, such as `checkout-v2.canary_1`: a name.
fn is_words(text: &str) -> bool {
    let is_word = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let turns =
            part.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
        digits == part.len()
            || digits == 0
            || digits <= 4 && turns <= 1 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let parts: Vec<&str> = text.split(['-', '_', '.', '/', ':', ',']).collect();
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,".contains(&b));
    is_plain && (parts.len() > 1 && parts.iter().all(|part| is_word(part)))
}

/// Words in the case of camels with at most two numbers, such as `Ed25519Secret`.
fn is_name_in_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |b: &u8| b.is_ascii_digit();
    let numbers = bytes.windows(2).filter(|pair| is_digit(&pair[1]) && !is_digit(&pair[0])).count();
    let is_word = |pair: &[u8]| !pair[0].is_ascii_uppercase() || pair[1].is_ascii_lowercase();
    numbers <= 2 && bytes.iter().all(u8::is_ascii_alphanumeric) && bytes.windows(2).all(is_word)
}

/// RFC 9562: an identifier, more often than a secret.
fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}
