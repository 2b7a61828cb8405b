"""Whether the artifact still answers right: its answers and the checkpoint's on the same rows."""
