"""Images, videos and frames for tests; files that no library writes are assembled byte by byte."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.open import open_sink
from e2pose.sources.open import open_source
from e2pose.sources.video import VideoSource

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
NTSC = Fraction(30_000, 1001)


def flat(rgb, size_hw=(16, 24)):
    """An image of one colour."""
    return np.full((*size_hw, 3), rgb, np.uint8)


HALVES = np.concatenate([flat(RED, (48, 32)), flat(BLUE, (48, 32))], axis=1)
"""A 48 x 64 image, red on the left and blue on the right."""


def noise(count, size_hw=(48, 64)):
    """Images of random pixels, which compress badly."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (*size_hw, 3), np.uint8) for _ in range(count)]


def assert_colour(pixel, rgb, tolerance=6):
    assert np.abs(pixel.astype(int) - rgb).max() <= tolerance, pixel


# Frames and poses.


def still_frame(name, image=HALVES):
    return Frame(image, Origin(str(name), Path(name)))


def video_frame(index, image=HALVES, *, name="clip", rate=Fraction(25), time_s=None):
    return Frame(image, Origin(name, None, rate), index, index / float(rate) if time_s is None else time_s)


def some_persons(count=1, track_ids=None):
    """Persons with different keypoints, and scores that decrease from 0.9."""
    keypoints = np.arange(count * 34, dtype=np.float32).reshape(count, 17, 2) + 0.25
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    return Poses(keypoints, np.full((count, 17), 0.5, np.float32), scores, load_schema("coco"), track_ids)


def draw_nothing(frame, poses):
    return frame.image


def draw_negative(frame, poses):
    return 255 - frame.image


def write_frames(sink, frames, poses=None):
    """Writes frames, without persons unless `poses` is given, and closes the sink."""
    with sink:
        for frame in frames:
            sink.write(frame, some_persons(0) if poses is None else poses)


def convert_video(source, target):
    """Reads a video or image and writes it again."""
    with open_source(source) as frames:
        write_frames(open_sink(target, draw=draw_nothing), frames)
    return target


def files_in(folder):
    """The relative paths of all files in a folder, including hidden ones."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Image files.


def encode(rgb, suffix=".png"):
    encoded, data = cv2.imencode(suffix, rgb[..., ::-1])
    assert encoded
    return data.tobytes()


def save(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def png(size_hw, bits, colour_type, rows, **chunks):
    """A PNG from raw rows; colour types: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", size_hw[1], size_hw[0], bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = {"IHDR": header, **chunks, "IDAT": pixels, "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in parts.items())


def png_chunk(name, data):
    body = name.encode() + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def exif(orientation, order="<"):
    """An EXIF block that only contains an orientation."""
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(data, orientation, order="<"):
    """A JPEG, PNG or WebP with an EXIF orientation added."""
    block = exif(orientation, order)
    if data.startswith(b"\xff\xd8"):
        payload = b"Exif\0\0" + block
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    if data.startswith(b"\x89PNG"):
        return data[:33] + png_chunk("eXIf", block) + data[33:]
    chunks = data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def cmyk_jpeg(cmyk):
    """An 8 x 8 JPEG of one CMYK colour, with inverted values as Adobe's programs store them."""
    lengths, codes, code = bytes([0, 0, 0, 12] + [0] * 12), {}, 0
    for category in range(12):  # every DC category has a code of four bits
        codes[category], code = f"{code:04b}", code + 1
    bits = ""
    for value in cmyk:
        difference = 8 * (255 - value - 128)
        size = abs(difference).bit_length()
        bits += codes[size]
        if size:
            bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
        bits += "0"  # end of block
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    def segment(marker, payload):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload

    components = b"".join(bytes([number, 0x11, 0]) for number in range(1, 5))
    return (
        b"\xff\xd8"
        + segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
        + segment(0xDB, b"\0" + b"\x01" * 64)
        + segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 4) + components)
        + segment(0xC4, b"\x00" + lengths + bytes(range(12)))
        + segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
        + segment(0xDA, b"\x04" + b"".join(bytes([number, 0]) for number in range(1, 5)) + b"\x00\x3f\x00")
        + scan
        + b"\xff\xd9"
    )


# Video files.


def write_clip(
    path,
    images,
    *,
    rate=Fraction(25),
    times_s=None,
    codec="libx264",
    sound=None,
    sound_s=1.0,
    sound_rate=48_000,
    **options,
):
    """Writes a video; `sound` is an audio codec, `times_s` the time of each frame if the rate is not constant."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(f"file:{path}", "w", format=options.pop("container", None), container_options=options) as container:
        video = container.add_stream(codec, rate=rate)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        if times_s is not None:
            video.codec_context.time_base = Fraction(1, 90_000)
        audio = container.add_stream(sound, rate=sound_rate, layout="stereo") if sound else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[index] * 90_000), Fraction(1, 90_000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(_tone(sound_s)))
            container.mux(audio.encode(None))
    return path


def _tone(seconds):
    wave = (8000 * np.sin(np.arange(round(48_000 * seconds)) * 2 * np.pi * 440 / 48_000)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
    frame.rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    return frame


def rotate_track(path, a, b, c, d):
    """Writes the linear part of the display matrix into the first track header of an MP4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    return save(path, bytes(data))


def read_video(path):
    """Returns the frames of a `VideoSource` and the message of the error after them, empty if there is none."""
    frames = []
    try:
        with VideoSource(path) as source:
            for frame in source:
                frames.append(frame)  # noqa: PERF402 - keeps those before an error
    except InputError as error:
        assert error.hint
        return frames, error.message
    return frames, ""


def decode_video(path: Path):
    """The video stream of a file: its frames as RGB, their times, its rate, and (codec, pixel format, colours)."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        images, times_s = [], []
        for frame in container.decode(stream):
            images.append(frame.to_ndarray(format="rgb24"))
            times_s.append(frame.time)
        context = stream.codec_context
        colours = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        return images, times_s, stream.average_rate, (context.name, context.pix_fmt, colours)


def decode_audio(path: Path):
    """The codec and duration in seconds of the first audio track of a file; None if it has none."""
    with av.open(f"file:{path}") as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(stream))
        return stream.codec_context.codec.canonical_name, samples / stream.rate


def audio_packets(path: Path):
    """The encoded packets of the first audio track of a file."""
    with av.open(f"file:{path}") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
