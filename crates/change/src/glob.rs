//! Glob: does a text fit a pattern with wildcards, and a path one with folders?
//!
//! Patterns come from files that people write and names from whoever proposes, so the time is at most the length of one times the length of the other:
//! a match steps back to the last wildcard only. Which signs are wildcards is the caller's to say; nothing else is decided here.

/// Whether each part of `parts` is taken by its part of `pattern`, where what `is_any` stands for any number of parts.
fn fits<P, T>(pattern: &[P], parts: &[T], is_any: impl Fn(&P) -> bool, takes: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < parts.len() {
        match pattern.get(p) {
            Some(any) if is_any(any) => {
                star = Some((p, n));
                p += 1;
            }
            Some(one) if takes(one, &parts[n]) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(is_any)
}

/// Whether a name fits, where `*` stands for any characters and `?` for one byte (ssh_config(5), PATTERNS).
pub fn fits_name(pattern: &str, name: &str) -> bool {
    fits(pattern.as_bytes(), name.as_bytes(), |p| *p == b'*', |p, n| *p == b'?' || p == n)
}

/// Whether a path fits a pattern of names: `*` is a part of a name, `**` any number of folders.
pub fn fits_path(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let name_fits =
        |pattern: &&str, name: &&str| fits(pattern.as_bytes(), name.as_bytes(), |p| *p == b'*', |p, n| p == n);
    fits(&pattern, &path, |part| *part == "**", name_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_its_stars_and_marks() {
        assert!(fits_name("?da*", "ada") && !fits_name("?", "") && fits_name("**", ""));
        assert!(fits_name("*@example.com", "ada@example.com") && !fits_name("*@example.com", "ada@example.org"));
    }

    #[test]
    fn a_path_fits_its_folders() {
        for (pattern, path, wanted) in [
            ("tests/**/*.pem", "tests/a/b/key.pem", true),
            ("tests/**/*.pem", "tests/key.pem", true),
            ("tests/*.pem", "tests/a/key.pem", false),
            ("**/a/**/b", "x/a/y/a/z/b", true),
            ("**", "a/b", true),
            ("a?c", "abc", false),
        ] {
            assert_eq!(fits_path(pattern, path), wanted, "{pattern} {path}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_more_than_length_times_length() {
        assert!(!fits_name(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!fits_path(&format!("{}b", "*a".repeat(100)), &"a".repeat(4_000)));
        assert!(!fits_path(&format!("{}b", "**/a/".repeat(100)), &"a/".repeat(2_000)));
    }
}
