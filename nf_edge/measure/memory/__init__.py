"""Memory of an artifact: predicted from the checkpoint, planned by the file, and measured in a run."""

from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.profile import predict_memory, profile_model
from nf_edge.measure.memory.verdict import Verdict

__all__ = ["MemoryReport", "Verdict", "predict_memory", "profile_model"]
