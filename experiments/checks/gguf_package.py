#!/usr/bin/env python3
"""Holds what `select` says of GGUF files against the `gguf` package: names, types, shapes, places, bytes.

    cargo build --release
    pip install gguf==0.19.0
    python3 experiments/checks/gguf_package.py target/release/llmcl FILE.gguf...

Each file is fetched into a store in a new folder under the system's temporary folder, which needs as much room. Exits
with 1 at the first difference.
"""

import collections
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from gguf import GGUFReader

EXPERIMENT = """
[experiment]
name = "gguf"

[axes]
model = { corpus = "corpus.toml" }

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = { axis = "model" }

[stages.tensors]
kind   = "select"
each   = ["model"]
inputs = { file = "fetch" }
"""

CORPUS = """
[corpus]
name = "gguf"

[[model]]
name   = "model"
family = "model"
role   = "test"
[[model.file]]
name   = "model.gguf"
bytes  = {bytes}
sha256 = "{sha256}"
path   = "model.gguf"
"""


def selected(binary, path, folder):
    """The tensors as `select` describes them, by their names."""
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "model.gguf").symlink_to(path.resolve())
    (folder / "corpus.toml").write_text(CORPUS.format(bytes=path.stat().st_size, sha256=sha256))
    (folder / "gguf.toml").write_text(EXPERIMENT)
    common = [folder / "gguf.toml", "--store", folder / "store"]
    subprocess.run([binary, "run", *common], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    show = subprocess.run([binary, "show", common[0], "tensors/model", *common[1:]], check=True, stdout=subprocess.PIPE)
    tensors = json.loads(show.stdout)["tensors"]
    return {tensor["name"]: tensor for tensor in tensors}


def compare(path, ours):
    """Compares each tensor, and returns how many there are of each type."""
    reader = GGUFReader(path)
    types = collections.Counter()
    with open(path, "rb") as file:
        for theirs in reader.tensors:
            tensor = ours.pop(theirs.name)
            file.seek(tensor["offset"])
            said = {
                "dtype": tensor["dtype"],
                "shape": tensor["shape"],
                "offset": tensor["offset"],
                "sha256": hashlib.sha256(file.read(tensor["bytes"])).hexdigest(),
            }
            found = {
                "dtype": theirs.tensor_type.name,
                "shape": [int(dim) for dim in reversed(theirs.shape)],
                "offset": theirs.data_offset,
                "sha256": hashlib.sha256(theirs.data.tobytes()).hexdigest(),
            }
            if said != found:
                sys.exit(f"{path}: {theirs.name}: {said}, by the package {found}")
            types[tensor["dtype"]] += 1
    if ours:
        sys.exit(f"{path}: not in the package's list: {', '.join(ours)}")
    return types


def main(binary, *paths):
    for path in map(pathlib.Path, paths):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="llmcl-gguf-"))
        try:
            types = compare(path, selected(binary, path, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        counts = ", ".join(f"{count} {name}" for name, count in types.most_common())
        print(f"{path.name}: {types.total()} tensors the same ({counts})")


main(*sys.argv[1:])
