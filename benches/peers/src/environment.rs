//! Python environments with what is pinned in `python/*.txt`, made when they are first needed.

use std::fs;
use std::io::stderr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::problem::Result;

/// The interpreter of the environment for `python/NAME.txt`, in the folder that cargo builds into.
pub fn interpreter(name: &str) -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("python/{name}.txt"));
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("no target folder")?;
    let environment = target.join("python").join(name);
    let interpreter = environment.join("bin/python");
    // The list as it was when everything on it had been installed.
    let installed = environment.join("installed.txt");
    let wanted = fs::read(&requirements)?;
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(interpreter);
    }
    eprintln!(
        "installing {} into {}, once",
        requirements.display(),
        environment.display()
    );
    let mut create = Command::new("python3");
    run(create.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut install = Command::new(&interpreter);
    run(install
        .args(["-m", "pip", "install", "--requirement"])
        .arg(&requirements))?;
    fs::write(installed, wanted)?;
    Ok(interpreter)
}

/// What a command writes is no part of the table.
fn run(command: &mut Command) -> Result<()> {
    let line = format!("{command:?}");
    let status = command.stdout(stderr()).status();
    let status = status.map_err(|error| format!("{line}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{line}: {status}").into())
    }
}
