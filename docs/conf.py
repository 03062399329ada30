"""Sphinx configuration."""

from importlib import metadata

project = "Eugo workspaces"
author = "the Eugo workspaces authors"
copyright = "2026, the Eugo workspaces authors"  # noqa: A001 - Sphinx's name
version = release = metadata.version("eugo-workspaces")

extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "changes"]
html_theme = "furo"
html_title = "Eugo workspaces"
html_static_path = ["_static"]
nitpicky = True
