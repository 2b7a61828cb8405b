"""Latency: how long an artifact takes here to load, to read a prompt, and to give each token after it."""

from nf_edge.measure.latency.bench import bench
from nf_edge.measure.latency.plan import REPEATS, Plan, Subject, make_plan
from nf_edge.measure.latency.report import LatencyReport

__all__ = ["REPEATS", "LatencyReport", "Plan", "Subject", "bench", "make_plan"]
