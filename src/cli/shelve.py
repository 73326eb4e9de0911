"""Turns a shelf of Python's `shelve` into lines that `shelflife load` reads.

    shelflife from-shelve | python3 - old > old.jsonl && shelflife load new.shelf old.jsonl

`old` is what was given to `shelve.open`; it is opened for reading only. Nothing is written unless every value can be
converted; what can't be is listed with its key. `--skip` passes over those.

Nothing is imported or called that a pickle names, so a shelf from a stranger is as safe as one of one's own, and the
classes of the program that wrote it are not needed. What becomes of a value:

    None, bool, str, float, bytes     the same; nan and the infinities, too; bytearray becomes bytes
    int                               an integer, beyond 64 bits a bignum (tag 2 or 3): i128 and u128 read it
    list, tuple, deque                an array
    set, frozenset                    an array, sorted as BTreeSet and HashSet of Rust are stored
    dict and its kinds                a map, with keys of any type, in the order of its encoded keys
    complex                           an array of its two parts
    range                             a map of start and end, if its step is 1
    datetime with a time zone         a point in time (tag 1001): SystemTime reads it
    datetime without, date, time      text: 2024-02-29T12:30:00, 2024-02-29, 12:30:00
    timedelta                         a length of time (tag 1002): Duration reads it
    Decimal, Fraction, UUID, Path     text: 12.50, 1/3, 6ba7b810-9dad-11d1-80b4-00c04fd430c8, /srv/app
    IPv4Address, IPv6Address          an address (tag 52 or 54): IpAddr reads it
    a member of an enum               its name, or its value where Python stored that; A|B of a Flag
    an object                         a map of its attributes
    a named tuple                     an array
    a subclass of list or dict        an array or a map
    a subclass of str, int, ...       what it is a subclass of
    an object made of one value       that value: the message of an exception, 10.0.0.0/8 of an IPv4Network

Text that is no Unicode (a file name from os.fsdecode, a str of Python 2) becomes bytes. A pickle does not tell an empty
list, tuple or dict of a class of one's own from an object, so it becomes a map of its attributes: {} if it has none.

All else is listed: functions, classes, calls of what is not known here, such as numpy's arrays, values that contain
themselves, nesting beyond 64 levels.
"""

import sys

# Where Python looks first is this folder, in which a program may have a json.py of its own, or a stranger.
if not getattr(sys.flags, "safe_path", sys.flags.isolated):
    del sys.path[0]

import base64
import datetime
import dbm
import io
import ipaddress
import json
import math
import os
import pathlib
import pickle
import shutil
import struct
import tempfile
import urllib.parse

LEVELS = 64
ESCAPES = ("$b64", "$float", "$map", "$simple", "$tag")


class Problem(Exception):
    """Why a value can't be converted."""


class Named(type):
    """What a pickle names: a class or a function, which is never looked for."""

    def __call__(cls, *args, **kwargs):
        if cls.name in ("builtins.getattr", "__builtin__.getattr"):
            owner, attribute = args
            if isinstance(owner, Named):
                return named(f"{owner.name}.{attribute}", attribute)
        made = cls.__new__(cls, *args, **kwargs)
        made.was_called = True
        return made


def named(name, attribute=None):
    return Named("Stub", (Stub,), {"name": name, "attribute": attribute})


class Stub(metaclass=Named):
    """What a pickle says of an object, without its class."""

    name = None
    attribute = None

    def __new__(cls, *args, **kwargs):
        self = object.__new__(cls)
        self.was_called = False
        self.args, self.kwargs = args, kwargs
        self.state = None
        self.items, self.pairs = [], []
        return self

    def __setstate__(self, state):
        self.state = state

    def append(self, item):
        self.items.append(item)

    def extend(self, items):
        self.items.extend(items)

    def add(self, item):
        self.items.append(item)

    def __setitem__(self, key, value):
        self.pairs.append((key, value))


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        return named(f"{module}.{name}")


class Map:
    def __init__(self, pairs):
        self.pairs = pairs


class Tag:
    def __init__(self, number, content):
        self.number, self.content = number, content


def head(major, number):
    for info, size in ((24, "B"), (25, "H"), (26, "I"), (27, "Q")):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * struct.calcsize(size):
            return bytes([major << 5 | info]) + struct.pack(">" + size, number)
    raise Problem("a length beyond 64 bits")


def cbor(value):
    """Deterministic CBOR (RFC 8949, 4.2.1), by which sets and maps are sorted."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, ~value)
    if isinstance(value, float):
        if math.isnan(value):
            return b"\xf9\x7e\x00"
        for start, size in ((b"\xf9", ">e"), (b"\xfa", ">f")):
            try:
                packed = struct.pack(size, value)
            except OverflowError:
                continue
            if struct.unpack(size, packed)[0] == value:
                return start + packed
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        encoded = value.encode()
        return head(3, len(encoded)) + encoded
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, Tag):
        return head(6, value.number) + cbor(value.content)
    pairs = b"".join(cbor(key) + cbor(content) for key, content in value.pairs)
    return head(5, len(value.pairs)) + pairs


def text(value):
    """As `shelflife load` reads it."""
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return '{"$float":"%s"}' % name
    if isinstance(value, bytes):
        return '{"$b64":"%s"}' % base64.b64encode(value).decode()
    if isinstance(value, list):
        return "[%s]" % ",".join(map(text, value))
    if isinstance(value, Tag):
        return '{"$tag":[%d,%s]}' % (value.number, text(value.content))
    if isinstance(value, Map):
        pairs = value.pairs
        is_object = all(isinstance(key, str) for key, _ in pairs)
        if is_object and not (len(pairs) == 1 and pairs[0][0] in ESCAPES):
            return "{%s}" % ",".join(f"{text(key)}:{text(content)}" for key, content in pairs)
        return '{"$map":[%s]}' % ",".join(f"[{text(key)},{text(content)}]" for key, content in pairs)
    return json.dumps(value, ensure_ascii=False)


def ordered(entries, key_of, what):
    entries = sorted(((cbor(key_of(entry)), entry) for entry in entries), key=lambda entry: entry[0])
    for (first, _), (second, _) in zip(entries, entries[1:]):
        if first == second:
            raise Problem(f"two {what} that become the same")
    return [entry for _, entry in entries]


def integer(value):
    if -(1 << 64) <= value < 1 << 64:
        return value
    magnitude = value if value > 0 else ~value
    return Tag(2 if value > 0 else 3, magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big"))


def string(value):
    try:
        value.encode()
        return value
    except UnicodeEncodeError:
        pass
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Problem("str with half of a surrogate pair")


def seconds(tag, delta):
    pairs = [(1, delta // datetime.timedelta(seconds=1))]
    if delta.microseconds:
        pairs.append((-9, delta.microseconds * 1000))
    return Tag(tag, Map(pairs))


def packed(stub, size):
    """The bytes in which a pickle holds a date or a time."""
    data = stub.args[0]
    # Python 2 had them in a str, which was read as all others are.
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes_of(data)
    if len(data) != size:
        raise Problem(f"{stub.name} of {len(data)} bytes")
    return data


def time_of(data):
    return data[0] & 0x7F, data[1], data[2], int.from_bytes(data[3:6], "big")


def datetime_of(stub):
    data = packed(stub, 10)
    fields = (data[0] << 8 | data[1], data[2] & 0x7F, data[3], *time_of(data[4:]))
    moment = datetime.datetime(*fields, fold=data[2] >> 7)
    if len(stub.args) == 1:
        return moment.isoformat()
    offset = zone_of(stub.args[1], moment)
    return seconds(1001, moment - offset - datetime.datetime(1970, 1, 1))


def zone_of(zone, moment):
    """What a time zone is ahead of UTC at a moment."""
    if not isinstance(zone, Stub):
        raise Problem(f"a time zone that is a {type(zone).__name__}")
    args = zone.args
    if zone.name == "datetime.timezone" and args:
        return timedelta_of(args[0])
    if zone.name in ("pytz._UTC", "pytz.utc", "dateutil.tz.tz.tzutc", "dateutil.tz.tzutc"):
        return datetime.timedelta(0)
    if zone.name == "pytz._p" and len(args) > 1:
        return datetime.timedelta(seconds=args[1])
    if zone.name == "zoneinfo.ZoneInfo._unpickle" and args:
        try:
            import zoneinfo

            return moment.replace(tzinfo=zoneinfo.ZoneInfo(args[0])).utcoffset()
        except Exception:
            raise Problem(f"the time zone {args[0]!r}, which is not known here")
    raise Problem(f"a time zone of {zone.name}")


def timedelta_of(stub):
    if not isinstance(stub, Stub) or stub.name != "datetime.timedelta":
        raise Problem("a time zone without an offset")
    return datetime.timedelta(*stub.args)


def time_text(stub):
    if len(stub.args) > 1:
        raise Problem("datetime.time with a time zone")
    return datetime.time(*time_of(packed(stub, 6))).isoformat()


def date_text(stub):
    data = packed(stub, 4)
    return datetime.date(data[0] << 8 | data[1], data[2], data[3]).isoformat()


def uuid_text(stub):
    number = stub.state["int"]
    if not 0 <= number < 1 << 128:
        raise Problem("uuid.UUID beyond 128 bits")
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def path_text(stub):
    if not all(isinstance(part, str) for part in stub.args):
        raise Problem(f"{stub.name} of what is no text")
    kind = pathlib.PureWindowsPath if "Windows" in stub.name else pathlib.PurePosixPath
    return string(str(kind(*stub.args)))


def address(stub):
    (number,) = stub.args
    made = ipaddress.IPv4Address(number) if "4" in stub.name else ipaddress.IPv6Address(number)
    return Tag(52 if made.version == 4 else 54, made.packed)


def bytes_of(value):
    """bytes, also as old protocols hold them: text that is to be encoded."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, Stub):
        if value.name == "_codecs.encode" and value.args[1:] in (("latin1",), ("latin-1",)):
            return value.args[0].encode("latin-1")
        if value.name in ("builtins.bytes", "__builtin__.bytes") and not value.args:
            return b""
        if value.name in ("builtins.bytearray", "__builtin__.bytearray"):
            if not value.args:
                return b""
            if value.args[1:] in (("latin-1",), ("latin1",)):
                return value.args[0].encode("latin-1")
            return bytes_of(value.args[0])
    raise Problem(f"bytes made of a {type(value).__name__}")


def as_text(stub):
    if len(stub.args) == 1 and isinstance(stub.args[0], str):
        return string(stub.args[0])
    raise Problem(f"{stub.name} of what is no text")


def fraction_text(stub):
    if len(stub.args) == 2:
        return "%d/%d" % stub.args
    return as_text(stub)


SCALARS = {
    "_codecs.encode": bytes_of,
    "builtins.bytes": bytes_of,
    "__builtin__.bytes": bytes_of,
    "builtins.bytearray": bytes_of,
    "__builtin__.bytearray": bytes_of,
    "datetime.datetime": datetime_of,
    "datetime.date": date_text,
    "datetime.time": time_text,
    "datetime.timedelta": lambda stub: seconds(1002, timedelta_of(stub)),
    "decimal.Decimal": as_text,
    "fractions.Fraction": fraction_text,
    "uuid.UUID": uuid_text,
    "ipaddress.IPv4Address": address,
    "ipaddress.IPv6Address": address,
}
for module in ("pathlib", "pathlib._local"):
    for kind in ("PurePosixPath", "PosixPath", "PureWindowsPath", "WindowsPath", "PurePath", "Path"):
        SCALARS[f"{module}.{kind}"] = path_text
SETS = ("builtins.set", "builtins.frozenset", "__builtin__.set", "__builtin__.frozenset")
RANGES = ("builtins.range", "__builtin__.xrange")
RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")


def too_deep():
    return Problem(f"nesting deeper than {LEVELS} levels")


def levels(value):
    """How many arrays, maps and tags stand inside each other."""
    if isinstance(value, list):
        inner = value
    elif isinstance(value, Map):
        inner = [part for pair in value.pairs for part in pair]
    elif isinstance(value, Tag):
        inner = [value.content]
    else:
        return 0
    return 1 + max(map(levels, inner), default=0)


class Converter:
    """Converts one value; `place` is where in it, for messages."""

    def __init__(self):
        self.place = []
        self.open = set()

    def at(self, step, value):
        self.place.append(step)
        if len(self.place) > LEVELS:
            raise too_deep()
        converted = self.value(value)
        self.place.pop()
        return converted

    def value(self, value):
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, int):
            return integer(value)
        if isinstance(value, str):
            return string(value)
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        if isinstance(value, Named):
            if value.attribute is not None:
                return string(value.attribute)
            raise Problem(f"a reference to {value.name}")
        if id(value) in self.open:
            raise Problem(f"{kind_of(value)} that contains itself")
        self.open.add(id(value))
        converted = self.container(value)
        self.open.remove(id(value))
        return converted

    def container(self, value):
        if isinstance(value, (list, tuple)):
            return self.array(value)
        if isinstance(value, (set, frozenset)):
            return self.set(value)
        if isinstance(value, dict):
            return self.map(value.items())
        if isinstance(value, Stub):
            return self.stub(value)
        raise Problem(f"a {type(value).__name__}")

    def array(self, items):
        return [self.at(f"[{place}]", item) for place, item in enumerate(items)]

    def set(self, items):
        converted = [self.at("{}", item) for item in items]
        return ordered(converted, lambda item: item, "items of a set")

    def map(self, pairs):
        converted = []
        for key, content in pairs:
            step = f"[{key!r}]" if isinstance(key, (str, int)) else "[...]"
            converted.append((self.at("[key]", key), self.at(step, content)))
        return Map(ordered(converted, lambda pair: pair[0], "keys of a dict"))

    def attributes(self, attributes):
        names = [name.decode("latin-1") if isinstance(name, bytes) else name for name in attributes]
        pairs = [(string(name), self.at(f".{name}", value)) for name, value in zip(names, attributes.values())]
        return Map(ordered(pairs, lambda pair: pair[0], "attributes"))

    def stub(self, stub):
        if stub.name in RECONSTRUCTORS and len(stub.args) == 3 and isinstance(stub.args[0], Named):
            made, _, base = stub.args
            stub.name, stub.args, stub.was_called = made.name, () if base is None else (base,), False
        name = stub.name
        if name in SCALARS and not stub.items and not stub.pairs:
            try:
                return SCALARS[name](stub)
            except Problem:
                raise
            except Exception as error:
                raise Problem(f"{name} that is none ({type(error).__name__})")
        args = list(stub.args)
        if stub.kwargs:
            raise Problem(f"a call of {name} with named arguments")
        if name in SETS and stub.was_called and len(args) <= 1:
            return self.set(args[0] if args else [])
        if name in RANGES and len(args) == 3:
            if args[2] != 1:
                raise Problem(f"range with a step of {args[2]}")
            return Map([("end", integer(args[1])), ("start", integer(args[0]))])
        if name == "_operator.or_" and stub.was_called and len(args) == 2:
            members = [self.value(arg) for arg in args]
            if all(isinstance(member, str) for member in members):
                return "|".join(members)
        if name in ("builtins.complex", "__builtin__.complex") and len(args) == 2:
            return self.array(args)
        if name == "collections.deque":
            return self.array(stub.items or (args[0] if args else []))
        if name == "collections.defaultdict":
            return self.map(stub.pairs)
        if name in ("collections.OrderedDict", "collections.Counter") and len(args) == 1:
            pairs = args[0].items() if isinstance(args[0], dict) else args[0]
            return self.map(pairs)
        if stub.was_called and (len(args) > 1 or not is_class(name)):
            raise Problem(f"a call of {name}")
        attributes = attributes_of(name, stub.state)
        contents = [bool(args), bool(stub.items), bool(stub.pairs), bool(attributes)]
        if sum(contents) > 1:
            raise Problem(f"{name}, which has attributes and something else")
        if args:
            return self.value(args[0]) if len(args) == 1 else self.array(args)
        if stub.items:
            return self.array(stub.items)
        if stub.pairs:
            return self.map(stub.pairs)
        return self.attributes(attributes)


def is_class(name):
    """By how it is written, which is all that is known of it: a class that is called with one value is an enum's."""
    return name.rpartition(".")[2].lstrip("_")[:1].isupper()


def attributes_of(name, state):
    """A dict of attributes, or a pair of one and that of the slots."""
    if state is None:
        return {}
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    attributes = {}
    for part in parts:
        if part is None:
            continue
        is_one = isinstance(part, dict) and all(isinstance(key, (str, bytes)) for key in part)
        if not is_one or attributes.keys() & part.keys():
            raise Problem(f"{name} with a state of its own making")
        attributes.update(part)
    return attributes


def kind_of(value):
    return value.name if isinstance(value, Stub) else type(value).__name__


def line_of(key, pickled):
    """The line for one entry."""
    converter = Converter()
    try:
        try:
            value = Unpickler(io.BytesIO(pickled), encoding="utf-8", errors="surrogateescape").load()
        except Exception as error:
            raise Problem(f"what is no pickle that can be read here ({type(error).__name__}: {error})")
        try:
            converted = converter.value(value)
        except Problem:
            raise
        except Exception as error:
            # A pickle may say of a deque that it is made of a number.
            raise Problem(f"a value that Python did not make so ({type(error).__name__})")
        if levels(converted) > LEVELS:
            raise too_deep()
    except Problem as problem:
        place = "".join(converter.place)
        raise Problem(f"{place}: {problem}" if place else str(problem))
    try:
        name = text(key.decode())
    except UnicodeDecodeError:
        name = text(key)
    # Without the mark, bytes would be loaded as they are, not as CBOR.
    mark = ',"cbor":true' if isinstance(converted, bytes) else ""
    return '{"k":%s,"v":%s%s}\n' % (name, text(converted), mark)


def entries(path):
    """Keys and values of the file, as bytes, opened for reading only."""
    if is_sqlite(path):
        import sqlite3

        address = "file:" + urllib.parse.quote(os.path.abspath(path)) + "?mode=ro"
        with sqlite3.connect(address, uri=True) as database:
            for row in database.execute("SELECT key, value FROM Dict"):
                yield tuple(field.encode() if isinstance(field, str) else bytes(field) for field in row)
        return
    with dbm.open(path, "r") as database:
        for key in database.keys():
            yield key, database[key]


def is_sqlite(path):
    try:
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def main(words):
    skip = "--skip" in words
    paths = [word for word in words if word != "--skip"]
    if len(paths) != 1 or paths[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    converted, passed = 0, 0
    with tempfile.TemporaryFile() as lines:
        try:
            for key, pickled in entries(paths[0]):
                try:
                    lines.write(line_of(key, pickled).encode())
                    converted += 1
                except Problem as problem:
                    passed += 1
                    shown = key.decode("utf-8", "backslashreplace")
                    print(f"{shown!r}: {problem}", file=sys.stderr)
        except Exception as error:
            print(f"{paths[0]!r} can't be read: {type(error).__name__}: {error}", file=sys.stderr)
            print("give what shelve.open was given, without .dat, .dir or .db behind it, "
                  "and run this with the Python that wrote the shelf", file=sys.stderr)
            return 3
        if passed and not skip:
            print(f"{passed} of {passed + converted} values can't be converted, so nothing was written; "
                  "--skip passes over them", file=sys.stderr)
            return 1
        lines.seek(0)
        shutil.copyfileobj(lines, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
