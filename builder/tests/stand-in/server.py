"""A function that serves HTTP, for the tests of the smoke runner: `server.py PORT BEHAVIOUR`.

It listens at PORT, says so, and ends when Ctrl-C comes from the console."""

import socket
import sys
import threading

port, behaviour = int(sys.argv[1]), sys.argv[2]
seen = 0


def answer(request):
    """The bytes to send for a request, and whether the connection stays."""
    global seen
    seen += 1
    line = request.split(b"\r\n", 1)[0]
    body = request.split(b"\r\n\r\n", 1)[1]
    text = line + b"|" + body + b"\n"
    status, field = b"200 OK", b"x-seen: yes\r\n"
    if behaviour == "wrong-status" or (behaviour == "third-wrong" and seen >= 3):
        status = b"500 Internal Server Error"
    if behaviour == "wrong-field":
        field = b"x-seen: no\r\n"
    if behaviour == "no-field":
        field = b""
    if behaviour == "wrong-body":
        text = b"something else\n"
    if behaviour == "redirect":
        status, field = b"302 Found", b"location: /elsewhere\r\n"
    length = len(text) + (10 if behaviour == "cut-off" else 0)
    head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n" % (status, length, field)
    return head + text, behaviour != "cut-off"


def serve(connection):
    with connection:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head = data.split(b"\r\n\r\n", 1)[0].lower()
            length = 0
            for field in head.split(b"\r\n"):
                if field.startswith(b"content-length:"):
                    length = int(field.split(b":")[1])
            size = len(head) + 4 + length
            while len(data) < size:
                data += connection.recv(65536)
            request, data = data[:size], data[size:]
            if behaviour == "silent":
                threading.Event().wait()
            if behaviour == "close":
                return
            if behaviour == "garbage":
                connection.sendall(b"this is not HTTP\r\n\r\n")
                return
            if behaviour == "dies":
                sys.stdout.flush()
                import os

                os._exit(9)
            bytes_, stays = answer(request)
            connection.sendall(bytes_)
            if not stays:
                return


def accept(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


listener = socket.create_server(("127.0.0.1", port))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
sys.stdout.write("listening\r\n")
sys.stdout.flush()
while True:
    key = sys.stdin.buffer.raw.read(1)
    if key in (b"", b"\x03") and behaviour != "deaf":
        break
sys.exit(0)
