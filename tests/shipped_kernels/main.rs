//! The kernels that are shipped: of these sources, of every module, and what nvcc makes of them today.
//!
//! After a change of `kernels/`, with the pinned nvcc (`.ci/run` names it) where `CUDA_HOME` says:
//!
//! ```text
//! BATCHNORM_RECORD_KERNELS=1 BATCHNORM_REQUIRE_NVCC=1 cargo test --profile dev --features cuda --test shipped_kernels
//! ```

#[path = "../../kernels/build/archive.rs"]
mod archive;
#[cfg(feature = "cuda")]
mod made;

use std::path::Path;

use archive::{Archive, Form, PATH};

const RECORD: &str = "BATCHNORM_RECORD_KERNELS";

/// Those that nvcc compiles for where nothing else is asked.
const ARCHITECTURES: [u32; 3] = [75, 80, 90];

fn in_repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn is_recording() -> bool {
    std::env::var_os(RECORD).is_some_and(|value| value == "1")
}

fn shipped() -> Archive {
    Archive::read(&in_repository(PATH)).unwrap_or_else(|error| panic!("{PATH}: {error}"))
}

/// Needs no nvcc: so every change of a kernel is noticed wherever the tests run.
#[test]
fn they_were_made_of_the_kernels_as_they_are() {
    if is_recording() {
        return;
    }
    let changed = shipped().changed_since(&in_repository("kernels")).unwrap();
    assert_eq!(
        changed, None,
        "this file of kernels/ has changed since {PATH} was made: record it again, with {RECORD}=1"
    );
}

#[test]
fn there_is_every_module_for_every_architecture() {
    if is_recording() {
        return;
    }
    let archive = shipped();
    let modules = archive
        .sources
        .iter()
        .filter_map(|(name, _)| name.strip_suffix(".cu"));
    let expected: Vec<(&str, u32)> = modules
        .flat_map(|module| ARCHITECTURES.map(|architecture| (module, architecture)))
        .collect();
    let found = |form: &Form| {
        let target = format!(".target sm_{}\n", form.architecture);
        assert!(form.ptx.contains(&target), "{}", form.module);
    };
    archive.forms.iter().for_each(found);
    let forms = archive.forms.iter();
    let found: Vec<(&str, u32)> = forms
        .map(|form| (form.module.as_str(), form.architecture))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_changed_a_new_and_a_removed_source_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.cu", "one\r\ntwo\n");
    write("b.cuh", "three\n");
    write("notes.txt", "none of them\n");
    let archive = Archive {
        sources: archive::sources(folder.path()).unwrap(),
        forms: Vec::new(),
    };
    let changed = || archive.changed_since(folder.path()).unwrap();
    assert_eq!(
        archive.sources[0],
        ("a.cu".to_owned(), "one\ntwo\n".to_owned())
    );
    assert_eq!(changed(), None);
    write("a.cu", "one\ntwo\n");
    assert_eq!(changed(), None);
    write("b.cuh", "four\n");
    assert_eq!(changed().as_deref(), Some("b.cuh"));
    write("b.cuh", "three\n");
    write("c.cu", "");
    assert_eq!(changed().as_deref(), Some("c.cu"));
    std::fs::remove_file(folder.path().join("c.cu")).unwrap();
    std::fs::remove_file(folder.path().join("a.cu")).unwrap();
    assert_eq!(changed().as_deref(), Some("a.cu"));
}
