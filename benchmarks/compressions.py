"""Every bundled recipe on every bundled model, as tables in Markdown.

    python benchmarks/compressions.py --data-root data [--train] [--repeats 8] [--limit 400] > compressions.md

The folder has `SST-2/train.tsv` and `dev.tsv`, and `tinyshakespeare/input.txt`, anywhere in it; digits come
with scikit-learn.  Measured is on rows that no model was trained on: the last twentieth of the plays, in
blocks of the model's positions, SST-2's dev.tsv, and the test split of the digits.  What calibrates sees
128 rows of training data, and with --train those that prune train on it; else they are left out.  Artifacts
stay in build/compressions, with a sweep.html for each model.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.model import resolve_checkpoint
from nf_edge.model.data.blocks import read_blocks
from nf_edge.model.data.parts import Part
from nf_edge.pipeline.sweep import PAGE, SweepReport, sweep
from nf_edge.render.html.sweep_page import sweep_page
from nf_edge.render.sweep import summary_lines, sweep_lines, sweep_tables
from nf_edge.render.table import Table

BUILD = Path(__file__).parents[1] / "build" / "compressions"


@dataclass(frozen=True)
class Data:
    """Sources of a model: what is measured on, what calibrates, what prunes and trains."""

    test: str
    calibrate: str
    train: str


def found(root: Path, file: str) -> Path:
    """A file of the folder, however deep."""
    places = sorted(root.rglob(file))
    if not places:
        sys.exit(f"compressions: no {file} in {root}")
    return places[0]


def blocks_file(text: Path, part: Part, name: str) -> Path:
    """A part of a text in rows as long as shakespeare's positions."""
    checkpoint = resolve_checkpoint("shakespeare")
    blocks = read_blocks(str(text), checkpoint.config, checkpoint.tokenizer_file, part)
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.jsonl"
    # A block's last id is the next one's first.
    lines = [json.dumps({"input_ids": ids}) for ids in blocks.ids[:, :-1].tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sources(root: Path) -> dict[str, Data]:
    """Of each bundled model."""
    text = found(root, "tinyshakespeare/input.txt")
    # As in recipes/training/shakespeare.yaml, whose last parts no training saw.
    plays = {
        name: str(blocks_file(text, part, name))
        for name, part in (("plays-test", Part(0.95, 1)), ("plays-train", Part(0, 0.9)))
    }
    sentences = str(found(root, "SST-2/train.tsv"))
    return {
        "sst2": Data(str(found(root, "SST-2/dev.tsv")), sentences, sentences),
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
    parser.add_argument("--model", action="append", help="a bundled one; several times (default: all)")
    parser.add_argument("--train", action="store_true", help="with the recipes that prune and recover")
    parser.add_argument("--limit", type=int, help="rows to measure answers on")
    parser.add_argument("--repeats", type=int, default=8, help="rounds of latency")
    options = parser.parse_args(arguments)
    BUILD.mkdir(parents=True, exist_ok=True)
    data = sources(options.data_root)
    for name in options.model or data:
        out, own = BUILD / name, data[name]
        report = sweep(
            resolve_checkpoint(name),
            data=own.test,
            limit=options.limit,
            calibrate=own.calibrate,
            train=own.train if options.train else None,
            repeats=options.repeats,
            out=out,
            overwrite=True,
            progress=lambda step, done, total: print(f"{step} {done}/{total}", end="\r", file=sys.stderr),
        )
        (out / PAGE).write_text(sweep_page(report), encoding="utf-8")
        print(section(report), flush=True)


if __name__ == "__main__":
    main()
