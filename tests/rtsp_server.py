"""A real RTSP server on loopback that plays films in a loop at their own pace.

Run by Debian's own Python, which has GStreamer's bindings:
    /usr/bin/python3 tests/rtsp_server.py --port 8554 --mount door=film.mp4 [--mount NAME=FILE ...]
gives rtsp://127.0.0.1:8554/door. `--port 0` takes a free one. When it serves, it prints
"ready PORT"; where it cannot, it ends with one line that says why. H.264 films go out as they are;
others are encoded once at the start. Every viewer sees a film from its first frame on.
"""

# mypy: ignore-errors
# GStreamer's bindings are known to Debian's Python alone.

import argparse
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401

SINK = "video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
PIPELINES = (
    "filesrc name=file ! parsebin ! h264parse config-interval=-1 ! " + SINK,
    "filesrc name=file ! decodebin ! videoconvert ! x264enc tune=zerolatency bitrate=4000"
    " key-int-max=30 sliced-threads=false threads=1 ! h264parse config-interval=-1 ! " + SINK,
)
PLAYER = (
    "( appsrc name=source is-live=true format=time do-timestamp=false block=false"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


SAMPLE_SECONDS = 30
"""The longest wait for the next frame of a film: a pipeline may also stop without a word."""


def failure(pipeline):
    """The words of a pipeline that cannot go on, or None.

    A pad that could not be linked late, as of a film that is not H.264, is a warning to
    GStreamer: whether an error follows depends on who comes first.
    """
    bus = pipeline.get_bus()
    while message := bus.pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.WARNING):
        if message.type == Gst.MessageType.ERROR:
            return message.parse_error()[0].message
        warning, _ = message.parse_warning()
        if warning.matches(Gst.ParseError.quark(), Gst.ParseError.DELAYED_LINK):
            return warning.message
    return None


def frames_of(pipeline):
    """The frames of a pipeline: caps, [(bytes, decoding time, showing time, duration)], failure."""
    sink = pipeline.get_by_name("sink")
    caps, units = None, []
    deadline = time.monotonic() + SAMPLE_SECONDS
    while True:
        reason = failure(pipeline)
        if reason is not None:
            return caps, units, reason
        sample = sink.emit("try-pull-sample", 200 * Gst.MSECOND)
        if sample is not None:
            deadline = time.monotonic() + SAMPLE_SECONDS
            caps = sample.get_caps()
            buffer = sample.get_buffer()
            data = buffer.extract_dup(0, buffer.get_size())
            units.append((data, buffer.dts, buffer.pts, buffer.duration))
        elif sink.get_property("eos"):
            return caps, units, None if units else "it has no frame"
        elif time.monotonic() > deadline:
            return caps, units, f"no frame within {SAMPLE_SECONDS} s"


def load(path):
    """A film's encoded frames: caps, [(bytes, decoding time, showing time, duration)]."""
    reasons = []
    for description in PIPELINES:
        pipeline = Gst.parse_launch(description)
        pipeline.get_by_name("file").set_property("location", path)
        pipeline.set_state(Gst.State.PLAYING)
        caps, units, reason = frames_of(pipeline)
        pipeline.set_state(Gst.State.NULL)
        if reason is None:
            return caps, from_zero(units)
        reasons.append(reason)
    sys.exit(f"rtsp_server: {path} is no film that can be read: {'; '.join(reasons)}")


def from_zero(units):
    """The frames with times from zero on: x264enc begins at a thousand hours."""
    start = min(at for _, dts, pts, _ in units for at in (dts, pts) if at != Gst.CLOCK_TIME_NONE)

    def moved(at):
        return at if at == Gst.CLOCK_TIME_NONE else at - start

    return [(data, moved(dts), moved(pts), duration) for data, dts, pts, duration in units]


class Player:
    """One viewer's endless film: gives the next frame whenever the source asks for it."""

    def __init__(self, source, caps, units):
        self.units = units
        self.number = 0
        known = [duration for _, _, _, duration in units if duration != Gst.CLOCK_TIME_NONE]
        shown = [pts for _, _, pts, _ in units if pts != Gst.CLOCK_TIME_NONE]
        step = known[0] if known else Gst.SECOND // 25
        self.length = max(shown) - min(shown) + step
        source.set_property("caps", caps)
        source.connect("need-data", self.push)

    def push(self, source, _length):
        rounds, at = divmod(self.number, len(self.units))
        data, dts, pts, duration = self.units[at]
        buffer = Gst.Buffer.new_wrapped(data)
        if dts != Gst.CLOCK_TIME_NONE:
            buffer.dts = dts + rounds * self.length
        buffer.pts = pts + rounds * self.length
        buffer.duration = duration
        self.number += 1
        source.emit("push-buffer", buffer)


class Film(GstRtspServer.RTSPMediaFactory):
    """Makes a player for every viewer."""

    def __init__(self, path):
        super().__init__()
        self.caps, self.units = load(path)
        self.set_launch(PLAYER)

    def do_media_configure(self, media):
        source = media.get_element().get_by_name_recurse_up("source")
        media.player = Player(source, self.caps, self.units)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--mount", action="append", required=True, metavar="NAME=FILE")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    for mount in options.mount:
        name, _, path = mount.partition("=")
        server.get_mount_points().add_factory(f"/{name}", Film(path))
    if not server.attach(None):
        sys.exit(f"rtsp_server: port {options.port} is taken")
    print("ready", server.get_bound_port(), flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
