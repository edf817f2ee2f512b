"""The Python code in pages compiles and runs: each block as a module of its own, in order."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from docs.pages import Block, read_page
from docs.project import Finding, Project


def check_snippets(project: Project) -> Iterator[Finding]:
    for file in project.files(".md"):
        for block in python_blocks(project, file):
            try:
                run_block(block)
            except Exception as error:  # whatever a reader would meet
                yield Finding(file, block.line, f"the code does not run: {type(error).__name__}: {error}")


def python_blocks(project: Project, file: str) -> list[Block]:
    return [block for block in read_page(project.read(file)).blocks if block.language == "python"]


def run_block(block: Block) -> ModuleType:
    """The module that the block is; classes in it find their own names there."""
    name = f"page_line_{block.line}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(block.code, encoding="utf-8")
        spec = spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"no loader for {path.name}")
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module
