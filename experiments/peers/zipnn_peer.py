#!/usr/bin/env python3
"""zipnn as a method of llmcl: byte mode, one thread.

    zipnn_peer.py compress input encoded
    zipnn_peer.py decompress encoded decoded

`input.json` beside the input says what its bytes are; see docs/stages/bench.md. zipnn is told the one type that all
tensors have; it has none for others than those below, and for tensors of several types."""

import json
import sys
from pathlib import Path

from zipnn import ZipNN

WORDS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def main():
    what, source, target = sys.argv[1:]
    data = Path(source).read_bytes()
    if what == "compress":
        found = {tensor["dtype"] for tensor in json.loads(Path("input.json").read_text())["tensors"]}
        words = {WORDS.get(dtype) for dtype in found}
        if len(words) != 1 or None in words:
            sys.exit(f"zipnn takes tensors of one type out of {', '.join(WORDS)}, not {', '.join(sorted(found)) or 'a file'}")
        # A private copy: it may write to its input.
        coder = ZipNN(input_format="byte", bytearray_dtype=words.pop(), threads=1)
        output = coder.compress(bytearray(data))
    else:
        output = ZipNN(input_format="byte", threads=1).decompress(data)
    Path(target).write_bytes(output)


if __name__ == "__main__":
    main()
