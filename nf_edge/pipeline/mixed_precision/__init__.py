"""Sensitivity of each layer to quantization, and mixed-precision recipes based on it."""

from nf_edge.pipeline.mixed_precision.candidates import Candidate, SearchResult
from nf_edge.pipeline.mixed_precision.choice import SearchTarget
from nf_edge.pipeline.mixed_precision.run import SensitivityReport, run
from nf_edge.pipeline.mixed_precision.sensitivity import SensitivityJob

__all__ = ["Candidate", "SearchResult", "SearchTarget", "SensitivityJob", "SensitivityReport", "run"]
