"""Damaged inputs: real ones, spoiled at random, against everything that reads a file.

`python tests/fuzzing --inputs 10000 --seed 1` tries many; tests/test_fuzzing.py some in every run.
"""
