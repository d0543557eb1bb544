#!/usr/bin/env python3
"""Races llmcl against ninja on trivial DAGs of programs, in turns, and prints a table.

    race.py LLMCL [--ninja NINJA] [--tasks 1000,10000] [--shapes fan,chain,mix] [--cold 3] [--no-op 11]

Shapes: `fan` is N programs that read one source; `chain` is N programs in a line; `mix` is half of each. Each
program is `sh -c "cat INPUT > OUTPUT && echo NAME >> OUTPUT"`, for both.

A cold run starts with nothing; a no-op run with everything done. The two take turns, so that what else the machine
does falls on both. Wall time is of the whole process, from its start to its end; CPU time is user and system time of
the process and of all that it waited for. Printed are median (least–most)."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = "cat $in > $out && echo $tag >> $out"


def ninja_file(shape, tasks):
    """One rule, one build statement a program."""
    lines = ["rule program", f"  command = {COMMAND}", ""]
    for prefix, count, chained in parts(shape, tasks):
        before = "src.txt"
        for number in range(count):
            output = f"o/{prefix}{number}.txt"
            lines += [f"build {output}: program {before}", f"  tag = {prefix}{number}"]
            if chained:
                before = output
    return "\n".join(lines) + "\n"


def llmcl_file(shape, tasks):
    """A fan is one stage over an axis; a chain has a stage for each program."""
    lines = ["[experiment]", 'name = "race"', ""]
    stages = []
    for prefix, count, chained in parts(shape, tasks):
        if not chained:
            values = ", ".join(f'"{prefix}{number}"' for number in range(count))
            lines += ["[axes]", f"tag = [{values}]", ""]
            stages += [
                "[stages.fan]",
                'kind = "command"',
                'each = ["tag"]',
                'argv = ["sh", "-c", "cat source/* > out.txt && echo $0 >> out.txt", { axis = "tag" }]',
                'inputs = { source = { path = "src.txt" } }',
                'outputs = { out = { path = "out.txt" } }',
                "",
            ]
            continue
        before = '{ path = "src.txt" }'
        for number in range(count):
            name = f"{prefix}{number}"
            stages += [
                f"[stages.{name}]",
                'kind = "command"',
                f'argv = ["sh", "-c", "cat source/* > out.txt && echo $0 >> out.txt", "{name}"]',
                f"inputs = {{ source = {before} }}",
                'outputs = { out = { path = "out.txt" } }',
                "",
            ]
            before = f'"{name}"'
    return "\n".join(lines + stages)


def parts(shape, tasks):
    """Prefix, number of programs, and whether each reads what the one before wrote."""
    if shape == "fan":
        return [("f", tasks, False)]
    if shape == "chain":
        return [("c", tasks, True)]
    return [("c", tasks // 2, True), ("f", tasks - tasks // 2, False)]


class Racer:
    """One of the two programs, in a folder of its own."""

    def __init__(self, name, command, folder, file, text):
        self.name, self.command, self.folder = name, command, folder
        self.file, self.text = file, text
        self.cold, self.no_op = [], []

    def prepare(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "o").mkdir(parents=True)
        (self.folder / "src.txt").write_text("seed\n")
        (self.folder / self.file).write_text(self.text)

    def run(self):
        """Wall and CPU seconds and the peak memory in MiB of one run."""
        start = time.perf_counter()
        process = subprocess.Popen(
            self.command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        if status != 0:
            sys.exit(f"{self.name} failed in {self.folder}: {said.decode()[-2000:]}")
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def outputs(self):
        """How many outputs there are, for a check that both have done the work."""
        if self.name == "ninja":
            return sum(1 for _ in (self.folder / "o").iterdir())
        listed = subprocess.run(
            [self.command[0], "status", self.file, "--store", "store", "--json"],
            cwd=self.folder, capture_output=True, check=True, text=True,
        )
        return sum(stage["cached"] for stage in json.loads(listed.stdout)["stages"])


def milliseconds(values, per=1):
    values = [value * 1000 / per for value in values]
    digits = 2 if statistics.median(values) < 10 else 0
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main():
    arguments = argparse.ArgumentParser(description="Races llmcl against ninja.")
    arguments.add_argument("llmcl", type=Path)
    arguments.add_argument("--ninja", default="ninja")
    arguments.add_argument("--tasks", default="1000,10000")
    arguments.add_argument("--shapes", default="fan,chain,mix")
    arguments.add_argument("--jobs", default="2")
    arguments.add_argument("--cold", type=int, default=3)
    arguments.add_argument("--no-op", type=int, default=11)
    arguments.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    options = arguments.parse_args()
    llmcl = str(options.llmcl.resolve())
    base = options.folder or Path(tempfile.mkdtemp(prefix="race-"))
    print("| tasks | shape | program | cold, wall ms/task | cold, CPU ms/task | no-op, wall ms | no-op, CPU ms | no-op, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for tasks in map(int, options.tasks.split(",")):
        for shape in options.shapes.split(","):
            place = base / f"{shape}-{tasks}"
            racers = [
                Racer("ninja", [options.ninja, "--quiet", "-j", options.jobs], place / "ninja",
                      "build.ninja", ninja_file(shape, tasks)),
                Racer("llmcl", [llmcl, "run", "race.toml", "--store", "store", "--quiet", "-j", options.jobs],
                      place / "llmcl", "race.toml", llmcl_file(shape, tasks)),
            ]
            for _ in range(max(options.cold, 1)):
                for racer in racers:
                    racer.prepare()
                    racer.cold.append(racer.run())
            for racer in racers:
                found = racer.outputs()
                if found != tasks:
                    sys.exit(f"{racer.name} made {found} outputs of {tasks}")
            for _ in range(options.no_op):
                for racer in racers:
                    racer.no_op.append(racer.run())
            for racer in racers:
                column = lambda runs, which: [run[which] for run in runs]
                print(
                    f"| {tasks:,} | {shape} | {racer.name} "
                    f"| {milliseconds(column(racer.cold, 0), tasks)} | {milliseconds(column(racer.cold, 1), tasks)} "
                    f"| {milliseconds(column(racer.no_op, 0))} | {milliseconds(column(racer.no_op, 1))} "
                    f"| {max(column(racer.no_op, 2)):.0f} |",
                    flush=True,
                )
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
