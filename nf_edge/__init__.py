"""nf-edge: put a trained NoiseFormer on a phone, a board or a microcontroller."""

__version__ = "0.1.0"
