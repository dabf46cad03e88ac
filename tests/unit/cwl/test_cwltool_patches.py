"""Patches of cwltool, schema-salad and cwl-utils: which to check or drop when upstream changes, and where they live."""

import ast
import hashlib
import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest

from gridcwl import cwl
from gridcwl.cwl import patches

PACKAGES = {"cwltool": "cwltool", "schema_salad": "schema-salad", "cwl_utils": "cwl-utils"}
NAMES = [one.name for one in pkgutil.iter_modules(patches.__path__) if one.name != "upstream"]
URL = re.compile(
    r"https://github\.com/common-workflow-language/([\w-]+)/blob/([\d.]+)/(?:src/)?(\w+)/([\w/]+)\.py#L(\d+)"
)


@cache
def tree(module):
    """The text and syntax of a module: those that mypyc has compiled have no source for ``inspect``."""
    text = Path(find_spec(module).origin).with_name(f"{module.rpartition('.')[2]}.py").read_text("utf-8")
    return text, ast.parse(text)


def names(node):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return [target.id for target in targets if isinstance(target, ast.Name)]


def installed(module, name):
    """The first line and the digest of what is installed under this name; None if there is nothing."""
    text, scope = tree(module)
    for part in name.split("."):
        scope = next((node for node in ast.iter_child_nodes(scope) if part in names(node)), None)
        if scope is None:
            return None
    return scope.lineno, hashlib.sha256(ast.get_source_segment(text, scope).encode()).hexdigest()[:16]


@pytest.mark.parametrize("patch", NAMES)
def test_upstream_is_what_the_patch_was_written_for(patch):
    for url, name, digest in importlib.import_module(f"gridcwl.cwl.patches.{patch}").UPSTREAM:
        _, _, package, path, line = URL.fullmatch(url).groups()
        module = f"{package}.{path}".replace("/", ".")
        found = installed(module, name)
        assert found is not None, f"{module}.{name} is gone: drop or rewrite gridcwl/cwl/patches/{patch}.py"
        assert found[1] == digest, (
            f"{module}.{name} has changed: read it, then adapt or drop gridcwl/cwl/patches/{patch}.py, "
            f"and record line {found[0]} and digest {found[1]}"
        )
        assert found[0] == int(line), f"{module}.{name} is in line {found[0]}: correct it in patches/{patch}.py"


@pytest.mark.parametrize("patch", NAMES)
def test_a_patch_names_the_pinned_versions_and_when_it_can_be_dropped(patch):
    module = importlib.import_module(f"gridcwl.cwl.patches.{patch}")
    assert "To be dropped" in module.__doc__
    for url, _, _ in module.UPSTREAM:
        _, at, package, _, _ = URL.fullmatch(url).groups()
        assert version(PACKAGES[package]) == at, f"{patch} was checked with {PACKAGES[package]} {at}"
        assert f"{PACKAGES[package]}=={at}" in requires("gridcwl")


def upstream_names(module):
    """What a module of ours imports of the libraries, by the name that it has here."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in PACKAGES:
                    yield (alias.asname or alias.name.partition(".")[0], alias.name)


def test_nothing_outside_the_patches_changes_or_reaches_into_the_libraries():
    found = []
    for path in Path(cwl.__file__).parent.rglob("*.py"):
        if path.parent.name == "patches":
            continue
        module = ast.parse(path.read_text("utf-8"))
        here = dict(upstream_names(module))
        found += [f"{path.name}: imports {name}" for name in here.values() if name.startswith("_")]
        for node in (one for one in ast.walk(module) if here and isinstance(one, ast.Attribute)):
            owner = ast.unparse(node.value)
            if owner in here and isinstance(node.ctx, ast.Store):
                found.append(f"{path.name}:{node.lineno} replaces {owner}.{node.attr}")
            if re.match(r"_(?!_|replace$)", node.attr) and owner not in ("self", "cls"):
                found.append(f"{path.name}:{node.lineno} uses {ast.unparse(node)}")
    assert found == []
