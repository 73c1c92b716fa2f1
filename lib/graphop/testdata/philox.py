"""Philox4x32-10 written from the paper (Salmon et al., SC 2011), for the golden words of random_test.go.

python3 philox.py
"""

M0, M1, W0, W1, MASK = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF


def philox(counter, key):
    x = list(counter)
    for r in range(10):
        k0, k1 = (key[0] + r * W0) & MASK, (key[1] + r * W1) & MASK
        p0, p1 = M0 * x[0], M1 * x[2]
        x = [(p1 >> 32) ^ x[1] ^ k0, p1 & MASK, (p0 >> 32) ^ x[3] ^ k1, p0 & MASK]
    return x


def fnv1a(name):
    h = 0x811C9DC5
    for b in name.encode():
        h = ((h ^ b) * 0x01000193) & MASK
    return h


assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]

for seed, step, stream in [(0, 0, ""), (0xFEDCBA9876543210, 0x0123456789ABCDEF, "blocks.0.dropout")]:
    words = [
        w
        for i in range(2)
        for w in philox([i, fnv1a(stream), step & MASK, step >> 32], [seed & MASK, seed >> 32])
    ]
    print("[]uint32{" + ", ".join(f"0x{w:08x}" for w in words) + "}")
