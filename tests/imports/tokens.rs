//! What the tokens of a macro name: they need not be Rust until the macro has been expanded, so whatever looks like a path is one.

use proc_macro2::{Group, Ident, Punct, Spacing, TokenStream, TokenTree};
use syn::UseTree;

pub(crate) enum Piece {
    Use(UseTree),
    /// One name or several. A path that begins with a variable of the macro leads nowhere yet, and is left out.
    Path(Vec<String>),
    /// What a variable follows: the macro's caller can choose any name there.
    Open(Vec<String>),
}

/// All that the tokens name, at any depth.
pub(crate) fn pieces(tokens: TokenStream) -> Vec<Piece> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let (mut found, mut at) = (vec![], 0);
    while let Some(token) = tokens.get(at) {
        let before = |back: usize| at.checked_sub(back).and_then(|i| tokens.get(i));
        at += match token {
            TokenTree::Group(group) => {
                found.extend(pieces(group.stream()));
                1
            }
            TokenTree::Ident(word) if word == "use" => {
                let after = &tokens[at + 1..];
                let len = after.iter().position(|token| is(token, ';'));
                let tree = len.and_then(|len| use_tree(&after[..len]));
                let len = if tree.is_some() { len } else { None };
                found.extend(tree.map(Piece::Use));
                len.map_or(1, |len| len + 2)
            }
            TokenTree::Ident(word) => {
                let path = path(word, &tokens[at + 1..]);
                let words = path.len();
                let is_variable = before(1).is_some_and(|token| is(token, '$')) && word != "crate";
                let goes_on = before(1).is_some_and(|token| is(token, ':'))
                    && before(2).is_some_and(|token| is(token, ':'));
                let len = 3 * words - 2;
                if !is_variable && !goes_on {
                    found.push(match &tokens[at + len..] {
                        [a, b, variable, ..] if is(a, ':') && is(b, ':') && is(variable, '$') => {
                            Piece::Open(path)
                        }
                        _ => Piece::Path(path),
                    });
                }
                len
            }
            _ => 1,
        };
    }
    found
}

fn is(token: &TokenTree, punctuation: char) -> bool {
    matches!(token, TokenTree::Punct(this) if this.as_char() == punctuation)
}

/// A name, and those that follow it after `::`.
fn path(first: &Ident, after: &[TokenTree]) -> Vec<String> {
    let mut path = vec![first.to_string()];
    for next in after.chunks_exact(3) {
        match next {
            [a, b, TokenTree::Ident(name)] if is(a, ':') && is(b, ':') => {
                path.push(name.to_string());
            }
            _ => break,
        }
    }
    path
}

/// What stands between `use` and its semicolon. A name that the macro's caller chooses can be any, as if there were a glob.
fn use_tree(tokens: &[TokenTree]) -> Option<UseTree> {
    syn::parse2(without_variables(tokens.iter().cloned())).ok()
}

fn without_variables(tokens: impl Iterator<Item = TokenTree>) -> TokenStream {
    let (mut tokens, mut without) = (tokens, vec![]);
    while let Some(token) = tokens.next() {
        without.push(match token {
            TokenTree::Group(group) => {
                let within = without_variables(group.stream().into_iter());
                Group::new(group.delimiter(), within).into()
            }
            dollar if is(&dollar, '$') => match tokens.next() {
                Some(TokenTree::Ident(word)) if word == "crate" => word.into(),
                _ => Punct::new('*', Spacing::Alone).into(),
            },
            token => token,
        });
    }
    without.into_iter().collect()
}
