//! Which files are read and written, and how.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::case::Result;

/// A case and where its result goes.
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
}

/// The file, or the files of the folder in the order of their names.
pub(crate) fn jobs(input: &Path, output: &Path) -> Result<Vec<Job>> {
    if let (Ok(input), Ok(output)) = (input.canonicalize(), output.canonicalize())
        && input == output
    {
        return Err("OUT is IN, and the results would replace the cases".into());
    }
    if !input.is_dir() {
        return Ok(vec![Job {
            input: input.to_owned(),
            output: output.to_owned(),
        }]);
    }
    let mut jobs = Vec::new();
    for entry in fs::read_dir(input)? {
        let entry = entry?;
        let case = entry.path();
        if case.extension() == Some("safetensors".as_ref()) {
            jobs.push(Job {
                input: case,
                output: output.join(entry.file_name()),
            });
        }
    }
    if jobs.is_empty() {
        return Err("this folder has no *.safetensors file".into());
    }
    jobs.sort_by(|a, b| a.input.cmp(&b.input));
    fs::create_dir_all(output)
        .map_err(|error| format!("the output folder cannot be made: {error}"))?;
    Ok(jobs)
}

/// The file's name without folders, for messages.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

pub(crate) fn read(input: &Path) -> Result<Vec<u8>> {
    fs::read(input).map_err(|error| format!("the case cannot be read: {error}").into())
}

/// Writes a file as a whole or not at all: under another name first.
pub(crate) fn write(output: &Path, bytes: &[u8]) -> Result<()> {
    let hidden = format!(".{}.{}.partial", name(output), std::process::id());
    let partial = output.with_file_name(hidden);
    let written = File::create_new(&partial).and_then(|mut file| file.write_all(bytes));
    let renamed = written.and_then(|()| fs::rename(&partial, output));
    renamed.map_err(|error| {
        // Its absence is what is wanted, for whatever reason.
        let _ = fs::remove_file(&partial);
        format!("the result cannot be written: {error}").into()
    })
}
