//! Imports that could hide from whoever looks for them, planted in small crates: each is found.

use std::collections::BTreeMap;

use crate::order::{circles, floors, wrong_way};
use crate::reading::read;
use crate::tree::Tree;

fn planted(files: &[(&str, &str)]) -> Tree {
    let owned = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
    read(&files.iter().map(owned).collect())
}

/// What `a.rs` needs, of a crate that is this text in it and some modules beside it: `b.rs`, which defines `B` and a macro,
/// `c/d.rs`, which defines `D`, `e.rs`, which exports `B` and defines `E`, and `f.rs`, which only exports.
fn needed_by(text: &str) -> (Vec<String>, Vec<String>) {
    let tree = planted(&[
        ("lib.rs", "mod a; mod b; mod c; mod e; mod f; pub use b::B;"),
        ("a.rs", text),
        (
            "b.rs",
            "pub struct B; macro_rules! make { () => {} } pub(crate) use make;",
        ),
        ("c/mod.rs", "pub mod d;"),
        ("c/d.rs", "use crate::b::B; pub struct D; pub fn d() {}"),
        ("e.rs", "pub(crate) use crate::b::B; pub struct E;"),
        ("f.rs", "pub use crate::e as renamed; pub use crate::c::*;"),
    ]);
    let needed = tree.needs().remove("a.rs").unwrap_or_default();
    let needed = needed.into_iter().map(str::to_owned).collect();
    let of_a = |fault: &String| fault.starts_with("a.rs");
    (needed, tree.roundabout().into_iter().filter(of_a).collect())
}

/// That `a.rs` needs these files, and says so by the straight way.
#[track_caller]
fn straight(text: &str, files: &[&str]) {
    let (needed, roundabout) = needed_by(text);
    assert_eq!(needed, files, "{text}");
    assert_eq!(roundabout, Vec::<String>::new(), "{text}");
}

/// That `a.rs` needs these files, and goes through one that only exports.
#[track_caller]
fn through(exporter: &str, text: &str, files: &[&str]) {
    let (needed, roundabout) = needed_by(text);
    assert_eq!(needed, files, "{text}");
    let says_so = |fault: &String| fault.contains(&format!("goes through {exporter},"));
    assert!(roundabout.iter().any(says_so), "{text}: {roundabout:?}");
}

#[test]
fn a_name_that_is_changed() {
    straight("use crate::b as z; fn f(_: z::B) {}", &["b.rs"]);
    straight(
        "use crate::c as z; fn f(_: z::d::D) {}",
        &["c/d.rs", "c/mod.rs"],
    );
    straight(
        "use crate::c::{self as z}; use z::d::D as F;",
        &["c/d.rs", "c/mod.rs"],
    );
    straight(
        "extern crate self as own; use own::b::B;",
        &["b.rs", "lib.rs"],
    );
    through(
        "e.rs",
        "use crate::e as z; fn f(_: z::B) {}",
        &["b.rs", "e.rs"],
    );
    through("f.rs", "use crate::f::renamed::E;", &["e.rs"]);
}

#[test]
fn a_name_of_the_crate_in_every_module() {
    let tree = planted(&[
        (
            "lib.rs",
            "extern crate self as own; mod a; mod b; pub use b::B;",
        ),
        ("a.rs", "use own::b::B; fn f(_: own::B) {}"),
        ("b.rs", "pub struct B;"),
    ]);
    assert_eq!(tree.needs()["a.rs"], ["b.rs"].into());
    let fault = "a.rs: own::B goes through lib.rs, and leads to b.rs";
    assert_eq!(tree.roundabout(), [fault]);
}

#[test]
fn a_file_that_is_included_as_text() {
    let included = |text| planted(&[("lib.rs", "mod a;"), ("a.rs", text)]).included;
    assert_eq!(included("include!(\"b.txt\");"), ["a.rs: \"b.txt\""]);
    assert_eq!(included("fn f() { std::include!(\"b.in\") }").len(), 1);
    assert!(included("const S: &str = include_str!(\"b.txt\");").is_empty());
}

#[test]
fn a_glob_and_what_stands_beside_it() {
    straight("use crate::{b::*, c::d::D};", &["b.rs", "c/d.rs"]);
    straight(
        "use crate::c::d::{D, *}; use crate::b::B;",
        &["b.rs", "c/d.rs"],
    );
    through("e.rs", "use crate::e::*;", &["b.rs", "e.rs"]);
    through("f.rs", "use crate::f::d::D;", &["c/d.rs"]);
    straight("use crate::c::d::*; use std::fmt::*;", &["c/d.rs"]);
    through("lib.rs", "use crate::*;", &["b.rs", "lib.rs"]);
}

#[test]
fn an_export_within_the_crate() {
    through("e.rs", "use crate::e::B;", &["b.rs"]);
    through("lib.rs", "use crate::B;", &["b.rs"]);
    straight("use crate::e::E;", &["e.rs"]);
    straight("use crate::b::make;", &["b.rs"]);
}

#[test]
fn a_path_that_goes_on_after_its_item() {
    straight("fn f() { crate::b::B::new::<u8>(); }", &["b.rs"]);
    through("e.rs", "fn f() { crate::e::B::new(); }", &["b.rs"]);
    through("e.rs", "impl<T> From<crate::e::B> for Vec<T> {}", &["b.rs"]);
    straight(
        "type F = <u8 as crate::b::B>::F; fn f() -> impl Fn(super::c::d::D) {}",
        &["b.rs", "c/d.rs"],
    );
}

#[test]
fn a_module_by_itself() {
    straight(
        "use crate::c; fn f() { c::d::d(); }",
        &["c/d.rs", "c/mod.rs"],
    );
    straight("use crate::c::d; fn f() { d::d(); }", &["c/d.rs"]);
    straight(
        "fn f() { use crate::c::d; let b = d::D; let e = b; }",
        &["c/d.rs"],
    );
    through("e.rs", "use crate::e; fn f(_: e::B) {}", &["b.rs", "e.rs"]);
}

#[test]
fn a_way_up() {
    let tree = planted(&[
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod inner;"),
        (
            "a/inner/mod.rs",
            "pub mod x; mod y { use super::super::super::b::B; use super::x::X; }",
        ),
        (
            "a/inner/x.rs",
            "use super::super::super::b::B; pub struct X; fn x(_: self::X, _: super::super::super::b::B) {}",
        ),
        ("b.rs", "pub struct B;"),
    ]);
    assert_eq!(tree.needs()["a/inner/x.rs"], ["b.rs"].into());
    assert_eq!(
        tree.needs()["a/inner/mod.rs"],
        ["a/inner/x.rs", "b.rs"].into()
    );
    assert!(tree.roundabout().is_empty());
}

#[test]
fn macros() {
    straight(
        "macro_rules! m { ($x:ident) => { $crate::b::B::$x($crate::c::d::d()) } }",
        &["b.rs", "c/d.rs"],
    );
    straight(
        "macro_rules! m { ($x:ident) => { use $crate::{b::B as Z, c::d::$x}; } }",
        &["b.rs", "c/d.rs"],
    );
    straight(
        "fn f() { vec![(1, crate::b::B), { use crate::c::d::*; d() }] }",
        &["b.rs", "c/d.rs"],
    );
    straight(
        "m! { use crate::c as z; } fn f() { z::d::d() }",
        &["c/d.rs", "c/mod.rs"],
    );
    // A name in the middle that the caller chooses can be any.
    through(
        "lib.rs",
        "macro_rules! m { ($x:ident) => { crate::$x::B::new() } }",
        &["b.rs", "lib.rs"],
    );
    straight(
        "macro_rules! m { ($x:ident) => { $crate::c::$x::new() } }",
        &["c/mod.rs"],
    );
    straight("#[derive(Debug, crate::b::B)] struct S;", &["b.rs"]);
    straight("fn f() { crate::b::make!() }", &["b.rs"]);
    through(
        "e.rs",
        "fn f() { println!(\"{}\", crate::e::B::new()) }",
        &["b.rs"],
    );
    // What a macro defines is where it is called.
    let tree = planted(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::Made;"),
        ("b.rs", "make! { pub trait Made {} }"),
    ]);
    assert_eq!(tree.needs()["a.rs"], ["b.rs"].into());
    assert!(tree.roundabout().is_empty());
}

#[test]
fn a_file_of_another_name() {
    let tree = planted(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a/mod.rs",
            "#[cfg(one)] mod c; #[cfg(not(one))] #[path = \"../b/other.rs\"] mod c; use self::c::C;",
        ),
        ("a/c.rs", "pub use super::super::b::C;"),
        ("b.rs", "pub struct C;"),
        ("b/other.rs", "use crate::b::C as Hidden; pub struct C;"),
    ]);
    assert_eq!(tree.needs()["b/other.rs"], ["b.rs"].into());
    assert_eq!(tree.needs()["a/mod.rs"], ["b.rs", "b/other.rs"].into());
    assert_eq!(tree.roundabout().len(), 1, "{:?}", tree.roundabout());
}

#[test]
fn what_stands_behind_tests_and_not_what_stands_in_them() {
    straight(
        "#[cfg(test)]\nmod tests { use crate::b::B; }\nuse crate::c::d::D;",
        &["c/d.rs"],
    );
    straight(
        "#[cfg(all(test, x))] use crate::b::B; #[cfg(any(test, x))] use crate::c::d::D;",
        &["c/d.rs"],
    );
    straight(
        "#[test] fn f() { crate::b::B } impl S { #[cfg(test)] fn g(_: crate::b::B) {} }",
        &[],
    );
    straight(
        "/* crate::b::B */ /// [`crate::b::B`]\npub(in crate::b) const S: &str = \"crate::b::B // \"; type T = crate::c::d::D;",
        &["c/d.rs"],
    );
}

#[test]
fn a_path_that_leads_nowhere() {
    let (needed, lost) = needed_by("use crate::c::nothing::N; use std::fmt; fn f() { fmt::g() }");
    assert_eq!(needed, Vec::<String>::new());
    assert_eq!(
        lost,
        ["a.rs: crate::c::nothing::N is not found in c/mod.rs"]
    );
}

#[test]
fn a_file_that_nobody_declares() {
    let names = ["lib.rs", "a.rs", "tests.rs", "tests/more.rs"];
    let texts = ["#[cfg(test)] mod tests;", "", "mod more;", ""];
    let files = names
        .map(str::to_owned)
        .into_iter()
        .zip(texts.map(str::to_owned));
    let files: BTreeMap<String, String> = files.collect();
    assert_eq!(read(&files).unread(&files), ["a.rs"]);
}

#[test]
fn a_circle_and_not_what_leads_to_it_or_away() {
    let tree = planted(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c as z; pub struct B; fn f(_: z::C) {}"),
        (
            "c.rs",
            "use crate::d::D; pub struct C; fn f() { vec![super::b::B] }",
        ),
        ("d.rs", "use crate::e::E; pub struct D;"),
        ("e.rs", "pub struct E;"),
    ]);
    assert_eq!(circles(&tree.needs()), ["b.rs -> c.rs", "c.rs -> b.rs"]);
}

#[test]
fn a_way_against_the_list() {
    let list =
        "## The order of imports\n\n1. `src/a.rs`, then\n   `b.rs`\n2. `src/c/`\n\n## More\n";
    let floors = floors(list);
    let tree = planted(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "macro_rules! m { () => { $crate::b::B } }"),
        ("b.rs", "use crate::a; pub struct B;"),
        ("c/mod.rs", "use crate::{a, b::B};"),
        ("d.rs", "use crate::a;"),
    ]);
    let faults = [
        "a.rs imports from b.rs, which the list has below it",
        "d.rs is not in the list",
    ];
    assert_eq!(wrong_way(&tree.needs(), &floors), faults);
}
