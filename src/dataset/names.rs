//! What to say of a name that a dataset does not have.

use std::fmt::Write as _;

/// Names that a message lists, at most.
const MAX_LISTED: usize = 24;
/// Bytes of a name beyond which nothing like it is looked for: the work grows with the square.
const MAX_COMPARED: usize = 256;

/// "there is no column 'scroe', did you mean 'score'? the dataset has: score, tag".
pub(super) fn no_such<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let is_short = name.len() <= MAX_COMPARED;
    let nearest = known
        .iter()
        .filter(|other| is_short && other.len() <= MAX_COMPARED)
        .map(|other| (distance(name, other), other))
        .min_by_key(|&(distance, _)| distance);
    // A third of the letters may be wrong, and no more: of four letters one. What is further away is another word.
    let letters = |word: &str| word.chars().count();
    let near = nearest.filter(|&(distance, other)| distance <= letters(name).max(letters(other)) / 3);
    let hint = near.map_or_else(|| ", ".to_owned(), |(_, other)| format!(", did you mean '{other}'? "));
    let mut listed = if known.is_empty() { "none".to_owned() } else { known[..known.len().min(MAX_LISTED)].join(", ") };
    if let Some(more) = known.len().checked_sub(MAX_LISTED).filter(|&more| more > 0) {
        let _ = write!(listed, " and {more} more"); // a string takes all
    }
    format!("there is no {what} '{name}'{hint}the dataset has: {listed}")
}

/// Letters to insert, delete, change or swap with their neighbour to make one word the other, upper and lower case alike:
/// the optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| word.to_lowercase().chars().collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, other) | (other, 0) => other,
                _ => {
                    let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swapped = if is_swap { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_where_one_is_near() {
        let say = |name, known: &[&str]| no_such("column", name, known.iter().copied());
        assert_eq!(
            say("scroe", &["caption", "score"]),
            "there is no column 'scroe', did you mean 'score'? the dataset has: caption, score"
        );
        for (name, other) in [("fp", "fps"), ("Key", "key"), ("hight", "height"), ("latens", "latents")] {
            assert!(say(name, &["z", other]).contains(&format!("did you mean '{other}'?")), "{name}");
        }
        for (name, other) in [("nope", "gops"), ("x", "y"), ("fps", "gop"), ("text", "tags")] {
            assert!(!say(name, &["z", other]).contains("did you mean"), "{name}");
        }
        assert_eq!(say("nope", &["latents", "text"]), "there is no column 'nope', the dataset has: latents, text");
        assert_eq!(say("x", &[]), "there is no column 'x', the dataset has: none");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..30).map(|number| format!("c{number:02}")).collect();
        let text = no_such("column", "zzzzzz", names.iter().map(String::as_str));
        assert!(text.ends_with("c22, c23 and 6 more"), "{text}");
    }

    #[test]
    fn distances_count_changes() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("abc", "Abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
