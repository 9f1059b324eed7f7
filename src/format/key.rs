//! Keys: names that are safe as tar member names, as file names, in a shell, and for webdataset.
//!
//! A key is one or more parts with slashes between them. webdataset cuts a member's name at the first dot after the last
//! slash, so the last part has no dot at all.

use crate::error::{Error, Result};

/// Longest key in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 800;
/// Longest part of a key in bytes: a file name of 255 bytes less the longest extension.
const MAX_PART_BYTES: usize = 160;
/// Suffixes of members, which a folder must not have: `a.mp4/b` and the member `a.mp4` could not be extracted together.
const MEMBER_SUFFIXES: [&str; 3] = [".mp4", ".json", ".npy"];

/// Checks a key. The error says what is wrong with it.
pub fn validate_key(key: &str) -> Result<()> {
    let fail = |why: &str| Err(Error::invalid(format!("key {key:?} {why}")));
    if key.is_empty() {
        return fail("is empty");
    }
    if key.len() > MAX_KEY_BYTES {
        return fail("is longer than 800 bytes");
    }
    if let Some(bad) = key.chars().find(|&c| c != '/' && c != '.' && !is_plain(c)) {
        return fail(&format!("has the character {bad:?}; letters, digits, '_', '-', '+', '=', '@' are allowed"));
    }
    let mut parts = key.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        if part.is_empty() {
            return fail("has an empty part, or begins or ends with a slash");
        }
        if part.len() > MAX_PART_BYTES {
            return fail("has a part of more than 160 bytes");
        }
        if part.starts_with('-') || part.starts_with('.') || part.ends_with('.') {
            return fail("has a part that begins with '-' or '.', or ends with '.'");
        }
        if part.starts_with("__") && part.ends_with("__") {
            return fail("has a part of the form '__x__', which is reserved");
        }
        if is_last && part.contains('.') {
            return fail("has a dot after the last slash");
        }
        if MEMBER_SUFFIXES.iter().any(|suffix| part.ends_with(suffix)) {
            return fail("has a folder named like a file");
        }
    }
    Ok(())
}

/// The nearest valid key to any text: what is not allowed becomes `_`. Different texts may give the same key.
pub fn sanitize_key(text: &str) -> String {
    let mut parts: Vec<String> = text
        .split(['/', '\\'])
        .filter(|part| !part.chars().all(|c| c == '.' || c.is_whitespace()))
        .map(|part| part.chars().map(|c| if c == '.' || is_plain(c) { c } else { '_' }).collect())
        .collect();
    let last = parts.len().saturating_sub(1);
    for (number, part) in parts.iter_mut().enumerate() {
        if number == last || MEMBER_SUFFIXES.iter().any(|suffix| part.ends_with(suffix)) {
            *part = part.replace('.', "_");
        }
        while part.ends_with('.') {
            part.pop();
        }
        if part.starts_with(['-', '.']) {
            part.replace_range(..1, "_");
        }
        truncate(part, MAX_PART_BYTES);
        while part.ends_with('.') {
            part.pop();
        }
        if part.starts_with("__") && part.ends_with("__") {
            *part = format!("x{}", part.trim_matches(['_', '.']));
        }
    }
    while parts.len() > 1 && parts.iter().map(|part| part.len() + 1).sum::<usize>() > MAX_KEY_BYTES {
        parts.remove(0);
    }
    if parts.is_empty() { "x".to_owned() } else { parts.join("/") }
}

/// Letters and digits of any script, and the punctuation that neither shells nor file systems care about.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '=' | '@')
}

fn truncate(text: &mut String, max_bytes: usize) {
    while text.len() > max_bytes {
        text.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_tar_shells_or_webdataset_would_trip_over_are_refused() {
        for key in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            ".",
            "a.b",
            "x/a.b",
            "-rf",
            "a/-b",
            "a b",
            "a\nb",
            "a'b",
            "a$b",
            "a*",
            "a\\b",
            "a:b",
            "__framefeed__/index",
            "a/__x__",
            "a.mp4/b",
            "a./b",
            ".a/b",
            "a\u{0}b",
            "a\u{301}b",
        ] {
            assert!(validate_key(key).is_err(), "{key:?}");
        }
        assert!(validate_key(&"a".repeat(161)).is_err());
        assert!(validate_key(&["a"; 401].join("/")).is_err());
    }

    #[test]
    fn ordinary_keys_are_accepted() {
        for key in ["a", "000012", "film-1/clip_2", "v1.0/clip", "päth/日本", "a+b=c@d", "__x", &"a".repeat(160)] {
            assert!(validate_key(key).is_ok(), "{key:?}");
        }
    }

    #[test]
    fn a_valid_key_is_sanitized_to_itself() {
        for key in ["a", "film-1/clip_2", "v1.0/clip", "日本/x"] {
            assert_eq!(sanitize_key(key), key);
        }
    }

    #[test]
    fn odd_names_become_readable_keys() {
        assert_eq!(sanitize_key("my clip (1).final"), "my_clip__1__final");
        assert_eq!(sanitize_key("../../etc/passwd"), "etc/passwd");
        assert_eq!(sanitize_key(""), "x");
        assert_eq!(sanitize_key("__init__"), "xinit");
    }

    proptest! {
        #[test]
        fn whatever_is_sanitized_is_valid(text in "\\PC{0,300}", odd in "[._/a -]{0,40}") {
            prop_assert!(validate_key(&sanitize_key(&text)).is_ok(), "{:?}", sanitize_key(&text));
            prop_assert!(validate_key(&sanitize_key(&odd)).is_ok(), "{:?}", sanitize_key(&odd));
        }
    }
}
