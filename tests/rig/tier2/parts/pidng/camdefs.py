"""What picamera2 imports of it."""


class Picamera2Camera:
    """Says what raw files are of; not here."""
