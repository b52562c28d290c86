"""Network cameras on the loopback interface: servers that can be killed and restarted."""

import socket
import struct
import threading
import time
from contextlib import suppress
from fractions import Fraction

import av
import cv2
import numpy as np

from helpers.media import RED, flat

RATE = 50


class Camera:
    """A server that sends endless video on one port, until it is killed and closes all connections.

    Args:
        serve: Serves one client, given the camera and the stream of the connection.
    """

    def __init__(self, serve):
        self.serve, self.size_hw, self.colour = serve, (48, 64), RED
        self.port = self.clients = self.sent = 0
        self.is_stalled = False
        self.start()

    def start(self):
        self.alive = True
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self.listener], daemon=True).start()

    def kill(self):
        self.alive = False
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in `accept`
        self.listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def images(self):
        """Yields images at the rate of the camera until it is killed."""
        while self.alive:
            if not self.is_stalled:
                yield flat(self.colour, self.size_hw)
                self.sent += 1
            self.wait()

    @staticmethod
    def wait():
        time.sleep(1 / RATE)

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.clients += 1
                self.connections.append(connection)
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection):
        with suppress(OSError, av.FFmpegError), connection, connection.makefile("rwb", buffering=0) as stream:
            self.serve(self, stream)


def request(stream):
    """Reads the lines of an HTTP or RTSP request."""
    lines = []
    while line := stream.readline().decode().strip():
        lines.append(line)
    return lines


def transport_stream(camera, stream):
    """H.264 in MPEG-TS over HTTP."""
    request(stream)
    stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
    with av.open(WriteOnly(stream), "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "g": "10"})
        video.height, video.width = camera.size_hw
        video.pix_fmt = "yuv420p"
        for image in camera.images():
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))


def video_then_audio(camera, stream):
    """H.264 and AAC in MPEG-TS over HTTP; after 20 images, only audio for 10 s."""
    request(stream)
    stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
    options = {"max_interleave_delta": "1000"}  # microseconds; the muxer must not wait for video
    with av.open(WriteOnly(stream), "w", format="mpegts", container_options=options) as container:
        video = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "g": "10"})
        video.height, video.width = camera.size_hw
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        samples = 48_000 // RATE
        for index, image in zip(range(10 * RATE), camera.images(), strict=False):
            if index < 20:
                container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            wave = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
            wave.rate, wave.pts, wave.time_base = 48_000, samples * index, Fraction(1, 48_000)
            container.mux(audio.encode(wave))


class WriteOnly:
    """A file without `seek` and `read`, so that the muxer does not try to use them."""

    def __init__(self, stream):
        self.write = stream.write


def motion_jpeg(camera, stream):
    """JPEG images in sequence over HTTP."""
    request(stream)
    stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")
    for image in camera.images():
        jpeg = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
        stream.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n")


def rtsp(camera, stream):
    """H.264 over RTSP, with its packets interleaved on the same connection. Source: RFC 2326, RFC 6184 for H.264."""
    description = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
    )
    answers = {
        "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", ""),
        "DESCRIBE": ("Content-Type: application/sdp", description),
        "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1", ""),
        "PLAY": ("Session: 1\r\nRange: npt=now-", ""),
    }
    while lines := request(stream):
        method = lines[0].split()[0]
        number = next(line for line in lines if line.startswith("CSeq"))
        header, body = answers[method]
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        stream.write(f"RTSP/1.0 200 OK\r\n{number}\r\n{header}\r\n{length}\r\n{body}".encode())
        if method == "PLAY":
            break
    sequence = 0
    for time_stamp, units in _h264(camera):
        for unit in units:
            marker = 0x80 if unit is units[-1] else 0
            head = struct.pack(">BBHII", 0x80, 96 | marker, sequence & 0xFFFF, time_stamp, 7)
            stream.write(struct.pack(">BBH", 0x24, 0, len(head + unit)) + head + unit)
            sequence += 1


def _h264(camera):
    """Yields the time in ticks and the NAL units of each coded image."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = camera.size_hw
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, RATE), Fraction(RATE)
    encoder.options = {"tune": "zerolatency", "g": "10", "x264-params": "repeat-headers=1:slices=1:sliced-threads=0"}
    for index, image in enumerate(camera.images()):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = index
        for packet in encoder.encode(frame):
            parts = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
            yield index * 90_000 // RATE, [part for part in parts if part]
