#!/usr/bin/env python3
"""Proof that the fault tests can fail: the workspace is copied, one barrier at a time is taken out of the copy, and
the tests that should notice must go red.

    python3 cli/tests/mutations.py FOLDER [NAME ...]
    python3 cli/tests/mutations.py --check

FOLDER takes the copy and its builds; a second run with the same folder builds less. With names only those mutations
are tried. The exit code is the number of mutations that no test noticed. --check only looks whether every barrier is
still where it is said to be.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ["cli", "engine", "cache", "stages", "codecs", "container", "docs", "experiments", "fixtures", "profiles"]

CACHE = ["-p", "llmcl-cache"]
STORE = CACHE + ["--test", "store"]
FAULTS = ["-p", "llmcl", "--test", "faults"]
RECALL = ["-p", "llmcl", "--test", "recall"]

# name, file, text that must be there once, what stands there instead, the tests (packages and a filter)
MUTATIONS = [
    ("blob file not flushed", "cache/src/blob_writer.rs",
     "disk::sync_file(file, path)?;", "", FAULTS, "power_cut"),
    ("blob's folder not flushed", "cache/src/blob_writer.rs",
     "disk::sync_folder(&folder)?;", "", FAULTS, "power_cut"),
    ("folders of blobs not flushed", "cache/src/blob_files.rs",
     "            disk::sync_folder(&self.folder)?;\n            durable.insert", "            durable.insert", FAULTS, "power_cut"),
    ("segment not flushed", "cache/src/segment.rs",
     "disk::sync_content(&self.file, &self.path)?;", "", FAULTS, "power_cut"),
    ("folder of segments not flushed", "cache/src/segment.rs",
     "disk::sync_folder(&folder)?;", "", FAULTS, "power_cut"),
    ("header of a segment not flushed", "cache/src/segment.rs",
     "disk::sync_file(&file, &temporary)?;", "", FAULTS, "power_cut"),
    ("store's own folder not flushed", "cache/src/store.rs",
     "disk::sync_folder(self.root())?;", "", CACHE, ""),
    ("record before its blobs", "cache/src/store.rs",
     "if !self.holds(&blob.digest, blob.bytes) {", "if false {", CACHE, ""),
    ("length of a written blob not checked", "cache/src/blob_writer.rs",
     "if written != bytes {", "if false {", FAULTS, "refusals"),
    ("length of a blob that is read not checked", "cache/src/blob_files.rs",
     "if actual != bytes {", "if false {", CACHE, ""),
    ("digest of a blob not checked", "cache/src/blob_files.rs",
     "if digest_of(&file, |_| true).map_err(flaw)? != Some(*digest) {", "if false {", FAULTS, "damage"),
    ("checksum of a record not checked", "cache/src/frame.rs",
     "KIND_RECORD if head[16..32] == self.checksum(&bytes[body.clone()]) => {", "KIND_RECORD => {", CACHE, ""),
    ("torn end not cut off", "cache/src/segment.rs",
     "self.file.set_len(self.end).context(\"cut\", &self.path)?;", "", STORE, "segment_damage"),
    ("key lock excludes nobody", "cache/src/lock.rs",
     "Self::Alone => libc::F_WRLCK,", "Self::Alone => libc::F_RDLCK,", FAULTS, "company"),
    ("session not locked", "cache/src/session.rs",
     "lock.lock().context(\"lock\", &lock_path)?;", "", STORE, "processes"),
    ("segment not locked", "cache/src/segment.rs",
     "Err(TryLockError::WouldBlock) => return Ok(None),", "Err(TryLockError::WouldBlock) => {}", STORE, "processes"),
    ("no second look under the lock", "engine/src/run/attempt.rs",
     "Ok(Some(done)) => return Ended::Taken(done),", "Ok(Some(_)) => {}", FAULTS, "company"),
    ("edited input taken in", "engine/src/run/attempt.rs",
     "Some(stored) if stored == to_store(expected) => Ok(()),", "Some(_) if true => Ok(()),", FAULTS, "edits"),
    ("edited program not noticed", "engine/src/run/attempt.rs",
     "if found.get(&part.name) != Some(&part.value) {", "if false {", FAULTS, "edits"),
    ("who comes late not told", "engine/src/run/flusher.rs",
     "if self.last != Some(wanted) {", "if self.last.is_none_or(|last| last.written < wanted.written) {",
     ["-p", "llmcl-engine", "--lib"], "flusher"),
    ("who appends during a flush that fails not told", "cache/src/group_commit.rs",
     "let last = last.max(*tickets.end());", "let last = *tickets.end().min(&last);", CACHE, "group_commit"),
    ("missing blobs not looked for", "engine/src/outputs.rs",
     "if !missing.is_empty() {", "if false {", FAULTS, "damage"),
    ("watchdog does not kill", "stages/src/process/group.rs",
     "read -r _; kill -KILL 0", "read -r _", FAULTS, "orphans"),
    ("a stop does not kill the group", "stages/src/process/group.rs",
     "self.signal(Signal::SIGKILL);", "", FAULTS, "stages"),
    ("what is left behind passes", "stages/src/process.rs",
     "let mut survivors = group.survivors();", "let mut survivors = Vec::new();", FAULTS, "stages"),
    ("scratch kept as it was left", "cache/src/scratch.rs",
     "if made.empty().is_ok_and(|as_made| as_made) {", "if true {", CACHE, ""),
    ("snapshot believes in files", "engine/src/snapshot.rs",
     "&& self.files.iter().all(is_same_file)", "", RECALL, ""),
    ("snapshot believes in programs", "engine/src/snapshot.rs",
     "&& self.facts.iter().all(|fact| is_same_fact(fact, registry))", "", RECALL, ""),
    ("snapshot believes in the experiment", "engine/src/snapshot.rs",
     "&& self.sources.iter().all(is_same_text)", "", RECALL, ""),
    ("snapshot believes in records", "engine/src/snapshot.rs",
     "&& self.records.iter().all(is_recorded)", "", RECALL, ""),
    ("undeclared files pass", "stages/src/kinds/command/collect.rs",
     "if undeclared.is_empty() {", "if true {", FAULTS, "stages"),
]


def copy(to):
    """Copies the workspace's sources; files that have not changed keep their times, so that little is built again."""
    if to.exists():
        shutil.rmtree(to)
    for room in ROOMS:
        shutil.copytree(ROOT / room, to / room, ignore=shutil.ignore_patterns("target", ".llmcl"))
    for file in ["Cargo.toml", "Cargo.lock", "clippy.toml"]:
        shutil.copy2(ROOT / file, to / file)


def tests(source, target, packages, name):
    """Runs tests in the copy: the exit code and the end of what they said."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), INSTA_UPDATE="no")
    environment.pop("RUSTFLAGS", None)
    build = subprocess.run(["cargo", "test", "--quiet", "--locked", *packages, "--no-run"],
                           cwd=source, env=environment, capture_output=True, text=True)
    if build.returncode:
        sys.exit(f"the copy does not build:\n{build.stderr[-3000:]}")
    run = subprocess.run(["cargo", "test", "--quiet", "--locked", *packages, "--", *([name] if name else [])],
                         cwd=source, env=environment, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    strange = [f"{name}: {file} has {count} times: {old}" for name, file, old, *_ in MUTATIONS
               if (count := (ROOT / file).read_text().count(old)) != 1]
    if strange:
        sys.exit("\n".join(strange))
    if sys.argv[1] == "--check":
        return
    folder, names = Path(sys.argv[1]).resolve(), sys.argv[2:]
    unknown = set(names) - {mutation[0] for mutation in MUTATIONS}
    if unknown:
        sys.exit(f"no such mutation: {', '.join(sorted(unknown))}")
    source, target = folder / "source", folder / "target"
    copy(source)
    unnoticed, rows = 0, []
    for name, file, old, new, packages, wanted in MUTATIONS:
        if names and name not in names:
            continue
        path = source / file
        text = path.read_text()
        begun = time.time()
        path.write_text(text.replace(old, new))
        code, said = tests(source, target, packages, wanted)
        path.write_text(text)
        red = sorted({line.split()[1] for line in said.splitlines()
                      if line.startswith("test ") and line.endswith("FAILED")}
                     or {line.split("'")[1] for line in said.splitlines()
                         if line.startswith("thread '") and "panicked" in line})
        unnoticed += code == 0
        verdict = ", ".join(red[:2]) or "a test fails" if code else "NOT NOTICED"
        more = f" and {len(red) - 2} more" if len(red) > 2 else ""
        rows.append(f"| {name} | `{file}` | {verdict}{more} |")
        print(f"{rows[-1]}  {time.time() - begun:.0f} s", flush=True)
    print("\n| left out | in | red |\n| --- | --- | --- |")
    print("\n".join(rows))
    sys.exit(unnoticed)


if __name__ == "__main__":
    main()
