"""Rows of token ids and labels from files and named data sets, and batches of rows."""

from nf_edge.model.data.batches import Batch, batches, collate
from nf_edge.model.data.rows import Row, Rows, load_rows

__all__ = ["Batch", "Row", "Rows", "batches", "collate", "load_rows"]
