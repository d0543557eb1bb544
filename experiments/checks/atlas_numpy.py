#!/usr/bin/env python3
"""Holds the atlas of a safetensors model, cast to bf16, against an independent computation in numpy.

    llmcl run experiments/iter4.toml
    llmcl show experiments/iter4.toml fetch/all_minilm_l6_v2 -o minilm
    llmcl show experiments/iter4.toml atlas/all_minilm_l6_v2 > atlas.jsonl
    python3 experiments/checks/atlas_numpy.py minilm/model.safetensors atlas.jsonl

Needs numpy. Exits with 1 if any figure differs by more than 1e-9.
"""

import json
import math
import struct
import sys

import numpy as np

TOLERANCE = 1e-9


def entropy(counts):
    """The plug-in entropy of counts, in bits a symbol."""
    counts = counts[counts > 0].astype(np.float64)
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def code_length(counts):
    """The length of the sequential code, in bits in all: the tree of a symbol's bits, the highest first.

    Each node is half believed to be noise below, and half to be a bit by the Krichevsky-Trofimov estimator
    followed by its branches; see `codecs/src/entropy/counts.rs`.
    """
    level, bits, height = counts.astype(np.int64), np.zeros(len(counts)), 0
    while len(level) > 1:
        height += 1
        a, b = level[0::2], level[1::2]
        n = a + b
        kt = (lgamma(n + 1.0) + math.log(math.pi) - lgamma(a + 0.5) - lgamma(b + 0.5)) / math.log(2)
        bits = 1 - np.logaddexp2(-(n * float(height)), -(np.where(n == 0, 0.0, kt) + bits[0::2] + bits[1::2]))
        bits = np.where(n == 0, 0.0, bits)
        level = n
    return float(bits[0])


def lgamma(values):
    return np.array([math.lgamma(value) for value in values])


def figures(words):
    n = len(words)
    joint = np.bincount(words, minlength=1 << 16)
    high, low = np.bincount(words >> 8, minlength=256), np.bincount(words & 255, minlength=256)
    exponent = np.bincount((words >> 7) & 255, minlength=256)
    mantissa = np.bincount(words & 127, minlength=128)
    sign = np.bincount(words >> 15, minlength=2)
    sign_exponent = np.bincount(words >> 7, minlength=512)
    magnitude = np.bincount(words & 0x7FFF, minlength=1 << 15).reshape(256, 128)
    h_high, h_low = entropy(high), entropy(low)
    return {
        "numel": n,
        "distinct": int((joint > 0).sum()),
        "h_high": h_high,
        "h_low": h_low,
        "r_marginal": 16 / (h_high + h_low) if h_high + h_low > 0 else None,
        "h_sign": entropy(sign),
        "h_exponent": entropy(exponent),
        "h_mantissa": entropy(mantissa),
        "h_sign_exponent": entropy(sign_exponent),
        "h_mantissa_given_exponent": entropy(magnitude.ravel()) - entropy(exponent),
        "h_joint": entropy(joint),
        "cl_high": code_length(high) / n,
        "cl_low": code_length(low) / n,
        "cl_exponent": code_length(exponent) / n,
        "cl_sign_exponent": code_length(sign_exponent) / n,
        "cl_mantissa_given_exponent": sum(code_length(row) for row in magnitude if row.any()) / n,
        "cl_joint": code_length(joint) / n,
    }


def bf16(data):
    """fp32 to bf16, to nearest, ties to even."""
    w = np.frombuffer(data, dtype="<u4").astype(np.uint64)
    return (((w + 0x7FFF + ((w >> 16) & 1)) >> 16) & 0xFFFF).astype(np.int64)


def main(model, atlas):
    data = open(model, "rb").read()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    rows = [json.loads(line) for line in open(atlas)]
    worst, compared = ("", "", 0.0), 0
    for row in rows:
        entry = header[row["tensor"]]
        assert entry["dtype"] == "F32", "the model is not fp32"
        start, end = entry["data_offsets"]
        for name, value in figures(bf16(data[8 + length + start : 8 + length + end])).items():
            found = row[name]
            difference = 0.0 if found is value is None else abs(found - value)
            compared += 1
            if difference >= worst[2]:
                worst = (row["tensor"], name, difference)
    print(f"{len(rows)} tensors, {compared} figures; largest difference {worst[2]:.3g} ({worst[1]} of {worst[0]})")
    sys.exit(0 if rows and worst[2] <= TOLERANCE else 1)


main(*sys.argv[1:])
