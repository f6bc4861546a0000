"""Sphinx: `make docs`."""

import importlib.metadata

project = "sctpio"
author = "The sctpio authors"
release = importlib.metadata.version("sctpio")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"sctpio {release}"
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
default_role = "code"
nitpicky = False
