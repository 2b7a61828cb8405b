"""What an ONNX Runtime session allocates is counted as its source does it, and as a run shows it."""

import json

import pytest
from test_memory import needs_the_runner

import nf_edge
from nf_edge.backends import backend_for
from nf_edge.backends.onnx.allocation.bfc_arena import BfcArena
from nf_edge.backends.onnx.allocation.malloc import Malloc
from nf_edge.backends.onnx.allocation.pattern import Pattern
from nf_edge.backends.onnx.allocation.tape import Tape
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.memory import predict_memory
from nf_edge.measure.memory.profile import profile_model
from nf_edge.model import load_checkpoint
from nf_edge.pipeline.lowering import Job, lower

MB, MIB = 1e6, 1 << 20


def test_large_blocks_are_mappings_until_one_is_freed_and_then_stay_in_the_heap():
    heap = Malloc()
    first = heap.allocate(4 * MIB)
    assert first.address is None
    heap.free(first)
    assert heap.resident == 0
    kept, freed = heap.allocate(3 * MIB), heap.allocate(3 * MIB)
    above = heap.allocate(MIB)
    heap.free(freed)
    assert kept.address is not None
    # The hole below a block in use stays resident, and the next block that fits takes it.
    assert heap.free_resident == pytest.approx(3 * MIB, abs=1000)
    resident = heap.resident
    assert heap.allocate(2 * MIB).address == freed.address
    assert heap.resident == resident
    assert above.address > freed.address


def test_an_arena_doubles_and_splits_only_chunks_of_twice_the_size():
    heap = Malloc()
    arena = BfcArena(heap)
    arena.allocate(8)
    big = arena.allocate(5 * MIB)
    # A region of 1 MiB, then one of 8 MiB: it is the first power of two that holds 5 MiB.
    assert arena.touched == pytest.approx(5 * MIB, abs=1000)
    arena.free(big)
    undivided = arena.allocate(5 * MIB)
    assert undivided.size == 8 * MIB
    arena.free(undivided)
    assert arena.allocate(3 * MIB).size == 3 * MIB


def test_the_memory_pattern_puts_an_activation_into_the_best_gap():
    pattern = Pattern()
    first, second, third = (pattern.allocate(size) for size in (128, 64, 256))
    pattern.free(first)
    pattern.free(third)
    assert pattern.allocate(192) == (192, 192)
    # 64 bytes are left there, and 128 bytes before; the smaller gap leaves less.
    assert pattern.allocate(64) == (384, 64)
    assert (second, pattern.bytes) == ((128, 64), 448)


def test_activations_of_one_shape_share_a_buffer_when_their_readers_are_done():
    tape = Tape()
    value = tape.one([], ("a", 100))
    for _ in range(3):
        value = tape.one([value], ("b", 50))
        value = tape.one([value], ("a", 100))
    sizes = [buffer.bytes for buffers in tape.buffers().values() for buffer in buffers]
    assert sorted(sizes) == [50, 100]


@pytest.mark.parametrize(
    ("recipe", "measured"), [("onnx-fp32", 145.9), ("onnx-int8-dynamic", 160.6), ("onnx-int4", 164.2)]
)
def test_the_arenas_of_a_classifier_without_noise_are_those_of_a_run(recipe, measured, tmp_path):
    """Measured with three layers of GPT-2's width on x86-64, with ONNX Runtime 1.32."""
    shape = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 3, "n_head": 12}
    config = {"architectures": ["NoiseFormerForSequenceClassification"], "num_labels": 2, **shape}
    (tmp_path / "config.json").write_text(json.dumps(config | {"noise": {"kind": "none"}}), encoding="utf-8")
    report = nf_edge.profile(tmp_path, recipe=recipe)
    (arenas,) = (part.predicted.value for part in report.process if part.name == "arenas")
    assert arenas == pytest.approx(measured * MB, rel=0.05)


@needs_the_runner
@pytest.mark.slow
@pytest.mark.parametrize("noise", ["relative", "none"])
def test_the_second_run_of_a_long_classifier_is_in_the_prediction(noise, run, tmp_path):
    """Scores of all heads are in memory, and the memory pattern takes another block."""
    shape = f"--layers 4 --embd 256 --heads 4 --noise {noise} --positions 512 --vocab-size 8000"
    done = run("init", "-o", tmp_path / "long", *shape.split(), "--num-labels", "2", "--bidirectional")
    assert done.code == 0
    recipe, file = load_recipe("onnx-int8-dynamic"), tmp_path / "model.onnx"
    job = Job.of(load_checkpoint(tmp_path / "long"), recipe, None)
    before = predict_memory(backend_for(recipe), job.checkpoint.config, recipe, None)
    lower(job, file)
    report = profile_model(job.runnable(file), None)
    figures = {line.name: line for line in (*report.process, report.steady, report.load_peak)}
    for line in (*before.process, before.steady, before.load_peak):
        measured = figures[line.name].measured.value
        if measured is not None and measured > MB:
            assert line.predicted.value == pytest.approx(measured, rel=0.15), line.name
    assert figures["unaccounted"].measured.value <= 0.03 * report.steady.measured.value
