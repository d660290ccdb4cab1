//! Whoever reads where things are finds them there: every file and folder that the documents name exists, and every folder of
//! the library and its tests is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks and is a file or a folder by its look.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let ending = Path::new(name)
            .extension()
            .and_then(|ending| ending.to_str());
        let is_file = ["rs", "cu", "cuh", "md", "sh", "txt", "toml", "lzma", "py"];
        let looks_like_one =
            name.contains('/') || ending.is_some_and(|ending| is_file.contains(&ending));
        looks_like_one
            && !name.starts_with('/')
            && !name.contains([' ', '*'])
            && !name.contains("::")
    })
}

/// The files that a document names, and those that it names in vain. A name can go on from one before it in its paragraph or
/// table, the nearest: `src/cpu/tiling/plan.rs` and then `view.rs`.
fn named(document: &str) -> (BTreeSet<PathBuf>, Vec<String>) {
    let (mut found, mut missing) = (BTreeSet::new(), vec![]);
    let mut folders = vec![];
    let mut in_code = false;
    for line in document.lines() {
        in_code ^= line.starts_with("```");
        if in_code {
            continue;
        }
        if line.trim().is_empty() {
            folders.clear();
        }
        for name in names(line) {
            let here = Path::new("");
            let mut bases = std::iter::once(here).chain(folders.iter().map(PathBuf::as_path));
            match bases.find(|base| root().join(base).join(name).exists()) {
                None => missing.push(format!("{name}, in: {line}")),
                Some(base) => {
                    let path: PathBuf = base.join(name).components().collect();
                    folders.splice(..0, path.ancestors().map(Path::to_owned));
                    found.insert(path);
                }
            }
        }
    }
    (found, missing)
}

#[test]
fn every_file_that_is_named_exists() {
    let mut documents = 0;
    for folder in [root().to_owned(), root().join("src/manual")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The changelog names what was.
            if path.extension().is_none_or(|ending| ending != "md")
                || path.ends_with("CHANGELOG.md")
            {
                continue;
            }
            let (_, missing) = named(&fs::read_to_string(&path).unwrap());
            assert!(
                missing.is_empty(),
                "{} names\n{}",
                path.display(),
                missing.join("\n")
            );
            documents += 1;
        }
    }
    assert!(documents > 10, "{documents} documents");
}

#[test]
fn every_folder_is_named() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (named, _) = named(&text);
    assert!(named.len() > 100, "{} names", named.len());
    for folder in ["src", "src/cpu", "tests"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = Path::new(folder).join(entry.file_name());
            let is_named = !entry.path().is_dir() || named.contains(&path);
            assert!(is_named, "ARCHITECTURE.md does not name {}", path.display());
        }
    }
}

#[test]
fn what_is_not_there_is_found_missing() {
    let text = "`src/cpu/mod.rs` and `simd/`, `no.rs`\n\n`simd/`, `let x = 1 / 2;`, `a::b/c`\n```\n`no/code`\n```";
    let (found, missing) = named(text);
    let expected = ["src/cpu/mod.rs", "src/cpu/simd"].map(PathBuf::from);
    assert_eq!(found, BTreeSet::from(expected));
    assert_eq!(missing.len(), 2, "{missing:?}");
}
