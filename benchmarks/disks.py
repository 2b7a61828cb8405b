"""Runs commands on full, read-only and noexec disks, and with an interrupted kernel build.

    python benchmarks/disks.py [--only "small disk,…"]

Every command must end with the documented exit code and one message, and leave no files.  Prints one line per
case; the exit code is 1 if a case fails.  Works on Linux; cases that need private mounts are skipped where
they are not allowed.
"""

import argparse
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kills import NF, Fault, call, run_cases, start, wait


def private_mounts() -> list[str]:
    """The command that gives a script private mounts; empty if this machine does not allow it."""
    unshare = ["unshare", "-m" if os.getuid() == 0 else "-rm"]
    if not shutil.which("unshare"):
        return []
    tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True)
    return [] if tried.returncode else unshare


def run_in_mounts(script: str, folder: Path, codes: Sequence[int], words: Sequence[str] = ()) -> str:
    """Run a bash script with private mounts; the function `nf` runs nf-edge.

    Raises:
        Fault: the exit code is not in `codes`, the output lacks one of the `words`, or there is a traceback.
    """
    unshare = private_mounts()
    if not unshare:
        return "skipped: this machine does not allow private mounts"
    nf_edge = " ".join(NF)
    done = subprocess.run(
        [*unshare, "bash", "-c", f'nf() {{ {nf_edge} "$@"; }}; {script}'],
        capture_output=True,
        cwd=folder,
        text=True,
    )
    output = done.stdout + done.stderr
    if done.returncode not in codes or "Traceback" in output or any(word not in output for word in words):
        raise Fault(f"exit {done.returncode}: {output[-800:]}")
    return f"exit {done.returncode}"


def small_disk(folder: Path) -> str:
    """OUT on a disk of 1 MB, too small for the model, and temporary files on a disk of 100 kB."""
    setup = "mount -t tmpfs -o size=1m x /mnt"
    empty = 'code=$?; [ -z "$(ls -A /mnt)" ] || { ls -A /mnt; exit 90; }; exit $code'
    calls = (
        "init --preset tiny --embd 256 -o /mnt/a/out",
        "export shakespeare --recipe onnx-fp32 -o /mnt/out",
        "compress shakespeare --recipe small.yaml --train text.txt -o /mnt/out",
    )
    (folder / "text.txt").write_text("What news from Rome, my lord? " * 300)
    results = [run_in_mounts(f"{setup}; nf {call}; {empty}", folder, (3,)) for call in calls]
    temporary = (
        "mount -t tmpfs -o size=100k x /mnt; TMPDIR=/mnt nf sensitivity shakespeare --recipe onnx-int4"
    )
    results.append(run_in_mounts(f"{temporary}; {empty}", folder, (3,), ("TMPDIR",)))
    return ", ".join(results)


def read_only_out(folder: Path) -> str:
    """OUT on a read-only disk."""
    setup = "mkdir -p /mnt/x; mount -t tmpfs x /mnt; mkdir /mnt/old; mount -o remount,ro /mnt; "
    return ", ".join(
        run_in_mounts(f"{setup} nf {verb} -o /mnt/out", folder, (3,), ("/mnt",))
        for verb in (
            "export ck --recipe onnx-fp32",
            "compress ck --recipe small.yaml --train rows.jsonl",
            "sweep ck --data rows.jsonl",
            "train tiny.yaml",
            "init",
        )
    )


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables inside a `with` block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def kernel_cache(folder: Path) -> str:
    """Build the kernels after a killed build, twice at once, and next to another version's kernels."""
    with environment(XDG_CACHE_HOME=str(folder / "cache")):
        killed = start(["kernels", "build"], folder)
        time.sleep(4)
        os.kill(killed, signal.SIGKILL)
        wait(killed)
        children = [start(["kernels", "build"], folder) for _ in range(2)]
        codes = [wait(child) for child in children]
        left = list((folder / "cache").rglob("*.partial"))
        if codes != [0, 0] or left:
            raise Fault(f"exit codes {codes}, left: {left}")
        kernels = folder / "cache" / "nf-edge" / "kernels"
        version = next(each for each in kernels.iterdir() if each.is_dir())
        shutil.copytree(version, kernels / "0123456789abcdef")
        start_time = time.monotonic()
        call(["kernels", "build"], folder)
        again = time.monotonic() - start_time
        terminated = folder / "terminated"
        with environment(XDG_CACHE_HOME=str(terminated)):
            child = start(["kernels", "build"], folder)
            time.sleep(6)
            os.kill(child, signal.SIGTERM)
            code = wait(child)
        time.sleep(0.5)
        compilers = subprocess.run(["pgrep", "-f", str(terminated)], capture_output=True, text=True).stdout
        if code != 143 or compilers or list(terminated.rglob("*.partial")):
            raise Fault(
                f"SIGTERM: exit {code}, compilers: {compilers}, left: {list(terminated.rglob('*.partial'))}"
            )
    return f"built twice at once; again in {again:.1f} s; after SIGTERM no compiler is left"


def odd_caches(folder: Path) -> str:
    """The kernel cache on a noexec or read-only mount, and without HOME."""
    noexec = "mount -t tmpfs -o noexec,mode=700 x /mnt; XDG_CACHE_HOME=/mnt nf "
    read_only = "mount -t tmpfs -o ro,mode=700 x /mnt; XDG_CACHE_HOME=/mnt nf "
    nobody = "chmod 777 .; setpriv --reuid=12345 --regid=12345 --clear-groups env -u HOME -u XDG_CACHE_HOME "
    results = [
        run_in_mounts(f"{mount}{call}", folder, codes, words)
        for mount in (noexec, read_only)
        for call, codes, words in (
            ("kernels build", (6,), ("XDG_CACHE_HOME",)),
            ("doctor", (0,), ("XDG_CACHE_HOME",)),
            ("profile digits --recipe onnx-fp32", (0,), ()),
        )
    ]
    results.append(run_in_mounts(f"{nobody} {' '.join(NF)} doctor", folder, (0, 126, 127, 1)))
    return ", ".join(results)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="names of cases, separated by commas")
    cases = {
        "small disk": small_disk,
        "read-only OUT": read_only_out,
        "kernel cache": kernel_cache,
        "odd caches": odd_caches,
    }
    run_cases(cases, parser.parse_args().only)


if __name__ == "__main__":
    main()
