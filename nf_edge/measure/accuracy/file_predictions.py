"""Predictions of a model file on this machine, and of its checkpoint, on the same rows."""

from contextlib import ExitStack

from nf_edge.backends.runnable import Runnable
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.progress import Progress
from nf_edge.measure.accuracy.journal import Arrays, Journal
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.parts import Parts, Total, side_by_side
from nf_edge.measure.accuracy.predict import REFERENCE_BATCH, predict_both
from nf_edge.measure.accuracy.predictions import PairedPredictions
from nf_edge.measure.emulation import session_of
from nf_edge.measure.runner import LogitsSession
from nf_edge.measure.runner.python_process import python_command
from nf_edge.model import NoiseFormer

# Rows for which starting processes takes less time than they save.
ROWS_FOR_PROCESSES = 128


def predict_file(
    runnable: Runnable,
    model: NoiseFormer,
    rows: PairedRows,
    progress: Progress,
    journal: Journal | None = None,
    name: str = "artifact",
) -> PairedPredictions:
    """Run a model file and its checkpoint's network on the same rows.

    A reference executor is slow.  For many rows of a classifier, it therefore runs in as many processes as
    this machine has CPUs.  A language model's logits would be too large to send between processes.

    Args:
        model: the checkpoint's network.
        journal: the parts that an interrupted check finished; None: nothing is read or saved.
        name: the name of this run in the journal.

    Raises:
        BadInput: the runtime cannot load the file, rows are longer than it accepts, or the network's logits
            are not finite.
    """
    rows.artifact.require_at_most(runnable.input_shape.length)
    count, language = len(rows.reference.rows), model.config.is_language_model
    slow = bool(runnable.backend.reference_executor) and not language and count >= ROWS_FOR_PROCESSES
    total = Total(progress, "comparing answers with PyTorch's", count)
    # A part of a language model is one row: a row of 1,024 tokens may take a minute.
    parts = Parts(count, 1 if language else REFERENCE_BATCH, name, journal, total)

    def work() -> None:
        with ExitStack() as stack:
            if slow:
                process = stack.enter_context(LogitsSession(python_command(runnable, 1), runnable.file))
                session = session_of(process, runnable.input_shape)
            else:
                session = runnable.load()

            def predict(part: slice, progress: Progress) -> Arrays:
                shape = runnable.input_shape
                return predict_both(
                    model, session, shape, rows.part(part), progress, first=part.start
                ).to_arrays()

            parts.work(predict)

    if slow:
        side_by_side([work] * min(allowed_cpus(), len(parts)))
    else:
        work()
    return parts.predictions
