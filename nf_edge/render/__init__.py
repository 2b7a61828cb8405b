"""Reports as terminal tables, lines, charts and HTML pages; measures nothing."""
