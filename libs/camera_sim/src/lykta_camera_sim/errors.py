"""The errors a user of the simulator can meet, each saying what to do."""


class CameraSimError(Exception):
    """Anything the simulator refuses to do; the message says what is wrong and what to change."""


class FootageError(CameraSimError):
    """A video file cannot be read, fetched or prepared."""

    def __init__(self, problem: str, detail: str = "") -> None:
        """Joins the problem with its detail."""
        super().__init__(f"{problem}: {detail}" if detail else problem)


class FaultError(CameraSimError):
    """A fault was asked for that does not exist or whose values are out of range."""


class UnknownCameraError(CameraSimError):
    """A camera was named that this simulator does not serve."""
