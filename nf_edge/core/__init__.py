"""Shared foundations: errors, figures, files, recipes and devices.  Imports no torch."""
