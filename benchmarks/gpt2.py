"""Latency of a NoiseFormer with GPT-2's base shape and random weights, as a line of JSON.

    python benchmarks/gpt2.py [--recipe nf-int8] [--threads 2]

12 layers, 12 heads of 64, vocabulary 50,257, rank-4 noise, seed 0.  The first run exports the artifact to
build/gpt2, which takes two minutes.  A native process measures it.  `prefillN_ms` is for a prompt of N
tokens, `decodeN_tps` is tokens per second with N tokens in the cache.  Each is {"med", "min", "max"}: the
median and both quartiles.  A harness can interleave runs of this script with those of other runtimes.
"""

import argparse
import json
from pathlib import Path

from nf_edge.artifact import Artifact, load_artifact
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure.latency import BenchOptions, BenchSubject, bench, make_plan
from nf_edge.measure.latency.latency_report import BenchRow, Distribution
from nf_edge.model import ModelConfig, load_checkpoint, save_checkpoint
from nf_edge.model.init import init_tensors
from nf_edge.pipeline.export import export

BUILD = Path(__file__).parents[1] / "build" / "gpt2"
LENGTHS, CONTEXTS = (128, 512, 1024), (128, 900)
SHAPE = {
    "architectures": ("NoiseFormerForCausalLM",),
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "noise": {"kind": "lowrank", "rank": 4},
}


def artifact_by(recipe: str) -> Artifact:
    checkpoint, out = BUILD / "checkpoint", BUILD / recipe
    if not checkpoint.exists():
        config = ModelConfig.model_validate(SHAPE)
        save_checkpoint(checkpoint, config, init_tensors(config, seed=0))
    if not out.exists():
        # The answers of random weights mean nothing, so no gate applies.
        export(load_checkpoint(checkpoint), load_recipe(recipe), out, keep=True)
    return load_artifact(out)


def spread(distribution: Distribution) -> dict[str, float | None]:
    low, high = distribution.quartiles
    return {"med": distribution.median.value, "min": low.value, "max": high.value}


def figures(line: BenchRow) -> dict[str, dict[str, float | None]]:
    (timing,) = line.timings
    if line.phase == "decode":
        assert timing.rate is not None
        return {f"decode{line.tokens}_tps": spread(timing.rate)}
    return {f"prefill{line.tokens}_ms": spread(timing.time)} if line.phase == "prefill" else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recipe", default="nf-int8")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    artifact = artifact_by(arguments.recipe)
    runnable = artifact.runnable()
    plan = make_plan(
        [BenchSubject.of(runnable)], BenchOptions(LENGTHS, CONTEXTS, [arguments.threads], repeats=5)
    )
    report = bench([runnable], plan)
    row: dict[str, object] = {"file_mb": artifact.model_file.stat().st_size / 1e6}
    for line in report.lines:
        row |= figures(line)
    (load,) = report.lines[0].timings
    row["load_s"] = (load.time.median.value or 0) / 1e3
    row["rss_peak_mb"] = (report.peaks[0].figures[0].value or 0) / 1e6
    print(json.dumps(row))


if __name__ == "__main__":
    main()
