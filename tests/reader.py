"""Reads stores as src/store/FORMAT.md describes them, written from that page alone: `reader.py [--sessions] FILE...`

For each file it prints one JSON object a line: the live entries in the order of the log, `lost` for each key whose record is
damaged, `torn` where bytes stand behind the log, `copy` for a copy of the header that does not count, or `error`. With several
files, each begins with the line `== FILE`. With `--sessions` it prints the live sessions instead, what is in them, and whether
the list of the user names them.
"""
import base64, hashlib, json, struct, sys, time

WORD, LOG, HEAD, RECORD_MAX = 2**64 - 1, 8192, 48, 134_217_720
PUT, DELETE, CLEAR, CUT, MORE, CBOR = 1, 2, 3, 5, 1, 2
PRIMES = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
rotated = lambda word, by: (word << by | word >> 64 - by) & WORD
number = lambda data, at, size: int.from_bytes(data[at : at + size], "little")

class Unreadable(Exception):
    """Why a reader stops that must not lose anything."""

def xxh64(data, seed):
    first, second, third, fourth, fifth = PRIMES
    mix = lambda lane, word: rotated(lane + word * second & WORD, 31) * first & WORD
    at, hashed = 0, seed + fifth & WORD
    if len(data) >= 32:
        lanes = [seed + first + second & WORD, seed + second & WORD, seed, seed - first & WORD]
        for at in range(32, len(data) + 1, 32):
            lanes = list(map(mix, lanes, struct.unpack_from("<4Q", data, at - 32)))
        hashed = sum(map(rotated, lanes, (1, 7, 12, 18))) & WORD
        for lane in lanes:
            hashed = (hashed ^ mix(0, lane)) * first + fourth & WORD
    hashed = hashed + len(data) & WORD
    while len(data) - at >= 8:
        hashed, at = rotated(hashed ^ mix(0, number(data, at, 8)), 27) * first + fourth & WORD, at + 8
    if len(data) - at >= 4:
        hashed, at = rotated(hashed ^ number(data, at, 4) * first & WORD, 23) * second + third & WORD, at + 4
    for byte in data[at:]:
        hashed = rotated(hashed ^ byte * fifth & WORD, 11) * first & WORD
    hashed = (hashed ^ hashed >> 33) * second & WORD
    hashed = (hashed ^ hashed >> 29) * third & WORD
    return hashed ^ hashed >> 32

def siphash13(data, key):
    start = struct.unpack("<4Q", b"uespemosmodnarodarenegylsetybdet")
    lanes = [half ^ word for half, word in zip(struct.unpack("<2Q", key) * 2, start)]
    def mix():
        a, b, c, d = lanes
        a, c = a + b & WORD, c + d & WORD
        b, d, a = rotated(b, 13) ^ a, rotated(d, 16) ^ c, rotated(a, 32)
        c, a = c + b & WORD, a + d & WORD
        lanes[:] = a, rotated(b, 17) ^ c, rotated(c, 32), rotated(d, 21) ^ a
    whole = len(data) & ~7
    for word in *struct.unpack_from(f"<{whole // 8}Q", data), number(data, whole, 8) | (len(data) & 255) << 56:
        lanes[3] ^= word
        mix()
        lanes[0] ^= word
    lanes[2] ^= 255
    for _ in range(3):
        mix()
    return lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3]

class Record:
    """What stands at a place: whether its head is right, whether it ends within the file, whether it is valid."""
    def __init__(self, file, at):
        data, fixed = file.data, file.data[at : at + HEAD]
        check = lambda part: xxh64(part, file.seed + at & WORD) & 0xFFFFFFFF
        self.at, self.head, self.whole, self.valid = at, False, False, False
        # No record begins with so many zeros, and hashing them takes long.
        if len(fixed) < HEAD or not any(fixed) or check(fixed[8:]) != number(fixed, 0, 4):
            return
        self.fingerprint, self.epoch, self.kind, self.flags, value, key, reserved = struct.unpack_from("<IHBBIHH", fixed, 8)
        self.prev, self.durable, self.modified, self.expires = (number(fixed, field, 6) for field in (24, 30, 36, 42))
        self.end = at + (HEAD + key + value + 7 & ~7)
        self.head = self.kind != 0 and self.end - at <= RECORD_MAX and self.durable <= at
        self.whole = self.head and self.end <= len(data)
        self.valid = self.whole and check(data[at + HEAD : self.end]) == number(fixed, 4, 4)
        self.key, self.value = data[at + HEAD : at + HEAD + key], data[at + HEAD + key : at + HEAD + key + value]
        self.is_newer = 7 < self.kind < 128 or self.kind < 8 and (self.flags > 3 or reserved != 0)

class File:
    def __init__(self, data):
        self.data, self.bad_copy, self.slots, self.tail = data, None, {}, LOG
        self.is_unborn = len(data) <= LOG and not any(data)
        if not self.is_unborn:
            self.take(self.header())

    def header(self):
        """The copy of the header that counts."""
        copies, told = [None, None], set()
        for nth, at in enumerate((0, 4096)):
            copy = self.data[at : at + 4096]
            if copy[:8] == b"\x89SLF\r\n\x1a\n":
                # What is not there says nothing.
                version, features = number(copy, 8, 2), number(copy, 12, 4) if len(copy) >= 16 else 0
                right = len(copy) == 4096 and xxh64(copy[:4088], at) == number(copy, 4088, 8)
                if right and (version, features) == (1, 0) and number(copy, 56, 8) != 0:
                    copies[nth] = copy[:80]
                told.add("newer" if version > 1 or features not in (0, 2**31) else "cut off" if features else "damaged at 0")
        valid = [copy for copy in copies if copy]
        if not valid:
            raise Unreadable(next((what for what in ("newer", "cut off", "damaged at 0") if what in told), "no store"))
        if len(self.data) < LOG:
            raise Unreadable(f"damaged at {len(self.data)}")
        if copies[0] == copies[1]:
            return valid[0]
        shown = [copy for copy in valid if self.take(copy) or any(True for _ in self.records_from(LOG))]
        if not shown and (len(valid) > 1 or len(self.data) > LOG):
            raise Unreadable("damaged at 0")
        counts = max(shown or valid, key=lambda copy: number(copy, 64, 8))
        self.bad_copy = 4096 if counts is copies[0] else 0
        return counts

    def take(self, copy):
        self.epoch, self.seed, self.hash_key, self.durable = number(copy, 10, 2), number(copy, 16, 8), copy[24:40], number(copy, 64, 8)
        self.created = number(copy, 72, 8)

    def records_from(self, at):
        while at + HEAD <= len(self.data):
            record = Record(self, at)
            counts = record.valid and record.epoch >= self.epoch
            if counts:
                yield record
            at = record.end if counts else at + 8

    def is_filed(self, record):
        return siphash13(record.key, self.hash_key) & 0xFFFFFFFF == record.fingerprint

    def apply(self, record):
        """Slots are records by offset, as an index of fingerprints has them."""
        if record.kind == CLEAR:
            self.slots = {}
        if record.kind in (PUT, DELETE):
            told = lambda of: (of.fingerprint, of.key)
            there = self.slots.get(record.prev)
            if there and there.fingerprint == record.fingerprint:
                del self.slots[record.prev]
            elif self.is_filed(record):
                self.slots.pop(next((other.at for other in self.slots.values() if told(other) == told(record)), None), None)
        if record.kind == PUT:
            self.slots[record.at] = record
        self.epoch, self.durable, self.tail = record.epoch, max(self.durable, record.durable), record.end

    def read(self):
        """Reads the log; tells whether it is torn."""
        batch, durable, at = [], None, LOG
        while not self.is_unborn:
            record = Record(self, at)
            before, cuts = batch[-1].epoch if batch else self.epoch, record.head and record.kind == CUT
            follows = record.head and record.epoch == before + cuts and not (cuts and batch)
            if not (record.valid and follows):
                known = max([self.durable] + [other.durable for other in batch])
                if durable is None and at < len(self.data):
                    durable = max([known] + [other.durable for other in self.records_from(at)])
                if self.tail >= max(known, durable or 0):
                    return len(self.data) > self.tail
                if not (follows and record.whole):
                    raise Unreadable(f"damaged at {at}")
                record.durable = 0
            if record.is_newer:
                raise Unreadable(f"newer at {at}")
            batch, at = batch + [record], record.end
            if not record.flags & MORE:
                for some in batch:
                    self.apply(some)
                batch = []

    def has_ended(self, record):
        now = time.time() * 1000
        return now >= self.created and 0 < record.expires <= now

    def told(self):
        torn = self.read()
        for at, record in sorted(self.slots.items()):
            if not record.valid or not self.is_filed(record):
                yield {"lost": at}
            elif not self.has_ended(record):
                yield dict(key=record.key.hex(), value=record.value.hex(), modified=record.modified, expires=record.expires, cbor=bool(record.flags & CBOR))
        if torn:
            yield {"torn": self.tail}
        if self.bad_copy is not None:
            yield {"copy": self.bad_copy}

def cbor(data, at=0):
    """An item and where it ends."""
    major, info = data[at] >> 5, data[at] & 31
    width = 1 << info - 24 if info >= 24 else 0
    count, at = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else info, at + 1 + width
    if major in (2, 3):
        text = data[at : at + count]
        return text.decode() if major == 3 else text, at + count
    if major in (4, 5):
        items = []
        for _ in range(count * (major - 3)):
            item, at = cbor(data, at)
            items.append(item)
        return items if major == 4 else dict(zip(items[::2], items[1::2])), at
    if major == 7 and width > 1:
        return struct.unpack(">" + {2: "e", 4: "f", 8: "d"}[width], data[at - width : at])[0], at
    return {0: count, 1: -1 - count, 7: {20: False, 21: True}.get(info)}[major], at

def sessions(file):
    file.read()
    live = {}
    for _, record in sorted(file.slots.items()):
        if record.valid and file.is_filed(record) and not file.has_ended(record):
            live[record.key] = record
    big = lambda data: int.from_bytes(data, "big")
    date = lambda ms: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000)) if ms else None
    def names(user):
        """Those of each part of a list, and whether the list is whole."""
        parts, is_whole, named = 1, b"\xffk" in live, []
        while len(named) < parts:
            key = b"\xffu" + hashlib.sha256(user.encode()).digest()[:16] + len(named).to_bytes(4, "big")
            part, rest = set(), live[key].value if key in live else b""
            if not named and rest:
                is_whole, parts = is_whole and rest[0] == 0, big(rest[1:5])
            rest = rest[9:]
            while rest:
                part.add(rest[5 : 5 + rest[4]])
                rest = rest[5 + rest[4] :]
            named.append(part)
        return named, is_whole
    def is_listed(user, name):
        named, is_whole = names(user)
        power = 1 << (len(named) - 1).bit_length()
        nth = big(name[-4:]) % power
        return is_whole and name in named[nth if nth < len(named) else nth - power // 2]
    for key, record in live.items():
        if key[:2] != b"\xffs" or len(key) not in (18, 37):
            continue
        name, (session, _) = key[2:], cbor(record.value)
        if session == {"replaced": True}:
            continue
        letters, there = base64.urlsafe_b64encode(name).rstrip(b"="), session["contents"]
        yield dict(
            handle=(name[3:] if len(name) == 35 else hashlib.sha256(letters).digest()).hex()[:12],
            user=there.get("user"),
            created=date(session["created"]),
            accessed=date(session["accessed"]),
            expires=date(record.expires),
            remote_address=there.get("remote_address"),
            version=session["version"],
            form_tokens=len(there.get("form_tokens", [])),
            data=there.get("data", {}),
            kind=cbor(live[b"\xffk"].value)[0] if b"\xffk" in live else None,
            listed=is_listed(there["user"], name) if "user" in there else None,
        )

wanted = sessions if "--sessions" in sys.argv else File.told
paths = [path for path in sys.argv[1:] if path != "--sessions"]
for path in paths:
    if len(paths) > 1:
        print("==", path)
    try:
        lines = list(wanted(File(open(path, "rb").read())))
    except Unreadable as why:
        lines = [{"error": str(why)}]
    print(*map(json.dumps, lines), sep="\n", end="\n" if lines else "")
