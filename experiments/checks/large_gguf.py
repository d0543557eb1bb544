#!/usr/bin/env python3
"""Compresses GGUF files with the layouts of Q4_K_M models of 1.5, 7, 47 (experts) and 70 billion parameters.

    python3 experiments/checks/large_gguf.py target/release/llmcl FOLDER [LAYOUT]...

The files are made in FOLDER. Of each tensor the first megabytes are blocks of the fixture, shuffled and with other
scales; the rest is a hole, which takes no room. Prints the size, the ratio, the time, and how much memory of its own
the program took at most (mapped pages of the file, which the system may drop at any time, are not in it). The smallest
file is compared whole after it was restored, of the others some tensors are; `compress` itself decodes and compares
everything. Needs numpy."""

import os
import random
import struct
import subprocess
import sys
import time

import numpy

FIXTURE = "fixtures/qwen2.5-coder-q4_k_m.gguf"
ALIGNMENT = 32
# type: number in GGUF, weights of a block, bytes of a block, where its scale begins
TYPES = {
    "F32": (0, 1, 4, None),
    "Q5_0": (6, 32, 22, 0),
    "Q8_0": (8, 32, 34, 0),
    "Q4_K": (12, 256, 144, 0),
    "Q6_K": (14, 256, 210, 208),
}
# name: layers, width, width of keys, width inside, vocabulary, experts, whether the output is the embedding
LAYOUTS = {
    "1.5B": (28, 1536, 256, 8960, 151_936, 0, True),
    "7B": (28, 3584, 512, 18_944, 152_064, 0, False),
    "47B-experts": (32, 4096, 1024, 14_336, 32_000, 8, False),
    "70B": (80, 8192, 1024, 28_672, 128_256, 0, False),
}
FILLED = 2 << 20


def more_bits(layer, layers):
    """Whether llama.cpp gives a layer's values and inner weights the finer type."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def tensors(name):
    """Names, types, and dimensions with the innermost first."""
    layers, width, keys, inside, vocabulary, experts, tied = LAYOUTS[name]
    yield "token_embd.weight", "Q6_K" if tied else "Q4_K", [width, vocabulary]
    yield "output_norm.weight", "F32", [width]
    if not tied:
        yield "output.weight", "Q6_K", [width, vocabulary]
    for layer in range(layers):
        fine = "Q6_K" if more_bits(layer, layers) else "Q4_K"
        yield f"blk.{layer}.attn_norm.weight", "F32", [width]
        yield f"blk.{layer}.ffn_norm.weight", "F32", [width]
        yield f"blk.{layer}.attn_q.weight", "Q4_K", [width, width]
        yield f"blk.{layer}.attn_k.weight", "Q8_0" if experts else "Q4_K", [width, keys]
        yield f"blk.{layer}.attn_v.weight", "Q8_0" if experts else fine, [width, keys]
        yield f"blk.{layer}.attn_output.weight", "Q5_0" if experts else "Q4_K", [width, width]
        outer = [experts] if experts else []
        kind = "_exps" if experts else ""
        if experts:
            yield f"blk.{layer}.ffn_gate_inp.weight", "F32", [width, experts]
        yield f"blk.{layer}.ffn_gate{kind}.weight", "Q4_K", [width, inside, *outer]
        yield f"blk.{layer}.ffn_up{kind}.weight", "Q4_K", [width, inside, *outer]
        yield f"blk.{layer}.ffn_down{kind}.weight", fine, [inside, width, *outer]


def length(dtype, shape):
    _, weights, size, _ = TYPES[dtype]
    count = 1
    for axis in shape:
        count *= axis
    return count // weights * size


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def blocks_of_fixture():
    """The blocks of each type in the fixture."""
    data = open(FIXTURE, "rb").read()
    found = {}
    at = 8
    tensors_in, pairs = struct.unpack_from("<QQ", data, at)
    at += 16
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def take_text():
        nonlocal at
        (size,) = struct.unpack_from("<Q", data, at)
        at += 8 + size
        return data[at - size : at].decode(errors="replace")

    def skip(kind):
        nonlocal at
        if kind == 8:
            take_text()
        elif kind == 9:
            inner, many = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(many):
                skip(inner)
        else:
            at += sizes[kind]

    for _ in range(pairs):
        take_text()
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        skip(kind)
    entries = []
    for _ in range(tensors_in):
        take_text()
        (axes,) = struct.unpack_from("<I", data, at)
        shape = struct.unpack_from(f"<{axes}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * axes)
        at += 16 + 8 * axes
        entries.append((kind, shape, offset))
    start = -(-at // ALIGNMENT) * ALIGNMENT
    numbers = {number: dtype for dtype, (number, *_) in TYPES.items()}
    for kind, shape, offset in entries:
        dtype = numbers[kind]
        size = length(dtype, shape)
        raw = numpy.frombuffer(data, numpy.uint8, size, start + offset)
        found.setdefault(dtype, []).append(raw.reshape(-1, TYPES[dtype][2]))
    return {dtype: numpy.concatenate(parts) for dtype, parts in found.items()}


def make(name, path, blocks):
    """Writes a file, and returns names, offsets and lengths of its tensors."""
    all_tensors = list(tensors(name))
    metadata = {"general.architecture": "llama", "general.name": name}
    head = b"GGUF" + struct.pack("<IQQ", 3, len(all_tensors), len(metadata))
    for key, value in metadata.items():
        head += text(key) + struct.pack("<I", 8) + text(value)
    offset, places = 0, []
    for tensor, dtype, shape in all_tensors:
        head += text(tensor) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", TYPES[dtype][0], offset)
        places.append((tensor, dtype, offset, length(dtype, shape)))
        offset += -(-places[-1][3] // ALIGNMENT) * ALIGNMENT
    start = -(-len(head) // ALIGNMENT) * ALIGNMENT
    random_numbers = numpy.random.default_rng(7)
    with open(path, "wb") as file:
        file.write(head)
        for _, dtype, at, size in places:
            own = blocks[dtype]
            count = min(size, FILLED) // own.shape[1]
            chosen = own[random_numbers.integers(0, len(own), count)].copy()
            scale = TYPES[dtype][3]
            if scale is not None:
                chosen[:, scale] = random_numbers.integers(0, 256, count, dtype=numpy.uint8)
            file.seek(start + at)
            file.write(chosen.tobytes())
        file.truncate(start + offset)
    return [(tensor, start + at, size) for tensor, _, at, size in places]


def run(command):
    """Runs a program; returns its seconds and the most memory of its own, in bytes."""
    begin = time.monotonic()
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    most = 0
    while program.poll() is None:
        try:
            for line in open(f"/proc/{program.pid}/status"):
                if line.startswith("RssAnon:"):
                    most = max(most, 1024 * int(line.split()[1]))
        except OSError:
            pass
        time.sleep(0.02)
    said = program.stderr.read()
    if program.returncode != 0:
        sys.exit(f"{command}: exit {program.returncode}: {said}")
    return time.monotonic() - begin, most


def same(path, at, size, other):
    with open(path, "rb") as one, open(other, "rb") as two:
        one.seek(at)
        while size > 0:
            piece = min(size, 1 << 24)
            if one.read(piece) != two.read(piece):
                return False
            size -= piece
        return two.read(1) == b""


def main():
    llmcl, folder, *names = sys.argv[1:]
    blocks = blocks_of_fixture()
    print("| layout | bytes | tensors | container | compress, s | own memory, MiB | restored, s | own memory, MiB | the same |")
    print("|" + " --- |" * 9)
    for name in names or LAYOUTS:
        paths = [os.path.join(folder, f"{name}.{end}") for end in ("gguf", "llmcl", "back")]
        model, container, back = paths
        places = make(name, model, blocks)
        size = os.path.getsize(model)
        seconds, memory = run([llmcl, "compress", model, "-o", container, "--method", "by_type_fast", "--force"])
        if size < 2 << 30:
            chosen = [(None, 0, size)]
        else:
            chosen = random.Random(7).sample(places, 5) + [places[0]]
        checked, taken, most = 0, 0.0, 0
        for tensor, at, length_of in chosen:
            only = ["--tensor", tensor] if tensor else []
            time_of, memory_of = run([llmcl, "decompress", container, "-o", back, "--force", *only])
            taken, most = taken + time_of, max(most, memory_of)
            checked += same(model, at, length_of, back)
        result = f"{checked} of {len(chosen)} " + ("tensors" if chosen[0][0] else "files")
        cells = [name, size, len(places), os.path.getsize(container), f"{seconds:.1f}", memory >> 20, f"{taken:.1f}", most >> 20, result]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
        for path in paths:
            os.remove(path)
        if checked != len(chosen):
            sys.exit(f"{name}: not the same")


if __name__ == "__main__":
    main()
