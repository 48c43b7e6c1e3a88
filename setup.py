"""Copies Streamlit's configuration next to ``Home.py``, which pyproject.toml cannot express."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIG = Path(".streamlit") / "config.toml"


class BuildWithConfig(build_py):
    """Copies the configuration too. Streamlit reads it from the folder of the script it runs."""

    def run(self) -> None:
        """Build the modules, then copy the file unless the installation is editable."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / CONFIG
            self.mkpath(str(target.parent))
            self.copy_file(str(CONFIG), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List the files of the build, so that an uninstallation removes the configuration."""
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib) / CONFIG)]


setup(cmdclass={"build_py": BuildWithConfig})
