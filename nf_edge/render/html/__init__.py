"""`report.html`: an artifact's report as one self-contained page."""

from nf_edge.render.html.page import report_page

__all__ = ["report_page"]
