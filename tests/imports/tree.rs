//! The modules of a crate: which files they are in, and what each defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};

/// A module, of a file of its own or within another's.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Below `src/`.
    pub(crate) file: String,
    /// Of the root, itself.
    pub(crate) parent: usize,
    /// Two of one name can stand behind opposite features.
    pub(crate) children: Vec<(String, usize)>,
    /// What is defined here by name.
    pub(crate) items: BTreeSet<String>,
    pub(crate) uses: Vec<Use>,
    /// What is named outside of imports, as it is written.
    pub(crate) paths: BTreeSet<Vec<String>>,
    /// Every word in the tokens of macros: what a macro defines here has a name among them.
    pub(crate) words_of_macros: BTreeSet<String>,
}

/// One leaf of the tree of a `use`.
#[derive(Debug)]
pub(crate) struct Use {
    /// Under which name it is known here; a glob has none.
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
    /// Whether others than the modules below this one have it from here.
    pub(crate) is_exported: bool,
}

/// All modules of a crate but those of its tests; the first is the root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
    /// What the root calls the crate in its own code, in every module.
    pub(crate) own_names: BTreeSet<String>,
    /// What is included as text, which nothing here reads, and where.
    pub(crate) included: Vec<String>,
    /// Files and folders that only tests have.
    pub(crate) of_tests: Vec<String>,
}

impl Tree {
    /// Those of these files that neither the crate nor its tests declare as a module.
    pub(crate) fn unread<'f>(&self, files: &'f BTreeMap<String, String>) -> Vec<&'f str> {
        let read: BTreeSet<&str> = self.modules.iter().map(|m| m.file.as_str()).collect();
        let is_of_tests = |file: &str| self.of_tests.iter().any(|test| file.starts_with(test));
        let files = files.keys().map(String::as_str);
        files
            .filter(|file| !read.contains(file) && !is_of_tests(file))
            .collect()
    }
}
