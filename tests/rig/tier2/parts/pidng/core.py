"""What picamera2 imports of it."""


class PICAM2DNG:
    """Writes raw files; not here."""
