"""`docs/quickstart.ipynb` runs from start to end, and shows the report of the export."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "quickstart.ipynb"


def test_the_notebook_has_no_outputs_and_no_paths_of_a_machine():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(cell.get("outputs", []) == [] for cell in cells)
    assert "/home/" not in NOTEBOOK.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_runs_and_shows_the_report_memory_and_accuracy(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pages = [
        output["data"]["text/html"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    report, memory, accuracy = pages
    assert report.startswith("<iframe sandbox srcdoc=")
    assert "Memory of the process that runs it" in memory
    assert "PASSES the accuracy gate" in accuracy
    assert (tmp_path / "digits-pi" / "report.html").is_file()
