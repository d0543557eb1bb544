#!/usr/bin/env python3
"""Prints docs/results.md from what iter3 and iter4 have put into a store, and docs/results-gguf.md from iter5 and iter6.

    python3 experiments/results.py floats target/release/llmcl [--store FOLDER] > docs/results.md
    python3 experiments/results.py gguf target/release/llmcl [--store FOLDER] > docs/results-gguf.md

Every figure of ours is read by `llmcl show`; those of the study are its published ones."""

import argparse
import json
import subprocess

STUDY = {
    # method: byte-weighted, median, geomean, encode, decode (MB/s), profile bytes
    "bf16_split": (1.488, 1.4886, 1.4850, 21.6, 14.1, 0),
    "bf16_split_ctx_k8": (None, 1.4885, 1.4844, 23.3, 19.5, 0),
    "bf16_split_mixture_k4": (None, 1.4763, 1.4641, None, None, 8506),
    "bf16_split_zstd_19": (None, 1.4256, 1.4206, None, 484, 0),
    "bf16_split_xz_9": (None, 1.4437, 1.4424, 0.9, 21.4, 0),
    "openzl_le_u16": (1.499, 1.5014, 1.4986, 106, 140, 617),
}


def show(arguments, experiment, task):
    """The rows of a table."""
    command = [arguments.llmcl, "show", f"experiments/{experiment}.toml", task]
    if arguments.store:
        command += ["--store", arguments.store]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def number(value, digits):
    return "" if value is None else f"{value:.{digits}f}"


def ratio(row, name):
    """A ratio with its interval, if it has one."""
    text = number(row.get(name), 4)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return text if low is None else f"{text} ({low:.4f}–{high:.4f})"


def speed(speeds, key, threads, direction):
    row = speeds.get((*key, threads), {})
    text = number(row.get(direction), 0)
    # What was not measured from memory to memory must not be taken for it.
    return text if not text or row.get("measures") == "memory" else f"{text} ({row.get('measures')})"


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def methods(arguments, experiment, task, keys):
    """A table of ratios, with the speeds on the test model beside them."""
    speeds = {}
    for row in show(arguments, experiment, "speed"):
        speeds[(*(row.get(key) for key in keys), row["threads"])] = row
    lines = []
    for row in show(arguments, experiment, task):
        key = tuple(row.get(name) for name in keys)
        lines.append([
            *(f"`{part}`" for part in key),
            str(row["n"]),
            ratio(row, "ratio_bytes"),
            ratio(row, "ratio_median"),
            ratio(row, "ratio_geomean"),
            *(speed(speeds, key, threads, direction)
              for threads in ("one", "all") for direction in ("encode", "decode")),
            str(row.get("profile_bytes") or 0),
        ])
    head = [*keys, "tensors", "byte-weighted", "median", "geometric mean",
            "encode, 1 thread", "decode, 1 thread", "encode, all", "decode, all", "profile, bytes"]
    table(head, lines)


def floats(arguments):
    print("# Results\n")
    print("Made by `python3 experiments/results.py floats target/release/llmcl > docs/results.md`, from runs of `iter3.toml`")
    print("and `iter4.toml`. Ratios are of tensors of at least 65,536 weights, all bytes counted; a profile is charged")
    print("to every tensor. What is trained has not seen the model, nor one of its family. In brackets are 95 %")
    print("intervals of a bootstrap over models; where a method has rows of fewer than five models there is none.")
    print("Speeds are medians, MB (10^6) of original data a second, of wall time on the test model.\n")
    print("## bf16 (iter4)\n\nAll models:\n")
    methods(arguments, "iter4", "methods", ["method"])
    print("The test model, all-mpnet-base-v2, with the peers, which were measured on no other:\n")
    methods(arguments, "iter4", "test_methods", ["method"])
    print("The study's figures for its own methods, on its own corpus, which cannot be had here:\n")
    table(["method", "byte-weighted", "median", "geometric mean", "encode", "decode", "profile, bytes"],
          [[f"`{name}`", number(figures[0], 4), number(figures[1], 4), number(figures[2], 4),
            number(figures[3], 1), number(figures[4], 1), str(figures[5])]
           for name, figures in STUDY.items()])
    print("## fp16 (iter3)\n\nAll models, by where their values were born: in fp16, in fp32, or in bf16 before:\n")
    methods(arguments, "iter3", "methods", ["origin", "method"])
    print("The test model, with the peers:\n")
    methods(arguments, "iter3", "test_methods", ["origin", "method"])
    print("The study's one figure for fp16: OpenZL, trained, 1.470 byte-weighted, with a profile of 778 bytes.\n")
    print("The gate of the study prunes methods of our own from the tables above, for want of headroom at order 0.")
    print("What it leaves lying:\n")
    table(["origin", "model", "method", "byte-weighted", "median", "bits a weight"],
          [[f"`{row['origin']}`", f"`{row['model']}`", f"`{row['method']}`", ratio(row, "ratio_bytes"),
            ratio(row, "ratio_median"), number(row["bits"], 3)]
           for origin in ("native", "cast", "bf16_born")
           for row in [row | {"origin": origin} for row in show(arguments, "iter3", f"past_gate_methods/{origin}")]])


def columns(rows, names, figures):
    """A table of names, and of figures with so many digits."""
    table([*names, *figures],
          [[*(f"`{row[name]}`" for name in names),
            *(number(row.get(name), digits) for name, digits in figures.items())]
           for row in rows])


def gguf(arguments):
    ratios = {"ratio_bytes": 4, "ratio_median": 4, "ratio_geomean": 4}
    speeds = {"encode": 0, "decode": 0}
    print("# Results for GGUF\n")
    print("Made by `python3 experiments/results.py gguf target/release/llmcl > docs/results-gguf.md`, from runs of")
    print("`iter5.toml` and `iter6.toml`; [gguf.md](gguf.md) says what they are of and how they stand to the study's. All")
    print("bytes count, a profile on every tensor or file that it is used for. What is trained has not seen the model, nor one")
    print("of its family. Speeds are medians, MB (10^6) of original data a second, one thread.\n")
    print("## Q4_K tensors (iter5)\n\nThe test model:\n")
    columns(show(arguments, "iter5", "q_methods"), ["method"], {"n": 0, **ratios, "profile_bytes": 0})
    print("Each model, its family left out of what is trained:\n")
    columns(show(arguments, "iter5", "q_models"), ["model", "method"], {"n": 0, **ratios})
    print("Speed on the test model (`processes`: from file to file, with what a process takes to start):\n")
    columns(show(arguments, "iter5", "q_speed"), ["method", "measures"], speeds)
    print("Entropies, medians over tensors, in bits:\n")
    columns(show(arguments, "iter5", "q_entropies"), ["model"],
            {"n": 0, **dict.fromkeys(["nibble", "given_prev", "given_zero_point", "and_seen", "sign", "magnitude", "scale",
                                      "scale_correlation", "header", "implied_ceiling", "class_ceiling"], 4)})
    print("## The other block types (iter5)\n")
    columns(show(arguments, "iter5", "block_methods"), ["model", "block_type", "method"],
            {"n": 0, "ratio_bytes": 4, "ratio_median": 4})
    print("## Whole files (iter6)\n\nOver the three files:\n")
    columns(show(arguments, "iter6", "methods"), ["method"], {"n": 0, "ratio_geomean": 4, "ratio_median": 4, "ratio_bytes": 4})
    print("Each file, with the bytes of the profile and of the recipe, which count:\n")
    columns(show(arguments, "iter6", "files"), ["model", "method"],
            {"ratio": 4, "bytes_in": 0, "bytes_out": 0, "profile_bytes": 0, "recipe_bytes": 0})
    print("The streams of `decomp_perstream_zstd19_bg`, in bytes:\n")
    columns(show(arguments, "iter6", "streams"), ["model", "stream"], {"bytes_in": 0, "bytes_out": 0})
    print("Speed:\n")
    columns(show(arguments, "iter6", "speed"), ["model", "method", "measures"], speeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", choices=["floats", "gguf"])
    parser.add_argument("llmcl")
    parser.add_argument("--store")
    arguments = parser.parse_args()
    {"floats": floats, "gguf": gguf}[arguments.document](arguments)


main()
