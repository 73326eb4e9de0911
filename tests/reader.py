"""Prints the live entries of a store, one JSON object a line: written from src/store/FORMAT.md alone."""
import json, struct, sys, time
M = 2**64 - 1
P = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
rotate = lambda x, by: (x << by | x >> 64 - by) & M
mix = lambda lane, word: rotate(lane + word * P[1] & M, 31) * P[0] & M
number = lambda data, at, size: int.from_bytes(data[at:at + size], "little")

def xxh64(data, seed):
    lanes, at, h = [seed + P[0] + P[1] & M, seed + P[1] & M, seed, seed - P[0] & M], 0, seed + P[4] & M
    for at in range(32, len(data) + 1, 32):
        lanes = list(map(mix, lanes, struct.unpack_from("<4Q", data, at - 32)))
        h = sum(map(rotate, lanes, (1, 7, 12, 18))) & M
    for lane in lanes if at else ():
        h = (h ^ mix(0, lane)) * P[0] + P[3] & M
    h = h + len(data) & M
    while len(data) - at >= 8:
        h, at = rotate(h ^ mix(0, number(data, at, 8)), 27) * P[0] + P[3] & M, at + 8
    if len(data) - at >= 4:
        h, at = rotate(h ^ number(data, at, 4) * P[0] & M, 23) * P[1] + P[2] & M, at + 4
    for byte in data[at:]:
        h = rotate(h ^ byte * P[4] & M, 11) * P[0] & M
    h = (h ^ h >> 33) * P[1] & M
    h = (h ^ h >> 29) * P[2] & M
    return h ^ h >> 32

def header(data):
    for at, copy in (0, data[:4096]), (4096, data[4096:8192]):
        if copy[:8] == b"\x89SLF\r\n\x1a\n" and xxh64(copy[:4088], at) == number(copy, 4088, 8):
            version, epoch, features, seed, *_, generation, base = struct.unpack_from("<HHIQ32sQQ", copy, 8)
            if (version, features) == (1, 0) and generation:
                return seed, epoch, base
    sys.exit("no header of a format 1 store verifies")

def record(data, at, seed):
    head, check = data[at:at + 48], lambda part: xxh64(part, seed + at & M) & 0xFFFFFFFF
    if len(head) == 48 and check(head[8:]) == number(head, 0, 4):
        epoch, kind, flags, values, keys, reserved = struct.unpack_from("<HBBIHH", head, 12)
        end, key = at + (48 + keys + values + 7 & ~7), at + 48 + keys
        if kind and end <= len(data) and end - at <= 134217720 and check(data[at + 48:end]) == number(head, 4, 4):
            if 7 < kind < 128 or kind < 8 and (flags > 3 or reserved):
                sys.exit(f"a newer version wrote the record at {at}")
            times = [number(head, field, 6) for field in (30, 36, 42)]
            return epoch, kind, flags, data[at + 48:key], data[key:key + values], *times, end

data = open(sys.argv[1], "rb").read()
seed, epoch, durable = header(data) if len(data) > 8192 or data.strip(b"\0") else (0, 0, 0)
at, batch, entries, now = 8192, [], {}, time.time() * 1000
while (found := record(data, at, seed)) and found[0] == epoch + (found[1] == 5):
    batch, epoch, durable, at = batch + [found], found[0], max(durable, found[5]), found[8]
    for _, kind, flags, key, value, _, modified, expires, _ in batch if not found[2] & 1 else ():
        batch, entries = [], {} if kind == 3 else entries
        if kind < 3:
            entries.pop(key, None)
        if kind == 1:
            entries[key] = dict(key=key.hex(), value=value.hex(), modified=modified, expires=expires, cbor=flags > 1)
behind = (record(data, place, seed) for place in range(at + 8, len(data), 8))
if at < max([durable] + [other[5] for other in behind if other and other[0] >= epoch]):
    sys.exit(f"acknowledged data is damaged at {at}")
sys.stdout.writelines(json.dumps(entry) + "\n" for entry in entries.values() if not 0 < entry["expires"] <= now)
