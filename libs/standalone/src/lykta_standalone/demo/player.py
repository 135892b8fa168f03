"""Plays a file with libav in a process of its own: `python -m lykta_standalone.demo.player FILE`."""

import sys
from itertools import pairwise

import av


def main(arguments: list[str]) -> int:
    """Decode every frame; 0 when there is one H.264 stream whose times only grow, 1 when not."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m lykta_standalone.demo.player FILE\n")
        return 2
    times: list[float] = []
    with av.open(arguments[0]) as container:
        streams = list(container.streams)
        if len(streams) != 1 or len(container.streams.video) != 1 or streams[0].codec_context.name != "h264":
            sys.stdout.write(f"not one H.264 stream: {[str(stream) for stream in streams]}\n")
            return 1
        width, height = container.streams.video[0].width, container.streams.video[0].height
        times.extend(frame.time or 0.0 for frame in container.decode(video=0) if not frame.is_corrupt)
        seconds = times[-1] - times[0] if times else 0.0
    if not times or any(later <= earlier for earlier, later in pairwise(times)):
        sys.stdout.write("no frame, or times that do not grow\n")
        return 1
    sys.stdout.write(f"{len(times)} frames of {width}×{height}, {seconds:.1f} s, one H.264 stream, times only grow\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
