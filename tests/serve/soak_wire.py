"""HTTP as good and bad clients speak it: one raw connection, each byte in the caller's hand."""
import asyncio
import json
import socket
import struct


class Broken(Exception):
    """The connection ended before the answer did; the argument says where."""


def request(method, path, body=None, headers=None, close=True):
    """The bytes of a request. `body`: None, bytes as they are, or what is written as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Host": "localhost"}
    if close:
        lines["Connection"] = "close"
    if body is not None:
        lines["Content-Type"] = "application/json"
        lines["Content-Length"] = str(len(data))
    lines.update(headers or {})
    head = f"{method} {path} HTTP/1.1\r\n"
    head += "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None) + "\r\n"
    return head.encode() + data


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port, narrow=False):
        """`narrow`: takes little at a time, so that the server is left with the rest."""
        s = socket.socket()
        s.setblocking(False)
        if narrow:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            await asyncio.get_running_loop().sock_connect(s, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(sock=s, limit=512 if narrow else 1 << 16)
        except OSError as error:
            s.close()
            raise Broken("no connection") from error
        return cls(reader, writer)

    async def send(self, data):
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise Broken("while sending") from error

    async def _line(self, where):
        try:
            line = await self.reader.readuntil(b"\n")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Broken(where) from error
        return line.rstrip(b"\r\n").decode("latin-1")

    async def head(self):
        """Status and headers (lower case)."""
        first = await self._line("before an answer")
        headers = {}
        while line := await self._line("in the headers"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers

    async def _take(self, n):
        try:
            data = await self.reader.read(n)
        except OSError as error:
            raise Broken("in the body") from error
        if not data:
            raise Broken("in the body")
        return data

    async def pieces(self, headers):
        """The body, as it comes."""
        if headers.get("transfer-encoding") == "chunked":
            while True:
                left = int(await self._line("in the body"), 16)
                last = left == 0
                while left:
                    data = await self._take(left)
                    left -= len(data)
                    yield data
                await self._line("in the body")
                if last:
                    return
        left = int(headers.get("content-length", 0))
        while left:
            data = await self._take(left)
            left -= len(data)
            yield data

    async def body(self, headers):
        return b"".join([piece async for piece in self.pieces(headers)])

    async def cut(self):
        """Reads until the server ends the connection; what came."""
        data = b""
        try:
            while piece := await self.reader.read(65536):
                data += piece
        except OSError:
            pass
        return data

    def close(self):
        self.writer.close()

    def vanish(self):
        """As a machine that is switched off: a reset, and nothing said."""
        s = self.writer.get_extra_info("socket")
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:  # it is closed already
            pass
        self.writer.transport.abort()
