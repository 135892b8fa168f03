"""An RTSP camera that replays a file in real time, with faults on demand."""
