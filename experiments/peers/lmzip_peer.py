#!/usr/bin/env python3
"""lmzip as a method of llmcl: its command line, one thread.

    lmzip_peer.py compress input encoded
    lmzip_peer.py decompress encoded decoded

It codes tensors where it finds them in a container, so it is given a safetensors file, whose header it codes too and
which is charged to it. Its kernels are C, which it compiles where it is installed when it is first called."""

import json
import sys
from pathlib import Path

from lmz.cli import main as lmz

from container import unwrap, wrap


def run(*arguments):
    code = lmz(list(arguments))
    if code:
        sys.exit(f"lmz {arguments[0]} returned {code}")


def main():
    what, source, target = sys.argv[1:]
    if what == "compress":
        index = json.loads(Path("input.json").read_text())
        Path("input.safetensors").write_bytes(wrap(Path(source).read_bytes(), index))
        run("compress", "-q", "-f", "-j", "1", "input.safetensors", target)
    else:
        run("decompress", "-q", "-f", "-j", "1", source, "decoded.safetensors")
        Path(target).write_bytes(unwrap(Path("decoded.safetensors").read_bytes()))


if __name__ == "__main__":
    main()
