"""Caches are bounded: the shared dictionary, and every cached function of the interface."""

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ui.session.cache import BoundedCache

ROOT = Path(__file__).parents[3]


def test_a_full_cache_drops_the_value_whose_last_use_is_oldest() -> None:
    cache = BoundedCache[str, int](2)
    cache.put("a", 1)
    cache.put("b", 2)

    assert cache.get("a") == 1  # now b is the oldest
    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    assert len(cache) == 2


def test_storing_a_key_again_replaces_its_value_and_counts_as_a_use() -> None:
    cache = BoundedCache[str, int](2)
    cache.put("a", 1)
    cache.put("b", 2)

    assert cache.put("a", 10) == 10
    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (10, None, 3)


def test_a_missing_key_is_none_and_is_not_stored() -> None:
    cache = BoundedCache[str, int](2)

    assert cache.get("a") is None
    assert len(cache) == 0


def test_threads_share_a_cache_without_exceeding_its_size() -> None:
    cache = BoundedCache[int, int](50)

    def use(start: int) -> int:
        for key in range(start, start + 2_000):
            cache.put(key % 300, key % 300)
            value = cache.get((key * 7) % 300)
            assert value is None or value == (key * 7) % 300
        return len(cache)

    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(use, range(0, 800, 100)))

    assert max(sizes) <= 51  # a thread may read between the insertion and the removal of another
    assert len(cache) == 50


def cached_functions() -> Iterator[tuple[str, ast.FunctionDef, ast.expr]]:
    """Yield each function of the interface with a Streamlit cache, and its decorator."""
    for folder in ("ui", "pages"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    for decorator in node.decorator_list:
                        if ast.unparse(decorator).startswith("st.cache_"):
                            yield f"{path.relative_to(ROOT)}: {node.name}", node, decorator


def test_every_cached_function_with_arguments_has_a_limit() -> None:
    functions = list(cached_functions())
    unlimited = [
        name
        for name, function, decorator in functions
        if function.args.args and "max_entries=" not in ast.unparse(decorator)
    ]

    assert len(functions) > 20
    assert unlimited == []
