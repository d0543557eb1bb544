//! What a file names: every path that can be followed from the root of its crate.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

/// A path that a file names, from the root of a crate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    /// The crate; none for the file's own.
    pub(crate) of_crate: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether all that lies there is named: `use x::*`, or `use x as y` of a module.
    pub(crate) whole: bool,
}

/// A name that a `use` brings into a file.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) name: String,
    /// Where it comes from, if that can be followed from the root of the own crate.
    pub(crate) from: Option<Vec<String>>,
    pub(crate) is_public: bool,
    pub(crate) line: usize,
}

/// Collects names.
pub(crate) struct Names<'a> {
    crates: &'a [&'a str],
    own: &'a str,
    module: Vec<String>,
    pub(crate) named: Vec<Named>,
    pub(crate) imports: Vec<Import>,
}

impl<'a> Names<'a> {
    /// Collects the names in a file of the crate `own`; `crates` are those whose paths are followed.
    pub(crate) fn of(
        file: &syn::File,
        own: &'a str,
        crates: &'a [&'a str],
        module: Vec<String>,
    ) -> Self {
        let mut names = Self {
            crates,
            own,
            module,
            named: Vec::new(),
            imports: Vec::new(),
        };
        names.visit_file(file);
        names
    }

    /// Follows a path from the root of a crate; nothing for one that begins with a local name.
    fn follow(&self, segments: &[String]) -> Option<(Option<String>, Vec<String>)> {
        let (first, rest) = segments.split_first()?;
        let mut rest = rest;
        let mut path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => {
                let mut path = self.module.clone();
                path.pop();
                while let Some((next, after)) = rest.split_first()
                    && next == "super"
                {
                    path.pop();
                    rest = after;
                }
                path
            }
            own if own == self.own => Vec::new(),
            other if self.crates.contains(&other) => {
                return Some((Some(other.to_owned()), rest.to_vec()));
            }
            _ => return None,
        };
        path.extend(rest.iter().cloned());
        Some((None, path))
    }

    fn add(&mut self, segments: &[String], line: usize, whole: bool) {
        if let Some((of_crate, path)) = self.follow(segments) {
            self.named.push(Named {
                of_crate,
                path,
                line,
                whole,
            });
        }
    }

    fn uses(&mut self, tree: &UseTree, prefix: &mut Vec<String>, is_public: bool) {
        let before = prefix.len();
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.uses(&path.tree, prefix, is_public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.uses(tree, prefix, is_public);
                }
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.add(prefix, line, true);
            }
            UseTree::Name(name) => {
                let ident = name.ident.to_string();
                self.import(
                    &ident,
                    &ident,
                    prefix,
                    name.ident.span().start().line,
                    is_public,
                );
            }
            UseTree::Rename(rename) => {
                let line = rename.ident.span().start().line;
                self.import(
                    &rename.ident.to_string(),
                    &rename.rename.to_string(),
                    prefix,
                    line,
                    is_public,
                );
            }
        }
        prefix.truncate(before);
    }

    fn import(&mut self, ident: &str, name: &str, prefix: &[String], line: usize, is_public: bool) {
        let mut segments = prefix.to_vec();
        let mut name = name.to_owned();
        // `use a::{self}` names `a`.
        if ident != "self" || segments.is_empty() {
            segments.push(ident.to_owned());
        } else if name == "self"
            && let Some(last) = segments.last()
        {
            name = last.clone();
        }
        self.add(&segments, line, false);
        let from = match self.follow(&segments) {
            Some((None, path)) => Some(path),
            _ => None,
        };
        self.imports.push(Import {
            name,
            from,
            is_public,
            line,
        });
    }

    /// Paths in the tokens of a macro, which are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut line = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_of_tokens(&mut path, line);
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                _ => {
                    self.end_of_tokens(&mut path, line);
                    colons = 0;
                }
            }
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream());
            }
        }
        self.end_of_tokens(&mut path, line);
    }

    fn end_of_tokens(&mut self, path: &mut Vec<String>, line: usize) {
        if path.len() > 1 {
            self.add(path, line, false);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, Visibility::Inherited);
        self.uses(&item.tree, &mut Vec::new(), is_public);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        let line = path
            .segments
            .first()
            .map_or(0, |part| part.ident.span().start().line);
        // `self` and `Self` alone are values and types.
        if segments.len() > 1 {
            self.add(&segments, line, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if let Item::Verbatim(tokens) = item {
            self.tokens(tokens.clone());
        }
        visit::visit_item(self, item);
    }
}
