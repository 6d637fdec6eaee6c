"""What is known of patches from the tables of the authors, looked up by name."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Known:
    """A table with a row a patch: the official lists of v1, metadata.parquet of v2, or one of gdf-builder."""

    table: pa.Table
    where: str

    def rows_of(self, names: pa.Array, *, key: str = "id") -> npt.NDArray[np.int64]:
        """(N,) the row of each name in the column `key`, -1 where there is none."""
        found = pc.index_in(names, value_set=self.table[key].combine_chunks())
        rows: npt.NDArray[np.int64] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

    def columns(self, rows: npt.NDArray[np.int64]) -> pa.Table:
        """The rows asked for; nulls for -1."""
        return self.table.take(pa.array(rows, mask=rows < 0))
