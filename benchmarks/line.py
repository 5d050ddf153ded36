"""Lines to hosts far away: what comes in at a port goes on to another, a while later.

    python benchmarks/line.py SECONDS PORT:PORT [PORT:PORT ...]

As `tc qdisc add dev lo root netem delay` does it, which needs a kernel's module that not every
machine has. Nothing is lost, and nothing is limited but the time of a byte each way.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

CHUNK = 65536


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
    """Bring every byte of one to the other, each `delay` seconds after it came, then its end."""
    loop = asyncio.get_running_loop()
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, data = await on_its_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                return
            sink.write(data)
            await sink.drain()

    arriving = asyncio.create_task(arrive())
    try:
        data = b"?"
        while data:
            data = await source.read(CHUNK)
            on_its_way.put_nowait((loop.time() + delay, data))
        await arriving
        sink.write_eof()
    except OSError:  # somebody hung up: so does the line
        arriving.cancel()
        sink.transport.abort()


async def connect(
    near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter, *, port: int, delay: float
) -> None:
    """Be the line of one connection, until both sides have ended."""
    try:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        near_out.transport.abort()
        return
    await asyncio.gather(carry(near_in, far_out, delay), carry(far_in, near_out, delay))
    near_out.close()
    far_out.close()


async def main(delay: float, ends: list[tuple[int, int]]) -> None:
    for near, far in ends:
        await asyncio.start_server(partial(connect, port=far, delay=delay), "127.0.0.1", near)
    await asyncio.Event().wait()


if __name__ == "__main__":
    pairs = [(int(near), int(far)) for near, far in (word.split(":") for word in sys.argv[2:])]
    asyncio.run(main(float(sys.argv[1]), pairs))
