//! The checker itself: that it finds what it is for, and nothing else.

use crate::checker::problems;
use crate::room::{CODECS, Declared, Room, STAGES, Source};

const KINDS: &str = "mod a; mod b; use x::Kind; pub static KINDS: &[&dyn Kind] = include!(list);";

/// What is wrong with a room that holds these files beside its registration.
fn wrong(room: &Room, files: &[(&str, &str)], declared: &Declared) -> Vec<String> {
    let source = |(path, text): (String, &str)| Source {
        path,
        text: text.to_owned(),
    };
    let mut sources = Vec::new();
    let folder = room.leaf_folder();
    if !files
        .iter()
        .any(|(path, _)| path.ends_with("/mod.rs") && !path[..path.len() - 7].contains('/'))
    {
        let text = KINDS.replace("KINDS", room.registration);
        sources.push(Source {
            path: format!("{folder}/mod.rs"),
            text,
        });
    }
    for (path, text) in files {
        sources.push(source((format!("{}/{path}", room.sources), text)));
    }
    problems(room, &sources, declared)
}

/// What is wrong with a leaf that holds this.
fn in_leaf(text: &str) -> Vec<String> {
    wrong(&STAGES, &[("kinds/a/mod.rs", text)], &Declared::new())
        .into_iter()
        .map(|problem| {
            problem
                .trim_start_matches("stages/src/kinds/a/mod.rs:")
                .to_owned()
        })
        .collect()
}

fn is_fine(text: &str) {
    assert_eq!(in_leaf(text), [""; 0], "{text}");
}

fn is_wrong(text: &str, what: &str) {
    let found = in_leaf(text);
    assert!(
        found.len() == 1 && found[0].contains(what),
        "{text}\nshould be: {what}\nis: {found:?}"
    );
}

#[test]
fn what_leaves_do_is_fine() {
    is_fine(
        "use std::fmt; use crate::failure; use crate::kinds::a::inner::Thing; mod inner;
         pub static KIND: A = A { name: \"a\" };
         pub struct A { name: &'static str }
         impl crate::Kind for A { fn f(&self) { self::inner::go(); crate::failure::chain(); super::a::x(); } }
         impl<'a> From<&'a str> for A { fn from(_: &'a str) -> Self { KIND } }
         impl fmt::Display for &A { }
         macro_rules! local { ($x:expr) => { $x + 1 } }
         fn f() -> u8 { let cell = std::cell::Cell::new(1); local!(cell.get()) }
         #[cfg(test)] mod tests { use super::*; use super::inner; }",
    );
}

#[test]
fn another_leaf_is_found_however_it_is_named() {
    let what = "1: names the leaf `b`, which it has not declared";
    for text in [
        "use crate::kinds::b::thing;",
        "use crate::{failure, kinds::{a::x, b}};",
        "use super::b;",
        "use super::{a, b as c};",
        "fn f() { super::b::go() }",
        "fn f() -> crate::kinds::b::Thing { todo() }",
        "fn f(x: &dyn llmcl_stages::kinds::b::Trait) {}",
        "mod inner { use super::super::b::Thing; }",
        "fn f() { println!(\"{}\", super::b::go()) }",
        "macro_rules! m { () => { $crate::kinds::b::go() } }",
        "impl super::b::Trait for A {} struct A;",
    ] {
        is_wrong(text, what);
    }
    let nested = wrong(
        &STAGES,
        &[("kinds/a/inner.rs", "use super::super::b;")],
        &Declared::new(),
    );
    assert_eq!(nested.len(), 1, "{nested:?}");
}

#[test]
fn a_leaf_that_was_declared_may_be_named() {
    let declared = Declared::from([("a".to_owned(), vec!["b".to_owned()])]);
    let files = [("kinds/a.rs", "use super::b;")];
    assert_eq!(wrong(&STAGES, &files, &declared), [""; 0]);
    let files = [("kinds/a.rs", "use super::c;")];
    assert_eq!(wrong(&STAGES, &files, &declared).len(), 1);
    let files = [("kinds/b.rs", "use super::a;")];
    assert_eq!(
        wrong(&STAGES, &files, &declared).len(),
        1,
        "not the other way"
    );
}

#[test]
fn ways_to_all_leaves_at_once_are_closed() {
    for text in [
        "use crate::kinds;",
        "use super::super::kinds::*;",
        "use super::*;",
        "use crate::*;",
        "use crate as everything;",
    ] {
        is_wrong(text, "names all leaves");
    }
    is_wrong("use super::KINDS;", "names the registration");
    is_wrong(
        "fn f() { crate::registry(); }",
        "through which it reaches every leaf",
    );
    is_wrong(
        "use llmcl_codecs::methods::FAMILIES;",
        "names methods itself",
    );
    is_wrong(
        "fn f() { llmcl_codecs::resolve(\"zstd_3\"); }",
        "names methods itself",
    );
    for door in ["method::resolve", "chunked::resolve"] {
        let text = format!("use crate::{door};");
        let method = [("methods/a.rs", text.as_str())];
        assert_eq!(wrong(&CODECS, &method, &Declared::new()).len(), 1, "{door}");
    }
}

#[test]
fn shared_code_names_no_leaf() {
    let shared = |path, text| wrong(&STAGES, &[(path, text)], &Declared::new());
    let found = shared("weights.rs", "use crate::kinds::a::Thing;");
    assert!(
        found[0].contains("is shared, and names the leaf `a`"),
        "{found:?}"
    );
    assert_eq!(shared("weights.rs", "use crate::kinds::KINDS;").len(), 1);
    assert_eq!(
        shared(
            "lib.rs",
            "pub mod kinds; use kinds::a; fn f() { crate::kinds::KINDS }"
        ),
        [""; 0]
    );
    assert_eq!(
        shared("weights.rs", "static STATE: Mutex<u8> = Mutex::new(1);"),
        [""; 0]
    );
    let found = wrong(
        &CODECS,
        &[("lib.rs", "use crate::methods::a::Thing;")],
        &Declared::new(),
    );
    assert_eq!(found.len(), 1, "the codecs' root names none either");
}

#[test]
fn implementations_are_for_own_types() {
    for text in [
        "impl std::fmt::Display for crate::weights::Weights {}",
        "impl crate::Shared { fn more(&self) {} }",
        "trait Own {} impl Own for Vec<u8> {}",
        "trait Own {} impl<T> Own for T {}",
        "trait Own {} impl Own for (u8, u8) {}",
        "trait Own {} impl Own for &[u8] {}",
        "use crate::weights::Thing; impl Clone for Thing {}",
        "type Alias = u8; impl crate::Trait for Alias {}",
        "mod inner { pub struct Thing; } use crate::x::Thing; impl Clone for Thing {}",
    ] {
        is_wrong(text, "which is not its own");
    }
    is_fine("mod inner { pub struct Thing; } use inner::Thing; use crate::Trait; impl Trait for Box<u8> {}"
        .split(" use crate::Trait").next().unwrap());
    is_fine("trait Own {} impl dyn Own {} struct W<T>(T); impl<T> Own for W<T> {}");
    is_wrong(
        "macro_rules! m { ($t:ty) => { impl Clone for $t {} } }",
        "has a macro write implementations",
    );
}

#[test]
fn macros_stay_inside() {
    is_wrong(
        "#[macro_export] macro_rules! m { () => {} }",
        "exports a macro",
    );
    is_wrong(
        "macro_rules! m { () => {} } pub(crate) use m;",
        "exports the macro `m`",
    );
    is_fine("macro_rules! m { () => {} } use m;");
}

#[test]
fn state_is_found_at_any_depth() {
    for text in [
        "static mut COUNT: u8 = 0;",
        "static COUNT: AtomicU64 = AtomicU64::new(0);",
        "fn f() { static SEEN: std::sync::OnceLock<u8> = std::sync::OnceLock::new(); }",
        "struct Inner { m: Mutex<u8> } struct Outer { inner: Inner } static S: Outer = Outer::new();",
        "struct Made(RefCell<u8>); static S: &dyn Sync = &Made::new();",
    ] {
        is_wrong(text, "static");
    }
    is_wrong(
        "thread_local! { static X: u8 = 1; }",
        "holds state through `thread_local!`",
    );
    is_wrong(
        "macro_rules! m { () => { static X: u8 = 1; } }",
        "has a macro write statics",
    );
    is_fine("macro_rules! m { () => { const X: &'static str = \"\"; } }");
    is_fine(
        "struct Plain { n: u8 } static S: Plain = Plain { n: 1 }; const C: Cell<u8> = Cell::new(1);",
    );
}

#[test]
fn sources_come_from_the_leaf_itself() {
    is_wrong(
        "#[path = \"../b.rs\"] mod b;",
        "takes a module from another place",
    );
    is_wrong(
        "const TEXT: &str = include_str!(\"../b.rs\");",
        "takes in a file of another place",
    );
    is_fine("const TEXT: &str = include_str!(\"table.txt\");");
}

#[test]
fn a_registration_only_registers() {
    let registration = |text: &str| {
        let path = "stages/src/kinds/mod.rs".to_owned();
        let sources = [Source {
            path,
            text: text.to_owned(),
        }];
        problems(&STAGES, &sources, &Declared::new())
    };
    assert_eq!(
        registration(&format!("//! Kinds.\n/// Doc.\n{KINDS}")),
        [""; 0]
    );
    assert_eq!(
        registration(&format!("#[cfg(feature = \"a\")] mod a; {KINDS}")),
        [""; 0]
    );
    for text in [
        "#[cfg(unix)] mod a; pub static KINDS: &[u8] = include!(list);",
        "#[cfg(not(feature = \"a\"))] mod a; pub static KINDS: &[u8] = include!(list);",
        "mod a { pub fn f() {} } pub static KINDS: &[u8] = include!(list);",
        "fn helper() {} pub static KINDS: &[u8] = include!(list);",
        "const LIMIT: u8 = 1; pub static KINDS: &[u8] = include!(list);",
        "#[macro_use] mod a; pub static KINDS: &[u8] = include!(list);",
        "#[path = \"b.rs\"] mod a; pub static KINDS: &[u8] = include!(list);",
        "pub static KINDS: &[u8] = make();",
        "pub static KINDS: &[u8] = &[];",
        "macro_rules! m { () => {} } pub static KINDS: &[u8] = include!(list);",
        "mod a;",
    ] {
        assert_eq!(registration(text).len(), 1, "{text}");
    }
}
