"""Small tables as the authors publish them: metadata.parquet of v2, lists of v1."""

import pyarrow as pa
import pyarrow.parquet as pq

TWIN = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48"
_SCENE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"

METADATA_ROWS = [
    {
        "patch_id": f"{_SCENE}_{cell}", "labels": labels, "split": split, "country": "Austria",
        "s1_name": f"S1B_IW_GRDH_1SDV_20170612T165809_33UUP_{cell}",
        "s2v1_name": f"S2A_MSIL2A_20170613T101031_{cell}",
        "contains_seasonal_snow": False, "contains_cloud_or_shadow": False,
    }
    for cell, split, labels in (
        ("26_57", "train", ["Arable land", "Pastures", "Urban fabric"]),
        ("27_55", "validation", ["Inland waters"]),
        ("75_43", "test", ["Mixed forest"]),
    )
]  # fmt: skip


def write_metadata(path, rows=None):
    pq.write_table(pa.Table.from_pylist(METADATA_ROWS if rows is None else rows), path)
    return path


def small_lists(ids, **columns):
    n = len(ids)
    held = {
        "id": ids, "s1_name": [TWIN] * n, "country": ["Austria"] * n,
        "season": ["Summer"] * n, "split": ["train"] * n, "seasonal_snow": [False] * n,
        "cloud_or_shadow": [False] * n, "without_label": [False] * n, "recommended": [True] * n,
    }  # fmt: skip
    return pa.table(held | columns)
