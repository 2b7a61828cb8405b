"""Memory of an artifact: predicted from the checkpoint, planned by the file, and measured in a run.

Importing this package imports no PyTorch; `nf_edge.measure.memory.profile`, which runs files, does.
"""

from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.predict import predict_memory
from nf_edge.measure.memory.verdict import Verdict

__all__ = ["MemoryReport", "Verdict", "predict_memory"]
