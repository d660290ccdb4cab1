//! The one way that imports go: no circle, and none against the list in ARCHITECTURE.md.

use std::collections::BTreeSet;

use crate::imports::Needs;

/// The files that are in a circle or between two, and what they need of each other.
pub(crate) fn circles(needs: &Needs<'_>) -> Vec<String> {
    let mut left = needs.clone();
    // Whoever needs nothing that is left, stands below all others: what never gets there is in a circle or above one.
    loop {
        let before = left.len();
        let all: BTreeSet<&str> = left.keys().copied().collect();
        left.retain(|_, needed| !needed.is_disjoint(&all));
        if left.len() == before {
            break;
        }
    }
    // The same from above leaves the circles, and what lies between them.
    loop {
        let needed: BTreeSet<&str> = left.values().flatten().copied().collect();
        let before = left.len();
        left.retain(|file, _| needed.contains(file));
        if left.len() == before {
            break;
        }
    }
    let all: BTreeSet<&str> = left.keys().copied().collect();
    let line = |(file, needed): (&&str, &BTreeSet<&str>)| {
        let needed: Vec<&str> = needed.intersection(&all).copied().collect();
        format!("{file} -> {}", needed.join(", "))
    };
    left.iter().map(line).collect()
}

/// The files and folders of the list in ARCHITECTURE.md, without `src/`, and on which floor each stands. A name without `src/` is
/// beside the one before it.
pub(crate) fn floors(document: &str) -> Vec<(String, usize)> {
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

/// Files that are not in the list, and those that need one which the list has below them.
pub(crate) fn wrong_way(needs: &Needs<'_>, floors: &[(String, usize)]) -> Vec<String> {
    let floor_of = |file: &str| {
        let stands = floors.iter().filter(|(path, _)| file.starts_with(path));
        let nearest = stands.max_by_key(|(path, _)| path.len());
        nearest.map(|(_, floor)| *floor)
    };
    let mut faults = vec![];
    for (file, needed) in needs {
        // The root exports, and the manual's chapters are text.
        if ["lib.rs", "manual/mod.rs"].contains(file) {
            continue;
        }
        let Some(floor) = floor_of(file) else {
            faults.push(format!("{file} is not in the list"));
            continue;
        };
        for below in needed {
            if floor_of(below).is_some_and(|of_it| of_it > floor) {
                faults.push(format!(
                    "{file} imports from {below}, which the list has below it"
                ));
            }
        }
    }
    faults
}
