"""Reports as terminal tables, lines, charts and HTML pages.  This package measures nothing."""
