"""Recipes as data: how to turn a checkpoint into an artifact."""
