"""Latency: how long an artifact takes here to load, to read a prompt, and to give each token after it."""

from nf_edge.measure.latency.bench import bench
from nf_edge.measure.latency.latency_report import LatencyReport
from nf_edge.measure.latency.plan import REPEATS, BenchPlan, BenchSubject, make_plan

__all__ = ["REPEATS", "BenchPlan", "BenchSubject", "LatencyReport", "bench", "make_plan"]
