//! The rooms of the house: every import names the file that defines a thing, no two files need each other, and all go the one way
//! that ARCHITECTURE.md says.
//!
//! A circle of imports means that neither file can be read without the other; an import through `lib.rs` hides where a thing
//! lives. Both creep in one line at a time, so they are looked for here. `planted.rs` has the ways in which they could hide.

mod imports;
mod order;
mod planted;
mod reading;
mod resolution;
mod tokens;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::order::{circles, floors, wrong_way};
use crate::tree::Tree;

static LIBRARY: LazyLock<Tree> = LazyLock::new(|| reading::read(&files()));

/// Every file of Rust below `src/`, by its path there.
fn files() -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut folders) = (BTreeMap::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&source).unwrap().to_str().unwrap();
                files.insert(name.replace('\\', "/"), fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_is_a_module() {
    let modules = LIBRARY.modules.len();
    assert!(modules > 200, "{modules} modules");
    let files = files();
    let unread = LIBRARY.unread(&files);
    assert!(unread.is_empty(), "{unread:?}");
}

/// But for the table of kernels, which the build writes.
#[test]
fn no_text_is_included() {
    assert_eq!(LIBRARY.included.len(), 1, "{:?}", LIBRARY.included);
    let kernels = &LIBRARY.included[0];
    assert!(kernels.starts_with("cuda/modules.rs: concat") && kernels.contains("OUT_DIR"));
}

#[test]
fn nothing_is_imported_through_a_file_that_only_exports_it() {
    assert_none(&LIBRARY.roundabout());
}

#[test]
fn no_two_files_need_each_other() {
    assert_none(&circles(&LIBRARY.needs()));
}

#[test]
fn imports_go_the_way_that_the_document_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let floors = floors(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    assert_none(&wrong_way(&LIBRARY.needs(), &floors));
}
