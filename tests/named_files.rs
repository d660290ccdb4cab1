//! Whoever reads where things are finds them there: every file and folder that the documents name exists, and every folder of
//! the library and its tests is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Parts of names that are of what a build or a run makes, or of whatever the reader has.
const MADE: [&str; 4] = ["target", "summary.txt", "FOLDER", "NAME.safetensors"];

/// What a fence of commands is called.
const SHELLS: [&str; 4] = ["sh", "bash", "shell", "console"];

/// What stands between backticks and is a file or a folder by its look.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        let ending = Path::new(name)
            .extension()
            .and_then(|ending| ending.to_str());
        let is_file = ["rs", "cu", "cuh", "md", "sh", "txt", "toml", "lzma", "py"];
        let looks_like_one =
            name.contains('/') || ending.is_some_and(|ending| is_file.contains(&ending));
        looks_like_one
            && !name.starts_with('/')
            && !name.contains(' ')
            && (name.contains('/') || !name.contains('*'))
            && !name.contains("::")
    })
}

/// Whether there is a file or a folder of this name below a folder. A `*` stands for any part of a name.
fn exists(folder: &Path, name: &str) -> bool {
    let Some((pattern, rest)) = name.split_once('/') else {
        return exists(folder, &format!("{name}/"));
    };
    let goes_on = |path: &Path| path.exists() && (rest.is_empty() || exists(path, rest));
    let Some((begin, end)) = pattern.split_once('*') else {
        return goes_on(&folder.join(pattern));
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.any(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let rest = name.and_then(|name| name.strip_prefix(begin));
        rest.is_some_and(|rest| rest.ends_with(end)) && goes_on(&path)
    })
}

/// Where the links of a line lead that are neither to the web, to a heading nor to an item of the library.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains(':') && !target.starts_with('#'))
}

/// The words of a command that are below a folder of the repository.
fn operands(command: &str) -> impl Iterator<Item = &str> {
    let words = command.split([' ', '=']);
    words.filter(|word| match word.split_once('/') {
        Some((folder, _)) => !folder.is_empty() && root().join(folder).is_dir(),
        None => false,
    })
}

/// The packages and targets that a command of Cargo names, and that nothing here is called.
fn unknown_targets(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if !words.contains(&"cargo") {
        return vec![];
    }
    let options = words.windows(2).filter_map(|pair| {
        let folder = match pair[0] {
            "-p" | "--package" => None,
            "--test" => Some("tests"),
            "--example" => Some("examples"),
            "--bench" => Some("benches"),
            "--bin" => Some("src/bin"),
            _ => return None,
        };
        Some((pair, folder))
    });
    let unknown = options.filter(|(pair, folder)| {
        let name = pair[1];
        let is_a_file = |package: &PathBuf| {
            let base = folder.map(|folder| package.join(folder));
            base.is_some_and(|base| {
                base.join(format!("{name}.rs")).exists() || base.join(name).join("main.rs").exists()
            })
        };
        let is_of = |(package, manifest): &(PathBuf, String)| {
            manifest.contains(&format!("name = \"{name}\"")) || is_a_file(package)
        };
        !name.starts_with(['$', '"']) && !PACKAGES.iter().any(is_of)
    });
    unknown.map(|(pair, _)| pair.join(" ")).collect()
}

/// The folder of each package, and its manifest.
static PACKAGES: LazyLock<Vec<(PathBuf, String)>> = LazyLock::new(|| {
    let manifests = files(|name| name == "Cargo.toml");
    let packages = manifests.into_iter().map(|manifest| {
        let path = root().join(manifest);
        let text = fs::read_to_string(&path).unwrap();
        (path.parent().unwrap().to_owned(), text)
    });
    packages.collect()
});

fn is_made(name: &str) -> bool {
    name.split('/').any(|part| MADE.contains(&part))
}

/// A path without `.` and `..`.
fn without_detours(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = straight.pop(),
            Component::CurDir => {}
            part => straight.push(part),
        }
    }
    straight
}

/// The files that a document in this folder names, and those that it names in vain. A name is the repository's or the folder's,
/// or it goes on from one before it in its paragraph or table, the nearest: `src/cpu/tiling/plan.rs` and then `view.rs`.
fn named(document: &str, folder: &Path) -> (BTreeSet<PathBuf>, Vec<String>) {
    let (mut found, mut missing) = (BTreeSet::new(), vec![]);
    let mut nearest: Vec<PathBuf> = vec![];
    let mut language = None;
    for line in document.lines() {
        if let Some(begun) = line.trim_start().strip_prefix("```") {
            language = language.is_none().then_some(begun);
            continue;
        }
        if line.trim().is_empty() {
            nearest.clear();
        }
        let everywhere = [Path::new(""), folder];
        let mentioned: Vec<(&str, &[&Path])> = match language {
            Some(language) if SHELLS.contains(&language) => operands(line)
                .map(|name| (name, &everywhere[..1]))
                .collect(),
            Some(_) => vec![],
            None => names(line)
                .map(|name| (name, &everywhere[..]))
                .chain(links(line).map(|name| (name, &everywhere[1..])))
                .collect(),
        };
        let commands: Vec<&str> = match language {
            Some(language) if SHELLS.contains(&language) => vec![line],
            Some(_) => vec![],
            None => line.split('`').skip(1).step_by(2).collect(),
        };
        let unknown = commands.into_iter().flat_map(unknown_targets);
        missing.extend(unknown.map(|target| format!("{target}, in: {line}")));
        for (name, from) in mentioned {
            let before = nearest.iter().map(PathBuf::as_path);
            let mut bases = from.iter().copied().chain(before);
            match bases.find(|base| exists(&root().join(base), name)) {
                None if is_made(name) => {}
                None => missing.push(format!("{name}, in: {line}")),
                Some(base) => {
                    // Of names with a star, the folder before it.
                    let fixed = name.split('*').next().unwrap();
                    let fixed = &fixed[..fixed.rfind('/').map_or(0, |slash| slash + 1)];
                    let path = if name.contains('*') { fixed } else { name };
                    let path = without_detours(&base.join(path));
                    nearest.splice(..0, path.ancestors().map(Path::to_owned));
                    found.insert(path);
                }
            }
        }
    }
    (found, missing)
}

/// The files of the repository that are named so, from its root.
fn files(is_one: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let (mut files, mut folders) = (vec![], vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if is_one(&name) {
                files.push(path);
            }
        }
    }
    files
}

/// Every document, but for the changelog, which names what was.
fn documents() -> Vec<PathBuf> {
    let is_document = |name: &str| {
        let ending = Path::new(name).extension();
        ending.is_some_and(|ending| ending == "md") && name != "CHANGELOG.md"
    };
    files(is_document)
}

#[test]
fn every_file_that_is_named_exists() {
    let documents = documents();
    assert!(documents.len() > 25, "{documents:?}");
    let mut in_vain = vec![];
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        let (_, missing) = named(&text, document.parent().unwrap());
        let lines = missing
            .iter()
            .map(|m| format!("{}: {m}", document.display()));
        in_vain.extend(lines);
    }
    assert!(in_vain.is_empty(), "\n{}", in_vain.join("\n"));
}

#[test]
fn every_folder_is_named() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (named, _) = named(&text, Path::new(""));
    assert!(named.len() > 100, "{} names", named.len());
    for folder in ["src", "src/cpu", "tests"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = Path::new(folder).join(entry.file_name());
            let is_named = !entry.path().is_dir() || named.contains(&path);
            assert!(is_named, "ARCHITECTURE.md does not name {}", path.display());
        }
    }
}

#[track_caller]
fn finds(text: &str, files: &[&str], in_vain: &[&str]) {
    let (found, missing) = named(text, Path::new("benches/gpu"));
    assert_eq!(found, files.iter().map(PathBuf::from).collect(), "{text}");
    let missing = missing.iter().map(|m| m.split(", in: ").next().unwrap());
    assert_eq!(missing.collect::<Vec<_>>(), in_vain, "{text}");
}

#[test]
fn what_is_not_there_is_found_missing() {
    let paragraphs = "`src/cpu/mod.rs` and `simd/`, `no.rs`\n\n`simd/`, `let x = 1 / 2;`, `a::b/c`";
    finds(
        paragraphs,
        &["src/cpu/mod.rs", "src/cpu/simd"],
        &["no.rs", "simd/"],
    );
    // Of the document's own folder, and of what a run makes.
    finds(
        "`run.sh` `target/x.rs` `cases/NAME.safetensors` `summary.txt`",
        &["benches/gpu/run.sh"],
        &[],
    );
}

#[test]
fn links_lead_somewhere() {
    let there =
        "[a](../peers/README.md) [`b`](report.rs) [c](https://a.b/c.md) [d](#e) [f](crate::F)";
    finds(
        there,
        &["benches/peers/README.md", "benches/gpu/report.rs"],
        &[],
    );
    finds("[a](src/lib.rs), [b](no.md)", &[], &["src/lib.rs", "no.md"]);
}

#[test]
fn commands_name_what_is_there() {
    let script = "```sh\nA=x/y cargo run --manifest-path burn/Cargo.toml > target/a # `no.rs`\nbash benches/no.sh src/\n```\n`gone.rs`";
    finds(
        script,
        &["burn/Cargo.toml", "src"],
        &["benches/no.sh", "gone.rs"],
    );
    finds(
        "  ```bash\nbash benches/no.sh\n  ```",
        &[],
        &["benches/no.sh"],
    );
    finds("```rust\nlet half = src/no; // `src/no.rs`\n```", &[], &[]);
}

#[test]
fn a_star_stands_for_something() {
    finds("`tests/*.rs`, `src/*/kernels/`", &["tests", "src"], &[]);
    finds(
        "`tests/no_*.rs` `src/no*/mod.rs`",
        &[],
        &["tests/no_*.rs", "src/no*/mod.rs"],
    );
}

#[test]
fn commands_of_cargo_name_what_is_built() {
    finds(
        "`cargo test -p batchnorm-simt --test bits`, `cargo run -p roofline --example speed`, `mkdir -p no`",
        &[],
        &[],
    );
    finds(
        "```sh\ncargo test -p no --test gone\ncargo run --example gone\n```",
        &[],
        &["-p no", "--test gone", "--example gone"],
    );
}
