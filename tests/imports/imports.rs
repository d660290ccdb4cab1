//! What each file takes from which, and what is wrong with how it says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::resolution::{Found, Place};
use crate::tree::Tree;

/// Which files each file needs, itself not among them.
pub(crate) type Needs<'t> = BTreeMap<&'t str, BTreeSet<&'t str>>;

impl Tree {
    pub(crate) fn needs(&self) -> Needs<'_> {
        let files = self.modules.iter().map(|module| module.file.as_str());
        let mut needs: Needs<'_> = files.map(|file| (file, BTreeSet::new())).collect();
        for (file, _, found) in self.all() {
            let needed = needs.entry(file).or_default();
            let files = found.places.iter().map(|place| self.file_of(*place));
            needed.extend(files.filter(|of_it| *of_it != file));
        }
        needs
    }

    /// Paths that stop at a file which only exports what they are for, and those that lead to nothing.
    pub(crate) fn roundabout(&self) -> Vec<String> {
        let mut faults = vec![];
        for (file, path, found) in self.all() {
            for through in &found.through {
                let through = &self.modules[*through].file;
                let places = found.places.iter().map(|place| self.file_of(*place));
                let defined: Vec<&str> = places.collect();
                let defined = defined.join(", ");
                faults.push(format!(
                    "{file}: {path} goes through {through}, and leads to {defined}"
                ));
            }
            if let Some(module) = found.lost_in {
                let searched = &self.modules[module].file;
                faults.push(format!("{file}: {path} is not found in {searched}"));
            }
        }
        faults
    }

    /// Every path: the file that has it, what it is, where it leads.
    fn all(&self) -> impl Iterator<Item = (&str, String, Found)> {
        self.modules
            .iter()
            .enumerate()
            .flat_map(move |(at, module)| {
                let file = module.file.as_str();
                let uses = module.uses.iter().map(move |import| {
                    let mut found = self.imported(at, &import.path);
                    let mut path = import.path.join("::");
                    if import.name.is_none() {
                        self.add_exports_of_whole(at, &mut found);
                        path.push_str("::*");
                    }
                    (file, path, found)
                });
                let paths = module.paths.iter();
                uses.chain(paths.map(move |path| (file, path.join("::"), self.named(at, path))))
            })
    }

    /// A glob imports what its module exports of other files, too.
    fn add_exports_of_whole(&self, importer: usize, found: &mut Found) {
        for place in found.places.clone() {
            let Place::Module(whole) = place else {
                continue;
            };
            let is_within = self.is_within(importer, whole);
            let exports = self.modules[whole].uses.iter();
            let exports = exports.filter(|import| import.is_exported || is_within);
            let names = exports.filter_map(|import| Some([import.name.clone()?]));
            for name in names.collect::<BTreeSet<_>>() {
                let exported = self.imported(whole, &name);
                let is_elsewhere = |place: &Place| {
                    let file = self.file_of(*place);
                    file != self.modules[whole].file && file != self.modules[importer].file
                };
                if exported.places.iter().any(is_elsewhere) {
                    found.through.insert(whole);
                    found.places.extend(exported.places);
                }
            }
        }
    }

    /// Whether a module is another or below it.
    fn is_within(&self, module: usize, outer: usize) -> bool {
        module == outer || module != 0 && self.is_within(self.modules[module].parent, outer)
    }
}
