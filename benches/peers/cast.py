#!/usr/bin/env python3
"""Casts the floats of a safetensors file, for inputs of `peers.py`.

    cast.py IN.safetensors OUT.safetensors --to bf16|fp16|bf16-born-fp16

`bf16-born-fp16` is bf16 first and then fp16: what a model is that was trained in bf16 and published in fp16.

Every cast rounds to nearest, ties to even, in one step, and a NaN stays a quiet NaN, as in `codecs/src/cast.rs`.
Tensors that are not of F32, F16 or BF16 are copied, as is the metadata; the order of the data stays. Needs numpy."""

import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np

NAMES = {"bf16": "BF16", "fp16": "F16", "bf16-born-fp16": "F16"}


def read(path):
    """Metadata, and a list of (name, description, data) in the order of the data."""
    file = path.read_bytes()
    (length,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + length])
    data = memoryview(file)[8 + length :]
    metadata = header.pop("__metadata__", None)
    tensors = [(name, entry, data[slice(*entry["data_offsets"])]) for name, entry in header.items()]
    return metadata, sorted(tensors, key=lambda tensor: tensor[1]["data_offsets"])


def write(path, metadata, tensors):
    """Tensors as (name, dtype, shape, data). The header is padded so that the data begins at a multiple of eight."""
    header, at = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for *_, data in tensors:
            file.write(data)


def to_fp32(dtype, data):
    """The same numbers in binary32, which holds all of both narrow types."""
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, "<f2" if dtype == "F16" else "<f4").astype("<f4")


def to_bf16(values):
    """Rounds on the bits: a carry out of the mantissa raises the exponent, and makes infinity from the largest."""
    bits = values.view("<u4")
    upper = (bits >> 16).astype("<u2")
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")
    return np.where(np.isnan(values), upper | 0x40, rounded).astype("<u2")


def to_fp16(values):
    """numpy rounds to nearest even, into subnormals too; of a NaN it may change the payload."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = values.astype("<f2").view("<u2")
    bits = values.view("<u4")
    nan = (bits >> 16 & 0x8000) | 0x7E00 | (bits >> 13 & 0x3FF)
    return np.where(np.isnan(values), nan, rounded).astype("<u2")


def cast(dtype, data, to):
    """The data cast, and how many finite numbers became infinite."""
    if dtype == NAMES[to] and to != "bf16-born-fp16":
        return data, 0
    values = to_fp32(dtype, data)
    finite = np.isfinite(values)
    if to != "fp16":
        words = to_bf16(values)
        values = to_fp32("BF16", words.tobytes())
    if to != "bf16":
        words = to_fp16(values)
    infinite = ~np.isfinite(to_fp32(NAMES[to], words.tobytes()))
    return words.tobytes(), int((finite & infinite).sum())


def main():
    arguments = argparse.ArgumentParser(description="Casts the floats of a safetensors file.")
    arguments.add_argument("source", type=Path)
    arguments.add_argument("target", type=Path)
    arguments.add_argument("--to", choices=list(NAMES), required=True)
    options = arguments.parse_args()
    metadata, tensors = read(options.source)
    out, overflows, count = [], 0, 0
    for name, entry, data in tensors:
        dtype = entry["dtype"]
        if dtype in ("F32", "F16", "BF16"):
            data, infinite = cast(dtype, data, options.to)
            dtype, overflows, count = NAMES[options.to], overflows + infinite, count + 1
        out.append((name, dtype, entry["shape"], data))
    write(options.target, metadata, out)
    print(f"{options.target}: {count} of {len(out)} tensors are now {NAMES[options.to]}", file=sys.stderr)
    if overflows:
        print(f"{overflows} finite numbers were too large and are infinite now", file=sys.stderr)


if __name__ == "__main__":
    main()
