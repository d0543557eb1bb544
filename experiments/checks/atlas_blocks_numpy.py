#!/usr/bin/env python3
"""Holds the atlas of the block-quantised tensors of GGUF files against an independent computation in numpy.

    cargo build --release
    pip install gguf==0.19.0
    python3 experiments/checks/atlas_blocks_numpy.py target/release/llmcl FILE.gguf...

The fields are first held against what the `gguf` package makes of the blocks: weights put together from them must be
the package's. Each file is fetched into a store in a new folder under the system's temporary folder, which needs as
much room. Exits with 1 if any figure differs by more than 1e-9.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

TOLERANCE = 1e-9
LAYOUTS = {"Q4_K": (256, 144), "Q6_K": (256, 210), "Q5_0": (32, 22), "Q8_0": (32, 34), "Q4_1": (32, 20)}

EXPERIMENT = """
[experiment]
name = "atlas_blocks"

[axes]
model = { corpus = "corpus.toml" }

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = { axis = "model" }
"""

STAGES = """
[stages.tensors_NAME]
kind    = "select"
each    = ["model"]
inputs  = { file = "fetch" }
tensors = "dtype == 'LAYOUT'"

[stages.atlas_NAME]
kind   = "atlas"
each   = ["model"]
inputs = { tensors = "tensors_NAME" }
layout = "LAYOUT"
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


def atlases(binary, path, layouts, folder):
    """The rows of the atlases, by the tensors' names."""
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    (folder / "model.gguf").symlink_to(path.resolve())
    (folder / "corpus.toml").write_text(CORPUS.format(bytes=path.stat().st_size, sha256=sha256))
    stages = "".join(STAGES.replace("LAYOUT", layout).replace("NAME", layout.lower()) for layout in layouts)
    (folder / "atlas.toml").write_text(EXPERIMENT + stages)
    common = [folder / "atlas.toml", "--store", folder / "store"]
    subprocess.run([binary, "run", *common], check=True, stdout=subprocess.DEVNULL)
    rows = {}
    for layout in layouts:
        command = [binary, "show", common[0], f"atlas_{layout.lower()}/model", *common[1:]]
        shown = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        rows |= {row["tensor"]: row for row in map(json.loads, shown.splitlines())}
    return rows


def entropy(*symbols):
    """The plug-in entropy of what these arrays of small numbers say together, in bits."""
    joint = np.zeros(symbols[0].size, dtype=np.int64)
    for part in symbols:
        joint = joint * 512 + part.ravel()
    p = np.unique(joint, return_counts=True)[1] / joint.size
    return float(-(p * np.log2(p)).sum())


def fp16(data):
    return np.ascontiguousarray(data).view("<f2")[:, 0].astype(np.float64)


def nibbles(data):
    """The lower halves of the bytes, and then the upper ones."""
    return np.concatenate([data & 15, data >> 4], axis=-1).astype(np.int64)


def parts(layout, b):
    """A tensor's fields beside the quants, by column; quants, by group; the middle; each group's scale and offset."""
    d_at = 208 if layout == "Q6_K" else 0
    fields = {"h_d_high": b[:, d_at + 1], "h_d_low": b[:, d_at]}
    d = fp16(b[:, d_at : d_at + 2])[:, None, None]
    if layout == "Q4_K":
        s = b[:, 4:16].astype(np.int64)
        scales = np.concatenate([s[:, :4] & 63, s[:, 8:] & 15 | s[:, :4] >> 6 << 4], axis=1)
        minima = np.concatenate([s[:, 4:8] & 63, s[:, 8:] >> 4 | s[:, 4:8] >> 6 << 4], axis=1)
        fields |= {"h_dmin_high": b[:, 3], "h_dmin_low": b[:, 2], "h_group_scale": scales, "h_group_min": minima}
        quants = nibbles(b[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
        return fields, quants, 8, d * scales[:, :, None], -fp16(b[:, 2:4])[:, None, None] * minima[:, :, None]
    if layout == "Q6_K":
        scales = b[:, 192:208].astype(np.int8).astype(np.int64)
        upper = b[:, 128:192].reshape(-1, 2, 32)
        upper = np.concatenate([upper >> shift & 3 for shift in (0, 2, 4, 6)], axis=2)
        quants = (nibbles(b[:, :128].reshape(-1, 2, 64)) | upper.astype(np.int64) << 4).reshape(-1, 16, 16)
        fields["h_group_scale"] = b[:, 192:208]
        return fields, quants, 32, d * scales[:, :, None], -32 * d * scales[:, :, None]
    if layout == "Q8_0":
        return fields, b[:, None, 2:].astype(np.int8).astype(np.int64) + 128, 128, d, -128 * d
    if layout == "Q5_0":
        upper = np.unpackbits(b[:, 2:6], axis=1, bitorder="little").astype(np.int64)
        return fields, (nibbles(b[:, 6:]) | upper << 4)[:, None, :], 16, d, -16 * d
    fields |= {"h_m_high": b[:, 3], "h_m_low": b[:, 2]}
    return fields, nibbles(b[:, 4:])[:, None, :], 8, d, fp16(b[:, 2:4])[:, None, None]


def before(quants, hits):
    """Whether one of the hits came before in the group."""
    return np.cumsum(hits, axis=2) - hits > 0


def classes(layout, quants, middle, scale, offset):
    if layout == "Q4_K":
        with np.errstate(divide="ignore", invalid="ignore"):
            zero = np.where(scale != 0, -4 * offset / scale, 0)
        return np.broadcast_to(np.clip(np.floor(zero + 0.5), 0, 63).astype(np.int64), quants.shape)
    if layout == "Q6_K":
        return None
    twice = 15 if layout == "Q4_1" else 2 * middle
    far = np.abs(2 * quants - twice)
    place = np.arange(32)[None, None, :]
    spread = np.minimum(16 * (np.cumsum(far, axis=2) - far) // (np.maximum(place, 1) * twice), 15)
    return np.where(place == 0, 16, spread)


def figures(layout, b):
    weights, size = LAYOUTS[layout]
    fields, quants, middle, scale, offset = parts(layout, b)
    class_of = classes(layout, quants, middle, scale, offset)
    if layout == "Q6_K":
        scales = np.abs(fields["h_group_scale"].astype(np.int8).astype(np.int64))
        class_of = np.broadcast_to(scales[:, :, None], quants.shape)
    least, greatest = (1, 255) if layout == "Q8_0" else (0, (15 if layout == "Q4_1" else 2 * middle - 1))
    seen = before(quants, quants <= least) + 2 * before(quants, quants >= greatest)
    flat = quants.ravel()
    f = {"bits": 8 * size / weights, "h_quant": entropy(quants)}
    f["h_quant_given_prev"] = entropy(flat[:-1], flat[1:]) - entropy(flat[:-1])
    f["h_quant_given_class"] = entropy(class_of, quants) - entropy(class_of)
    f["h_quant_given_class_and_seen"] = entropy(class_of, seen, quants) - entropy(class_of, seen)
    f["h_sign"] = entropy((quants >= middle).astype(np.int64))
    f["h_magnitude"] = entropy(np.abs(quants - middle))
    of_fields = {name: entropy(field.astype(np.int64)) for name, field in fields.items()}
    f["h_header"] = sum(bits * fields[name].size for name, bits in of_fields.items()) / quants.size
    f["implied_ceiling"] = f["bits"] / (f["h_quant"] + f["h_header"])
    f["class_ceiling"] = f["bits"] / (f["h_quant_given_class_and_seen"] + f["h_header"])
    d = fp16(b[:, 208:210] if layout == "Q6_K" else b[:, :2])
    f["adjacent_block_scale_correlation"] = float(np.corrcoef(d[:-1], d[1:])[0, 1])
    if layout == "Q4_K":
        f["h_nibble"], f["h_nibble_given_prev"] = f["h_quant"], f["h_quant_given_prev"]
        f["h_nibble_given_zero_point"] = f["h_quant_given_class"]
        f["h_nibble_given_zero_point_and_seen"] = f["h_quant_given_class_and_seen"]
        f["h_scale_byte1"] = of_fields["h_d_high"]
    return f | of_fields, quants * scale + offset


def check_file(binary, path, folder):
    tensors = [tensor for tensor in GGUFReader(path).tensors if tensor.tensor_type.name in LAYOUTS]
    layouts = [layout for layout in LAYOUTS if any(tensor.tensor_type.name == layout for tensor in tensors)]
    rows = atlases(binary, path, layouts, folder)
    worst = 0.0
    for layout in layouts:
        own = [tensor for tensor in tensors if tensor.tensor_type.name == layout]
        compared, largest, means = 0, ("", "", 0.0), {}
        for tensor in own:
            blocks = np.ascontiguousarray(tensor.data).reshape(-1, LAYOUTS[layout][1])
            expected, weights = figures(layout, blocks)
            theirs = dequantize(blocks, tensor.tensor_type).astype(np.float64)
            if not np.allclose(weights.ravel(), theirs.ravel(), rtol=1e-6, atol=1e-6 * np.abs(theirs).max()):
                sys.exit(f"{path.name}: {tensor.name}: the weights are not those of the package")
            row = rows.pop(tensor.name)
            if set(expected) - set(row):
                sys.exit(f"{path.name}: {tensor.name}: no columns {set(expected) - set(row)}")
            for name, value in expected.items():
                difference = abs(row[name] - value)
                compared += 1
                if not difference <= largest[2]:
                    largest = (tensor.name, name, difference)
                means[name] = means.get(name, 0) + row[name] * row["numel"] / sum(t.n_elements for t in own)
        print(f"{path.name}: {len(own)} {layout}, {compared} figures; largest difference {largest[2]:.3g}", end="")
        print(f" ({largest[1]} of {largest[0]})")
        shown = ["h_quant", "h_quant_given_prev", "h_quant_given_class", "h_quant_given_class_and_seen", "h_header"]
        print("  by weight: " + ", ".join(f"{name} {means[name]:.4f}" for name in shown), flush=True)
        worst = max(worst, largest[2]) if largest[2] == largest[2] else float("nan")
    return not rows and worst <= TOLERANCE


def main(binary, *paths):
    good = True
    for path in map(pathlib.Path, paths):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="llmcl-atlas-"))
        try:
            good &= check_file(binary, path, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)


main(*sys.argv[1:])
