from core.data.preparation import prepare
from core.data.saved import list_saved, save
from core.data.splits.build_splits import BuildOptions, build
from core.data.tables.read import read_table
from core.jobs.actions import delete_dataset
from core.storage.store import Store

CHOICE = BuildOptions(("text",), "label")


def test_no_text_is_left_on_disk_once_a_dataset_is_deleted(store: Store) -> None:
    lines = "".join(
        f"a text that a user may want removed {row},{'ab'[row % 2]}\n" for row in range(40)
    )
    table = read_table("mine.csv", f"text,label\n{lines}".encode())
    source = save(store.settings, "mine", build([("train", table)], CHOICE), CHOICE, [table.file])
    prepared = prepare(store.settings, source, lambda progress: None, lambda: False)
    assert prepared.folder.is_dir()

    assert delete_dataset(store, "mine") == 0

    assert not prepared.folder.exists()
    assert list_saved(store.settings) == []
    left = [path for path in store.settings.home.rglob("*.parquet")]
    assert left == []
    assert list(store.settings.prepared.glob("sources/*")) == []
