"""The page of a report: a template filled with charts, tables and lines."""

from nf_edge.artifact.manifest import Manifest
from nf_edge.core.figures import format_bytes
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.accuracy.parity import Parity
from nf_edge.measure.memory import MemoryReport
from nf_edge.render.accuracy import (
    accuracy_card,
    accuracy_lines,
    accuracy_tables,
    parity_lines,
    simulated_lines,
)
from nf_edge.render.coverage import accelerator_lines, accelerator_table, coverage_lines
from nf_edge.render.html.charts import accuracy_chart
from nf_edge.render.html.layout_section import layout_facts
from nf_edge.render.html.memory_charts import (
    Stack,
    budget_chart,
    budget_stacks,
    is_narrow,
    parts_chart,
    process_stack,
)
from nf_edge.render.html.templates import filled
from nf_edge.render.memory import firmware_tables, memory_lines, memory_tables, share_lines
from nf_edge.render.pruning import compression_lines
from nf_edge.render.quantization import quantization_lines
from nf_edge.render.work import work_lines, work_table


def report_page(
    manifest: Manifest, parity: Parity, memory: MemoryReport, accuracy: AccuracyReport | None
) -> str:
    """The HTML of `report.html`; the page has no scripts and loads nothing."""
    shares = memory.verdict.shares if memory.verdict else ()
    shares_of = accuracy.comparison if accuracy and accuracy.comparison.artifact.right is not None else None
    file_table, process_table, kinds_table = memory_tables(memory)
    return filled(
        "report.html.j2",
        manifest=manifest,
        size=format_bytes(manifest.model.bytes),
        verdict=memory.verdict,
        share_lines=[line for share in shares for line in share_lines(share)],
        budget_charts=[
            budget_chart(share, stack, f"Memory against the budget of {share.memory}")
            for share, stack in budget_stacks(memory)
        ],
        file_chart=parts_chart(Stack(memory.file, memory.file_total), "Parts of the model file"),
        file_table=file_table,
        process_chart=parts_chart(process_stack(memory), "Parts of the process's memory")
        if is_narrow(memory)
        else "",
        process_table=process_table,
        firmware_tables=firmware_tables(memory),
        kinds_table=kinds_table,
        memory_lines=memory_lines(memory),
        accuracy=accuracy,
        accuracy_card=accuracy_card(accuracy) if accuracy else ("", ""),
        accuracy_chart=accuracy_chart(shares_of, "Accuracy with intervals") if shares_of else "",
        accuracy_tables=accuracy_tables(accuracy) if accuracy else [],
        accuracy_lines=accuracy_lines(accuracy) if accuracy else [],
        parity_lines=parity_lines(parity) + simulated_lines(manifest.requires.simulated),
        compression_lines=compression_lines(manifest.compression) if manifest.compression else [],
        quantization_lines=quantization_lines(manifest.quantization, manifest.calibration),
        coverage_lines=coverage_lines(manifest),
        accelerator_lines=accelerator_lines(manifest),
        accelerator_table=accelerator_table(manifest),
        work_lines=work_lines(manifest),
        work_table=work_table(manifest),
        **layout_facts(memory.layout, manifest.quantization),
    )
