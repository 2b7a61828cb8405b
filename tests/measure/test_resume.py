"""A check that is interrupted continues where it was, and slow executors run side by side."""

import os
import shutil

import pytest

import nf_edge
from nf_edge.measure.accuracy import file_predictions, journal
from nf_edge.measure.latency import machine

ROWS = 160


@pytest.fixture
def artifact(exported):
    return exported("digits", "onnx-int8-dynamic")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of saved checks; every finished part is saved at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(journal, "SAVE_EVERY_S", 0)
    return tmp_path / "cache" / "nf-edge" / "checks"


@pytest.fixture
def predicted(monkeypatch):
    """The number of rows that each call predicts."""
    counts = []
    predict = file_predictions.predict_both

    def counting(model, session, shape, rows, *rest, **options):
        counts.append(len(rows.reference.rows))
        return predict(model, session, shape, rows, *rest, **options)

    monkeypatch.setattr(file_predictions, "predict_both", counting)
    return counts


def interrupted(artifact, after=100, **options):
    """Interrupt a check after some rows; returns the remarks."""
    remarks = []

    def progress(step, done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(artifact, progress=progress, notify=remarks.append, **options)
    return remarks


def checked(artifact, **options):
    return nf_edge.check(artifact, "digits:test", **{"limit": ROWS, "max_drop": 5} | options)


def test_a_resumed_check_runs_only_the_missing_rows_and_gives_the_same_report(artifact, cache, predicted):
    report = checked(artifact)
    predicted.clear()
    assert interrupted(artifact) == ["to continue this check, run the same command with --resume"]
    assert len(list(cache.glob("*/*"))) == 3
    predicted.clear()
    assert checked(artifact, resume=True) == report
    assert predicted == [32, 32]
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_a_check_with_a_baseline_resumes_both_artifacts(artifact, exported, cache, predicted):
    baseline = exported("digits", "onnx-fp32")
    report = checked(artifact, baseline=baseline)
    calls = []

    def progress(step, done, total):
        calls.append(done)
        if len(calls) > ROWS + 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(artifact, baseline=baseline, progress=progress, notify=lambda remark: None)
    predicted.clear()
    assert checked(artifact, baseline=baseline, resume=True) == report
    assert 0 < sum(predicted) < ROWS


def test_without_an_interrupted_check_resume_is_one_message(artifact, run, cache):
    words = ("check", artifact.path, "--data", "digits:test", "--limit", 40)
    done = run(*words, "--resume")
    assert (done.code, done.out) == (3, "")
    assert "there is no interrupted check of these files, rows and options to resume" in done.err
    assert "remove --resume" in done.err


def test_parts_of_another_check_are_never_used(artifact, exported, cache):
    interrupted(artifact)
    for other, options in ((artifact, {"limit": 40}), (exported("digits", "onnx-fp32"), {})):
        with pytest.raises(nf_edge.BadInput, match="no interrupted check"):
            checked(other, resume=True, **options)


def test_parts_of_another_cpu_are_never_used(artifact, cache, monkeypatch):
    interrupted(artifact)
    monkeypatch.setattr(machine, "cpu_name", lambda: "a CPU with other kernels")
    with pytest.raises(nf_edge.BadInput, match="no interrupted check"):
        checked(artifact, resume=True)


def test_an_artifact_that_is_replaced_during_a_check_does_not_get_its_parts(
    artifact, exported, cache, tmp_path
):
    folder = shutil.copytree(artifact.path, tmp_path / "artifact")

    def progress(step, done, total):
        if done == 1:
            shutil.rmtree(folder)
            shutil.copytree(exported("digits", "onnx-fp32").path, folder)
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checked(folder, progress=progress, notify=lambda remark: None)
    with pytest.raises(nf_edge.BadInput, match="no interrupted check"):
        checked(folder, resume=True)


def test_a_new_check_does_not_use_the_parts_of_an_interrupted_one(artifact, cache, predicted):
    interrupted(artifact)
    predicted.clear()
    checked(artifact)
    assert sum(predicted) == ROWS


def test_a_damaged_part_is_predicted_again(artifact, cache, predicted):
    report = checked(artifact)
    interrupted(artifact)
    part = sorted(cache.glob("*/*"))[0]
    content = bytearray(part.read_bytes())
    content[-40] ^= 1
    part.write_bytes(content)
    predicted.clear()
    assert checked(artifact, resume=True) == report
    assert predicted == [32, 32, 32]


def test_a_part_of_another_check_or_of_other_rows_is_predicted_again(artifact, exported, cache, predicted):
    report = checked(artifact)
    interrupted(exported("digits", "onnx-fp32"))
    (other,) = cache.iterdir()
    interrupted(artifact)
    (folder,) = set(cache.iterdir()) - {other}
    first, second, third = sorted(part.name for part in folder.iterdir())
    (folder / first).write_bytes((other / first).read_bytes())
    (folder / second).write_bytes((folder / third).read_bytes())
    predicted.clear()
    assert checked(artifact, resume=True) == report
    assert predicted == [32, 32, 32, 32]


@pytest.mark.skipif(os.name != "posix", reason="needs /proc")
def test_a_cache_that_cannot_be_written_does_not_stop_a_check(artifact, cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/cache")
    remarks = []
    assert checked(artifact, notify=remarks.append).passed
    (remark,) = remarks
    assert remark.startswith("the check goes on, but cannot be resumed if it is interrupted: /proc/cache")


def test_parts_that_nobody_resumed_are_deleted_after_a_week(artifact, cache):
    interrupted(artifact)
    (old,) = cache.iterdir()
    week = 8 * 24 * 3600
    os.utime(old, (old.stat().st_atime - week, old.stat().st_mtime - week))
    interrupted(artifact, limit=ROWS - 1)
    (new,) = cache.iterdir()
    assert new != old


def test_a_short_check_writes_nothing(artifact, cache, monkeypatch):
    monkeypatch.setattr(journal, "SAVE_EVERY_S", 3600)
    assert interrupted(artifact) == []
    assert not cache.exists()


def test_reference_executors_side_by_side_give_the_report_of_a_single_one(exported, monkeypatch):
    artifact = exported("digits", "vulkan-int8")
    alone = checked(artifact, limit=40).comparison
    monkeypatch.setattr(file_predictions, "ROWS_FOR_PROCESSES", 40)
    monkeypatch.setattr(file_predictions, "allowed_cpus", lambda: 8)
    started, session = [], file_predictions.LogitsSession
    monkeypatch.setattr(
        file_predictions, "LogitsSession", lambda *args: started.append(args) or session(*args)
    )
    together = checked(artifact, limit=40).comparison
    # One thread per process adds numbers in another order than a pool of threads.
    assert together.divergence.kl == pytest.approx(alone.divergence.kl, rel=1e-3, abs=1e-9)
    assert (together.artifact, together.lost) == (alone.artifact, alone.lost)
    assert len(started) == 2  # one for each part of 32 rows
