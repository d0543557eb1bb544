"""A safetensors file around the input, for programs that find tensors in a container and not in bare bytes."""

import json
import struct


def wrap(data, index):
    """The file that holds the tensors which `index`, the content of `input.json`, describes; without any, bytes."""
    tensors = index["tensors"] or [
        {"name": "input", "dtype": "U8", "shape": [len(data)], "offset": 0, "bytes": len(data)}
    ]
    header = json.dumps({
        tensor["name"]: {
            "dtype": tensor["dtype"],
            "shape": tensor["shape"],
            "data_offsets": [tensor["offset"], tensor["offset"] + tensor["bytes"]],
        }
        for tensor in tensors
    }, separators=(",", ":")).encode()
    # As the reference writer does, so that the data begin at a multiple of 8.
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def unwrap(file):
    """The data in a file that `wrap` has made."""
    (length,) = struct.unpack_from("<Q", file)
    return memoryview(file)[8 + length :]
