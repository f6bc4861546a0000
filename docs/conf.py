"""Sphinx: `make docs`."""

import importlib.metadata
import os
import typing
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import sctpio
from sctpio.options import Option
from sctpio.options.base import field_rules

project = "sctpio"
author = "The sctpio authors"
release = importlib.metadata.version("sctpio")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = f"sctpio {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_copyright = False
# Quotes in docstrings are those of code.
smartquotes = False
python_maximum_signature_line_length = 90
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
default_role = "code"
# What is copied from a session are its commands.
copybutton_prompt_text = r"\$ |# |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

# The default build needs no network. With SCTPIO_DOCS_LINKS=1, names of the standard library are links.
if os.environ.get("SCTPIO_DOCS_LINKS"):
    intersphinx_mapping = {"python": ("https://docs.python.org/3", None)}

# A name that leads nowhere is an error, but for these: other packages, and what is private here.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|enum|ipaddress|logging|os|prometheus_client|typing|types)\..*"),
    (r"py:.*", r"(array|asyncio|errno|socket|ssl)\..*"),
    (r"py:.*", r"sctpio\.(\w+\.)*_.*"),
    (r"py:class", r"sctpio\.connecting\.Connecting|sctpio\.stacks\.base\.Buffer"),
    # Types whose text Sphinx cuts at a comma, and type variables.
    (r"py:class", r"(tuple|dict)\[\w+"),
    (r"py:class", r"sctpio(\.\w+)*\.[A-Z]"),
]


def plain_annotations(app: Sphinx) -> None:
    """Show the type of an option's field alone; `accepted_values` writes its range as a sentence."""
    for kind in _options():
        plain = typing.get_type_hints(kind)
        field_rules(kind)
        for shown in (kind, kind.__init__):
            names = shown.__annotations__
            names.update({name: plain[name] for name in names if name in plain})


def accepted_values(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Say below a field of an option what it accepts."""
    owner, _, field = name.rpartition(".")
    kind = getattr(sctpio.options, owner.rpartition(".")[2], None)
    if not (isinstance(kind, type) and issubclass(kind, Option)):
        return
    if what == "attribute" and (rule := dict(field_rules(kind)).get(field)):
        lines[:] = [*lines, "", f"Accepted: {rule}."]


def short_names(app: Sphinx, env: BuildEnvironment, node: pending_xref, contents: Any) -> nodes.Node | None:
    """Resolve `sctpio.RtoInfo`, as programs write it, to where it is documented: `sctpio.options.RtoInfo`."""
    package, _, name = node.get("reftarget", "").partition(".")
    if package != "sctpio" or node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    for module in ("errors", "events", "options"):
        if found := domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], f"sctpio.{module}.{name}", node, contents
        ):
            return found
    return None


def _options() -> list[type[Option]]:
    values = (getattr(sctpio.options, name) for name in sctpio.options.__all__)
    return [one for one in values if isinstance(one, type) and issubclass(one, Option)]


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", plain_annotations)
    app.connect("autodoc-process-docstring", accepted_values)
    app.connect("missing-reference", short_names)
