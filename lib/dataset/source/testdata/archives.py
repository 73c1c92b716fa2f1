"""Writes archives/*: small archives as other programs write them. Needs GNU tar, xz, zstd and NumPy.

    cd lib/dataset/source/testdata && python3 archives.py

Image number k is a 4 x 4 PNG file in which every pixel is 20 k.
"""
import bz2
import gzip
import io
import os
import pickle
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib

import numpy as np

OUT = os.path.abspath("archives")


def png(k):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([20 * k]) * 4) * 4
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def bmp(k):
    """A black image with one pixel of value 20 k, large enough for tar to leave out its zeros."""
    edge = 64
    pixels = bytearray(edge * edge * 3)
    pixels[-3:] = bytes([20 * k]) * 3
    head = struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, edge, edge, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels


PLAIN = {f"{c}/{k}.png": png(k) for k, c in enumerate(["cat", "dog"] * 3)}


class Raw(zipfile.ZipInfo):
    """A member whose name and flags may be anything."""

    def __init__(self, raw, flags=0, extra=b"", mode=0):
        super().__init__("x")
        self.raw, self.flags, self.extra = raw, flags, extra
        self.external_attr = mode << 16
        self.create_system = 3 if mode else 0

    def _encodeFilenameFlags(self):
        return self.raw, self.flags


def write_zip(name, members):
    """members: pairs of a name (bytes or Raw) and the content."""
    with zipfile.ZipFile(f"{OUT}/{name}", "w", zipfile.ZIP_DEFLATED) as z:
        for raw, data in members:
            info = raw if isinstance(raw, Raw) else Raw(raw)
            info.filename = repr(info.raw)  # only for zipfile's own check for duplicates
            info.orig_filename = info.filename
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, data)


def encoded(encoding, cat, dog, separator="/"):
    return [(f"{cat if 'cat' in n else dog}{separator}{n[4:]}".encode(encoding), d) for n, d in PLAIN.items()]


def unicode_path(raw, text):
    field = struct.pack("<BI", 1, zlib.crc32(raw)) + text.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


def tar_bytes(members, format=tarfile.GNU_FORMAT):
    """members: pairs of a name and either content (bytes) or a link: "->TARGET" is symbolic, "=>TARGET" is hard."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type = tarfile.SYMTYPE if data[:2] == "->" else tarfile.LNKTYPE
                info.linkname = data[2:]
                data = b""
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def write(name, data):
    with open(f"{OUT}/{name}", "wb") as f:
        f.write(data)


def names():
    write_zip("gbk.zip", encoded("gbk", "猫", "狗"))
    write_zip("shift_jis.zip", encoded("shift_jis", "表", "ソ"))  # the second byte of both is a backslash
    write_zip("shift_jis-windows.zip", encoded("shift_jis", "表", "ソ", "\\"))
    write_zip("cp437.zip", encoded("cp437", "für", "gegen"))
    write_zip("utf8-flag.zip", [(Raw(n, 0x800), d) for n, d in encoded("utf-8", "猫", "狗")])
    write_zip("unicode-path.zip", [
        (Raw(n.replace("cat", "ka?ze").encode(), extra=unicode_path(n.replace("cat", "ka?ze").encode(),
                                                                    n.replace("cat", "kaße"))), d)
        for n, d in PLAIN.items()])
    write_zip("stale-path.zip", [(Raw(n.encode(), extra=unicode_path(b"old.png", "old.png")), d)
                                 for n, d in PLAIN.items()])
    licence = "Lizenz-für-Fotos.txt".encode("cp437")
    write_zip("readme.zip", [(n.encode(), d) for n, d in PLAIN.items()] + [(licence, b"")])
    write_zip("backslash.zip", [(b"cat\\", b""), (b"dog\\", b"")] + encoded("ascii", "cat", "dog", "\\"))
    write("latin1.tar", tar_latin1())


def tar_latin1():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as t:
        for name, data in PLAIN.items():
            info = tarfile.TarInfo(name.replace("cat", "für"))
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def links():
    members = [
        ("raw/0.png", PLAIN["cat/0.png"]), ("raw/1", PLAIN["dog/1.png"]), ("current", "->raw"),
        ("cat/soft.png", "->../raw/0.png"), ("cat/hard.png", "=>raw/0.png"), ("dog/chain.png", "->twice.png"),
        ("dog/twice.png", "->../current/1"),  # through a link to a folder, to a file without an extension
        ("dog/first.png", "=>dog/chain.png"),
        ("cat/circle.png", "->circle.png"), ("cat/out.png", "->../../etc/passwd.png"),
        ("cat/absolute.png", "->/etc/passwd.png"), ("cat/nowhere.png", "->none.png"), ("cat/folder.png", "->../raw"),
    ]
    write("links.tar", tar_bytes(members))
    soft = [(n, d) for n, d in members if not str(d).startswith("=>")]
    write_zip("links.zip", [(Raw(n.encode(), mode=stat.S_IFLNK | 0o777), d[2:]) if isinstance(d, str)
                            else (n.encode(), d) for n, d in soft])
    twice = tar_bytes(list(PLAIN.items()) + [("./cat/0.png", png(9)), ("dog/1.png", "=>dog/1.png")])
    write("twice.tar", twice)


def packed():
    tar = tar_bytes(PLAIN.items())
    write("dot.tar", tar_bytes([(f"folder/./{n}", d) for n, d in PLAIN.items()]))
    write("absolute.tar", tar_bytes([(f"/data/{n}", d) for n, d in PLAIN.items()]))
    write("padded.tar.gz", gzip.compress(tar, mtime=0) + bytes(512))
    half = len(tar) // 2
    write("members.tar.gz", gzip.compress(tar[:half], mtime=0) + gzip.compress(tar[half:], mtime=0))
    write("garbage.tar.gz", gzip.compress(tar, mtime=0) + b"garbage")
    write("followed.tar", tar[:len(tar) // 512 * 512] + tar_bytes([("cat/6.png", png(6))]))
    write("x.tar.bz2", bz2.compress(tar))
    for program, ext in (["xz", "-9e"], "xz"), (["zstd", "-19", "-c"], "zst"):
        write("x.tar." + ext, subprocess.run(program + (["-c"] if program[0] == "xz" else []), input=tar,
                                             capture_output=True, check=True).stdout)
        with open(f"{OUT}/x.tar.{ext}", "rb") as f:
            write("garbage.tar." + ext, f.read() + b"garbage" * 3)
    write("garbage.tar.bz2", bz2.compress(tar) + b"garbage" * 3)
    with open(f"{OUT}/x.tar.zst", "rb") as f:
        write("skippable.tar.zst", b"\x50\x2a\x4d\x18\4\0\0\0skip" + f.read())
    xz = subprocess.run(["xz", "-c"], input=tar, capture_output=True, check=True).stdout
    write("misnamed.zip", xz + bytes(4) + subprocess.run(["xz", "-c"], input=b"", capture_output=True).stdout)
    long = "very-long-" * 20
    write("long-gnu.tar", tar_bytes([(f"{long}/{n}", d) for n, d in PLAIN.items()], tarfile.GNU_FORMAT))
    write("long-pax.tar", tar_bytes([(f"{long}/{n}", d) for n, d in PLAIN.items()], tarfile.PAX_FORMAT))
    write_zip("tar.zip", [(b"photos/all.tar", tar)])
    for name, extra in ("split", {}), ("stray-split", {"set/cover.png": png(7)}):
        members = {f"set/{part}/{n}": d for part, k in (("Train", 6), ("val", 2)) for n, d in list(PLAIN.items())[:k]}
        write_zip(name + ".zip", [(n.encode(), d) for n, d in {**members, **extra}.items()])
    members = {f"{part}/{n}": d for part in ("training", "testing", "validation") for n, d in PLAIN.items()}
    write("three.tar", tar_bytes(members.items()))
    write_zip("stray.zip", [(f"top/{n}".encode(), d) for n, d in {**PLAIN, "cover.png": png(7)}.items()])
    write_zip("mac.zip", [(n.encode(), d) for n, d in {
        **PLAIN, "__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x", "cat/Thumbs.db": b"x"}.items()])
    methods = [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_STORED, "stored")]
    for method, name in methods:
        with zipfile.ZipFile(f"{OUT}/{name}.zip", "w", method) as z:
            for n, d in PLAIN.items():
                z.writestr(zipfile.ZipInfo(n), d, method)
    with open(f"{OUT}/stored.zip", "rb") as f:
        write("script.zip", b"#!/bin/sh\nexit 1\n" + f.read())
    with zipfile.ZipFile(f"{OUT}/lzma.zip", "w") as z:
        z.writestr(zipfile.ZipInfo("0.png"), png(0), zipfile.ZIP_LZMA)
    with open(f"{OUT}/streamed.zip", "wb") as f:  # sizes follow the data, as zip writes to a pipe

        class Pipe(io.RawIOBase):
            def writable(self):
                return True

            def write(self, b):
                return f.write(b)

        with zipfile.ZipFile(Pipe(), "w") as z:
            for n, d in PLAIN.items():
                with z.open(zipfile.ZipInfo(n), "w", force_zip64=True) as member:
                    member.write(d)


def sparse():
    with tempfile.TemporaryDirectory() as d:
        for k in range(3):
            with open(f"{d}/{k}.bmp", "wb") as f:
                data = bmp(k + 1)
                f.write(data[:54])
                f.seek(len(data) - 54)
                f.write(data[-54:])
        with open(f"{d}/3.png", "wb") as f:
            f.write(png(4))
        for name in os.listdir(d):
            os.utime(f"{d}/{name}", (0, 0))
        fixed = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name", "--mtime=@0", "-C", d]
        order = ["0.bmp", "1.bmp", "3.png", "2.bmp"]
        subprocess.run(["tar", "-S", "--format=gnu", "-cf", f"{OUT}/sparse-gnu.tar", *fixed, *order], check=True)
        for version in "0.0", "0.1", "1.0":
            subprocess.run(["tar", "-S", "--format=posix", f"--sparse-version={version}",
                            "--pax-option=exthdr.name=%d/h/%f,delete=atime,delete=ctime", "-cf",
                            f"{OUT}/sparse-{version}.tar", *fixed, *order], check=True)
    for name in os.listdir(OUT):  # tar fills its last record with zeros
        if name.startswith("sparse"):
            with open(f"{OUT}/{name}", "rb") as f:
                data = f.read()
            write(name, data.rstrip(b"\0") + bytes(1024 + -len(data.rstrip(b"\0")) % 512))


def cifar():
    """CIFAR-10 in both versions, with few images of few colours."""
    python, binary = [], []
    batches = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    for k, batch in enumerate(batches):
        n = 2 + k
        data = np.repeat(np.arange(n * 6) * 11 + k, 512).astype(np.uint8).reshape(n, 3072)
        labels = [(3 * i + k) % 10 for i in range(n)]
        dict_ = {b"batch_label": batch.encode(), b"labels": labels, b"data": data,
                 b"filenames": [b"%d.png" % i for i in range(n)]}
        python.append((f"cifar-10-batches-py/{batch}", pickle.dumps(dict_, 2 if k < 4 else 4)))
        binary.append((f"cifar-10-batches-bin/{batch}.bin",
                       b"".join(bytes([l]) + d.tobytes() for l, d in zip(labels, data))))
    python.append(("cifar-10-batches-py/batches.meta", pickle.dumps({b"num_cases_per_batch": 10000}, 2)))
    write("cifar-10-python.tar.gz", gzip.compress(tar_bytes(python), mtime=0))
    write("cifar-10-binary.tar.gz", gzip.compress(tar_bytes(binary), mtime=0))


shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
names()
links()
packed()
sparse()
cifar()
