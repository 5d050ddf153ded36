"""Real Picamera2 on real libcamera's virtual pipeline: the four things that are different there.

That pipeline shows pictures from files as if a camera had taken them. Its configuration names
them: /usr/share/libcamera/pipeline/virtual/virtual.yaml.
"""

from __future__ import annotations

import time

import libcamera
import picamera2.allocators.dmaallocator as dma
import picamera2.picamera2 as whole
from picamera2.allocators import DmaAllocator
from picamera2.picamera2 import Picamera2

RATE = 30.0
"""Frames a second, Hz."""


class _TwoPlanes:
    """A libcamera.FrameBuffer whose one plane becomes two, brightness and colour."""

    Plane = libcamera.FrameBuffer.Plane

    def __new__(cls, planes):
        (first,) = planes
        second = cls.Plane()
        second.fd = first.fd
        second.offset = first.length * 2 // 3
        second.length = first.length - second.offset
        first.length = second.offset
        return libcamera.FrameBuffer([first, second])


class _Libcamera:
    """The module `libcamera`, but for what is set here."""

    def __init__(self, **other):
        self.__dict__.update(other)

    def __getattr__(self, name):
        return getattr(libcamera, name)


# 1. Its buffers are NV12 in two planes; Picamera2 makes all in one, as a Pi's camera has them.
class TwoPlaneAllocator(DmaAllocator):
    """Picamera2's own, with two planes a buffer."""

    def allocate(self, libcamera_config, use_case):
        dma.libcamera = _Libcamera(FrameBuffer=_TwoPlanes)
        try:
            super().allocate(libcamera_config, use_case)
        finally:
            dma.libcamera = libcamera


# 2. It never says whether a frame is good (before libcamera 0.5), and Picamera2 takes only those.
class _AnyStatus:
    def __eq__(self, _other):
        return True

    __hash__ = None


class _FrameMetadata:
    class Status:
        Success = _AnyStatus()


whole.libcamera = _Libcamera(FrameMetadata=_FrameMetadata)


class VirtualPicamera2(Picamera2):
    """Picamera2 on that pipeline."""

    def __init__(self, camera_num=0, **options):
        self._next = 0.0
        super().__init__(camera_num, allocator=TwoPlaneAllocator(), **options)

    # 3. It has no raw frames, from which Picamera2 learns what the sensor can do.
    def _get_raw_modes(self):
        made = self.camera.generate_configuration([libcamera.StreamRole.Viewfinder])
        formats = made.at(0).formats
        return [
            {"format": str(pixels), "size": (size.width, size.height)}
            for pixels in formats.pixel_formats
            for size in formats.sizes(pixels)
        ]

    # 4. It makes frames as fast as it can; a camera takes its time.
    def process_requests(self, display):
        """Hand on what has been taken since the last time."""
        super().process_requests(display)
        now = time.monotonic()
        self._next = max(self._next, now) + 1 / RATE
        time.sleep(self._next - now)
