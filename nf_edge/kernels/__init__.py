"""nf-edge's operators, in PyTorch and in C++: symmetric attention, LayerNorm and GELU."""
