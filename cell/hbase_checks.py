"""What HBase would accept and then lose, or refuse in the middle: checked before anything is sent.

A version with the sign bit is acknowledged, and then every scan that touches it fails; 2^63 - 1
is taken for "now"; an empty key fails its whole call.
"""

from collections.abc import Sequence

import numpy as np

from cell.tables import KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSION_MAX, FixedRows, Row
from idgen.errors import BadRequest


def check_keys(keys: Sequence[bytes]) -> None:
    """Raises BadRequest(keys) for one that is empty or over KEY_BYTES_MAX."""
    for key in keys:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise BadRequest("keys", f"a key of {len(key)} bytes; allowed are 1 to {KEY_BYTES_MAX}")


def check_rows(rows: Sequence[Row]) -> None:
    """Raises BadRequest(keys|versions|values) for what can never be stored."""
    for key, version, value in rows:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise BadRequest("keys", f"a key of {len(key)} bytes; allowed are 1 to {KEY_BYTES_MAX}")
        if not 0 < version <= VERSION_MAX:
            raise BadRequest("versions", f"{version} is outside 1..{VERSION_MAX}")
        if len(value) > VALUE_BYTES_MAX:
            raise BadRequest("values", f"a value of {len(value)} bytes is over {VALUE_BYTES_MAX}")


def check_fixed(rows: FixedRows) -> None:
    """`check_rows` for arrays; also raises BadRequest(rows) for shapes that do not fit together."""
    n = len(rows.versions)
    if rows.keys.ndim != 2 or rows.values.ndim != 2 or not len(rows.keys) == n == len(rows.values):
        raise BadRequest(
            "rows",
            f"keys {rows.keys.shape}, versions ({n},) and values {rows.values.shape} do not fit "
            "together; give (n, width), (n,), (n, width)",
        )
    if [rows.keys.dtype, rows.versions.dtype, rows.values.dtype] != [np.uint8, np.uint64, np.uint8]:
        raise BadRequest("rows", "keys and values are arrays of uint8, versions of uint64")
    if not n:
        return
    if not 0 < rows.keys.shape[1] <= KEY_BYTES_MAX:
        raise BadRequest(
            "keys", f"keys of {rows.keys.shape[1]} bytes; allowed are 1 to {KEY_BYTES_MAX}"
        )
    lowest, highest = int(rows.versions.min()), int(rows.versions.max())
    if lowest < 1 or highest > VERSION_MAX:
        raise BadRequest("versions", f"{lowest}..{highest} is not within 1..{VERSION_MAX}")
    if rows.values.shape[1] > VALUE_BYTES_MAX:
        raise BadRequest(
            "values", f"values of {rows.values.shape[1]} bytes are over {VALUE_BYTES_MAX}"
        )
