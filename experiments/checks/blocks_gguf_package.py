#!/usr/bin/env python3
"""Prints what the `gguf` package makes of the blocks that `codecs/tests/blocks.rs` makes up, as digests of the weights.

    pip install gguf==0.19.0
    python3 experiments/checks/blocks_gguf_package.py

The test holds our weights against these digests.
"""

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

# Bytes of a block, and where the upper bytes of its fp16 numbers are.
LAYOUTS = {
    Type.Q4_K: (144, [1, 3]),
    Type.Q6_K: (210, [209]),
    Type.Q5_0: (22, [1]),
    Type.Q8_0: (34, [1]),
    Type.Q4_1: (20, [1, 3]),
}


def block(seed, length, scales):
    """Bytes that look random, with scales that are finite and below two."""
    state, data = seed, bytearray()
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        data.append(state >> 56)
    for high in scales:
        data[high] &= 0xBF
    return data


def digest(data):
    """FNV-1a."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found


for layout, (length, scales) in LAYOUTS.items():
    blocks = b"".join(block(seed, length, scales) for seed in range(64))
    weights = dequantize(np.frombuffer(blocks, dtype=np.uint8).reshape(64, length), layout)
    print(f"{layout.name}: {digest(weights.astype('<f4').tobytes()):#018x}")
