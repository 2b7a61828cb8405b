"""Predict which part of the memory-mapped embedding tables a run brings into memory."""

from nf_edge.model import ModelConfig

# A page fault maps the cached pages around it (`fault_around_bytes` of Linux, mm/memory.c).
AROUND = 64 << 10


def read_table_bytes(tables: int, config: ModelConfig, length: int) -> int:
    """Predict the bytes of both embedding tables that a run of `length` different tokens brings into memory.

    Args:
        tables: bytes of the token table and the position table together.
    """
    tokens = tables * config.vocab_size // (config.vocab_size + config.n_positions)
    positions = tables - tokens
    read = min(tokens, length * (AROUND + tokens // config.vocab_size))
    return read + min(positions, positions * length // config.n_positions + AROUND)
