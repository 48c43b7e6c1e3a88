"""Import transformers and PEFT without libraries that they load and text classification never uses.

Importing transformers also imports torch._dynamo with sympy, torch's tensors for several machines,
and scipy.optimize: for decorators that matter only to compiled models, for models divided between
machines, and for losses of object detection. They take 80 MB of every process that holds a model.
Flags of transformers and PEFT say that scipy and distributed tensors are missing; other importers
of these libraries, as the export to ONNX, get them. Versions are pinned in requirements.txt: a new
one without a name that is changed here fails at its import.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DYNAMO = "torch._dynamo"
VMAP = f"{DYNAMO}._trace_wrapped_higher_order_op"
MARKS = ("allow_in_graph", "assume_constant_result")  # decorators that torch.compile reads

# marks of functions, until torch._dynamo is imported
_postponed: list[tuple[str, Callable[..., object]]] = []


def install() -> None:
    """Apply to every import from now on; modules that are imported already stay as they are."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _mark(name: str) -> Callable[[Any], Any]:
    def mark(function: Any) -> Any:
        loaded = sys.modules.get(DYNAMO)
        if loaded is not None and not isinstance(loaded, _StandIn):
            return getattr(loaded, name)(function)
        _postponed.append((name, function))
        return function

    return mark


class TransformGetItemToIndex:
    """Creates the context manager of this name of torch, which only masks of other models need."""

    def __new__(cls) -> Any:
        """Import torch._dynamo, and return torch's own object."""
        return importlib.import_module(VMAP).TransformGetItemToIndex()


class _StandIn(ModuleType):
    """Takes the place of torch._dynamo while a module that names it is imported."""

    TransformGetItemToIndex = TransformGetItemToIndex
    allow_in_graph, assume_constant_result = (staticmethod(_mark(name)) for name in MARKS)


@contextmanager
def _stand_in(module: ModuleType) -> Iterator[None]:
    added = {name: _StandIn(name) for name in (DYNAMO, VMAP) if DYNAMO not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


@contextmanager
def _leave_options_out(module: ModuleType) -> Iterator[None]:
    yield
    for name in ("is_scipy_available", "is_torch_distributed_available"):
        assert hasattr(module, name)
        setattr(module, name, lambda: False)


@contextmanager
def _divide_nothing(module: ModuleType) -> Iterator[None]:
    yield
    name = "_torch_supports_distributed"  # PEFT reads torch.distributed.tensor if it is true
    assert hasattr(module, name)
    setattr(module, name, False)


@contextmanager
def _postpone(module: ModuleType) -> Iterator[None]:
    yield
    later = importlib.import_module("torch._compile")._disable_dynamo  # imports it at a call

    def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
        return later(fn, recursive)

    changed: Any = module
    changed.disable, changed.allow_in_graph = disable, _mark("allow_in_graph")


@contextmanager
def _mark_postponed(module: ModuleType) -> Iterator[None]:
    yield
    while _postponed:
        name, function = _postponed.pop()
        getattr(module, name)(function)


CHANGES: dict[str, Callable[[ModuleType], AbstractContextManager[None]]] = {
    "torch.compiler": _postpone,
    DYNAMO: _mark_postponed,
    "transformers.utils.import_utils": _leave_options_out,
    "peft.tuners.tuners_utils": _divide_nothing,
    "transformers.masking_utils": _stand_in,
    "transformers.integrations.deepgemm": _stand_in,
    "transformers.integrations.finegrained_fp8": _stand_in,
    "transformers.integrations.sonicmoe": _stand_in,
}


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in CHANGES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, CHANGES[fullname])
        return spec


class _Loader(Loader):
    def __init__(
        self, loader: Loader, change: Callable[[ModuleType], AbstractContextManager[None]]
    ) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with self._change(module):
            self._loader.exec_module(module)
