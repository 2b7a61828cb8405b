"""Recipes: what to do to a checkpoint, as data."""
