//! The table of kernels, as Rust: `$OUT_DIR/kernels.rs`, which `src/cuda/modules.rs` includes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::compiler::Compiled;
use super::cubin::Cubin;

/// A table of what was compiled, as Rust.
pub(super) fn embed(table: &Path, compiled: &[Compiled], assembled: &[Cubin], log: &str) {
    let mut text = String::new();
    writeln!(text, "static EMBEDDED: &[Embedded] = &[").expect("a string takes everything");
    for Compiled {
        module,
        architecture,
        version: (major, minor),
        file,
    } in compiled
    {
        let path = file.display().to_string();
        writeln!(
            text,
            "    Embedded {{ module: {module:?}, architecture: {architecture}, version: ({major}, {minor}), ptx: include_str!({path:?}) }},",
        )
        .expect("a string takes everything");
    }
    writeln!(text, "];\n#[allow(dead_code, reason = \"tests look at the PTX alone\")]\nstatic EMBEDDED_CUBINS: &[Cubin] = &[").expect("a string takes everything");
    for Cubin {
        module,
        architecture,
        file,
    } in assembled
    {
        let path = file.display().to_string();
        writeln!(
            text,
            "    Cubin {{ module: {module:?}, architecture: {architecture}, image: include_bytes!({path:?}) }},",
        )
        .expect("a string takes everything");
    }
    writeln!(text, "];\nstatic SEARCH_LOG: &str = {log:?};").expect("a string takes everything");
    fs::write(table, text).expect("OUT_DIR can be written");
}
