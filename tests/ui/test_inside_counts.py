from core.inference.messages import AdaptedModule
from core.models.model_shape import ModuleCount
from ui.inside import count_adapted

HEAD = ModuleCount("classifier", "8 × 2 + 2", 18)


def test_modules_are_counted_by_their_own_ranks() -> None:
    modules = [
        AdaptedModule(0, "query", 8, 8, 2, 0.1),
        AdaptedModule(1, "query", 8, 8, 4, 0.1),
        AdaptedModule(2, "query", 8, 8, 4, 0.1),
        AdaptedModule(0, "key", 8, 8, 0, 0.0),
    ]
    configured = [ModuleCount("query", "3 × 4 × (8 + 8)", 192), HEAD]

    assert count_adapted(modules, False, configured) == [
        ModuleCount("query", "1 × 2 × (8 + 8)", 32),
        ModuleCount("query", "2 × 4 × (8 + 8)", 128),
        HEAD,
    ]


def test_dora_adds_a_magnitude_per_output() -> None:
    modules = [AdaptedModule(0, "up", 4, 8, 2, 0.1)]

    assert count_adapted(modules, True, [HEAD]) == [
        ModuleCount("up", "1 × 2 × (4 + 8) + 8", 32),
        HEAD,
    ]
