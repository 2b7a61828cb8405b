"""The XNNPACK backend, and code that the backend with nf-edge's kernels shares."""
