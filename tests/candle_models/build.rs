//! Finds the models where cargo unpacked candle-transformers, and makes a module of each file as it is.

use std::error::Error;
use std::path::Path;
use std::{env, fmt::Write, fs};

use cargo_metadata::MetadataCommand;

/// Those that have batch norms and need no other file of their package.
const MODELS: [&str; 8] = [
    "convmixer",
    "efficientnet",
    "efficientvit",
    "fastvit",
    "mobilenetv4",
    "mobileone",
    "repvgg",
    "resnet",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    // What is built has been downloaded before.
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--offline".to_owned()])
        .exec()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "candle-transformers")
        .ok_or("candle-transformers is no dependency")?;
    let folder = package.manifest_path.with_file_name("src").join("models");
    let mut modules = String::new();
    for model in MODELS {
        let file = folder.join(model).with_extension("rs");
        if !file.exists() {
            return Err(format!("there is no {file}").into());
        }
        writeln!(modules, "#[path = {:?}]\npub mod {model};", file.as_str())?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("models.rs"), modules)?;
    Ok(())
}
