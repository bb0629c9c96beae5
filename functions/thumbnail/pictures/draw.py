#!/usr/bin/env python3
"""Draws the pictures of this folder: python3 draw.py. Needs Pillow, for JPEG; of PNG, it does not write all there is.

Left to right red grows, top to bottom green; the middle is blue. So each corner tells which one it is.
"""

import io
import struct
import zlib

from PIL import Image

WIDTH, HEIGHT = 96, 64


def colour(x, y):
    blue = 255 if abs(2 * x + 1 - WIDTH) < WIDTH // 2 and abs(2 * y + 1 - HEIGHT) < HEIGHT // 2 else 0
    return (255 * x // (WIDTH - 1), 255 * y // (HEIGHT - 1), blue)


def grey(x, y):
    return 255 * (x + y) // (WIDTH + HEIGHT - 2)


def alpha(x, y):
    return 255 * (WIDTH - 1 - x) // (WIDTH - 1)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def row(values, depth):
    if depth >= 8:
        return b"".join((v * 257).to_bytes(2, "big") if depth == 16 else bytes([v]) for v in values)
    bits = "".join(format(v, f"0{depth}b") for v in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def filtered(rows, bpp):
    """Each row with another one of the five filters."""
    before, out = bytes(len(rows[0])) if rows else b"", b""
    for number, line in enumerate(rows):
        kind, raw = number % 5, bytearray()
        for i, byte in enumerate(line):
            a = line[i - bpp] if i >= bpp else 0
            b = before[i]
            c = before[i - bpp] if i >= bpp else 0
            paeth = min((a, b, c), key=lambda v: abs(a + b - c - v))
            raw.append((byte - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
        out += bytes([kind]) + raw
        before = line
    return out


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(name, kind, depth, pixel, samples, interlaced=False, extra=b""):
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    packed = b""
    for left, top, right, down in passes:
        rows = [
            row([v for x in range(left, WIDTH, right) for v in pixel(x, y)], depth)
            for y in range(top, HEIGHT, down)
        ]
        packed += filtered([r for r in rows if r], max(1, samples * depth // 8))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, kind, 0, 0, int(interlaced))
    packed = zlib.compress(packed, 9)
    with open(name, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra)
        # Two parts, and a text between: both are usual.
        file.write(chunk(b"IDAT", packed[:100]) + chunk(b"IDAT", packed[100:]))
        file.write(chunk(b"tEXt", b"Comment\0drawn") + chunk(b"IEND", b""))


COLOURS = [(r * 51, g * 51, b * 255) for r in range(6) for g in range(6) for b in range(2)]
PALETTE = chunk(b"PLTE", bytes(v for entry in COLOURS for v in entry))


def index(x, y):
    red, green, blue = colour(x, y)
    return [(red + 25) // 51 * 12 + (green + 25) // 51 * 2 + blue // 255]


png("rgb.png", 2, 8, colour, 3)
png("rgb-16.png", 2, 16, colour, 3)
png("rgb-interlaced.png", 2, 8, colour, 3, True)
png("rgba.png", 6, 8, lambda x, y: (*colour(x, y), alpha(x, y)), 4)
png("rgba-16-interlaced.png", 6, 16, lambda x, y: (*colour(x, y), alpha(x, y)), 4, True)
png("grey.png", 0, 8, lambda x, y: [grey(x, y)], 1)
png("grey-1.png", 0, 1, lambda x, y: [grey(x, y) // 128], 1)
png("grey-2-interlaced.png", 0, 2, lambda x, y: [grey(x, y) // 64], 1, True)
png("grey-16.png", 0, 16, lambda x, y: [grey(x, y)], 1)
png("grey-transparent.png", 0, 8, lambda x, y: [grey(x, y)], 1, extra=chunk(b"tRNS", b"\0\0"))
png("grey-alpha.png", 4, 8, lambda x, y: [grey(x, y), alpha(x, y)], 2)
png("palette.png", 3, 8, index, 1, extra=PALETTE)
png("palette-interlaced.png", 3, 8, index, 1, True, extra=PALETTE + chunk(b"tRNS", b"\0"))
two = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
png("palette-1.png", 3, 1, lambda x, y: [colour(x, y)[2] // 255], 1, extra=two)

picture = Image.new("RGB", (WIDTH, HEIGHT))
picture.putdata([colour(x, y) for y in range(HEIGHT) for x in range(WIDTH)])
one = Image.new("L", (WIDTH, HEIGHT))
one.putdata([grey(x, y) for y in range(HEIGHT) for x in range(WIDTH)])
picture.save("baseline.jpg", quality=85)
picture.save("progressive.jpg", quality=85, progressive=True)
picture.save("full-colour-restarts.jpg", quality=85, subsampling=0, restart_marker_blocks=4)
one.save("grey.jpg", quality=85)
picture.convert("CMYK").save("cmyk.jpg", quality=85)
# As a camera saves it that was turned to the left: the first row of the file is the last column.
held = Image.Exif()
held[0x0112] = 6
small = io.BytesIO()
picture.transpose(Image.Transpose.ROTATE_90).save(small, "JPEG", quality=85, exif=held)
with open("turned.jpg", "wb") as file:
    file.write(small.getvalue())

# What is refused.
head = struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
with open("vast.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
head = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
zeros = chunk(b"IDAT", zlib.compress(bytes(16 << 20), 9))
with open("bomb.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + zeros + chunk(b"IEND", b""))
with open("baseline.jpg", "rb") as file, open("cut-off.jpg", "wb") as short:
    short.write(file.read()[:-40])
