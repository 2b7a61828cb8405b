"""Does the artifact still answer right: its answers beside the checkpoint's, on the same rows."""
