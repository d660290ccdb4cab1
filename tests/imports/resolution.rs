//! Where a path leads: to the module or the item that it means, in the file that defines it.

use std::collections::BTreeSet;

use crate::tree::Tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Module(usize),
    /// Of the module that defines it.
    Item(usize),
}

/// What a path leads to: nothing if it leaves the crate, and several places if features decide.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) places: BTreeSet<Place>,
    /// The modules in other files that only export what the path names in them.
    pub(crate) through: BTreeSet<usize>,
    /// The module in which nothing has the next name of the path.
    pub(crate) lost_in: Option<usize>,
}

/// Names that are being looked up: imports can lead back to where they began.
type Asked = BTreeSet<(usize, String)>;

impl Tree {
    fn file(&self, module: usize) -> &str {
        &self.modules[module].file
    }

    /// The file that a place is in.
    pub(crate) fn file_of(&self, place: Place) -> &str {
        match place {
            Place::Module(module) | Place::Item(module) => self.file(module),
        }
    }

    /// Where the path of a `use` in this module leads.
    pub(crate) fn imported(&self, module: usize, path: &[String]) -> Found {
        self.follow(module, path, &mut Asked::new())
    }

    /// Where a path in the code of this module leads. A name alone is no module's there, it can be a variable's.
    pub(crate) fn named(&self, module: usize, path: &[String]) -> Found {
        let mut found = self.imported(module, path);
        let is_item = |place: &Place| matches!(place, Place::Item(_));
        if path.len() == 1 || found.places.iter().any(is_item) {
            found.places.retain(is_item);
        }
        found
    }

    fn follow(&self, from: usize, path: &[String], asked: &mut Asked) -> Found {
        let mut found = Found::default();
        let mut start = None;
        let mut rest = path;
        while let [word, after @ ..] = rest {
            start = Some(match word.as_str() {
                "crate" => 0,
                "self" => start.unwrap_or(from),
                own if start.is_none() && from != 0 && self.own_names.contains(own) => 0,
                "super" => self.modules[start.unwrap_or(from)].parent,
                _ => break,
            });
            rest = after;
        }
        found.places = match (start, rest) {
            (Some(module), _) => BTreeSet::from([Place::Module(module)]),
            (None, [name, ..]) => self.lookup(from, name, asked),
            (None, []) => BTreeSet::new(),
        };
        if start.is_none() {
            rest = rest.get(1..).unwrap_or(&[]);
        }
        for name in rest {
            let (mut next, mut last) = (BTreeSet::new(), None);
            for place in &found.places {
                if let Place::Module(module) = *place {
                    let places = self.lookup(module, name, asked);
                    if self.file(module) != self.file(from) && self.only_exports(module, &places) {
                        found.through.insert(module);
                    }
                    next.extend(places);
                    last = Some(module);
                }
            }
            if next.is_empty() {
                // What comes after an item is its own: a variant, a function.
                found.places.retain(|place| matches!(place, Place::Item(_)));
                found.lost_in = last.filter(|_| found.places.is_empty());
                break;
            }
            found.places = next;
        }
        found
    }

    /// Whether what a module has by a name is of other files, and no module below it.
    fn only_exports(&self, module: usize, places: &BTreeSet<Place>) -> bool {
        let is_own = |place: &Place| match *place {
            Place::Item(of) => self.file(of) == self.file(module),
            Place::Module(child) => self.modules[child].parent == module,
        };
        !places.is_empty() && !places.iter().any(is_own)
    }

    /// What a module has by a name: defined in it, imported by it, or made by its macros.
    fn lookup(&self, module: usize, name: &str, asked: &mut Asked) -> BTreeSet<Place> {
        let here = &self.modules[module];
        let children = here.children.iter().filter(|(child, _)| child == name);
        let mut places: BTreeSet<Place> = children.map(|(_, at)| Place::Module(*at)).collect();
        if here.items.contains(name) {
            places.insert(Place::Item(module));
        }
        if !asked.insert((module, name.to_owned())) {
            return places;
        }
        for import in &here.uses {
            if import.name.as_deref() == Some(name) {
                let found = self.follow(module, &import.path, asked);
                if found.places.is_empty() && found.lost_in.is_none() {
                    // Of another crate: for this one, it is from here.
                    places.insert(Place::Item(module));
                }
                places.extend(found.places);
            }
        }
        let globs = here.uses.iter().filter(|import| import.name.is_none());
        for glob in globs.filter(|_| places.is_empty()).collect::<Vec<_>>() {
            for place in self.follow(module, &glob.path, asked).places {
                if let Place::Module(whole) = place {
                    places.extend(self.lookup(whole, name, asked));
                }
            }
        }
        if places.is_empty() && here.words_of_macros.contains(name) {
            places.insert(Place::Item(module));
        }
        asked.remove(&(module, name.to_owned()));
        places
    }
}
