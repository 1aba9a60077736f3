"""A real RTSP server on loopback that plays films in a loop at their own pace.

Run by Debian's own Python, which has GStreamer's bindings:
    /usr/bin/python3 tests/rtsp_server.py --port 8554 --mount door=film.mp4 [--mount NAME=FILE ...]
gives rtsp://127.0.0.1:8554/door. `--port 0` takes a free one. When it serves, it prints
"ready PORT". H.264 films go out as they are; others are encoded once at the start. Every viewer
sees a film from its first frame on.
"""

# mypy: ignore-errors
# GStreamer's bindings are known to Debian's Python alone.

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401

SINK = "video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
WAYS = (
    "filesrc name=file ! parsebin ! h264parse config-interval=-1 ! " + SINK,
    "filesrc name=file ! decodebin ! videoconvert ! x264enc tune=zerolatency bitrate=4000"
    " key-int-max=30 sliced-threads=false threads=1 ! h264parse config-interval=-1 ! " + SINK,
)
PLAYER = (
    "( appsrc name=source is-live=true format=time do-timestamp=false block=false"
    " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


def failed(pipeline):
    """Whether a pipeline has said that it cannot go on."""
    return pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR) is not None


def load(path):
    """A film's encoded frames: caps, [(bytes, decoding time, showing time, duration)], length."""
    for way in WAYS:
        pipeline = Gst.parse_launch(way)
        pipeline.get_by_name("file").set_property("location", path)
        sink = pipeline.get_by_name("sink")
        pipeline.set_state(Gst.State.PLAYING)
        caps, units = None, []
        while not failed(pipeline):
            sample = sink.emit("try-pull-sample", 200 * Gst.MSECOND)
            if sample is None:
                if sink.get_property("eos"):
                    break
                continue
            caps = sample.get_caps()
            buffer = sample.get_buffer()
            data = buffer.extract_dup(0, buffer.get_size())
            units.append((data, buffer.dts, buffer.pts, buffer.duration))
        pipeline.set_state(Gst.State.NULL)
        if units:
            return caps, from_zero(units)
    sys.exit(f"rtsp_server: {path} is no film that can be read")


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
