//! The rooms of the house: every import names the file that defines a thing, no two files need each other, and all go the one way
//! that ARCHITECTURE.md says.
//!
//! A circle of imports means that neither file can be read without the other; an import through `lib.rs` hides where a thing
//! lives. Both creep in one line at a time, so they are looked for here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module of the library, as its path from the root (`cpu::simd::lanes`), what its file imports, and which names it only exports.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// Every module under `src/`, by its path.
fn modules() -> BTreeMap<String, Module> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = module_path(path.strip_prefix(&source).unwrap());
                let code = code(&fs::read_to_string(&path).unwrap());
                let exports = exports(&name, &code);
                let imports = imports(&name, &code);
                let module = Module {
                    file: path.clone(),
                    imports,
                    exports,
                };
                modules.insert(name, module);
            }
        }
    }
    modules
}

/// `cpu/simd/mod.rs` is `cpu::simd`, and `lib.rs` the root, "".
fn module_path(file: &Path) -> String {
    let mut parts: Vec<&str> = file.iter().map(|part| part.to_str().unwrap()).collect();
    let name = parts.pop().unwrap().trim_end_matches(".rs");
    if name != "mod" && name != "lib" {
        parts.push(name);
    }
    parts.join("::")
}

/// A file without its comments and without its tests, which may name what they like.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Modules that a file declares, but for those of tests.
fn declared(code: &str) -> Vec<&str> {
    let lines: Vec<&str> = code.lines().collect();
    let declares = |i: usize| {
        let (_, name) = lines[i].strip_suffix(';')?.rsplit_once("mod ")?;
        let is_test = i > 0 && lines[i - 1].starts_with("#[cfg(") && lines[i - 1].contains("test");
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        (is_name && !is_test && !lines[i].starts_with(' ')).then_some(name)
    };
    (0..lines.len()).filter_map(declares).collect()
}

/// `super::` and `self::` of a module, and modules that it declares, as paths from the root.
fn beginnings(module: &str, code: &str) -> Vec<(String, String)> {
    let within = |prefix: &str| match prefix {
        "" => String::new(),
        prefix => format!("{prefix}::"),
    };
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut beginnings = vec![
        ("crate::".to_owned(), String::new()),
        ("super::".to_owned(), within(parent)),
        ("self::".to_owned(), within(module)),
    ];
    for child in declared(code) {
        beginnings.push((format!("{child}::"), format!("{}{child}::", within(module))));
    }
    beginnings
}

/// What the code of a module names by paths that can be told from the text: whole paths, without `crate::`.
fn imports(module: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (beginning, prefix) in beginnings(module, code) {
        for (start, _) in code.match_indices(&beginning) {
            let before = &code[..start];
            let ends_a_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$';
            // `pub(in crate::a)` is no import.
            if !before.ends_with(ends_a_name) && !before.ends_with("(in ") {
                paths(&prefix, &code[start + beginning.len()..], &mut found);
            }
        }
    }
    found
}

/// What a module passes on from others by `pub use`, as the paths that define it.
fn exports(module: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (beginning, prefix) in beginnings(module, code) {
        for (start, matched) in code.match_indices(&format!("pub use {beginning}")) {
            paths(&prefix, &code[start + matched.len()..], &mut found);
        }
    }
    found
}

/// Adds the paths of a tree of imports, such as `a::{b, c::d}`; returns what comes after it.
fn paths<'s>(prefix: &str, tree: &'s str, found: &mut BTreeSet<String>) -> &'s str {
    let name_end = tree
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(tree.len());
    let (path, mut rest) = (format!("{prefix}{}", &tree[..name_end]), &tree[name_end..]);
    if !path.ends_with("::") || !rest.starts_with('{') {
        found.insert(path.trim_end_matches("::").to_owned());
        return rest;
    }
    while rest.starts_with(['{', ',']) {
        rest = rest[1..].trim_start();
        if !rest.starts_with('}') {
            rest = paths(&path, rest, found).trim_start();
        }
    }
    rest.strip_prefix('}').unwrap_or(rest)
}

/// The file that a path leads to: the longest part of it that is a module.
fn target<'m>(path: &str, modules: &'m BTreeMap<String, Module>) -> &'m str {
    let mut module = path;
    loop {
        if let Some((name, _)) = modules.get_key_value(module) {
            return name;
        }
        module = module.rsplit_once("::").map_or("", |(module, _)| module);
    }
}

#[test]
fn nothing_is_imported_through_the_root() {
    let modules = modules();
    for (name, module) in &modules {
        for path in &module.imports {
            assert!(
                !target(path, &modules).is_empty() || name.is_empty(),
                "{}: crate::{path} is imported through lib.rs",
                module.file.display()
            );
        }
    }
}

#[test]
fn nothing_is_imported_through_a_file_that_only_exports_it() {
    let modules = modules();
    let last = |path: &str| path.rsplit("::").next().unwrap().to_owned();
    let mut roundabout = vec![];
    for (name, module) in &modules {
        for path in &module.imports {
            let through = target(path, &modules);
            if through == name || through == path {
                continue;
            }
            let exports = &modules[through].exports;
            if let Some(defined) = exports.iter().find(|export| last(export) == last(path)) {
                let file = module.file.display();
                roundabout.push(format!("{file}: crate::{path} is crate::{defined}"));
            }
        }
    }
    assert!(roundabout.is_empty(), "{}", roundabout.join("\n"));
}

#[test]
fn no_two_files_need_each_other() {
    let modules = modules();
    assert!(modules.len() > 50, "{} modules", modules.len());
    let mut left: BTreeMap<&str, BTreeSet<&str>> = modules
        .iter()
        .map(|(name, module)| {
            let targets = module.imports.iter().map(|path| target(path, &modules));
            (name.as_str(), targets.filter(|to| to != name).collect())
        })
        .collect();
    // Whoever imports nothing that is left, stands below all others: what never gets there is in a circle or above one.
    loop {
        let ground: Vec<&str> = left
            .iter()
            .filter(|(_, imports)| imports.iter().all(|to| !left.contains_key(to)))
            .map(|(name, _)| *name)
            .collect();
        if ground.is_empty() {
            break;
        }
        left.retain(|name, _| !ground.contains(name));
    }
    // The same from above leaves the circles, and what lies between them.
    loop {
        let imported: BTreeSet<&str> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|name, _| imported.contains(name));
        if left.len() == before {
            break;
        }
    }
    let names: BTreeSet<&str> = left.keys().copied().collect();
    let circle: Vec<String> = left
        .iter()
        .map(|(name, to)| {
            let to: Vec<&str> = to.intersection(&names).copied().collect();
            format!("{name} -> {}", to.join(", "))
        })
        .collect();
    assert!(left.is_empty(), "files in circles:\n{}", circle.join("\n"));
}

/// The files and folders of the list in ARCHITECTURE.md, and on which floor each stands. A name without `src/` is beside the one
/// before it.
fn floors(document: &str) -> Vec<(String, usize)> {
    let chapter = document.split("## The order of imports").nth(1).unwrap();
    let list = chapter.split("\n## ").next().unwrap();
    let list = &list[list.find("\n1. ").unwrap()..];
    let (mut floors, mut floor, mut folder) = (vec![], 0, "");
    for (i, piece) in list.split('`').enumerate() {
        if i % 2 == 0 {
            let is_next = piece.contains("then") || piece.contains(|c: char| c.is_ascii_digit());
            floor += usize::from(is_next);
        } else if let Some(path) = piece.strip_prefix("src/") {
            folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
            floors.push((path.to_owned(), floor));
        } else {
            floors.push((format!("{folder}{piece}"), floor));
        }
    }
    floors
}

#[test]
fn imports_go_the_way_that_the_document_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let floors = floors(&fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let modules = modules();
    let floor_of = |name: &str| {
        let file = modules[name].file.strip_prefix(root.join("src")).unwrap();
        let file = file.to_str().unwrap().replace('\\', "/");
        let stands = floors.iter().filter(|(path, _)| file.starts_with(path));
        stands
            .max_by_key(|(path, _)| path.len())
            .map(|(_, floor)| *floor)
    };
    for (name, module) in &modules {
        let file = module.file.display();
        // The root exports, and the manual's chapters are text.
        if name.is_empty() || name == "manual" {
            continue;
        }
        let floor = floor_of(name).unwrap_or_else(|| panic!("{file} is not in the list"));
        for path in &module.imports {
            let above = floor_of(target(path, &modules)).is_none_or(|of_it| of_it <= floor);
            assert!(
                above,
                "{file} imports crate::{path}, which the list has below it"
            );
        }
    }
}

#[test]
fn paths_are_read_whole() {
    let source = "mod inner;\n#[cfg(test)]\nmod tests;\n\npub use inner::{F, G};\nuse crate::a::{B, c::{D, e}};\n\
        let x = crate::f::g(1) + inner::h(self::i::J, super::k); // crate::no\n$crate::h; pub(crate) fn i() {}\n\
        #[cfg(test)]\nmod tests {\nuse crate::no;";
    let code = code(source);
    let expected = [
        "a::B",
        "a::c::D",
        "a::c::e",
        "f::g",
        "m::n::i::J",
        "m::n::inner::F",
        "m::n::inner::G",
        "m::n::inner::h",
        "m::k",
    ];
    let expected = BTreeSet::from(expected.map(str::to_owned));
    assert_eq!(imports("m::n", &code), expected);
    let expected = ["m::n::inner::F", "m::n::inner::G"].map(str::to_owned);
    assert_eq!(exports("m::n", &code), BTreeSet::from(expected));
}
