//! Embeds the kernels that are shipped with the crate, where there is no nvcc or they are asked for.

use std::path::Path;
use std::{env, fs};

use super::archive::{Archive, PATH};
use super::compiler::Compiled;
use super::ptx;

/// Set to 1, it has the shipped kernels embedded even where there is nvcc.
pub(super) const ASK: &str = "BATCHNORM_SHIPPED_KERNELS";

pub(super) fn is_asked_for() -> bool {
    env::var_os(ASK).is_some_and(|value| value == "1")
}

/// Unpacks them, or says why they cannot be used. Those of other sources are not: a kernel would take its arguments for
/// others than they are.
pub(super) fn unpack(out: &Path) -> Result<Vec<Compiled>, String> {
    println!("cargo:rerun-if-changed={PATH}");
    let said = |error| format!("{PATH}: {error}");
    let archive = Archive::read(Path::new(PATH)).map_err(said)?;
    if let Some(name) = archive.changed_since(Path::new("kernels")).map_err(said)? {
        return Err(format!(
            "the kernels shipped in {PATH} were made before kernels/{name} was changed"
        ));
    }
    let forms = archive.forms.into_iter();
    let compiled = forms.map(|form| {
        let file = out.join(format!("{}_{}.ptx", form.module, form.architecture));
        fs::write(&file, &form.ptx).expect("OUT_DIR can be written");
        Compiled {
            module: form.module,
            architecture: form.architecture,
            version: ptx::version(&form.ptx).expect("PTX begins with its version"),
            file,
        }
    });
    Ok(compiled.collect())
}
