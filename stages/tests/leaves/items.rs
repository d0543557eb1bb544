//! What a leaf may not hold: implementations for what is not its own, exported macros, state.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, StaticMutability, Type};

/// Types that change behind a shared reference.
const INTERIOR: &[&str] = &[
    "Cell",
    "RefCell",
    "UnsafeCell",
    "OnceCell",
    "LazyCell",
    "Mutex",
    "RwLock",
    "Once",
    "OnceLock",
    "LazyLock",
    "Condvar",
    "Barrier",
    "Lazy",
];

/// Macros that make statics.
const STATIC_MACROS: &[&str] = &["thread_local", "lazy_static"];

/// The names that the fields of each type hold, by the type's name.
pub(crate) type Fields = BTreeMap<String, BTreeSet<String>>;

/// Collects the types that are made in a file, with what their fields hold.
#[derive(Default)]
pub(crate) struct Types {
    pub(crate) fields: Fields,
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            let fields = self.fields.entry(name.to_string()).or_default();
            if !matches!(item, Item::Trait(_)) {
                fields.extend(idents(|idents| idents.visit_item(item)));
            }
        }
        visit::visit_item(self, item);
    }
}

/// Every name in a part of a file.
#[derive(Default)]
struct Idents(BTreeSet<String>);

impl<'ast> Visit<'ast> for Idents {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.0.insert(ident.to_string());
    }
}

fn idents(look: impl FnOnce(&mut Idents)) -> BTreeSet<String> {
    let mut idents = Idents::default();
    look(&mut idents);
    idents.0
}

/// Finds what a leaf may not hold.
pub(crate) struct Leaf<'a> {
    /// The types that are the leaf's own and visible in this file under their own name.
    pub(crate) own: &'a BTreeSet<String>,
    /// What the fields of every type of the crate hold.
    pub(crate) fields: &'a Fields,
    /// The macros made in this file.
    pub(crate) macros: BTreeSet<String>,
    /// What was found: line and message.
    pub(crate) found: Vec<(usize, String)>,
}

impl Leaf<'_> {
    fn tell(&mut self, at: &Ident, message: impl Into<String>) {
        self.found.push((at.span().start().line, message.into()));
    }

    /// The name of the type that something is implemented for; none for what has no name.
    fn base(ty: &Type) -> Option<&Ident> {
        match ty {
            Type::Reference(reference) => Self::base(&reference.elem),
            Type::Paren(paren) => Self::base(&paren.elem),
            Type::Group(group) => Self::base(&group.elem),
            Type::Path(path) if path.qself.is_none() => {
                path.path.segments.last().map(|segment| &segment.ident)
            }
            Type::TraitObject(object) => object.bounds.iter().find_map(|bound| match bound {
                syn::TypeParamBound::Trait(bound) => {
                    bound.path.segments.last().map(|segment| &segment.ident)
                }
                _ => None,
            }),
            _ => None,
        }
    }

    /// A name that stands for state, among these names or in the types that they name.
    fn state(&self, names: BTreeSet<String>) -> Option<String> {
        let mut open: Vec<String> = names.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if INTERIOR.contains(&name.as_str()) || name.starts_with("Atomic") {
                return Some(name);
            }
            if seen.insert(name.clone())
                && let Some(fields) = self.fields.get(&name)
            {
                open.extend(fields.iter().cloned());
            }
        }
        None
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let Some(ident) = attribute.path().get_ident() else {
                continue;
            };
            if ident == "macro_export" {
                self.tell(ident, "exports a macro");
            } else if ident == "path" {
                self.tell(ident, "takes a module from another place");
            }
        }
    }

    /// Looks at what a macro of the leaf's own would write.
    fn written_by_macro(&mut self, tokens: TokenStream) {
        let mut lifetime = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) if ident == "impl" => {
                    self.tell(
                        ident,
                        "has a macro write implementations, which cannot be looked at",
                    );
                }
                TokenTree::Ident(ident) if ident == "static" && !lifetime => {
                    self.tell(
                        ident,
                        "has a macro write statics, which cannot be looked at",
                    );
                }
                _ => {}
            }
            lifetime = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
            if let TokenTree::Group(group) = token {
                self.written_by_macro(group.stream());
            }
        }
    }
}

impl<'ast> Visit<'ast> for Leaf<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let base = Self::base(&item.self_ty);
        if !base.is_some_and(|ident| self.own.contains(&ident.to_string())) {
            let line = item.impl_token.span.start().line;
            let name = base.map_or_else(
                || "a type without a name".to_owned(),
                |name| format!("`{name}`"),
            );
            self.found.push((
                line,
                format!("implements something for {name}, which is not its own"),
            ));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        if !matches!(item.mutability, StaticMutability::None) {
            self.tell(
                &item.ident,
                format!("holds the mutable static `{}`", item.ident),
            );
        } else if let Some(state) = self.state(idents(|idents| idents.visit_item_static(item))) {
            self.tell(
                &item.ident,
                format!("holds state in the static `{}`: `{state}`", item.ident),
            );
        }
        visit::visit_item_static(self, item);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if let Some(name) = &item.ident {
            self.macros.insert(name.to_string());
            self.written_by_macro(item.mac.tokens.clone());
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if let Some(segment) = item.path.segments.last() {
            let name = segment.ident.to_string();
            if STATIC_MACROS.contains(&name.as_str()) {
                self.tell(&segment.ident, format!("holds state through `{name}!`"));
            }
            if name.starts_with("include") && item.tokens.to_string().contains("..") {
                self.tell(
                    &segment.ident,
                    format!("takes in a file of another place with `{name}!`"),
                );
            }
        }
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.attributes(std::slice::from_ref(attribute));
        visit::visit_attribute(self, attribute);
    }
}

/// Whether this is `#[cfg(feature = "…")]` and nothing more. Features are in fingerprints, unlike other conditions.
fn is_of_feature(attribute: &Attribute) -> bool {
    let condition: Option<syn::MetaNameValue> = attribute
        .path()
        .is_ident("cfg")
        .then(|| attribute.parse_args().ok())
        .flatten();
    condition.is_some_and(|condition| condition.path.is_ident("feature"))
}

/// What the `mod.rs` of a folder of leaves holds beside `mod` lines, `use` and the registration.
pub(crate) fn beside_registration(file: &syn::File, registration: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut registrations = 0;
    let plain = |attributes: &[Attribute]| {
        attributes
            .iter()
            .all(|attribute| attribute.path().is_ident("doc") || is_of_feature(attribute))
    };
    for item in &file.items {
        let (ident, ok) = match item {
            Item::Mod(item) => (
                Some(&item.ident),
                item.content.is_none() && plain(&item.attrs),
            ),
            Item::Use(_) => (None, true),
            Item::Static(item) if item.ident == registration => {
                registrations += 1;
                // The list that the build script makes of the `mod` lines.
                let is_list = matches!(
                    &*item.expr,
                    syn::Expr::Macro(list) if list.mac.path.is_ident("include")
                );
                (Some(&item.ident), is_list && plain(&item.attrs))
            }
            Item::Fn(item) => (Some(&item.sig.ident), false),
            Item::Struct(item) => (Some(&item.ident), false),
            Item::Const(item) => (Some(&item.ident), false),
            Item::Static(item) => (Some(&item.ident), false),
            _ => (None, false),
        };
        if !ok {
            let line = ident.map_or(0, |ident| ident.span().start().line);
            let name = ident.map_or_else(|| "something".to_owned(), |ident| format!("`{ident}`"));
            found.push((
                line,
                format!("holds {name}, and may hold only `mod` lines, `use` and the registration"),
            ));
        }
    }
    if registrations != 1 {
        found.push((
            0,
            format!("registers {registrations} times in `{registration}`, and not once"),
        ));
    }
    found
}
