//! Figures as lines of JSON in a file, each written as it is measured: whatever ends the program, those before are there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// The file, if one was asked for.
#[derive(Debug)]
pub(crate) struct Lines(Option<File>);

impl Lines {
    pub(crate) fn to(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self(path.map(File::create).transpose()?))
    }

    /// An object, with the kind of thing that it is.
    pub(crate) fn write(&mut self, kind: &str, what: &impl Serialize) -> io::Result<()> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let mut line = json!({ "kind": kind });
        match (&mut line, serde_json::to_value(what)?) {
            (Value::Object(line), Value::Object(fields)) => line.extend(fields),
            (line, value) => line["value"] = value,
        }
        // Past any buffer, in one piece.
        file.write_all(format!("{line}\n").as_bytes())
    }
}
