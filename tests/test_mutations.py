"""Each safeguard that benchmarks/mutations.py removes still exists, and so does its test.

The benchmark itself takes an hour, so an outdated row would go unnoticed.
"""

import ast
from pathlib import Path

import pytest

from benchmarks.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.safeguard)
def test_a_mutation_names_existing_code_and_an_existing_test(mutation: Mutation) -> None:
    file, _, name = mutation.test.partition("::")
    tests = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }

    assert mutation.old in (ROOT / mutation.file).read_text(encoding="utf-8")
    assert not name or name.partition("[")[0] in tests
