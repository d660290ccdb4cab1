//! A file of figures.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, to_value};

/// Writes an object of `machine` (what was measured on), `rows` (the figures), and beside them what else there is to say.
pub fn write(
    path: &Path,
    machine: &impl Serialize,
    rows: &[impl Serialize],
    beside: Value,
) -> Result<(), Box<dyn Error>> {
    let mut all = Map::new();
    all.insert("machine".into(), to_value(machine)?);
    if let Value::Object(beside) = beside {
        all.extend(beside);
    }
    all.insert("rows".into(), to_value(rows)?);
    fs::write(path, serde_json::to_string_pretty(&all)? + "\n")
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn machine_and_rows_are_where_every_reader_looks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figures.json");
        write(&path, &"a machine", &[1.5, 2.5], json!({ "rounds": 5 })).unwrap();
        let read: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let expected = json!({ "machine": "a machine", "rounds": 5, "rows": [1.5, 2.5] });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/figures.json");
        let error = write(&path, &(), &[0], json!({})).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
