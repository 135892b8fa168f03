"""An RTSP camera made of GStreamer: serves an H.264 film once, in real time, to clients with Digest credentials.

Run by Debian's Python (PyGObject): `/usr/bin/python3 gst_camera.py FILM`; user and password come as a line on standard
input, the port it chose goes as a line to standard output. It ends when standard input is closed. With `--check` for a
film it says by its exit code whether all plugins are there.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - the versions must be chosen first

ELEMENTS = ("filesrc", "qtdemux", "h264parse", "rtph264pay")
LAUNCH = "( filesrc name=film ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )"


def configured(factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
    """Point a new pipeline at the film."""
    media.get_element().get_by_name_recurse_up("film").set_property("location", sys.argv[1])


def main() -> None:
    """Serve until standard input ends."""
    Gst.init(None)
    if sys.argv[1] == "--check":
        sys.exit(0 if all(Gst.ElementFactory.find(name) for name in ELEMENTS) else 1)
    username, password = sys.stdin.readline().split()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "recorder")
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(username, password, token)
    server.set_auth(auth)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    factory.set_shared(True)
    factory.connect("media-configure", configured)
    permissions = GstRtspServer.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("recorder", right, True)
    factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/torg", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
