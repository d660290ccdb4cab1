//! The command line of the `replay` example.

mod bad_cases;
mod case_file;
mod program;
mod refused;
mod results;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

/// Of the cases made up here.
const DIMS: [usize; 3] = [4, 3, 5];

/// A folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The names of everything in a folder, hidden files too.
fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}
