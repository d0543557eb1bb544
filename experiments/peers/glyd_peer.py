#!/usr/bin/env python3
"""glyd as a method of llmcl, at one of its levels, in one thread.

    glyd_peer.py compress LEVEL input encoded
    glyd_peer.py decompress encoded decoded

It codes tensors well only where it finds them in a container, so it is given a safetensors file, whose header it codes
too and which is charged to it."""

import json
import sys
from pathlib import Path

import glyd

from container import unwrap, wrap


def main():
    what, *level, source, target = sys.argv[1:]
    data = Path(source).read_bytes()
    if what == "compress":
        index = json.loads(Path("input.json").read_text())
        output = glyd.compress(wrap(data, index), level=level[0], threads=1)
    else:
        output = unwrap(glyd.decompress(data))
    Path(target).write_bytes(output)


if __name__ == "__main__":
    main()
