//! A key for every clip: valid, unique (also where upper and lower case are one), readable, and the same in every run.
//!
//! A key given by the list is taken as it is, and must be valid. Any other is the path without its extension; where two
//! videos would share it, the extension is added, then a number.

use crate::format::{sanitize_key, validate_key};
use crate::{Error, Result};
use std::collections::{HashMap, HashSet};

/// What a key is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeySource<'a> {
    /// The key that the list gives.
    pub(crate) given: Option<&'a str>,
    /// The video's path below what the user named.
    pub(crate) key_path: &'a str,
    /// The file itself: clips with the same one are cuts of one video.
    pub(crate) path: &'a str,
    /// How many pieces this entry is split into, where splitting was asked for.
    pub(crate) pieces: Option<usize>,
}

/// The keys of each entry: one, or one for each piece. An entry's error is that of a key that was given and is bad.
pub(crate) fn make_keys(entries: &[KeySource<'_>]) -> Vec<Result<Vec<String>>> {
    let mut taken = HashSet::new();
    let mut numbers = HashMap::new();
    let mut keys: Vec<Option<Result<Vec<String>>>> = Vec::new();
    keys.resize_with(entries.len(), || None);
    for (entry, keys) in entries.iter().zip(&mut keys) {
        if let Some(given) = entry.given {
            *keys = Some(given_keys(given, entry.pieces, &mut taken));
        }
    }
    // Cuts of one video are numbered together, in the order of the list.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.given.is_none()) {
        let group = *group_of.entry(entry.path).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(group) {
            group.push(index);
        }
    }
    for group in groups {
        let members: Vec<(usize, KeySource<'_>)> =
            group.iter().filter_map(|&index| Some((index, *entries.get(index)?))).collect();
        let Some((_, first)) = members.first() else { continue };
        let numbered = members.len() > 1 || first.pieces.is_some();
        let total: usize = members.iter().map(|(_, entry)| entry.pieces.unwrap_or(1)).sum();
        let mut names = unique_names(first.key_path, numbered.then_some(total), &mut taken, &mut numbers).into_iter();
        for (index, entry) in members {
            if let Some(keys) = keys.get_mut(index) {
                *keys = Some(Ok(names.by_ref().take(entry.pieces.unwrap_or(1)).collect()));
            }
        }
    }
    keys.into_iter().map(|keys| keys.unwrap_or_else(|| Ok(Vec::new()))).collect()
}

fn given_keys(given: &str, pieces: Option<usize>, taken: &mut HashSet<String>) -> Result<Vec<String>> {
    validate_key(given)?;
    let keys = match pieces {
        None => vec![given.to_owned()],
        Some(pieces) => numbered(given, pieces),
    };
    for key in &keys {
        validate_key(key)?;
        if !taken.insert(key.to_lowercase()) {
            return Err(Error::invalid(format!("key '{key}' is given twice (upper and lower case count as one)")));
        }
    }
    Ok(keys)
}

/// `numbers` remembers how far a shared name has been counted, so that a million equal names take a million steps.
fn unique_names(
    key_path: &str,
    count: Option<usize>,
    taken: &mut HashSet<String>,
    numbers: &mut HashMap<String, u64>,
) -> Vec<String> {
    let (stem, extension) = split_extension(key_path);
    let number = numbers.entry(sanitize_key(&shortened(stem)).to_lowercase()).or_insert(1);
    let candidates = std::iter::once(stem.to_owned())
        .chain(extension.map(|extension| format!("{stem}-{extension}")))
        .chain(std::iter::repeat_with(|| {
            *number += 1;
            format!("{}-{number}", shortened(stem))
        }));
    for candidate in candidates {
        let base = sanitize_key(&shortened(&candidate));
        let names = match count {
            None => vec![base],
            Some(count) => numbered(&base, count),
        };
        if names.iter().all(|name| !taken.contains(&name.to_lowercase())) {
            taken.extend(names.iter().map(|name| name.to_lowercase()));
            return names;
        }
    }
    Vec::new() // the numbers above have no end
}

/// Leaves room for a number behind the last part, so that sanitising never cuts it off again.
fn shortened(text: &str) -> String {
    const ROOM_BYTES: usize = 130;
    let (folder, name) = text.rsplit_once('/').map_or(("", text), |(folder, name)| (folder, name));
    if name.len() <= ROOM_BYTES && text.len() <= 700 {
        return text.to_owned();
    }
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let cut: String = name
        .chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= ROOM_BYTES - 10).then_some(c)
        })
        .collect();
    let folder = if text.len() > 700 { "" } else { folder };
    let hash = hash.get(..8).unwrap_or_default();
    if folder.is_empty() { format!("{cut}-{hash}") } else { format!("{folder}/{cut}-{hash}") }
}

fn numbered(base: &str, count: usize) -> Vec<String> {
    let digits = count.saturating_sub(1).to_string().len().max(4);
    (0..count).map(|number| format!("{base}_{number:0digits$}")).collect()
}

fn split_extension(path: &str) -> (&str, Option<&str>) {
    let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
    match path.get(name_start..).and_then(|name| name.rfind('.')) {
        Some(dot) if dot > 0 => {
            let (stem, extension) = path.split_at(name_start + dot);
            (stem, extension.strip_prefix('.'))
        }
        _ => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> KeySource<'_> {
        KeySource { given: None, key_path: path, path, pieces: None }
    }

    fn flat(entries: &[KeySource<'_>]) -> Vec<String> {
        make_keys(entries).into_iter().flat_map(|keys| keys.unwrap()).collect()
    }

    #[test]
    fn keys_are_paths_without_extension_and_never_shared() {
        let entries = ["a/b.mp4", "a/b.mkv", "A/B.mp4", "a/b.c.mp4", "a b.mp4", "a_b.mp4", ".mp4", "-x.mp4"].map(file);
        let keys = flat(&entries);
        assert_eq!(keys[..5], ["a/b", "a/b-mkv", "A/B-mp4", "a/b_c", "a_b"]);
        assert_eq!(keys[5], "a_b-mp4");
        let unique: HashSet<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        assert_eq!(unique.len(), entries.len());
        for key in &keys {
            validate_key(key).unwrap();
        }
        assert_eq!(keys, flat(&entries));
    }

    #[test]
    fn cuts_and_pieces_of_one_video_are_numbered_together() {
        let cut = |pieces| KeySource { pieces, ..file("v.mp4") };
        assert_eq!(flat(&[cut(None), file("w.mp4"), cut(None)]), ["v_0000", "w", "v_0001"]);
        assert_eq!(flat(&[cut(Some(2)), cut(Some(1))]), ["v_0000", "v_0001", "v_0002"]);
        assert_eq!(flat(&[cut(Some(1))]), ["v_0000"]);
    }

    #[test]
    fn given_keys_stand_first_and_must_be_valid_and_different() {
        let given = |key| KeySource { given: Some(key), ..file("z.mp4") };
        let keys = make_keys(&[file("a.mp4"), given("a"), given("A"), given("x.y")]);
        assert_eq!(*keys[0].as_ref().unwrap(), ["a-mp4"]);
        assert_eq!(*keys[1].as_ref().unwrap(), ["a"]);
        assert!(keys[2].as_ref().unwrap_err().to_string().contains("given twice"));
        assert!(keys[3].is_err());
    }

    #[test]
    fn very_long_names_stay_different_and_valid() {
        let long = "x".repeat(300);
        let (a, b) = (format!("{long}a.mp4"), format!("{long}b.mp4"));
        let (c, d) = (format!("{}/a.mp4", "日本/".repeat(200)), format!("{}/a.mp4", "本日/".repeat(200)));
        let keys = flat(&[file(&a), file(&b), file(&c), file(&d)]);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 4);
        for key in keys {
            validate_key(&key).unwrap();
        }
    }
}
