"""In place of the real one, which Debian does not have: picamera2 imports it, to show previews."""


class PixelFormat:
    """The names that picamera2 mentions when it is imported."""

    RGB888 = BGR888 = XRGB8888 = XBGR8888 = ABGR8888 = YUV420 = YVU420 = NV12 = None
