"""Nothing is lost or left: killed, terminated, two at once, a full disk, a place that cannot be."""

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from nf_edge.backends.onnx.cpu import OnnxCpu
from nf_edge.cli import main
from nf_edge.core import files, native_build, processes, staging
from nf_edge.core.control_groups import lowest_limit
from nf_edge.core.cpus import cpu_quota
from nf_edge.core.errors import BadInput, MissingTool, NfEdgeError
from nf_edge.core.files import created_folder, staged_file, staged_folder, write_text
from nf_edge.core.native_build import NativePart
from nf_edge.core.output_checks import FolderKind, check_target
from nf_edge.core.staging import scratch_folder, stage, sweep
from nf_edge.core.system_errors import explained
from nf_edge.measure.runner.process import failure
from nf_edge.model import load_checkpoint
from nf_edge.model.data.rows import load_rows

OURS = FolderKind("one of ours", lambda path: (path / "ours").is_file(), lambda _: None)
TESTS = Path(__file__).parents[1]
WHOLE = {"ours", "weights"}


def make(folder, content):
    (folder / "ours").write_text(content)
    (folder / "weights").write_text(content * 1000)


def write(target, content, overwrite=True, meanwhile=lambda: None):
    with staged_folder(target, OURS, overwrite=overwrite) as folder:
        make(folder, content)
        meanwhile()


def content_of(folder):
    """What a whole folder was made with; fails where it is not whole."""
    assert {path.name for path in folder.iterdir()} == WHOLE
    content = (folder / "ours").read_text()
    assert (folder / "weights").read_text() == content * 1000
    return content


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed_at(call, work):
    """Do some work in another process, which is killed -9 when it calls the system so many times; whether it
    was."""
    child = os.fork()
    if child == 0:
        calls = 0

        def count(event, arguments):
            nonlocal calls
            calls += event.startswith(("os.", "open", "shutil.", "ctypes.", "tempfile.", "fcntl."))
            if calls == call + 1:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def without_renameat2(monkeypatch):
    def refuse(source, target, flags):
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(staging, "_rename", refuse)


@pytest.mark.parametrize("renameat2", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "old", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["an old one", "nothing"]
)
def test_after_a_kill_the_old_or_the_new_folder_is_complete_and_the_next_run_cleans_up(
    old, renameat2, tmp_path, monkeypatch
):
    if not renameat2:
        without_renameat2(monkeypatch)
    target, found = tmp_path / "out", set()
    for call in range(1000):
        shutil.rmtree(target, ignore_errors=True)
        if old:
            write(target, "old")
        if not killed_at(call, lambda: write(target, "new")):
            break
        sweep(tmp_path)
        found.add(content_of(target) if target.exists() else None)
        assert names(tmp_path) in ([], ["out"])
    assert call > 10
    assert found == {"old" if old else None, "new"}
    write(target, "newer")
    assert content_of(target) == "newer"
    assert names(tmp_path) == ["out"]


def test_after_a_kill_a_file_is_the_old_or_the_new_one(tmp_path):
    target, found = tmp_path / "state", set()
    for call in range(1000):
        target.write_text("old")
        if not killed_at(call, lambda: write_text(target, "new")):
            break
        found.add(target.read_text())
    assert found == {"old", "new"}
    write_text(target, "newer")
    assert names(tmp_path) == ["state"]


def test_files_of_a_running_process_are_never_removed(tmp_path):
    with stage(tmp_path / "out") as new:
        new.mkdir()
        child = os.fork()
        if child == 0:
            sweep(tmp_path)
            os._exit(0)
        os.waitpid(child, 0)
        assert new.is_dir()
    assert names(tmp_path) == []


def test_files_with_similar_names_are_never_removed(tmp_path):
    for name in (".out.nf-edge-abcdefgh.partial", "nf-edge-notes", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("precious")
    (tmp_path / ".x.nf-edge-abcdefgh.partial").symlink_to(tmp_path / ".git")
    write(tmp_path / "out", "new")
    assert len(names(tmp_path)) == 5
    assert len(list(tmp_path.rglob("notes.txt"))) == 3


def test_temporary_files_of_a_dead_process_are_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def work():
        with scratch_folder() as folder:
            (folder / "large").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    assert killed_at(1000, work)
    assert names(tmp_path) != []
    with scratch_folder() as folder:
        assert names(folder) == []
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("renameat2", [True, False])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("made", ["a folder", "a file", "a link"])
def test_what_appears_at_out_meanwhile_is_kept(made, overwrite, renameat2, tmp_path, monkeypatch):
    if not renameat2:
        without_renameat2(monkeypatch)
    target = tmp_path / "out"

    def meanwhile():
        if made == "a folder":
            target.mkdir()
        elif made == "a file":
            target.write_text("precious")
        else:
            target.symlink_to("nowhere")

    with pytest.raises(BadInput, match="another program created or changed it"):
        write(target, "new", overwrite, meanwhile)
    assert os.path.lexists(target)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("renameat2", [True, False])
def test_what_changes_at_the_very_moment_of_the_exchange_is_put_back(renameat2, tmp_path, monkeypatch):
    if not renameat2:
        without_renameat2(monkeypatch)
    folder, file = tmp_path / "out", tmp_path / "state"
    write(folder, "old")
    file.write_text("old")
    exchange = files.exchange

    def changed_first(new, target):
        (target / "notes.txt" if target.is_dir() else target).write_text("precious")
        monkeypatch.setattr(files, "exchange", exchange)
        return exchange(new, target)

    for replace in (lambda: write(folder, "new"), lambda: write_text(file, "new")):
        monkeypatch.setattr(files, "exchange", changed_first)
        with pytest.raises(BadInput, match="another program created or changed it"):
            replace()
    assert (folder / "ours").read_text() == "old"
    assert (folder / "notes.txt").read_text() == file.read_text() == "precious"
    assert names(tmp_path) == ["out", "state"]


def test_what_is_put_into_the_old_one_meanwhile_is_kept(tmp_path):
    target = tmp_path / "out"
    write(target, "old")
    with pytest.raises(BadInput, match="another program created or changed it"):
        write(target, "new", meanwhile=lambda: (target / "notes.txt").write_text("precious"))
    assert (target / "notes.txt").read_text() == "precious"
    assert (target / "ours").read_text() == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_writers_at_once_one_wins_and_the_other_is_refused(overwrite, tmp_path):
    target = tmp_path / "out"
    if overwrite:
        write(target, "old")
    together, refused = threading.Barrier(2, timeout=60), []

    def one(content):
        try:
            with staged_folder(target, OURS, overwrite=overwrite) as new:
                make(new, content)
                together.wait()
        except BadInput as error:
            refused.append((content, str(error)))

    threads = [threading.Thread(target=one, args=(content,)) for content in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((loser, message),) = refused
    assert {content_of(target), loser} == {"A", "B"}
    assert "another program created or changed it" in message
    assert names(tmp_path) == ["out"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    write(tmp_path / "real", "old")
    (tmp_path / "play").symlink_to("real")
    for content in ("new", "newer"):
        write(tmp_path / "play", content)
        assert (tmp_path / "play").is_symlink()
        assert content_of(tmp_path / "real") == content
    assert names(tmp_path) == ["play", "real"]


def test_an_out_that_cannot_be_is_refused_before_the_work_and_leaves_nothing(run, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "file").write_text("precious")
    (here / "loop").symlink_to("loop")
    (here / "web").mkdir()
    (here / "web" / "manifest.json").write_text('{"name": "a web page"}')
    (here / "model").mkdir()
    (here / "model" / "config.json").write_text('{"model_type": "gpt2"}')
    monkeypatch.setattr(OnnxCpu, "lower", None)
    before = sorted(path.name for path in here.rglob("*"))
    bad = (
        "file",
        "file/x",
        "loop",
        "loop/x",
        "n" * 256,
        "n/" * 2048 + "n",
        ".",
        "..",
        "/",
        "",
        "\udcff",
        "web",
    )
    checkpoint = TESTS / "cases" / "cls-standard-padded"
    for verb in (
        ["export", checkpoint, "--recipe", "onnx-fp32"],
        ["init", "--preset", "tiny"],
        ["import", here / "model"],
        ["train", "digits"],
        ["compress", checkpoint, "--recipe", "xnnpack-8da8w-half", "--train", "x.tsv"],
    ):
        for out in (*bad, "model"):
            done = run(*verb, "-o", out, "--overwrite", "--json")
            assert done.code == (3 if out else 2), (verb, out, done.err)
            assert json.loads(done.out)["error"]["message"]
    folders = [
        ["sweep", checkpoint, "--data", "x.tsv"],
        ["kernels", "build"],
        ["sensitivity", checkpoint, "--recipe", "onnx-int4", "--kl", "1"],
    ]
    for verb in folders:
        for out in ("file", "file/x", "loop", "n" * 256, "\udcff"):
            done = run(*verb, "-o", out, "--json")
            assert done.code == (3 if out else 2), (verb, out, done.err)
            assert json.loads(done.out)["error"]["message"]
    assert sorted(path.name for path in here.rglob("*")) == before


def test_a_name_of_any_length_that_the_system_takes_is_taken(tmp_path):
    for name in ("n" * 255, "é" * 127):
        write(tmp_path / name, "new")
        assert content_of(tmp_path / name) == "new"


def test_a_folder_with_what_is_read_is_not_replaced(tmp_path):
    write(tmp_path / "out", "old")
    for source in (tmp_path / "out", tmp_path / "out" / "weights"):
        with pytest.raises(BadInput, match="an input of this command"):
            check_target(tmp_path / "out", OURS, overwrite=True, sources=[source])


def test_folders_around_out_are_gone_again_where_it_fails(tmp_path):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), staged_folder(tmp_path / "a" / "b" / "out", OURS, overwrite=False):
            raise error
        assert names(tmp_path) == []
    with pytest.raises(ValueError, match="not UTF-8"), created_folder(tmp_path / "a" / "b"):  # noqa: PT012
        (tmp_path / "a" / "notes.txt").write_text("precious")
        raise ValueError("not UTF-8")
    assert names(tmp_path / "a") == ["notes.txt"]


def test_a_folder_that_is_deleted_again_replaces_nothing_and_leaves_no_parents(tmp_path):
    write(tmp_path / "out", "old")
    for target in (tmp_path / "out", tmp_path / "a" / "b" / "out"):
        with staged_folder(target, OURS, overwrite=True) as new:
            make(new, "new")
            shutil.rmtree(new)
    assert content_of(tmp_path / "out") == "old"
    assert names(tmp_path) == ["out"]


FULL = "No space left on device"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(errno.EFBIG, "File too large", "x"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EROFS, "Read-only file system", "x"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        SafetensorError("Error while serializing: I/O error: File too large (os error 27)"),
        Exception("No space left on device (os error 28)"),
        RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : write failed, {FULL}"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_a_full_disk_is_one_failure_whatever_class_it_comes_in(error, tmp_path):
    with pytest.raises(BadInput) as told, staged_folder(tmp_path / "out", OURS, overwrite=False):
        raise error
    assert str(tmp_path / "out") in str(told.value)
    assert told.value.exit_code == 3
    assert names(tmp_path) == []


def test_a_checkpoint_that_the_disk_does_not_take_is_exit_3_and_leaves_nothing(tmp_path):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
            sys.argv = ["nf-edge", "init", "--preset", "tiny", "-o", str(tmp_path / "around" / "out")]
            main()
        except SystemExit as stop:
            code = stop.code
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "gone.txt"), 3, "gone.txt"),
        (NotADirectoryError(20, "Not a directory", "a/b"), 3, "a/b"),
        (OSError(36, "File name too long", "nnn"), 3, "nnn"),
        (MemoryError(), 6, "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), 6, "memory"),
        (OSError(errno.EMFILE, "Too many open files"), 6, "ulimit"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), 6, "TMPDIR"),
        (RuntimeError("Could not determine home directory."), 6, "HOME"),
    ],
)
def test_what_the_system_refuses_is_told(error, code, words):
    told = explained(error)
    assert told.exit_code == code
    assert words in str(told)


def test_a_bug_is_not_explained_away():
    for bug in (
        KeyError("x"),
        RuntimeError("x"),
        ValueError("os error"),
        OSError(errno.ENOENT, "x"),
        TypeError(),
    ):
        assert explained(bug) is None


@pytest.mark.parametrize("bug", [OSError("no such model"), OSError(errno.ENOTCONN, "not connected", "a.bin")])
def test_a_bug_is_no_trouble_with_the_output(bug, run, monkeypatch):
    def broken(*_):
        raise bug

    monkeypatch.setattr("nf_edge.core.resources.names", broken)
    with pytest.raises(OSError, match=r"no such model|not connected"):
        run("devices", "list")


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_an_export_that_is_told_to_end_leaves_nothing(name, code, run, tmp_path, monkeypatch):
    programs = []

    def interrupted(self, program, config, input_shape, recipe, path):
        path.write_bytes(b"half a mod")
        programs.append(processes.start(["sleep", "60"], stdin=None))
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(10)

    monkeypatch.setattr(OnnxCpu, "lower", interrupted)
    checkpoint = TESTS / "cases" / "cls-standard-padded"
    out = tmp_path / "around" / "out"
    done = run("export", checkpoint, "--recipe", "onnx-fp32", "-o", out, "--json")
    assert done.code == code
    assert json.loads(done.out)["error"]["exit_code"] == code
    assert names(tmp_path) == []
    assert programs[0].wait(5) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored(run, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        names = "nf_edge.core.resources.names"
        monkeypatch.setattr(names, lambda *_: os.kill(os.getpid(), signal.SIGHUP) or [])
        assert run("devices", "list").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_program_started_ends_with_it():
    script = "sleep 987 & echo $!; wait"
    process = processes.start(["sh", "-c", script], stdout=subprocess.PIPE)
    grandchild = int(process.stdout.readline())
    processes.end(process)
    assert within_a_minute(lambda: ended(grandchild))


def ended(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def within_a_minute(happens):
    for _ in range(6000):
        if happens():
            return True
        time.sleep(0.01)
    return False


NF = [sys.executable, "-m", "nf_edge"]


@pytest.mark.parametrize("verb", [["devices", "list"], ["--help"]], ids=" ".join)
def test_a_stream_that_is_closed_full_or_ascii_is_no_bug(verb):
    def shell(command, **environment):
        done = subprocess.run(
            ["bash", "-c", command, *NF, *verb],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "80", **environment},
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return done.returncode, done.stderr

    call = '"$0" "$@"'
    assert shell(f"{call} | true; exit ${{PIPESTATUS[0]}}")[0] == 141
    assert shell(f"{call} | head -1; exit ${{PIPESTATUS[0]}}", PYTHONUNBUFFERED="1")[0] in (0, 141)
    assert shell(f"{call} >&-")[0] == 0
    assert shell(f"{call} >&- 2>&- <&-")[0] == 0
    assert shell(call, PYTHONIOENCODING="ascii")[0] == 0
    assert shell(f"{call} 1< /dev/null")[0] == 3
    if Path("/dev/full").exists():
        code, said = shell(f"{call} > /dev/full")
        assert code == 3
        assert FULL in said


def test_the_native_tools_are_refused_by_the_variable_that_chooses_them(run, monkeypatch, tmp_path):
    for value in (" ", "\t", "'g++", '"', "no-such-compiler -O3", str(tmp_path)):
        monkeypatch.setenv("CXX", value)
        with pytest.raises(MissingTool, match="CXX"):
            native_build.compiler("runner")
        assert run("doctor").code == 0
    monkeypatch.setenv("CXX", f"{sys.executable} -c 'pass'")
    assert native_build.compiler("runner")[1:] == ["-c", "pass"]


def refused_cache(run):
    """The message of a cache that cannot be used, which doctor has too."""
    with pytest.raises(MissingTool) as told:
        native_build.cache_folder("runner")
    assert "XDG_CACHE_HOME" in str(told.value)
    findings = {each["name"]: each for each in json.loads(run("doctor", "--json").out)["result"]}
    assert "XDG_CACHE_HOME" in findings["native runner, onnxruntime"]["fix"]
    return str(told.value)


def test_a_cache_that_cannot_be_used_is_refused_by_the_variable_that_moves_it(run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere/there")
    for value in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / "dangling", "/proc/1/x", "/\udcff"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(value))
        refused_cache(run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native_build.cache_folder("runner")

    class NoExec:
        f_flag = os.ST_NOEXEC

    monkeypatch.setattr(os, "statvfs", lambda path: NoExec)
    assert "noexec" in refused_cache(run)
    monkeypatch.undo()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert "home folder" in refused_cache(run)


@pytest.fixture
def hello(tmp_path, monkeypatch):
    """A small program to build, and a cache of its own."""
    try:
        native_build.check_tools("kernels")
    except MissingTool as error:
        pytest.skip(str(error))
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(hello CXX)\nadd_executable(hello hello.cpp)\n"
        "set_target_properties(hello PROPERTIES RUNTIME_OUTPUT_DIRECTORY bin)\n"
    )
    (source / "hello.cpp").write_text("int main() { return 7; }\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return NativePart("hello", source, "hello", Path("bin", "hello"))


def test_a_program_is_built_once_by_two_processes_at_once_and_again_where_it_is_damaged(hello, tmp_path):
    log = tmp_path / "log"
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            build = native_build._build

            def told(*arguments, build=build):
                with log.open("a") as file:
                    file.write("built\n")
                build(*arguments)

            native_build._build = told
            code = 1
            try:
                native_build.built(hello, [], [])
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert log.read_text() == "built\n"
    product = native_build.built(hello, [], [])
    assert subprocess.run([product]).returncode == 7
    # Half of it, as a process that was killed or a full disk may leave it.
    product.write_bytes(product.read_bytes()[:100])
    assert subprocess.run([native_build.built(hello, [], [])]).returncode == 7
    product.with_name("sha256").unlink()
    assert subprocess.run([native_build.built(hello, [], [])]).returncode == 7
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_build_that_is_terminated_ends_its_compilers(hello, run, tmp_path, monkeypatch):
    """Ninja puts each of them into a process group of its own."""
    compiler, pid = native_build.compiler("kernels")[0], tmp_path / "pid"
    slow = tmp_path / "slow"
    pause = f"*CompilerABI*) echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 987;;"
    slow.write_text(f'#!/bin/sh\ncase "$*" in {pause} esac\nexec {compiler} "$@"\n')
    slow.chmod(0o700)
    monkeypatch.setenv("CXX", str(slow))
    waiting = threading.Thread(
        target=lambda: within_a_minute(pid.exists) and os.kill(os.getpid(), signal.SIGTERM)
    )
    waiting.start()
    done = run("kernels", "build")
    waiting.join()
    assert done.code == 143
    assert within_a_minute(lambda: ended(int(pid.read_text())))
    assert not list((tmp_path / "cache").rglob("*.partial"))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (9, "memory may have run out"),
        (4, "CPU"),
        (11, "crashed"),
        (6, "crashed"),
        (7, "disk"),
        (64, "signal|SIG"),
    ],
)
def test_a_runner_that_is_ended_says_why_and_is_no_bug_of_ours(number, words):
    told = failure("model.onnx", -number, "last words")
    assert told.exit_code == 6
    assert re.search(words, str(told))
    assert "last words" in str(told)
    assert failure("model.onnx", 1, "std::bad_alloc").exit_code == 6
    assert type(failure("model.onnx", 1, "another reason")) is NfEdgeError


@pytest.mark.parametrize(
    ("files", "membership", "share"),
    [
        ({"cpu.max": "max 100000"}, "0::/", float("inf")),
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 2),
        ({"cpu/x/cpu.cfs_quota_us": "50000", "cpu/x/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/x", 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/", float("inf")),
        ({"cpu.max": "broken"}, "0::/", float("inf")),
        ({}, "4:memory:/x", float("inf")),
    ],
)
def test_a_container_gives_a_share_of_the_cpus(files, membership, share, tmp_path):
    groups = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in (groups | {"proc/self/cgroup": membership + "\n"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert lowest_limit("cpu", cpu_quota, tmp_path) == share


def test_a_path_that_is_not_utf8_is_refused_where_a_library_would_fail_on_it(run, tmp_path):
    checkpoint = TESTS / "cases" / "cls-standard-padded"
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(checkpoint, odd)
    for source, out in ((odd, tmp_path / "out"), (checkpoint, odd / "out")):
        done = run("export", source, "--recipe", "onnx-fp32", "-o", out, "--json")
        assert done.code == 3
        assert "UTF-8" in json.loads(done.out)["error"]["message"]
    # A prediction reads the config only, and no library opens a file.
    assert run("profile", odd, "--recipe", "onnx-fp32").code == 0


def test_data_at_a_path_that_is_not_utf8_is_read(tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    odd.write_text('{"input_ids": [1, 2], "label": 0}\n')
    rows = load_rows(str(odd), load_checkpoint(TESTS / "cases" / "cls-standard-padded"))
    assert rows.source.endswith("caf\ufffd.jsonl")


def test_a_report_is_not_written_over_what_is_there(tmp_path):
    (tmp_path / "sweep.html").write_text("precious")
    with pytest.raises(BadInput, match="exists"), staged_file(tmp_path / "sweep.html", overwrite=False):
        pass
    with (  # noqa: PT012
        pytest.raises(BadInput, match="another program created or changed it"),
        staged_file(tmp_path / "sweep.json", overwrite=False) as new,
    ):
        new.write_text("new")
        (tmp_path / "sweep.json").write_text("precious")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}


@pytest.mark.slow
def test_a_run_that_was_killed_continues_to_the_same_bytes():
    kills = TESTS.parent / "benchmarks" / "kills.py"
    if not kills.is_file():
        pytest.skip("the benchmarks are not here")
    done = subprocess.run(
        [sys.executable, kills, "--kills", "1", "--only", "train,export,two at once"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 3


def test_without_a_place_for_temporary_files_an_export_is_refused_before_the_work(run, tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setattr(OnnxCpu, "lower", None)
    checkpoint = TESTS / "cases" / "cls-standard-padded"
    done = run("export", checkpoint, "--recipe", "onnx-fp32", "-o", tmp_path / "out")
    assert done.code == 6
    assert "TMPDIR" in done.err
    assert names(tmp_path) == []
