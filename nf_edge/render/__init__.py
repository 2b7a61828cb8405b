"""Reports as tables and lines: the same on a terminal and in `report.html`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nf_edge.artifact.entries import CoverageEntry, LeftEntry
from nf_edge.artifact.folder import Artifact
from nf_edge.artifact.manifest import Calibrated, Manifest
from nf_edge.backends.base import KV_CACHE
from nf_edge.core.figures import Figure, format_bytes, shown
from nf_edge.core.recipe.prune import Compression
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.compare import Comparison, Score
from nf_edge.measure.accuracy.divergence import Divergence, not_finite_text
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.measure.memory import MemoryReport, Verdict
from nf_edge.measure.memory.accounts import UNACCOUNTED
from nf_edge.measure.memory.memory_report import MemoryPart
from nf_edge.measure.memory.verdict import Share
from nf_edge.quantization.layer_report import ATTENTION

if TYPE_CHECKING:
    from nf_edge.pipeline.capabilities import Capability

BAR_WIDTH = 30
# What is told beside modules.
NO_MODULES = (ATTENTION, KV_CACHE)


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...]
    """Columns, from 0, that are aligned right."""


def memory_tables(report: MemoryReport) -> list[Table]:
    return [
        # What the file is made of is planned; its size is all that could be measured of it.
        _account_table("Model file", (*report.file, report.file_total), ("predicted", "planned")),
        _account_table(
            "Memory of the process that runs it",
            (*report.process, report.process_total),
            ("predicted", "planned", "measured"),
            {"measured": "emulated"} if report.emulated else {},
        ),
    ]


def _account_table(
    title: str,
    lines: Sequence[MemoryPart],
    accounts: tuple[str, ...],
    called: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    rows = [(line.name, *(_cell(line.figures()[account]) for account in accounts)) for line in lines]
    columns = ("part", *(called.get(account, account) for account in accounts))
    return Table(title, columns, tuple(rows), tuple(range(1, len(columns))))


def _cell(figure: Figure) -> str:
    return "–" if figure.value is None else str(figure)


def memory_lines(report: MemoryReport) -> list[str]:
    """Where it was measured, what is not known and why, notes, and the verdict."""
    lines = [f"{'' if report.emulated else 'measured '}on {report.machine}" if report.machine else ""]
    # Each reason once, with all the figures that it explains.
    reasons: dict[str, list[str]] = {}
    for line in report.process:
        for how, figure in line.figures().items():
            # A plan accounts for all that it has; only a measurement can have something left over.
            if figure.value is None and not (line.name == UNACCOUNTED and how != "measured"):
                called = "emulated" if report.emulated and how == "measured" else how
                reasons.setdefault(figure.note, []).append(f"{line.name} ({called})")
    lines += [f"not known: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    lines += [f"note: {note}" for note in report.notes]
    return [line for line in lines if line]


def verdict_lines(verdict: Verdict) -> list[str]:
    lines = []
    for share in verdict.shares:
        budget = format_bytes(share.budget)
        if share.used is None:
            lines.append(f"{share.memory} ({share.kind}): {need_text(share)} of {budget}")
        else:
            filled = min(BAR_WIDTH, round(share.used * BAR_WIDTH))
            bar = "#" * filled + "." * (BAR_WIDTH - filled)
            lines.append(
                f"{share.memory} ({share.kind}): [{bar}] {need_text(share)} of {budget}, "
                f"{100 * share.used:.1f} %"
            )
        lines += [f"  {line}" for line in share_lines(share)]
    reason = f": {verdict.problem}" if verdict.problem else ""
    lines.append(f"{verdict.outcome.upper()} on {verdict.device} ({verdict.device_name}){reason}")
    return lines


def need_text(share: Share) -> str:
    if share.need.value is None:
        return f"not known ({share.need.note})"
    return f"{'at least ' if share.unknown else ''}{share.need} ({share.need.how})"


def share_lines(share: Share) -> list[str]:
    """What a share does not count, each reason once, and what it leans on."""
    uncounted: dict[str, list[str]] = {}
    for part, reason in share.unknown.items():
        uncounted.setdefault(reason, []).append(part)
    lines = [
        f"{share.memory}: not counted: {', '.join(parts)}: {reason}" for reason, parts in uncounted.items()
    ]
    return lines + unverified_lines(share)


def unverified_lines(share: Share) -> list[str]:
    """The facts that a budget leans on and nobody has seen in a source."""
    return [f"leans on an unverified figure, {path}: {source}" for path, source in share.unverified.items()]


def parity_lines(parity: Parity) -> list[str]:
    inputs = f"{parity.count} rows of {parity.rows}"
    if parity.rows == "synthetic":
        inputs = f"{parity.count} rows of random token ids (synthetic: no data was given)"
    elif parity.truncated:
        inputs += f", {parity.truncated} cut to the length that it takes"
    limit = "no limit" if parity.limit is None else f"limit {parity.limit:g}"
    error = (
        parity.problem
        if parity.error is None
        else f"off by at most {parity.error:.2g} of the largest ({limit})"
    )
    same = "" if parity.agreement is None else f"; {100 * parity.agreement:.1f} % give the same answer"
    return [f"logits against PyTorch fp32, on {inputs}: {error}{same}"]


def asked_lines(simulated: str | None) -> list[str]:
    """Who answers where the artifact does, if that is not the file itself."""
    if not simulated:
        return []
    return [f"nothing on this machine runs the file: its answers are those of {simulated}"]


def accuracy_table(report: AccuracyReport) -> Table:
    comparison = report.comparison
    rows = [("checkpoint (PyTorch, fp32)", *_score(comparison.reference))]
    rows.append(("artifact", *_score(comparison.artifact)))
    columns = ["", "right", "accuracy", "95 % interval"]
    if comparison.reference.perplexity is not None:
        columns.append("perplexity")
    return Table("Accuracy", tuple(columns), tuple(rows), (1, 2, 3, 4))


def _score(score: Score) -> tuple[str, ...]:
    low, high = score.interval
    cells = (
        f"{score.right:,} of {score.total:,}",
        f"{100 * score.share:.2f} %",
        f"{100 * low:.2f} to {100 * high:.2f} %",
    )
    if score.perplexity is None:
        return cells
    return (*cells, perplexity_text(score))


def perplexity_text(score: Score) -> str:
    """A language model's perplexity and its standard error."""
    assert score.perplexity is not None
    error = "" if score.perplexity_error is None else f" ± {score.perplexity_error:.2g}"
    return shown(score.perplexity, ".4g", error)


def accuracy_lines(report: AccuracyReport) -> list[str]:
    comparison = report.comparison
    low, high = comparison.drop_interval
    limit = "no limit" if report.max_drop is None else f"limit {report.max_drop:g}"
    cut = f", {report.truncated} cut to the length that it takes" if report.truncated else ""
    lines = [
        f"data: {report.data}{cut}",
        f"drop {comparison.drop:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}; {limit})",
    ]
    if comparison.not_finite:
        lines.insert(0, not_finite_text(comparison.not_finite, comparison.artifact.total, report.unit))
    if comparison.perplexity_ratio is not None:
        lines.append(f"perplexity {ratio_text(comparison)} times the checkpoint's")
    return [
        *lines,
        f"{report.unit} that changed their answer: {flips_text(comparison.divergence)}; "
        f"{comparison.lost:,} lost, {comparison.gained:,} gained",
        f"KL divergence from the checkpoint's answers: {kl_text(comparison.divergence)}",
        "PASSES the accuracy gate" if report.passed else "FAILS the accuracy gate",
        *asked_lines(report.simulated),
    ]


def ratio_text(comparison: Comparison) -> str:
    """The ratio of a language model's perplexities."""
    assert comparison.perplexity_ratio is not None
    if comparison.perplexity_ratio_interval is None:
        return shown(comparison.perplexity_ratio, ".4f")
    low, high = comparison.perplexity_ratio_interval
    return f"{comparison.perplexity_ratio:.4f} (95 % interval {low:.4f} to {high:.4f})"


def flips_text(divergence: Divergence) -> str:
    low, high = (100 * share for share in divergence.flips_interval)
    share = 100 * divergence.flips / divergence.questions
    return (
        f"{divergence.flips:,} of {divergence.questions:,}, {share:.2f} % "
        f"(95 % interval {low:.2f} to {high:.2f} %)"
    )


def kl_text(divergence: Divergence) -> str:
    if not math.isfinite(divergence.kl):
        return shown(divergence.kl, ".4g")
    if divergence.kl_interval is None:
        return f"{divergence.kl:.4g} nats (of a single text there is no interval)"
    low, high = divergence.kl_interval
    return f"{divergence.kl:.4g} nats (95 % interval {low:.4g} to {high:.4g})"


def artifact_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """What an artifact is and needs, a row a fact."""
    manifest = artifact.manifest
    others = [file.name for file in manifest.files or () if file != manifest.model]
    interface, requires, model = manifest.interface, manifest.requires, manifest.model
    length = f"1 to {interface.length}" if interface.dynamic_length else str(interface.length)
    batch = "any" if interface.any_batch else "1"
    libraries = ", ".join(requires.operator_libraries) or "none"
    return [
        ("status", manifest.status),
        ("made of", f"{manifest.checkpoint.name}, {manifest.checkpoint.parameters:,} parameters"),
        ("recipe", f"{manifest.recipe.name}: {manifest.recipe.description}"),
        ("model file", f"{model.name}, {format_bytes(model.bytes)}, SHA-256 {model.sha256} (verified)"),
        ("other files", f"{', '.join(others)} (verified)" if others else "not verified"),
        ("signature", artifact.signature),
        ("task", interface.task),
        ("inputs", f"{', '.join(interface.inputs)}: {interface.input_dtype} [{batch}, {length}]"),
        ("output", f"{interface.output}: {interface.output_dtype} {list(interface.output_shape)}"),
        ("runtime", f"{requires.runtime} {requires.version}"),
        (
            "libraries",
            f"{libraries}; kernels of nf-edge: {'needed' if requires.own_kernels else 'not needed'}",
        ),
    ]


def compression_lines(mark: Compression) -> list[str]:
    """What a checkpoint was made of, what went, and what that did to its answers."""
    report = mark.report
    before, after, divergence = report["before"], report["after"], report["faithfulness"]
    sizes = {
        "parameters": (before["parameters"], after["parameters"]),
        "vocabulary": (before["vocabulary"], after["vocabulary"]),
        "layers": (len(before["layers"]), len(after["layers"])),
        "heads": tuple(sum(heads for heads, _ in side["layers"]) for side in (before, after)),
        "inner units": tuple(sum(inner for _, inner in side["layers"]) for side in (before, after)),
    }
    changed = [f"{name} {old:,} → {new:,}" for name, (old, new) in sizes.items() if old != new]
    went = ", ".join(changed) or "nothing went, it was trained on"
    lines = [f"made of {mark.original} by recipe {mark.recipe}: {went}"]
    if divergence is not None:
        told = Divergence(**divergence)
        lines += [
            f"answers on {report['tested_on']} that changed: {flips_text(told)}",
            f"KL divergence from the answers before: {kl_text(told)}",
        ]
    return lines


def quantization_lines(
    layer_reports: Sequence[Mapping[str, Any]], calibration: Calibrated | None
) -> list[str]:
    """What becomes of the modules, a line a dtype, of attention and of the cache; exceptions with their
    reasons; what is calibrated on."""
    groups: dict[tuple[str, str], list[str]] = {}
    for layer_report in layer_reports:
        groups.setdefault((layer_report["dtype"], layer_report["reason"]), []).append(layer_report["module"])
    lines, others = [], []
    for (dtype, reason), names in groups.items():
        became = f"{dtype}{f' ({reason})' if reason else ''}"
        modules = [name for name in names if name not in NO_MODULES]
        if modules:
            noun = "module" if len(modules) == 1 else "modules"
            lines.append(f"{len(modules)} {noun} {became}: {_some(modules)}")
        others += [f"{name}: {became}" for name in names if name in NO_MODULES]
    lines += others + _worst_lines(layer_reports)
    if calibration is not None:
        cut = f", {calibration.truncated_rows} cut to the length that it takes"
        seen = f"{calibration.rows} rows of {calibration.source}{cut if calibration.truncated_rows else ''}"
        seen += f", SHA-256 {calibration.sha256}"
        lines.append(f"calibrated on {seen}")
    return lines


def _worst_lines(layer_reports: Sequence[Mapping[str, Any]], most: int = 3) -> list[str]:
    """The modules that quantizing harms most, by their outputs, where known, and by their weights."""
    lines = []
    for key, what in (("output_snr", "outputs, on the rows calibrated on"), ("weights_snr", "weights")):
        # Artifacts of earlier versions have no such figures.
        told = ((layer_report["module"], layer_report.get(key)) for layer_report in layer_reports)
        found = [(name, figure) for name, figure in told if figure and figure["value"] is not None]
        worst = sorted(found, key=lambda pair: float(pair[1]["value"]))[:most]
        if worst:
            names = ", ".join(f"{name} {Figure(**figure)}" for name, figure in worst)
            lines.append(f"least signal against quantization noise of {what} ({worst[0][1]['how']}): {names}")
    return lines


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def accelerator_lines(manifest: Manifest) -> list[str]:
    """What the accelerator's part takes, as its compiler says; nothing where there is none."""
    estimate = manifest.reports.get("accelerator")
    if estimate is None:
        return []
    sram, flash, cycles, time = (Figure(**estimate[name]) for name in ("sram", "flash", "cycles", "time"))
    return [
        f"{cycles} cycles, {time} a run ({cycles.how}: {estimate['source']}; without the host's part)",
        f"{sram} of SRAM ({sram.how}), {flash} of {flash.note or 'flash'} ({flash.how})",
    ]


def accelerator_table(manifest: Manifest) -> Table | None:
    """Its cycles by kind of operator."""
    estimate = manifest.reports.get("accelerator")
    if estimate is None:
        return None
    rows = tuple(
        (kind["operator"], f"{kind['count']}", f"{kind['cycles']:,}", f"{100 * kind['share']:.1f} %")
        for kind in estimate["kinds"]
    )
    return Table("Cycles by operator (simulated)", ("operator", "count", "cycles", "share"), rows, (1, 2, 3))


def coverage_text(coverage: CoverageEntry) -> str:
    """`48 of 66 operators, 99.99 % of multiply-accumulates`."""
    taken, total = coverage["delegated"], coverage["total"]
    operators = f"all {total} operators" if taken == total else f"{taken} of {total} operators"
    # Artifacts of earlier versions have no such figures.
    if not coverage.get("total_macs"):
        return operators
    return f"{operators}, {macs_text(coverage['macs'], coverage)}"


def macs_text(macs: int, coverage: CoverageEntry) -> str:
    """So many multiply-accumulates as a share of a program's."""
    return f"{share_text(macs, coverage['total_macs'])} of multiply-accumulates"


def share_text(part: int, whole: int) -> str:
    """`99.99 %`: rounded down, so that what is not all is never called so."""
    hundredths = 10_000 * part // whole
    return f"{hundredths / 100:.4g} %" if hundredths or not part else "less than 0.01 %"


def coverage_lines(manifest: Manifest) -> list[str]:
    """What the accelerated library executes; what it leaves, with the reason and the likely fix."""
    coverage = manifest.coverage
    line = f"{coverage_text(coverage)}, run in {coverage['library']}"
    if coverage.get("total_macs"):
        line += f" ({coverage['total_macs']:,} in a run on {coverage['length']} tokens)"
    groups: dict[tuple[str, str], list[LeftEntry]] = {}
    for left in coverage["left"]:
        groups.setdefault((left["reason"], left.get("fix", "")), []).append(left)
    lines = [f"{line}; the others:" if groups else line]
    for (reason, fix), entries in groups.items():
        operators = ", ".join(f"{entry['count']} {entry['operator']}" for entry in entries)
        if coverage.get("total_macs"):
            operators += f", {macs_text(sum(entry['macs'] for entry in entries), coverage)}"
            reason += f"; fix: {fix}" if fix else "; no fix known"
        lines.append(f"  {operators}: {reason}")
    return lines


def capability_lines(capability: Capability) -> list[str]:
    """What a backend can do, a line a fact."""
    state = capability.here
    if capability.missing:
        state = f"not here: {', '.join(capability.missing)} not installed ({capability.install})"
    recipes: dict[str, list[str]] = {}
    for recipe, precision in capability.precisions.items():
        recipes.setdefault(precision, []).append(recipe)
    lines = [
        f"here       {state}",
        f"runtime    {capability.runtime}{', with kernels of nf-edge' if capability.own_kernels else ''}",
        f"attention  {capability.attention}",
    ]
    if capability.targets:
        lines.append(f"targets    {', '.join(capability.targets)}")
    # Words as they are told of each layer of an export.
    lines += [f"recipes    {', '.join(names)}: {precision}" for precision, names in recipes.items()]
    return [*lines, f"devices    {', '.join(capability.devices) or 'none that is bundled'}"]
