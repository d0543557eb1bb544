#!/usr/bin/env python3
"""Runs the unit tests of the vector code on an emulated processor with AVX-512, for machines that have none.

    apt-get update
    python3 codecs/tests/avx512/run.py [FOLDER]

Bochs emulates an Ice Lake and boots Debian's kernel with the tests as all there is to run. The programs are Debian
packages that are unpacked into the folder (default: a new one under the system's temporary folder) and not installed; a
second run in the same folder downloads nothing. Takes some minutes, of which most is the kernel's boot. Exits with 1
unless the tests passed, the guest found every feature of the processor that the code asks for, and the code for AVX-512
said that it ran. Needs Debian (or what has its apt-get), cargo, gcc and binutils.
"""

import gzip
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGET = "x86_64-unknown-linux-gnu"
TESTS = ["rans::", "simd::"]
LIMIT = 3600  # seconds for the emulated machine

PACKAGES = ["bochs", "bochs-term", "bochsbios", "vgabios"]  # the emulator
PACKAGES += ["busybox-static", "genisoimage", "isolinux", "syslinux-common"]  # what it boots
KERNEL = "linux-image-cloud-amd64"

PROCESSOR = "corei7_icelake_u"
# As the kernel calls them.
FEATURES = ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512_vbmi2"]

# Features that the emulator announces otherwise than the kernel expects. With the first three the kernel does without
# AVX, as the sizes of the states do not add up; with the last one it hangs early.
# Numbers are 32 times the word and the bit of the kernel's `cpufeatures.h`.
WITHOUT = {"pku": 515, "xsavec": 321, "xsaves": 323, "fsrm": 580}
COMMAND_LINE = " ".join([
    "console=ttyS0,115200 quiet panic=-1 nokaslr mitigations=off tsc=reliable",
    "clearcpuid=" + ",".join(str(number) for number in WITHOUT.values()),
])

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
echo "guest: $(grep -m1 '^model name' /proc/cpuinfo)"
echo "guest: features $(grep -m1 '^flags' /proc/cpuinfo | grep -o 'avx[0-9a-z_]*' | tr '\\n' ' ')"
cd /tmp
/bin/tests TESTS --show-output --test-threads 1
echo "guest: exit $?"
while true; do sleep 1000; done
"""


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="avx512-"))
    folder.mkdir(parents=True, exist_ok=True)
    programs = folder / "programs"
    if not programs.exists():
        unpack(folder, programs)
    tests = build(folder)
    make_disc(folder, programs, tests)
    lines = boot(folder, programs)
    problems = judge(lines)
    for problem in problems:
        print(f"failed: {problem}")
    if not problems:
        print("passed")
    sys.exit(1 if problems else 0)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def output_of(*command, **options):
    return run(*command, stdout=subprocess.PIPE, text=True, **options).stdout


def unpack(folder, programs):
    """Downloads the packages, with what they need and the machine does not have, and unpacks them."""
    plan = output_of("apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES)
    needed = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    kernel = re.findall(r"Depends: (linux-image-\S+)", output_of("apt-cache", "depends", KERNEL))
    downloads = folder / "downloads"
    downloads.mkdir(exist_ok=True)
    run("apt-get", "download", *sorted({*PACKAGES, *needed, *kernel}), cwd=downloads)
    parts = folder / "parts"
    for package in downloads.glob("*.deb"):
        run("dpkg-deb", "--extract", package, parts)
    parts.rename(programs)


def build(folder):
    """Builds the unit tests as one static program, and returns it stripped."""
    messages = output_of(
        "cargo", "test", "--locked", "--package", "llmcl-codecs", "--no-default-features", "--lib", "--no-run",
        "--target", TARGET, "--message-format", "json",
        cwd=ROOT, env={**os.environ, "RUSTFLAGS": "-C target-feature=+crt-static"},
    )
    built = [json.loads(line).get("executable") for line in messages.splitlines()]
    [program] = [path for path in built if path]
    stripped = folder / "tests"
    run("strip", "-o", stripped, program)
    return stripped


def make_disc(folder, programs, tests):
    """Makes a CD that boots the kernel, with the tests in its initial file system."""
    disc = folder / "disc"
    disc.mkdir(exist_ok=True)
    [kernel] = programs.glob("boot/vmlinuz-*")
    for name, source in {
        "linux": kernel,
        "isolinux.bin": programs / "usr/lib/ISOLINUX/isolinux.bin",
        "ldlinux.c32": programs / "usr/lib/syslinux/modules/bios/ldlinux.c32",
    }.items():
        (disc / name).write_bytes(source.read_bytes())
    folders = [(name, 0o40755, b"", (0, 0)) for name in ["bin", "dev", "proc", "tmp"]]
    files = [
        ("dev/console", 0o20600, b"", (5, 1)),
        ("bin/busybox", 0o100755, (programs / "bin/busybox").read_bytes(), (0, 0)),
        ("bin/tests", 0o100755, tests.read_bytes(), (0, 0)),
        ("init", 0o100755, INIT.replace("TESTS", " ".join(TESTS)).encode(), (0, 0)),
    ]
    (disc / "initrd").write_bytes(gzip.compress(archive(folders + files)))
    (disc / "isolinux.cfg").write_text(
        f"default tests\nprompt 0\nlabel tests\nkernel linux\ninitrd initrd\nappend {COMMAND_LINE}\n"
    )
    run(
        programs / "usr/bin/genisoimage", "-quiet", "-o", folder / "disc.iso", "-b", "isolinux.bin", "-c", "boot.cat",
        "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", disc,
        env={**os.environ, "LD_LIBRARY_PATH": libraries(programs)},
    )


def archive(entries):
    """Files, folders and devices in the form of an initial file system ("newc" cpio)."""
    whole = b""
    for number, (name, mode, data, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))]):
        name = name.encode() + b"\0"
        fields = [number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
        for part in (head, data):
            whole += part + b"\0" * (-len(part) % 4)
    return whole


def libraries(programs):
    return ":".join(str(programs / part) for part in ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"])


def boot(folder, programs):
    """Boots the disc, prints what comes out of the serial port, and returns its lines."""
    serial, commands, settings = folder / "serial", folder / "commands", folder / "bochsrc"
    serial.unlink(missing_ok=True)
    # Debian's Bochs has the debugger, which waits for this.
    commands.write_text("continue\n")
    settings.write_text(f"""display_library: term
cpu: model={PROCESSOR}, count=1, ips=100000000, reset_on_triple_fault=0
megs: 256
romimage: file={programs}/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file={programs}/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path={folder}/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={serial}
log: {folder}/log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
""")
    # It wants a terminal, though nothing of interest is shown there.
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    emulator = subprocess.Popen(
        [programs / "usr/bin/bochs-bin", "-q", "-f", settings, "-rc", commands],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={
            **os.environ,
            "TERM": "vt100",
            "LD_LIBRARY_PATH": libraries(programs),
            "LTDL_LIBRARY_PATH": f"{programs}/usr/lib/x86_64-linux-gnu/bochs/plugins",
            "BXSHARE": f"{programs}/usr/share/bochs",
        },
    )
    os.close(theirs)
    started, shown, lines = time.monotonic(), 0, []
    try:
        while emulator.poll() is None and time.monotonic() - started < LIMIT:
            time.sleep(1)
            drain(ours)
            text = serial.read_bytes().decode(errors="replace") if serial.exists() else ""
            lines = text.replace("\r", "").split("\n")[:-1]
            for line in lines[shown:]:
                print(line, flush=True)
            shown = len(lines)
            if any(line.startswith("guest: exit ") or "Kernel panic" in line for line in lines):
                break
    finally:
        emulator.kill()
        emulator.wait()
        os.close(ours)
    print(f"{time.monotonic() - started:.0f} s")
    return lines


def drain(terminal):
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:
        pass  # nothing more for now, or closed


def judge(lines):
    """What speaks against the tests having passed by AVX-512."""
    text = "\n".join(lines)
    found = re.search(r"^guest: features (.*)$", text, re.MULTILINE)
    features = found[1].split() if found else []
    problems = [f"the guest has no {feature}" for feature in FEATURES if feature not in features]
    for classes in (1, 4):
        ran = rf"^Avx512 ran: {classes} classes, [1-9]\d* groups encoded, [1-9]\d* decoded$"
        if not re.search(ran, text, re.MULTILINE):
            problems.append(f"AVX-512 did not run with {classes} classes")
    if not re.search(r"^test result: ok\. [1-9]\d* passed; 0 failed; 0 ignored;", text, re.MULTILINE):
        problems.append("the tests did not pass")
    if "guest: exit 0" not in lines:
        problems.append("the tests did not end well")
    return problems


if __name__ == "__main__":
    main()
