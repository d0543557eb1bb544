#!/usr/bin/env python3
"""Runs an experiment on a sparse safetensors file of 4 GiB and watches the memory that is not a map.

    cargo build --release
    python3 experiments/checks/large_file.py target/release/llmcl [FOLDER]

The folder (default: a new one under the system's temporary folder) needs 12 GiB for a while: the store holds the
file, its bf16 cast and what was encoded. Exits with 1 if the peak is 500 MB or more. Needs nothing but Python.
"""

import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

LIMIT = 500_000_000
TENSORS, SHAPE = 4, [16384, 16384]  # four tensors of 1 GiB

EXPERIMENT = """
[experiment]
name = "large"

[axes]
model  = {{ corpus = "corpus.toml" }}
method = ["zstd_1", "byte_split_zstd_1", "exponent_static"]

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = {{ axis = "model" }}

[stages.weights]
kind   = "select"
each   = ["model"]
inputs = {{ file = "fetch" }}

[stages.bf16]
kind   = "cast"
each   = ["model"]
inputs = {{ tensors = "weights" }}
dtype  = "BF16"

[stages.atlas]
kind   = "atlas"
each   = ["model"]
inputs = {{ tensors = "bf16" }}
layout = "BF16"

[stages.bench]
kind   = "bench"
each   = ["model", "method"]
method = {{ axis = "method" }}
unit   = "file"
inputs = {{ tensors = "bf16" }}

[stages.verify]
kind   = "verify"
each   = ["model", "method"]
method = {{ axis = "method" }}
inputs = {{ encoded = {{ from = "bench", port = "encoded" }}, tensors = "bf16" }}
"""

CORPUS = """
[corpus]
name = "large"

[[model]]
name   = "sparse"
family = "sparse"
role   = "test"
[[model.file]]
name   = "model.safetensors"
bytes  = {bytes}
sha256 = "{sha256}"
path   = "model.safetensors"
"""


def make(folder):
    size = 4 * SHAPE[0] * SHAPE[1]
    header = {
        f"layer.{index}.weight": {"dtype": "F32", "shape": SHAPE, "data_offsets": [index * size, (index + 1) * size]}
        for index in range(TENSORS)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = folder / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + TENSORS * size)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "corpus.toml").write_text(CORPUS.format(bytes=path.stat().st_size, sha256=sha256))
    (folder / "large.toml").write_text(EXPERIMENT.format())
    return path.stat().st_size


def anonymous(pid):
    """The resident memory of a process that no file backs, in bytes; of its children too."""
    total = 0
    for status in [pathlib.Path(f"/proc/{pid}/status"), *children(pid)]:
        try:
            for line in status.read_text().splitlines():
                if line.startswith(("RssAnon:", "RssShmem:")):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


def children(pid):
    try:
        listed = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
        return [pathlib.Path(f"/proc/{child}/status") for task in listed for child in task.read_text().split()]
    except OSError:
        return []


def main(binary, folder=None):
    folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="llmcl-large-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        size = make(folder)
        start = time.monotonic()
        run = subprocess.Popen([binary, "run", folder / "large.toml", "--store", folder / "store", "-j", "2"])
        peak = 0
        while run.poll() is None:
            peak = max(peak, anonymous(run.pid))
            time.sleep(0.02)
        took = time.monotonic() - start
        print(f"{size:,} bytes, exit {run.returncode}, {took:.0f} s, peak memory beyond maps {peak / 1e6:.0f} MB")
        sys.exit(0 if run.returncode == 0 and peak < LIMIT else 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main(*sys.argv[1:])
