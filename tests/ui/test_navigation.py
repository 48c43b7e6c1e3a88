"""The modules of all pages are imported before a visitor opens them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from ui import navigation

async def serve():
    async with navigation.prepare_pages(None):
        before = "ui.runs.detail" in sys.modules
    return before

print(asyncio.run(serve()), "ui.runs.detail" in sys.modules)
navigation.import_modules()
print("ui.runs.detail" in sys.modules, "altair" in sys.modules, "torch" in sys.modules)
"""


def test_the_modules_of_all_pages_are_imported_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    # a server that ends at once imports nothing
    assert done.stdout.split() == ["False", "False", "True", "True", "False"]
