"""In place of the real one, which has no wheels: picamera2 imports it, to write raw files."""
