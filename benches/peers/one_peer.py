#!/usr/bin/env python3
"""Times one peer on one file and prints a line of JSON, as `codecs/examples/times.rs` does for our methods.

    one_peer.py PEER FILE.safetensors REPETITIONS [--profile-bf16 FILE] [--profile-fp16 FILE] [--folder FOLDER]

`peers.py` runs it, with the Python of the environment that holds the peers: a process of its own for each, so that one
that breaks takes nothing with it. Each call is made once without being timed, then as often as was asked for, and every
output is compared.

zipnn and OpenZL code streams of 16-bit words and know no container. Like our methods they get the floats of the file
as one stream, and the rest of the file (`stored`: header and other tensors) counts as it is. lmzip and glyd read the
container and get the whole file."""

import argparse
import ctypes
import json
import os
import struct
import subprocess
import sys
import time
import types
from pathlib import Path


class StandIn:
    """Stands for anything in torch: has all attributes, and as a decorator leaves functions as they are."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn()

    def __call__(self, function=None, **settings):
        return function


class Zipnn:
    """Byte mode. It imports torch for what byte mode never calls, and torch is large, so a stand-in is imported."""

    def __init__(self, data, dtype, options):
        self.data = data
        torch = types.ModuleType("torch")
        torch.__getattr__ = StandIn().__getattr__
        sys.modules["torch"] = torch
        from zipnn import ZipNN

        word = {"BF16": "bfloat16", "F16": "float16"}[dtype]
        self.coder = ZipNN(input_format="byte", bytearray_dtype=word, threads=1)

    def prepare(self):
        """A copy for each call, which may write to its input; making it is not timed."""
        self.copy = bytearray(self.data)

    def encode(self):
        return self.coder.compress(self.copy)

    def decode(self, encoded):
        return self.coder.decompress(encoded)


class Openzl:
    """A trained profile. A context forgets its compressor with the first call, so each call makes one."""

    def __init__(self, data, dtype, options):
        profile = {"BF16": options.profile_bf16, "F16": options.profile_fp16}[dtype]
        if profile is None:
            sys.exit(f"no profile was given for {dtype}")
        from openzl import ext

        self.ext, self.data = ext, data
        self.compressor = ext.Compressor()
        self.compressor.deserialize(profile.read_bytes())

    def encode(self):
        context = self.ext.CCtx()
        context.ref_compressor(self.compressor)
        context.set_parameter(self.ext.CParam.FormatVersion, self.ext.MAX_FORMAT_VERSION)
        return context.compress([self.ext.Input(self.ext.Type.Serial, self.data)])

    def decode(self, encoded):
        (output,) = self.ext.DCtx().decompress(encoded)
        return output

    def content(self, output):
        return output if isinstance(output, bytes) else output.content.as_bytes()


class Glyd:
    """Level `max`. Its C functions are called as its Python functions call them, less the copies that those make."""

    def __init__(self, data, dtype, options):
        import glyd

        self.glyd, self.data, self.output = glyd, data, None

    def release(self):
        if self.output is not None:
            self.glyd._lib.glyd_free(self.output, self.length.value)
            self.output = None

    def call(self, function, data, *settings):
        pointer = ctypes.POINTER(ctypes.c_uint8)
        self.output, self.length = pointer(), ctypes.c_size_t()
        source = ctypes.cast(ctypes.c_char_p(data), pointer)
        code = function(source, len(data), *settings, ctypes.byref(self.output), ctypes.byref(self.length))
        if code != 0:
            self.output = None
            raise ValueError(f"the call returned {code}")

    def encode(self):
        level, records, threads = self.glyd._LEVELS["max"], 0, 1
        self.call(self.glyd._lib.glyd_compress2, self.data, level, records, threads)

    def decode(self, encoded):
        self.call(self.glyd._lib.glyd_decompress2, encoded)

    def content(self, output):
        """Out of the library's memory, which is then freed; not timed."""
        content = ctypes.string_at(self.output, self.length.value)
        self.release()
        return content


class Lmzip:
    """Whole processes, from file to file, with the start of Python and its imports."""

    def __init__(self, data, dtype, options):
        self.program = Path(sys.executable).with_name("lmz")
        self.source, self.archive, self.back = (
            options.file, options.folder / "lmzip.lmz", options.folder / "lmzip.safetensors",
        )

    def prepare(self):
        self.archive.unlink(missing_ok=True)
        self.back.unlink(missing_ok=True)

    def run(self, what, source, target):
        said = subprocess.run(
            [self.program, what, "-q", "-j", "1", source, target], capture_output=True, text=True
        )
        if said.returncode != 0:
            raise ValueError(said.stderr.strip() or f"lmz {what} exited with {said.returncode}")
        return target

    def encode(self):
        return self.run("compress", self.source, self.archive)

    def decode(self, encoded):
        return self.run("decompress", self.archive, self.back)

    def content(self, path):
        return path.read_bytes()


WHOLE_FILE = {"zipnn": False, "openzl": False, "lmzip": True, "glyd": True}
PEERS = {"zipnn": Zipnn, "openzl": Openzl, "lmzip": Lmzip, "glyd": Glyd}


def floats(file):
    """The type of the file's floats, all of one 16-bit type, and their data in the order of the file."""
    (length,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + length])
    header.pop("__metadata__", None)
    entries = sorted(header.values(), key=lambda entry: entry["data_offsets"])
    found = {entry["dtype"] for entry in entries if "F" in entry["dtype"]}
    if found not in ({"BF16"}, {"F16"}):
        sys.exit(f"floats of one 16-bit type are needed, the file has {', '.join(sorted(found)) or 'none'}")
    (dtype,) = found
    data = memoryview(file)[8 + length :]
    return dtype, b"".join(data[slice(*entry["data_offsets"])] for entry in entries if entry["dtype"] == dtype)


def first_difference(a, b):
    """The first offset at which two byte strings differ, None where they do not; by halves, as they are long."""
    if a == b:
        return None
    low, high = 0, min(len(a), len(b))
    a, b = memoryview(a), memoryview(b)
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def seconds(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def main():
    arguments = argparse.ArgumentParser(description="Times one peer on one file.")
    arguments.add_argument("peer", choices=list(PEERS))
    arguments.add_argument("file", type=Path)
    arguments.add_argument("repetitions", type=int)
    arguments.add_argument("--profile-bf16", type=Path)
    arguments.add_argument("--profile-fp16", type=Path)
    arguments.add_argument("--folder", type=Path, default=Path(os.curdir))
    options = arguments.parse_args()
    file = options.file.read_bytes()
    dtype, stream = floats(file)
    data = file if WHOLE_FILE[options.peer] else stream
    peer = PEERS[options.peer](data, dtype, options)
    prepare = getattr(peer, "prepare", lambda: None)
    content = getattr(peer, "content", bytes)
    times, differs_at = [], None
    for repetition in range(options.repetitions + 1):
        prepare()
        output, encoding = seconds(peer.encode)
        encoded = content(output)
        output, decoding = seconds(lambda: peer.decode(encoded))
        if differs_at is None:
            differs_at = first_difference(data, content(output))
        del output
        if repetition > 0:
            times.append((encoding, decoding))
    print(json.dumps({
        "method": options.peer,
        "bytes": len(data),
        "stored": len(file) - len(data),
        "encoded": len(encoded),
        "encode_seconds": [encoding for encoding, _ in times],
        "decode_seconds": [decoding for _, decoding in times],
        "differs_at": differs_at,
    }))


if __name__ == "__main__":
    main()
