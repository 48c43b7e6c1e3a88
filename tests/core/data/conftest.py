from pathlib import Path

import pandas as pd
import pytest

from core.data.sources import Source, folder_source
from tests.support.pet_rows import Make, items


@pytest.fixture
def make_source(tmp_path: Path) -> Make:
    """Write frames as ``<split>.<format>`` into a folder and give its source."""

    def make(suffix: str = "csv", folder: str = "pets", **splits: pd.DataFrame) -> Source:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for split, frame in (splits or {"train": items(40), "test": items(10)}).items():
            path = place / f"{split}.{suffix}"
            match suffix:
                case "csv":
                    frame.to_csv(path, index=False)
                case "jsonl":
                    path.write_text(
                        frame.to_json(orient="records", lines=True, force_ascii=False),
                        encoding="utf-8",
                    )
                case _:
                    frame.to_parquet(path, index=False)
        return folder_source(place)

    return make
