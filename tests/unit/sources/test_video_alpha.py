"""VideoSource: transparent videos of every codec are blended on white."""

import av
import numpy as np
import pytest

from e2pose.sources.open import open_source
from helpers.media import assert_colour

HALF_OPAQUE = np.full((48, 64, 4), (100, 40, 0, 128), np.uint8)
ON_WHITE = (177, 147, 127)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("a.mkv", "ffv1", "bgra", {}),
        ("a.mkv", "ffv1", "gbrap16le", {"level": "3"}),
        ("a.mkv", "ffv1", "yuva420p", {}),
        ("a.avi", "utvideo", "gbrap", {}),
        ("a.mov", "png", "rgba", {}),
        ("a.mov", "png", "rgba64be", {}),
        ("a.mov", "qtrle", "argb", {}),
        ("a.png", "apng", "rgba", {}),
        ("a.webm", "libvpx-vp9", "yuva420p", {}),
        ("a.mkv", "libvpx", "yuva420p", {"auto-alt-ref": "0"}),
    ],
)
def test_transparent_video_is_blended_on_white(tmp_path, name, codec, pixel_format, options):
    path = tmp_path / name
    with av.open(str(path), "w", format="apng" if codec == "apng" else None) as output:
        video = output.add_stream(codec, rate=25, options=options)
        video.height, video.width, video.pix_fmt = 48, 64, pixel_format
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(HALF_OPAQUE, format="rgba")
            frame.pts = index
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 3
    for frame in frames:
        assert_colour(frame.image[20, 30], ON_WHITE, 6)
