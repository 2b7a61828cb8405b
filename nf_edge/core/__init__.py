"""What everything else stands on: errors, figures, files, recipes, devices.  Imports no torch."""
