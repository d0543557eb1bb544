//! Holds the sources of a room against the rules that make fingerprints sound.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;

use crate::items::{Leaf, Types, beside_registration};
use crate::names::{Import, Named, Names};
use crate::room::{CODECS, Declared, Room, Source};

/// Everything that is wrong, as `path:line: what`.
pub(crate) fn problems(room: &Room, sources: &[Source], declared: &Declared) -> Vec<String> {
    let files: Vec<File<'_>> = sources
        .iter()
        .map(|source| File::read(room, source))
        .collect();
    let mut all_types = Types::default();
    let mut own_types: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let mut types = Types::default();
        types.visit_file(&file.syntax);
        if let Some(leaf) = room.leaf_of(&file.module) {
            own_types
                .entry(leaf)
                .or_default()
                .extend(types.fields.keys().cloned());
        }
        for (name, fields) in types.fields {
            all_types.fields.entry(name).or_default().extend(fields);
        }
    }

    let mut problems = Vec::new();
    for file in &files {
        let mut tell = |(line, what): (usize, String)| {
            problems.push(format!("{}:{line}: {what}", file.source.path));
        };
        if file.source.path == format!("{}/mod.rs", room.leaf_folder()) {
            beside_registration(&file.syntax, room.registration)
                .into_iter()
                .for_each(tell);
            continue;
        }
        let leaf = room.leaf_of(&file.module);
        let names = Names::of(
            &file.syntax,
            room.crate_name,
            &[CODECS.crate_name],
            file.module.clone(),
        );
        for named in &names.named {
            if let Some(what) = file.wrong_name(named, leaf, declared) {
                tell((named.line, what));
            }
        }
        let Some(leaf) = leaf else {
            continue;
        };
        let mut own = own_types.get(leaf).cloned().unwrap_or_default();
        own.retain(|name| !imported(&names.imports, name, room, leaf));
        let mut finder = Leaf {
            own: &own,
            fields: &all_types.fields,
            macros: BTreeSet::new(),
            found: Vec::new(),
        };
        finder.visit_file(&file.syntax);
        let macros = finder.macros;
        for import in &names.imports {
            if import.is_public && macros.contains(&import.name) {
                finder
                    .found
                    .push((import.line, format!("exports the macro `{}`", import.name)));
            }
        }
        finder.found.into_iter().for_each(&mut tell);
    }
    problems.sort();
    problems.dedup();
    problems
}

/// Whether a name in a file of the leaf stands for something from elsewhere.
fn imported(imports: &[Import], name: &str, room: &Room, leaf: &str) -> bool {
    imports.iter().any(|import| {
        let inside = import
            .from
            .as_ref()
            .is_some_and(|from| room.leaf_of(from) == Some(leaf));
        import.name == name && !inside
    })
}

/// A source file, parsed.
struct File<'a> {
    room: &'a Room,
    source: &'a Source,
    syntax: syn::File,
    module: Vec<String>,
}

impl<'a> File<'a> {
    fn read(room: &'a Room, source: &'a Source) -> Self {
        let syntax = syn::parse_file(&source.text)
            .unwrap_or_else(|error| panic!("{}: {error}", source.path));
        Self {
            room,
            source,
            syntax,
            module: room.module_of(&source.path),
        }
    }

    /// What is wrong with naming this here.
    fn wrong_name(&self, named: &Named, leaf: Option<&str>, declared: &Declared) -> Option<String> {
        let room = match &named.of_crate {
            None => self.room,
            Some(_) => return leaf.and_then(|_| wrong_method(named)),
        };
        let text = named.path.join("::");
        if leaf.is_some() && (text.is_empty() || (named.whole && text == room.leaves)) {
            return Some("names all leaves, through the module above them".to_owned());
        }
        if leaf.is_some() && room.doors.contains(&text.as_str()) {
            return Some(format!(
                "uses `{text}`, through which it reaches every leaf"
            ));
        }
        let [module, rest @ ..] = named.path.as_slice() else {
            return None;
        };
        if *module != room.leaves {
            return None;
        }
        let Some(other) = rest.first() else {
            let root = leaf.is_none() && room.root_names_leaves && self.module.is_empty();
            return (!root).then(|| "names all leaves, through the module above them".to_owned());
        };
        if *other == room.registration {
            let may = leaf.is_none() && room.lookups.contains(&self.source.path.as_str());
            return (!may).then(|| format!("names the registration `{other}`"));
        }
        match leaf {
            Some(leaf) if leaf == other => None,
            Some(leaf) => {
                let known = declared
                    .get(leaf)
                    .is_some_and(|others| others.contains(other));
                (!known).then(|| format!("names the leaf `{other}`, which it has not declared"))
            }
            None if room.root_names_leaves && self.module.is_empty() => None,
            None => Some(format!("is shared, and names the leaf `{other}`")),
        }
    }
}

/// What is wrong with naming this of the codecs in a stage kind.
fn wrong_method(named: &Named) -> Option<String> {
    let text = named.path.join("::");
    let named_methods = named
        .path
        .first()
        .is_some_and(|module| *module == CODECS.leaves);
    (named_methods || CODECS.doors.contains(&text.as_str())).then(|| {
        "names methods itself; which one runs is for a task's parameters to say".to_owned()
    })
}
