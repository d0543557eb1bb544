#!/usr/bin/env python3
"""Measures what llmcl does without a program of anybody else's, and prints a table.

    alone.py LLMCL [--tasks 10000] [--plan 100000] [--mebibytes 1024] [--repetitions 5]

* tasks that run inside the engine: a table for each value of an axis, each made durable; CPU time a task;
* a plan of many tasks, of which none is done: wall time and peak memory of the process;
* a file of a GiB that a program makes and the store takes in, beside reading it twice as a copy and a digest would:
  `b3sum` and `cp` of the same file, if there is a `b3sum`. What the program takes to make it is measured alone and
  subtracted.

Printed are median (least–most)."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = """
[stages.source]
kind    = "command"
argv    = ["sh", "-c", "echo '{\\"n\\": 1}' > rows.jsonl"]
outputs = { rows = { path = "rows.jsonl", type = "table", columns = { n = "int" } } }
"""


def inside_file(tasks):
    values = ", ".join(str(number) for number in range(tasks))
    return f"""[experiment]
name = "inside"
[axes]
seed = [{values}]
{SOURCE}
[stages.inside]
kind    = "table"
each    = ["seed"]
inputs  = {{ rows = "source" }}
compute = {{ sum = "n + seed" }}
"""


def plan_file(tasks):
    values = ", ".join(str(number) for number in range(tasks))
    return f"""[experiment]
name = "plan"
[axes]
seed = [{values}]
[stages.each]
kind    = "command"
each    = ["seed"]
argv    = ["true", {{ axis = "seed" }}]
outputs = {{ out = {{ path = "out" }} }}
"""


def large_file(mebibytes):
    return f"""[experiment]
name = "large"
[stages.large]
kind    = "command"
argv    = ["sh", "-c", "{maker(mebibytes)}"]
outputs = {{ out = {{ path = "out" }} }}
"""


def maker(mebibytes):
    return f"head -c {mebibytes}M /dev/zero > out"


def run(command, folder):
    """Wall and CPU seconds and the peak memory in MiB of a process and of all that it waited for."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{command} failed in {folder}: {said.decode()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def show(what, values, unit):
    low, middle, high = min(values), statistics.median(values), max(values)
    digits = 3 if middle < 1 else 2 if middle < 100 else 0
    print(f"| {what} | {middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f}) {unit} |")


def main():
    arguments = argparse.ArgumentParser(description="Measures llmcl alone.")
    arguments.add_argument("llmcl", type=Path)
    arguments.add_argument("--tasks", type=int, default=10_000)
    arguments.add_argument("--plan", type=int, default=100_000)
    arguments.add_argument("--mebibytes", type=int, default=1024)
    arguments.add_argument("--repetitions", type=int, default=5)
    arguments.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    options = arguments.parse_args()
    llmcl = str(options.llmcl.resolve())
    base = options.folder or Path(tempfile.mkdtemp(prefix="alone-"))
    base.mkdir(parents=True, exist_ok=True)
    print("| | median (least–most) |\n| --- | --- |")

    def prepare(text):
        folder = base / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "x.toml").write_text(text)
        return folder

    wall, cpu = [], []
    for _ in range(options.repetitions):
        folder = prepare(inside_file(options.tasks))
        all_wall, all_cpu, _ = run([llmcl, "run", "x.toml", "--store", "store", "-q"], folder)
        wall.append(all_wall * 1000 / options.tasks)
        cpu.append(all_cpu * 1000 / options.tasks)
    show(f"{options.tasks:,} tasks inside the engine, CPU a task", cpu, "ms")
    show(f"{options.tasks:,} tasks inside the engine, wall a task", wall, "ms")

    wall, memory = [], []
    for _ in range(options.repetitions):
        folder = prepare(plan_file(options.plan))
        seconds, _, mebibytes = run([llmcl, "plan", "x.toml", "--store", "store"], folder)
        wall.append(seconds)
        memory.append(mebibytes)
    show(f"plan of {options.plan:,} tasks, wall", wall, "s")
    show(f"plan of {options.plan:,} tasks, memory", memory, "MiB")

    published, peers = [], {"`b3sum` and then `cp`": [], "`cp`": []}
    digests = shutil.which("b3sum")
    for _ in range(options.repetitions):
        folder = prepare(large_file(options.mebibytes))
        making, _, _ = run(["sh", "-c", maker(options.mebibytes)], folder)
        if digests:
            both, _, _ = run(["sh", "-c", "b3sum out && cp --reflink=never out copy"], folder)
            peers["`b3sum` and then `cp`"].append(both)
            (folder / "copy").unlink()
        copying, _, _ = run(["cp", "--reflink=never", "out", "copy"], folder)
        peers["`cp`"].append(copying)
        (folder / "out").unlink()
        (folder / "copy").unlink()
        seconds, _, _ = run([llmcl, "run", "x.toml", "--store", "store", "-q"], folder)
        published.append(seconds - making)
    show(f"publishing {options.mebibytes:,} MiB, durable", published, "s")
    for name, values in peers.items():
        if values:
            show(f"the same file by {name}, not durable", values, "s")
    shutil.rmtree(base / "work", ignore_errors=True)


if __name__ == "__main__":
    main()
