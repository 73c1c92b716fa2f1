"""Writes dialects/: one table in the forms that different programs and countries use. dialects.json holds its values.
Uses only Python's standard library. usage: dialects.py (in this directory)"""
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import zipfile

random.seed(4)
rows = [[round(random.gauss(0, 3), 4), round(random.gauss(2000, 900), 2), kind]
        for kind in ("Zürich", "Genève, Ville", 'the "rest"') for _ in range(4)]
rows[0][1], rows[1][1] = 1234567.5, 1234.0  # a number with two separators, and one whose separator is ambiguous
names = ["größe", "y", "kind"]


def table(delimiter=",", mark=".", thousands="", header=names, end="\r\n", index=False):
    """The table as text. Numbers get the thousands separator, if one is given."""
    out = io.StringIO()
    w = csv.writer(out, delimiter=delimiter, lineterminator=end)
    if header:
        w.writerow([""] * index + header)
    for i, (x, y, kind) in enumerate(rows):
        numbers = [f"{v:,.6g}" if abs(v) < 1e6 and not thousands else f"{v:,.10g}" for v in (x, y)]
        numbers = [n.replace(",", "\0").replace(".", mark).replace("\0", thousands) for n in numbers]
        w.writerow([i] * index + numbers + [kind])
    return out.getvalue()


def archive(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in members.items():
            z.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


plain = table().encode()
files = {
    "plain.csv": plain,
    "bom.csv": b"\xef\xbb\xbf" + plain,
    "plain.csv.gz": gzip.compress(plain, mtime=0),
    "plain.csv.xz": lzma.compress(plain),
    "plain.csv.bz2": bz2.compress(plain),
    "plain.zip": archive({"plain.csv": plain, "__MACOSX/._plain.csv": b"\0\5\26\7"}),
    "excel-de.csv": table(";", ",").encode("cp1252"),
    "excel-de-thousands.csv": table(";", ",", ".").encode(),
    "excel-sep.csv": ("sep=;\r\n" + table(";", ",")).encode(),
    "excel-unicode.txt": table("\t").encode("utf-16"),
    "utf-16be.csv": table().encode("utf-16-be"),
    "thousands.csv": table(thousands=",").encode(),
    "mac.csv": table(end="\r").encode(),
    "unix.csv": table(end="\n").encode(),
    "bar.csv": table("|").encode(),
    "latin1.csv": table().encode("latin1"),
    "index.csv": table(index=True).encode(),
    "headerless.csv": table(header=None).encode(),
    "headerless-de.csv": table(";", ",", header=None).encode(),
    # Files that hold another table, several tables or none.
    "duplicates.csv": table(header=["x", "x", "kind"]).encode(),
    "two.zip": archive({"a.csv": plain, "b.csv": plain}),
    "workbook.xlsx": archive({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
    "open.csv": b'a,b\n"1,234",2\n"5,678",3\n"9,012",4\n',
    "mixed.csv": b"a;b\n1,5;2.5\n3,5;4.5\n5,5;7.5\n",
    "blanks.dat": b"  a   b\n 1.0  2\n 3.5  4\n-2.0 17\n",
    "uci.data": b"5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n4.7,3.2,Iris-virginica\n4.6,3.1,Iris-virginica\n",
    "digits.data": b"0,12,7\n1,13,7\n0,11,9\n3,8,1\n",
    "adult.data": b"39, State-gov, 77516\n50, Private, 83311\n38, Private, 215646\n28, Private, 338409\n",
}
here = os.path.dirname(os.path.abspath(__file__))
for name, content in files.items():
    with open(os.path.join(here, "dialects", name), "wb") as f:
        f.write(content)
with open(os.path.join(here, "dialects.json"), "w") as f:
    json.dump({"Names": names, "X": [r[:2] for r in rows], "Labels": [r[2] for r in rows]}, f)
