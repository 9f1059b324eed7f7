//! The import table of `docs/MODULES.md`, enforced: a module may name only the modules that its row allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module, then the modules of ours that it may import.
type Table = BTreeMap<String, BTreeSet<String>>;

/// Modules that are open to all.
const OPEN: [&str; 2] = ["error", "threads"];

/// The table of `docs/MODULES.md`: rows of "| `module` | what it holds | `other`, `other` |".
fn table() -> Table {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MODULES.md");
    let text = std::fs::read_to_string(page).expect("the page of modules can be read");
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut table = Table::new();
    let mut above = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [module, _, imports] = cells[..] else { panic!("not three cells: {line}") };
        let module = names(module).pop_first().expect("a row names its module");
        let imports = if imports.trim() == "all above" { above.clone() } else { names(imports) };
        assert!(imports.is_subset(&above), "{module} imports what does not stand above it");
        above.insert(module.clone());
        assert!(table.insert(module, imports).is_none(), "a module has two rows: {line}");
    }
    assert!(table.len() > 10, "the page has {} rows", table.len());
    table
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Source text without comments and without the test modules that close a file.
fn production_text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file can be read");
    let mut kept = String::new();
    for line in text.lines() {
        kept.push_str(line.split("//").next().unwrap_or("").trim_end());
        kept.push('\n');
    }
    match kept.find("#[cfg(test)]\nmod tests {") {
        Some(end) => kept[..end].to_owned(),
        None => kept,
    }
}

/// Every module named after `crate::`, also inside braces: `use crate::{buf::X, media};`.
fn named_modules(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0_i32;
        let mut at_name = true;
        for (index, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_name = true,
                c if at_name && (c.is_alphabetic() || c == '_') => {
                    names.insert(word(&list[index..]));
                    at_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn modules_import_only_what_the_design_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = table();
    let mut offences = Vec::new();
    let mut checked = 0;
    for (module, allowed) in &table {
        let mut files = Vec::new();
        let folder = source.join(module);
        if folder.is_dir() {
            rust_files(&folder, &mut files);
        } else if source.join(format!("{module}.rs")).is_file() {
            files.push(source.join(format!("{module}.rs")));
        }
        // Files named `tests.rs` or in a folder `tests` are compiled for tests only.
        files.retain(|file| !file.iter().any(|part| part == "tests.rs" || part == "tests"));
        for file in files {
            checked += 1;
            for name in named_modules(&production_text(&file)) {
                let is_ours = table.contains_key(&name) && name != *module;
                if is_ours && !OPEN.contains(&name.as_str()) && !allowed.contains(&name) {
                    offences.push(format!("{}: {module} may not import {name}", file.display()));
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} source files were found");
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_row_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = std::fs::read_to_string(source.join("lib.rs")).expect("lib.rs can be read");
    let rows = table();
    for line in library.lines() {
        let line = line.trim().trim_start_matches("pub ");
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            assert!(rows.contains_key(name) || name == "testing", "module '{name}' has no row in the import table");
        }
    }
}

#[test]
fn the_command_line_uses_the_public_api_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("main.rs")];
    rust_files(&source.join("cli"), &mut files);
    for file in files {
        // In the binary, `crate::` is the binary itself: only its own `cli` module may be named.
        for name in named_modules(&production_text(&file)) {
            assert!(name == "cli", "{}: names crate::{name}", file.display());
        }
    }
}

#[test]
fn the_scanner_sees_names_in_braces_and_paths() {
    let names = named_modules("use crate::{buf::Pool, media::{Codec, x::Y}, error};\nlet a = crate::shard::open();");
    let expected: BTreeSet<String> = ["buf", "media", "error", "shard"].into_iter().map(str::to_owned).collect();
    assert_eq!(names, expected);
}
