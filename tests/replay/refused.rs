//! What is refused: cases, devices, options, places to write to.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::bad_cases::bad_cases;
use crate::case_file::CaseFile;
use crate::program::{replay, text};
use crate::{DIMS, folder, names_in, set};

#[test]
fn bad_cases_are_refused_one_by_one_and_the_good_ones_go_on() {
    let bad = bad_cases();
    let good = CaseFile::complete(&DIMS).to_bytes();
    let mut files: Vec<(String, Vec<u8>)> = bad
        .iter()
        .map(|(name, bytes, _)| (format!("{name}.safetensors"), bytes.clone()))
        .collect();
    files.push(("a_good.safetensors".to_owned(), good.clone()));
    files.push(("z_good.safetensors".to_owned(), good));
    files.push(("notes.txt".to_owned(), b"no case".to_vec()));
    let files: Vec<(&str, Vec<u8>)> = files
        .iter()
        .map(|(name, bytes)| (&**name, bytes.clone()))
        .collect();
    let (input, output) = (folder(&files), tempdir().unwrap());
    fs::create_dir(input.path().join("a_folder.safetensors")).unwrap();

    let result = replay(input.path(), output.path(), &[]);
    assert_eq!(result.status.code(), Some(2));
    let errors = text(&result.stderr);
    let mut expected: Vec<(&str, &str)> =
        bad.iter().map(|(name, _, says)| (*name, *says)).collect();
    expected.push(("a_folder", "cannot be read"));
    expected.sort_unstable();
    for (name, says) in &expected {
        let start = format!("{name}.safetensors: ");
        let lines: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with(&start))
            .collect();
        assert_eq!(lines.len(), 1, "lines about {name} in\n{errors}");
        assert!(
            lines[0].contains(says),
            "{:?} does not say {says:?}",
            lines[0]
        );
    }
    assert_eq!(errors.lines().count(), expected.len(), "{errors}");
    let good = ["a_good.safetensors", "z_good.safetensors"];
    assert_eq!(names_in(output.path()), set(good));
    let said = text(&result.stdout);
    let starts: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(starts, good);
}

#[test]
fn a_device_that_is_not_there_fails_every_case() {
    let good = CaseFile::complete(&DIMS).to_bytes();
    let input = folder(&[("a.safetensors", good.clone()), ("b.safetensors", good)]);
    for (device, says) in [("cuda", "cuda"), ("simt", "this build has no SIMT host")] {
        let output = tempdir().unwrap();
        let result = replay(input.path(), output.path(), &["--device", device]);
        if device == "cuda" && result.status.success() {
            println!("skipped: this machine has a CUDA device");
            continue;
        }
        assert_eq!(result.status.code(), Some(2));
        let errors = text(&result.stderr);
        let lines: Vec<&str> = errors.lines().collect();
        assert_eq!(lines.len(), 2, "{errors}");
        for (line, name) in lines.iter().zip(["a", "b"]) {
            assert!(
                line.starts_with(&format!("{name}.safetensors: ")) && line.contains(says),
                "{line}"
            );
        }
        assert!(names_in(output.path()).is_empty());
    }
}

#[test]
fn no_threads_no_input_and_no_cases_are_errors() {
    let input = folder(&[("a.safetensors", CaseFile::of_x(&DIMS).to_bytes())]);
    let empty = tempdir().unwrap();
    let output = tempdir().unwrap();
    let refused = |input: &Path, options: &[&str], start: &str| {
        let result = replay(input, &output.path().join("out"), options);
        let errors = text(&result.stderr);
        assert_eq!(result.status.code(), Some(2), "{errors}");
        assert!(
            errors.starts_with(start) && errors.lines().count() == 1,
            "{errors}"
        );
    };
    refused(input.path(), &["--threads", "0"], "a.safetensors: ");
    refused(
        &empty.path().join("absent.safetensors"),
        &[],
        "absent.safetensors: ",
    );
    let name = empty
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    refused(empty.path(), &[], &format!("{name}: "));
}

#[test]
fn a_case_is_not_overwritten_by_its_result() {
    let case = CaseFile::of_x(&DIMS).to_bytes();
    let cases = folder(&[("a.safetensors", case.clone())]);
    let file = cases.path().join("a.safetensors");
    for path in [cases.path(), &file] {
        let result = replay(path, path, &[]);
        assert_eq!(result.status.code(), Some(2));
        assert_eq!(text(&result.stderr).lines().count(), 1);
        assert_eq!(fs::read(&file).unwrap(), case);
    }
}

#[test]
fn a_result_that_cannot_be_written_leaves_nothing() {
    let input = folder(&[("a.safetensors", CaseFile::of_x(&DIMS).to_bytes())]);
    let output = folder(&[]);
    fs::create_dir(output.path().join("a.safetensors")).unwrap();
    let result = replay(input.path(), output.path(), &[]);
    let errors = text(&result.stderr);
    assert_eq!(result.status.code(), Some(2), "{errors}");
    assert!(
        errors.starts_with("a.safetensors: ") && errors.lines().count() == 1,
        "{errors}"
    );
    assert_eq!(names_in(output.path()), set(["a.safetensors"]));
}
