"""Bodies for `schemathesis`: small images in the declared formats.

    pip install schemathesis
    e2pose serve &
    SCHEMATHESIS_HOOKS=tests/load/schemathesis_hooks.py schemathesis run http://127.0.0.1:8000/openapi.json \
        --checks all --max-examples 200
"""

import struct
import zlib

import schemathesis
from hypothesis import strategies as st


def png(width: int, height: int, pixels: bytes) -> bytes:
    """Returns an RGB image whose rows repeat the given bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = (pixels * (3 * width))[: 3 * width]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress((b"\0" + row) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


images = st.builds(png, st.integers(1, 300), st.integers(1, 300), st.binary(min_size=1, max_size=60))
for media_type in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, images)  # the server reads the format from the bytes
