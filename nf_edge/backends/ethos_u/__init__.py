"""The Ethos-U backend."""
