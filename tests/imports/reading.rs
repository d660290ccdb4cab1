//! Reads a crate from its root: each file as the compiler's grammar has it, and on to the modules that it declares.

use std::collections::BTreeMap;

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Expr, Ident, ImplItemFn, Item, ItemMod, Lit, Macro, Meta, Token, UseTree, Visibility,
};

use crate::tokens::{Piece, pieces};
use crate::tree::{Module, Tree, Use};

/// The crate whose root is `lib.rs` among these files.
pub(crate) fn read(files: &BTreeMap<String, String>) -> Tree {
    let mut reader = Reader {
        files,
        tree: Tree::default(),
        module: 0,
        beside: String::new(),
        below: String::new(),
    };
    reader.add("lib.rs", None);
    reader.read_file("lib.rs", true);
    reader.tree
}

struct Reader<'f> {
    files: &'f BTreeMap<String, String>,
    tree: Tree,
    /// The one that is being read.
    module: usize,
    /// Where a file lies that `#[path]` names.
    beside: String,
    /// Where the file of a module lies that is declared here.
    below: String,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        &mut self.tree.modules[self.module]
    }

    /// A new module, which is then the one that is being read.
    fn add(&mut self, file: &str, name: Option<String>) {
        let (new, parent) = (self.tree.modules.len(), self.module);
        self.tree.modules.push(Module {
            file: file.to_owned(),
            parent,
            ..Module::default()
        });
        if let Some(name) = name {
            self.module().children.push((name, new));
        }
        self.module = new;
    }

    /// `has_folder`: the modules that it declares lie beside it.
    fn read_file(&mut self, file: &str, has_folder: bool) {
        let folder = &file[..file.rfind('/').map_or(0, |slash| slash + 1)];
        folder.clone_into(&mut self.beside);
        self.below = if has_folder {
            self.beside.clone()
        } else {
            format!("{}/", file.trim_end_matches(".rs"))
        };
        let source = syn::parse_file(&self.files[file]);
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        self.visit_file(&source);
    }

    /// Where the file of a module is that is declared without its content, and whether its own modules lie beside it.
    fn file_of(&self, declared: &ItemMod) -> (String, bool) {
        let name = &declared.ident;
        if let Some(path) = declared.attrs.iter().find_map(path_of) {
            return (without_detours(&format!("{}{path}", self.beside)), true);
        }
        let alone = format!("{}{name}.rs", self.below);
        if self.files.contains_key(&alone) {
            return (alone, false);
        }
        (format!("{}{name}/mod.rs", self.below), true)
    }

    fn add_uses(&mut self, tree: &UseTree, before: &[String], is_exported: bool) {
        let then = |name: &Ident| {
            let itself = name == "self" && !before.is_empty();
            let name = (!itself).then(|| name.to_string());
            before.iter().cloned().chain(name).collect::<Vec<_>>()
        };
        let (name, path) = match tree {
            UseTree::Path(part) => {
                return self.add_uses(&part.tree, &then(&part.ident), is_exported);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_uses(tree, before, is_exported);
                }
                return;
            }
            UseTree::Name(leaf) => (then(&leaf.ident).pop(), then(&leaf.ident)),
            UseTree::Rename(leaf) => (Some(leaf.rename.to_string()), then(&leaf.ident)),
            UseTree::Glob(_) => (None, before.to_vec()),
        };
        self.module().uses.push(Use {
            name,
            path,
            is_exported,
        });
    }

    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        for piece in pieces(tokens) {
            match piece {
                Piece::Use(tree) => self.add_uses(&tree, &[], true),
                Piece::Open(path) => self.module().uses.push(Use {
                    name: None,
                    path,
                    is_exported: false,
                }),
                Piece::Path(path) => {
                    self.module().words_of_macros.extend(path.iter().cloned());
                    self.module().paths.insert(path);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (name, attributes) = name_and_attributes(item);
        if attributes.iter().any(is_for_tests) {
            if let Item::Mod(tests) = item {
                let folder = format!("{}{}/", self.below, tests.ident);
                self.tree.of_tests.extend([self.file_of(tests).0, folder]);
            }
            return;
        }
        if let Some(name) = name {
            self.module().items.insert(name.to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, declared: &'ast ItemMod) {
        let outside = (self.module, self.beside.clone(), self.below.clone());
        let name = declared.ident.to_string();
        if let Some((_, items)) = &declared.content {
            let file = self.module().file.clone();
            self.below = format!("{}{name}/", self.below);
            self.beside.clone_from(&self.below);
            self.add(&file, Some(name));
            for item in items {
                self.visit_item(item);
            }
        } else {
            let (file, has_folder) = self.file_of(declared);
            self.add(&file, Some(name));
            self.read_file(&file, has_folder);
        }
        (self.module, self.beside, self.below) = outside;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            let is_exported = !matches!(item.vis, Visibility::Inherited);
            self.add_uses(&item.tree, &[], is_exported);
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let renamed = item.rename.as_ref().map(|(_, name)| name);
        let name = renamed.unwrap_or(&item.ident).to_string();
        if item.ident == "self" {
            if self.module == 0 {
                self.tree.own_names.insert(name.clone());
            }
            self.module().uses.push(Use {
                name: Some(name),
                path: vec!["crate".to_owned()],
                is_exported: false,
            });
        } else {
            self.module().items.insert(name);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !function.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|part| part.ident.to_string());
            self.module().paths.insert(names.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        if called
            .path
            .segments
            .last()
            .is_some_and(|name| name.ident == "include")
        {
            let included = format!("{}: {}", self.module().file, called.tokens);
            self.tree.included.push(included);
        }
        self.add_tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.visit_path(attribute.path());
        if let Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
    }

    /// `pub(in crate::a)` is no import.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// The name that an item has beside the modules and imports of its module.
fn name_and_attributes(item: &Item) -> (Option<&Ident>, &[Attribute]) {
    match item {
        Item::Const(item) => (Some(&item.ident), &item.attrs),
        Item::Enum(item) => (Some(&item.ident), &item.attrs),
        Item::Fn(item) => (Some(&item.sig.ident), &item.attrs),
        Item::Macro(item) => (item.ident.as_ref(), &item.attrs),
        Item::Static(item) => (Some(&item.ident), &item.attrs),
        Item::Struct(item) => (Some(&item.ident), &item.attrs),
        Item::Trait(item) => (Some(&item.ident), &item.attrs),
        Item::TraitAlias(item) => (Some(&item.ident), &item.attrs),
        Item::Type(item) => (Some(&item.ident), &item.attrs),
        Item::Union(item) => (Some(&item.ident), &item.attrs),
        Item::ExternCrate(item) => (None, &item.attrs),
        Item::ForeignMod(item) => (None, &item.attrs),
        Item::Impl(item) => (None, &item.attrs),
        Item::Mod(item) => (None, &item.attrs),
        Item::Use(item) => (None, &item.attrs),
        _ => panic!("an item of a kind that is not known here"),
    }
}

/// Whether what has this attribute is only there in tests.
fn is_for_tests(attribute: &Attribute) -> bool {
    fn takes_tests(condition: &Meta) -> bool {
        let Meta::List(list) = condition else {
            return condition.path().is_ident("test");
        };
        let several = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        match (list.path.get_ident(), several) {
            (Some(all), Ok(conditions)) if all == "all" => conditions.iter().any(takes_tests),
            (Some(any), Ok(conditions)) if any == "any" => conditions.iter().all(takes_tests),
            _ => false,
        }
    }
    let is_condition = attribute.path().is_ident("cfg");
    let condition = attribute.parse_args::<Meta>();
    attribute.path().is_ident("test") || is_condition && condition.is_ok_and(|c| takes_tests(&c))
}

/// What a `#[path = "..."]` says.
fn path_of(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(value) if pair.path.is_ident("path") => match &value.lit {
            Lit::Str(path) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}

/// `a/../b` is `b`.
fn without_detours(path: &str) -> String {
    let mut parts = vec![];
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
