"""Copies files from outside of the packages, which pyproject.toml cannot express."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = (
    Path(".streamlit") / "config.toml",  # read by Streamlit in the folder of the script it runs
    Path("docs") / "glossary.md",  # whose terms the pages explain
)


class BuildWithFiles(build_py):
    """Copies the files to the same places next to ``Home.py``."""

    def run(self) -> None:
        """Build the modules, then copy the files unless the installation is editable."""
        super().run()
        if not self.editable_mode:
            for path in FILES:
                target = Path(self.build_lib) / path
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List the files of the build, so that an uninstallation removes the copies."""
        copies = [str(Path(self.build_lib) / path) for path in FILES]
        return [*super().get_outputs(include_bytecode), *copies]


setup(cmdclass={"build_py": BuildWithFiles})
