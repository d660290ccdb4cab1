//! The program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The example, built once with the settings that tests are built with.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let build = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "replay"])
            .args(as_this_test_was_built())
            .args(["--message-format", "json", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .output()
            .unwrap();
        assert!(build.status.success(), "{}", text(&build.stderr));
        let executable = text(&build.stdout).lines().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message["executable"].as_str()?))
        });
        executable.expect("the build names the executable")
    })
}

/// The profile, and where the test was built for a named target that target: what `cargo test` has built already, or
/// builds with the same flags.
fn as_this_test_was_built() -> Vec<String> {
    let test = std::env::current_exe().unwrap();
    let name = |up: usize| {
        test.ancestors()
            .nth(up)
            .and_then(Path::file_name)
            .unwrap()
            .to_str()
            .unwrap()
    };
    let profile = if name(2) == "release" {
        "release"
    } else {
        "test"
    };
    let mut arguments = vec!["--profile".to_owned(), profile.to_owned()];
    if name(3).contains("-linux-") {
        arguments.extend(["--target".to_owned(), name(3).to_owned()]);
    }
    arguments
}

/// Runs it.
pub(crate) fn replay(input: &Path, output: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(program());
    command
        .arg(input)
        .arg(output)
        .args(options)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
