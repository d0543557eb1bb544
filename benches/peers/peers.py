#!/usr/bin/env python3
"""Measures our methods beside zipnn, OpenZL, lmzip and glyd, on the same files in one run, and prints a table.

    peers.py TIMES --input FILE.safetensors [--input ...] --venv FOLDER [--profile-bf16 FILE] [--profile-fp16 FILE]
        [--repetitions 5] [--only exponent_static,glyd] [--processor N] [--folder FOLDER]

TIMES is the program that measures our methods: the example `times` of `codecs`, built for release. An input holds
floats of one 16-bit type; `cast.py` makes such files. The peers are installed into the environment at `--venv`, which
is made where it is missing.

All take turns, once each in every repetition, so that what else the machine does falls on all. Each turn is a process
of its own that makes every call once without timing it, then once timed, and compares what it decoded byte by byte.
All are held to one processor and asked for one thread. Printed are median (least–most), in MB (10^6) of original data
a second of wall time.

A peer that cannot be installed, fails, takes too long or loses a byte gets a row that says so. Exits with 1 if one of
our own methods did."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

METHODS = ["exponent_static", "exponent_mantissa_static", "exponent_mantissa_scaled", "zstd_1"]
# What is shown, how it is measured, and the packages in order. Dependencies are named here, not followed: zipnn's
# torch would take gigabytes and is not needed.
PEERS = {
    "zipnn": ("zipnn 0.5.4", "in memory", ["numpy==2.4.6", "safetensors==0.8.0", "zipnn==0.5.4"]),
    "openzl": ("OpenZL 0.3.0, trained profile", "in memory", ["numpy==2.4.6", "openzl==0.3.0"]),
    "lmzip": ("lmzip 1.3.0", "process", ["numpy==2.4.6", "zstandard==0.25.0", "lmzip==1.3.0"]),
    "glyd": ("glyd 0.32.1, max", "in memory", ["glyd==0.32.1"]),
}


class Failure(Exception):
    """Why a row has no figures."""


class Row:
    """One method or peer on one input, with the times of all its turns."""

    def __init__(self, source, label, how, command, ours, failure=None):
        self.source, self.label, self.how = source, label, how
        self.command, self.ours, self.failure = command, ours, failure
        self.encode, self.decode = [], []
        self.bytes = self.whole = self.encoded = None

    def turn(self, timeout):
        """Runs once, unless it has failed before: a row is not made of the turns that happened to work."""
        if self.failure:
            return
        try:
            found = run(self.command, timeout)
            if found["differs_at"] is not None:
                raise Failure(f"decoded to other bytes from offset {found['differs_at']:,} on")
            # A file needs all that was not encoded, as it is.
            encoded = found["encoded"] + found["stored"]
            if self.encoded not in (None, encoded):
                raise Failure(f"encoded to {self.encoded:,} bytes and then to {encoded:,}")
        except Failure as failure:
            self.failure = str(failure)
            return
        self.bytes, self.whole, self.encoded = found["bytes"], found["bytes"] + found["stored"], encoded
        self.encode += found["encode_seconds"]
        self.decode += found["decode_seconds"]

    def line(self):
        start = f"| {self.source} | {self.label} | {self.how} "
        if self.failure:
            reason = " ".join(self.failure.split()).replace("|", "/")
            return f"{start}| – | – | – | – | failed: {reason[:200]} |"
        return (
            f"{start}| {self.encoded:,} | {self.whole / self.encoded:.4f} | {speeds(self.bytes, self.encode)} "
            f"| {speeds(self.bytes, self.decode)} | exact |"
        )


def speeds(count, seconds):
    values = [count / 1e6 / value for value in seconds]
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def run(command, timeout):
    """The JSON that a program prints. It leads a group of its own, so that what it started ends with it."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failure(f"took more than {timeout} s") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode != 0:
        lines = said.strip().splitlines()
        raise Failure(lines[-1] if lines else f"exited with {process.returncode}")
    return json.loads(out)


def install(folder):
    """Makes the environment where it is missing, and returns why each peer that has none could not be installed."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], stdout=subprocess.PIPE, check=True, text=True
    )
    present = {f"{package['name']}=={package['version']}" for package in json.loads(listed.stdout)}
    failures = {}
    for peer, (_, _, packages) in PEERS.items():
        for package in packages:
            if package in present:
                continue
            done = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--no-deps", package], stderr=subprocess.PIPE, text=True
            )
            if done.returncode != 0:
                errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
                reason = errors[-1] if errors else f"pip exited with {done.returncode}"
                failures[peer] = f"{package} could not be installed: {reason}"
                break
            present.add(package)
    return failures


def machine(processor):
    """The processor's model, and which vector instructions it has."""
    model, flags = "unknown processor", set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        elif key.strip() == "flags":
            flags |= set(value.split())
    vectors = sorted(flag for flag in flags if flag == "avx2" or flag.startswith("avx512"))
    vectors = " ".join(vectors) or "neither avx2 nor avx512"
    return f"{model}, {os.cpu_count()} processors, {vectors}; held to processor {processor}"


def rows(path, options, failures, folder):
    """A row for each of our methods and each peer."""
    source = path.name.removesuffix(".safetensors")
    only = options.only.split(",") if options.only else METHODS + list(PEERS)
    for method in METHODS:
        if method in only:
            command = [options.times, path, "1", method]
            yield Row(source, f"llmcl {method}", "in memory", command, True)
    for peer, (label, how, _) in PEERS.items():
        if peer not in only:
            continue
        command = [
            options.venv / "bin/python", Path(__file__).with_name("one_peer.py"), peer, path, "1", "--folder", folder,
        ]
        profiles = {"bf16": options.profile_bf16, "fp16": options.profile_fp16}
        for name, profile in profiles.items():
            if peer == "openzl" and profile:
                command += [f"--profile-{name}", profile]
        yield Row(source, label, how, command, False, failures.get(peer))


def main():
    arguments = argparse.ArgumentParser(description="Measures our methods beside those of others.")
    arguments.add_argument("times", type=Path, help="the example `times` of codecs, built for release")
    arguments.add_argument("--input", type=Path, action="append", required=True, dest="inputs")
    arguments.add_argument("--venv", type=Path, required=True)
    arguments.add_argument("--profile-bf16", type=Path, help="a trained OpenZL profile for bf16")
    arguments.add_argument("--profile-fp16", type=Path, help="a trained OpenZL profile for fp16")
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--only", help="methods and peers to measure, with commas [default: all]")
    arguments.add_argument("--processor", type=int, help="the processor to use [default: the last]")
    arguments.add_argument("--timeout", type=float, default=600, help="seconds that one turn may take")
    arguments.add_argument("--folder", type=Path, help="where lmzip writes [default: a temporary folder]")
    options = arguments.parse_args()
    options.times = options.times.resolve()
    options.venv = options.venv.absolute()
    if options.repetitions < 1:
        arguments.error("--repetitions: at least one")
    unknown = set(options.only.split(",") if options.only else []) - {*METHODS, *PEERS}
    if unknown:
        arguments.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join([*METHODS, *PEERS])}")
    for path in [options.times, *options.inputs]:
        if not path.is_file():
            arguments.error(f"{path} is no file")
    failures = install(options.venv)
    load = os.getloadavg()[0]
    processor = max(os.sched_getaffinity(0)) if options.processor is None else options.processor
    os.sched_setaffinity(0, {processor})
    print(f"{machine(processor)}. Load {load:.2f} at the start. {options.repetitions} repetitions.\n")
    print("| input | method | measured | encoded, bytes | ratio | encode, MB/s | decode, MB/s | round trip |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    broken = False
    with tempfile.TemporaryDirectory(prefix="peers-", dir=options.folder) as folder:
        for path in options.inputs:
            found = list(rows(path.resolve(), options, failures, folder))
            for _ in range(options.repetitions):
                for row in found:
                    row.turn(options.timeout)
            for row in found:
                print(row.line(), flush=True)
                broken |= row.ours and row.failure is not None
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
