"""The network in static shapes, as NPUs take it."""
