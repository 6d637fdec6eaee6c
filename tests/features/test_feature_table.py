import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from swath.errors import DataError
from swath.features.table import origin_of


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet is not features"):
        origin_of(tmp_path / "a.parquet")
