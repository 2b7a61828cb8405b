"""Our operators: symmetric attention and the blocks around it, in PyTorch and in C++."""
