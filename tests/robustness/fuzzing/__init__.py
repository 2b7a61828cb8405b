"""Damaged inputs: real ones, spoiled at random, against everything that reads a file.

`python tests/robustness/fuzzing --inputs 10000 --seed 1` tries many; `test_fuzzing.py` some in every run.
"""
