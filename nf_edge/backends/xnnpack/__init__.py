"""The XNNPACK backend, and the code that it shares with the backend `nf_cpu`."""
