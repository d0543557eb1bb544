//! `install`: packages out of wheels and sources in a folder, without a network.

use std::fs;
use std::path::Path;

use llmcl_stages::kinds::install::{Install, KIND};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::kind::StageKind;
use llmcl_stages_api::machine::Machine;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::wheel::{sha256, wheel};
use crate::support::{check, params, problems, run};

/// Has pip look into a folder and nowhere else.
fn install(host: &TestHost, index: &Path, json: &Json) -> Result<Artifact, TaskError> {
    let kind = Install::with_pip_env(vec![
        ("PIP_NO_INDEX".to_owned(), "1".to_owned()),
        ("PIP_FIND_LINKS".to_owned(), index.display().to_string()),
    ]);
    let result = run(&kind, host, json).map(|outputs| outputs["packages"].clone());
    assert_eq!(host.scratches(), 0);
    result
}

fn names(artifact: &Artifact) -> Vec<&str> {
    artifact
        .files()
        .iter()
        .map(|file| file.name.as_str())
        .collect()
}

/// A wheel with a module, a program and something large.
fn peer(index: &Path) -> String {
    let large = vec![7; 200_000];
    wheel(
        index,
        "peer",
        &[
            ("peer/__init__.py", b"VALUE = 1\n"),
            ("peer/data.bin", &large),
            (
                "peer-1.0.dist-info/entry_points.txt",
                b"[console_scripts]\npeer = peer:main\n",
            ),
        ],
    )
}

#[test]
fn a_wheel_becomes_a_folder_that_is_the_same_everywhere() {
    let index = tempfile::tempdir().unwrap();
    let digest = peer(index.path());
    let json = json!({ "packages": [{ "package": "peer==1.0", "sha256": [digest] }] });
    let host = TestHost::new();
    let artifact = install(&host, index.path(), &json).unwrap();
    assert_eq!(
        names(&artifact),
        [
            "peer-1.0.dist-info/METADATA",
            "peer-1.0.dist-info/WHEEL",
            "peer-1.0.dist-info/entry_points.txt",
            "peer/__init__.py",
            "peer/data.bin",
        ]
    );
    assert_eq!(host.read(&artifact, "peer/__init__.py"), b"VALUE = 1\n");
    let again = install(&TestHost::new(), index.path(), &json).unwrap();
    assert_eq!(again, artifact);
}

#[test]
fn what_is_published_as_source_is_built_with_what_is_at_hand() {
    let index = tempfile::tempdir().unwrap();
    // A builder of its own: neither setuptools nor a network is needed.
    let builder = "import os, zipfile\n\
        def build_wheel(folder, settings=None, metadata=None):\n\
        \x20   name = 'grown-1.0-py3-none-any.whl'\n\
        \x20   info = 'grown-1.0.dist-info/'\n\
        \x20   with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n\
        \x20       wheel.writestr('grown.py', open('seed.txt').read())\n\
        \x20       wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: grown\\nVersion: 1.0\\n')\n\
        \x20       wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20       wheel.writestr(info + 'RECORD', '')\n\
        \x20   return name\n";
    let builder = wheel(
        index.path(),
        "gardener",
        &[("gardener.py", builder.as_bytes())],
    );
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().join("grown-1.0");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("seed.txt"), "GROWN = True\n").unwrap();
    fs::write(
        folder.join("PKG-INFO"),
        "Metadata-Version: 2.1\nName: grown\nVersion: 1.0\n",
    )
    .unwrap();
    fs::write(
        folder.join("pyproject.toml"),
        "[build-system]\nrequires = [\"gardener\"]\nbuild-backend = \"gardener\"\n",
    )
    .unwrap();
    let archive = index.path().join("grown-1.0.tar.gz");
    let packed = std::process::Command::new("tar")
        .args(["-czf"])
        .arg(&archive)
        .arg("-C")
        .arg(source.path())
        .arg("grown-1.0")
        .status()
        .unwrap();
    assert!(packed.success());
    let digest = sha256(&fs::read(&archive).unwrap());
    let mut json = json!({
        "packages": [{ "package": "grown==1.0", "sha256": [digest] }],
        "build": [{ "package": "gardener==1.0", "sha256": [builder] }],
    });
    let host = TestHost::new();
    let artifact = install(&host, index.path(), &json).unwrap();
    assert_eq!(host.read(&artifact, "grown.py"), b"GROWN = True\n");
    assert!(
        !names(&artifact)
            .iter()
            .any(|name| name.contains("gardener")),
        "what builds is not put out"
    );
    // Nothing is fetched for a build that was not named.
    json.as_object_mut().unwrap().remove("build");
    let error = install(&TestHost::new(), index.path(), &json).expect_err("no builder");
    assert_eq!(error.kind, TaskErrorKind::Outside);
}

#[test]
fn what_is_not_pinned_so_is_refused() {
    let index = tempfile::tempdir().unwrap();
    let digest = peer(index.path());
    let other = "0".repeat(64);
    let of = |package: &str, digests: &[&str]| json!({ "packages": [{ "package": package, "sha256": digests }] });
    let error =
        install(&TestHost::new(), index.path(), &of("peer==1.0", &[&other])).expect_err("digest");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    for part in ["is not what is pinned", "peer==1.0", &other, &digest] {
        assert!(error.message.contains(part), "{error}");
    }
    // One of several will do.
    install(
        &TestHost::new(),
        index.path(),
        &of("peer==1.0", &[&other, &digest]),
    )
    .unwrap();
    let error = install(&TestHost::new(), index.path(), &of("peer==2.0", &[&digest]))
        .expect_err("no such version");
    assert!(error.message.contains("peer==2.0"), "{error}");
    assert_eq!(error.kind, TaskErrorKind::Outside);
}

#[test]
fn mistakes_show_before_anything_runs() {
    let json = json!({
        "packages": [{ "package": "peer", "sha256": ["xyz"] }],
        "build": [],
    });
    let problems = problems(&check(&KIND, &json, &Default::default()));
    assert_eq!(
        problems,
        [
            "packages.0.package: `peer` is no `name==version` of a package",
            "packages.0.sha256: `xyz` is no SHA-256 of 64 hexadecimal digits in lower case",
            "build: names no package",
        ]
    );
}

#[test]
fn the_version_of_python_is_a_fact() {
    let facts = KIND.facts(&params(&json!({})));
    let environment = Machine::default().environment(&facts).unwrap();
    let version = environment["python python3"].as_text().unwrap();
    assert!(version.contains(" 3."), "{version}");
    assert!(matches!(environment["python python3"], Value::Text(_)));
}
