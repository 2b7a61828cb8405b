"""Exports every bundled model with every bundled recipe for CPUs; prints tables in Markdown.

    python benchmarks/compressions.py --data-root data [--train] [--repeats 8] [--limit 400] > compressions.md

The data folder has `SST-2/train.tsv`, `SST-2/dev.tsv` and `tinyshakespeare/input.txt`, at any depth; digits
come with scikit-learn.  All figures are on held-out rows: the last twentieth of the plays in blocks of the
model's positions, SST-2's dev.tsv, and the test split of the digits.  Recipes calibrate on 128 rows of
training data.  Recipes that prune need --train and train on the training data.  Artifacts stay in
build/compressions, with a sweep.html per model.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.measure.latency import BenchOptions
from nf_edge.model import resolve_checkpoint
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.parts import Part
from nf_edge.pipeline.sweep import SweepReport, sweep
from nf_edge.render.sweep import summary_lines, sweep_lines, sweep_tables
from nf_edge.render.table import Table

BUILD = Path(__file__).parents[1] / "build" / "compressions"


@dataclass(frozen=True)
class Data:
    """Data sources of a model."""

    test: str
    calibrate: str
    train: str


def find_file(root: Path, file: str) -> Path:
    """A file in the folder, at any depth."""
    paths = sorted(root.rglob(file))
    if not paths:
        sys.exit(f"{Path(sys.argv[0]).stem}: no {file} in {root}")
    return paths[0]


def blocks_file(text: Path, part: Part, name: str) -> Path:
    """A JSONL file with a part of a text, in rows as long as the positions of `shakespeare`."""
    checkpoint = resolve_checkpoint("shakespeare")
    blocks = read_blocks(str(text), checkpoint.config, checkpoint.tokenizer_file, part)
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.jsonl"
    # A block's last id is the first id of the next block.
    lines = [json.dumps({"input_ids": ids}) for ids in blocks.ids[:, :-1].tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sources(root: Path) -> dict[str, Data]:
    """The data of each bundled model, by name."""
    text = find_file(root, "tinyshakespeare/input.txt")
    # The parts of recipes/training/shakespeare.yaml; training uses only the first.
    plays = {
        name: str(blocks_file(text, part, name))
        for name, part in (("plays-test", Part(0.95, 1)), ("plays-train", Part(0, 0.9)))
    }
    sentences = str(find_file(root, "SST-2/train.tsv"))
    return {
        "sst2": Data(str(find_file(root, "SST-2/dev.tsv")), sentences, sentences),
        "shakespeare": Data(plays["plays-test"], plays["plays-train"], plays["plays-train"]),
        "digits": Data("digits:test", "digits:train", "digits:train"),
    }


def markdown(table: Table) -> str:
    rule = ["---:" if number in table.right else "---" for number in range(len(table.columns))]
    lines = [table.columns, rule, *table.rows]
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(report: SweepReport) -> str:
    parts = [f"## {report.checkpoint}", *map(markdown, sweep_tables(report))]
    for lines in (summary_lines(report), sweep_lines(report)):
        parts.append("\n".join(f"- {line.strip()}" for line in lines))
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--model", action="append", help="a bundled model; may be repeated (default: all)")
    parser.add_argument("--train", action="store_true", help="include recipes that prune and recover")
    parser.add_argument("--limit", type=int, help="use the first N test rows only")
    parser.add_argument("--repeats", type=int, default=8, help="rounds of each latency measurement")
    options = parser.parse_args(arguments)
    BUILD.mkdir(parents=True, exist_ok=True)
    data = sources(options.data_root)
    for name in options.model or data:
        out, source = BUILD / name, data[name]
        report = sweep(
            resolve_checkpoint(name),
            data=source.test,
            limit=options.limit,
            calibrate=source.calibrate,
            train=source.train if options.train else None,
            options=BenchOptions(repeats=options.repeats),
            out=out,
            overwrite=True,
            progress=lambda step, done, total: print(f"{step} {done}/{total}", end="\r", file=sys.stderr),
        )
        print(section(report), flush=True)


if __name__ == "__main__":
    main()
