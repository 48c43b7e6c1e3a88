"""Disks that fail, kill the process or lose unsynced data at step n."""

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.storage.files import Disk, replace_disk


class SimulatedCrash(BaseException):
    """End of the process; no ``except Exception`` may catch it."""


class PowerCut(SimulatedCrash):
    """Power cut of the machine."""


@contextmanager
def writing_to(disk: Disk) -> Iterator[None]:
    """Let this process write to ``disk`` until the block ends."""
    previous = replace_disk(disk)
    try:
        yield
    finally:
        replace_disk(previous)


class CountingDisk(Disk):
    """Disk that counts its steps; ``_meet`` is called before each one."""

    def __init__(self) -> None:
        self.steps = 0

    def make_folder(self, path: Path) -> None:
        """See ``Disk``."""
        self._meet()
        super().make_folder(path)

    def write(self, path: Path, data: bytes) -> None:
        """See ``Disk``. A fault leaves half of the data behind."""
        try:
            self._meet()
        except OSError:
            path.write_bytes(data[: len(data) // 2])
            raise
        super().write(path, data)

    def sync(self, path: Path) -> None:
        """See ``Disk``."""
        self._meet()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        """See ``Disk``."""
        self._meet()
        super().rename(source, target)

    def exchange(self, item: Path, other: Path) -> bool:
        """See ``Disk``."""
        self._meet()
        return super().exchange(item, other)

    def remove(self, path: Path) -> None:
        """See ``Disk``."""
        self._meet()
        super().remove(path)

    def _meet(self) -> None:
        self.steps += 1


class FailingDisk(CountingDisk):
    """Disk that raises OSError with ``code`` at step ``nth`` or the first later step that can fail,
    and with ``lasting`` at all later ones.

    Removing always works, as on a full disk.
    """

    def __init__(self, nth: int, code: int, lasting: bool = False) -> None:
        super().__init__()
        self.nth, self.code, self.lasting = nth, code, lasting
        self.failed = 0

    def remove(self, path: Path) -> None:
        """See ``Disk``."""
        self.steps += 1
        Disk.remove(self, path)

    def _meet(self) -> None:
        super()._meet()
        if self.steps >= self.nth and (self.lasting or not self.failed):
            self.failed += 1
            raise OSError(self.code, os.strerror(self.code))


class KillingDisk(CountingDisk):
    """Disk that kills its process at step ``nth`` by SIGKILL, so that nothing is cleaned up."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.nth = nth

    def write(self, path: Path, data: bytes) -> None:
        """See ``Disk``. The fault leaves half of the data behind."""
        if self.steps + 1 == self.nth:
            path.write_bytes(data[: len(data) // 2])
        super().write(path, data)

    def _meet(self) -> None:
        super()._meet()
        if self.steps >= self.nth:
            self._die()

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingDisk(KillingDisk):
    """Kill a run that is simulated in this process: SimulatedCrash is raised at this and each later
    step.
    """

    def _die(self) -> None:
        raise SimulatedCrash


@dataclass(eq=False)
class Node:
    """File or folder in two versions: as processes see it, and as stored on the medium.

    ``names`` is None for a file.
    """

    data: bytes = b""
    synced_data: bytes = b""
    names: "dict[str, Node] | None" = None
    synced_names: "dict[str, Node]" = field(default_factory=dict)

    def child(self, name: str) -> "Node":
        """Return the entry of that name in this folder."""
        assert self.names is not None, "a file has no names"
        return self.names[name]


class CuttingDisk(CountingDisk):
    """Cuts the power at step ``nth``: below ``root`` only what was synced is left. Later steps fail
    too, since no one is there.

    It is as strict as POSIX allows: a file's content needs a sync of the file, a name one of its
    folder. With ``luck``, each name that was not synced is kept at random, as a real disk may do,
    which finds a file whose name was faster than its content.
    """

    def __init__(self, root: Path, nth: int, luck: random.Random | None = None) -> None:
        super().__init__()
        self.root, self.nth, self.luck = root, nth, luck
        self.tree = _read(root)

    def make_folder(self, path: Path) -> None:
        """See ``Disk``."""
        super().make_folder(path)
        self._names(path.parent).setdefault(path.name, Node(names={}))

    def write(self, path: Path, data: bytes) -> None:
        """See ``Disk``."""
        super().write(path, data)
        self._names(path.parent).setdefault(path.name, Node()).data = data
        self._find(path).synced_data = b""  # of what is written over nothing is sure to be left

    def sync(self, path: Path) -> None:
        """See ``Disk``."""
        super().sync(path)
        node = self._find(path)
        node.synced_data = node.data
        node.synced_names = dict(node.names or {})

    def rename(self, source: Path, target: Path) -> None:
        """See ``Disk``."""
        super().rename(source, target)
        self._names(target.parent)[target.name] = self._names(source.parent).pop(source.name)

    def exchange(self, item: Path, other: Path) -> bool:
        """See ``Disk``."""
        done = super().exchange(item, other)
        if done:
            names, others = self._names(item.parent), self._names(other.parent)
            names[item.name], others[other.name] = others[other.name], names[item.name]
        return done

    def remove(self, path: Path) -> None:
        """See ``Disk``. Within a folder names may be gone from the medium at once: the strictest
        order for those who replaces one.
        """
        super().remove(path)
        node = self._names(path.parent).pop(path.name, None)
        if node is not None and node.names is not None:
            node.names, node.synced_names = {}, {}

    def cut(self) -> None:
        """Restore the synced content below ``root``."""
        shutil.rmtree(self.root)
        self._restore(self.tree, self.root)

    def _meet(self) -> None:
        super()._meet()
        if self.steps >= self.nth:
            raise PowerCut

    def _find(self, path: Path) -> Node:
        node = self.tree
        for part in path.relative_to(self.root).parts:
            node = node.child(part)
        return node

    def _names(self, folder: Path) -> dict[str, Node]:
        names = self._find(folder).names
        assert names is not None, f"{folder} is a file"
        return names

    def _restore(self, node: Node, path: Path) -> None:
        if node.names is None:
            path.write_bytes(node.synced_data)
            return
        path.mkdir(parents=True, exist_ok=True)
        for name, child in self._left(node).items():
            self._restore(child, path / name)

    def _left(self, node: Node) -> dict[str, Node]:
        """Return the names in a folder after the cut; with luck, some new names are kept although
        they were not synced.
        """
        left = dict(node.synced_names)
        now = node.names or {}
        for name in sorted(left.keys() | now.keys()):
            if (
                self.luck is not None
                and left.get(name) is not now.get(name)
                and self.luck.random() < 0.5
            ):
                left.pop(name, None)
                if name in now:
                    left[name] = now[name]
        return left


def _read(path: Path) -> Node:
    """Count the present content of ``path`` as synced."""
    if not path.is_dir():
        data = path.read_bytes()
        return Node(data, data)
    names = {child.name: _read(child) for child in path.iterdir()}
    return Node(names=names, synced_names=dict(names))
