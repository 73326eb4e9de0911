"""Makes a shelf: `make.py KIND PATH WHAT [PROTOCOL]`, with classes that nobody else can import."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import operator
import pathlib
import pickle
import shelve
import sqlite3
import sys
import uuid
import zoneinfo

kind, path, what = sys.argv[1:4]
protocol = int(sys.argv[4]) if len(sys.argv) > 4 else pickle.DEFAULT_PROTOCOL


class ByValue(enum.Enum):
    """As some versions of Python pickle a member."""

    RED = 1

    def __reduce_ex__(self, protocol):
        return ByValue, (self.value,)


class ByName(enum.Enum):
    """As others do."""

    BIG = "big"
    COLD = "cold"

    def __reduce_ex__(self, protocol):
        return getattr, (ByName, self.name)


class Both:
    """As those pickle several members of a Flag."""

    def __reduce_ex__(self, protocol):
        return operator.or_, (ByName.BIG, ByName.COLD)


class User:
    def __init__(self, name):
        self.name = name
        self.tags = {"b", "a", "ccc"}


class Slots:
    __slots__ = ("x", "y")

    def __init__(self):
        self.x, self.y = 1, None


@dataclasses.dataclass
class Line:
    name: str
    price: decimal.Decimal


Point = collections.namedtuple("Point", "x y")


class Names(list):
    pass


class Index(dict):
    pass


class Title(str):
    pass


class Evil:
    def __reduce__(self):
        return open, (path + ".executed", "w")


class Alone:
    """A function with one argument, which could be a class by its form."""

    def __reduce__(self):
        return print, ("executed",)


class Mixed(list):
    def __init__(self):
        self.extend([1, 2])
        self.name = "both"


class Pair:
    """Its state looks like attributes and slots."""

    def __getstate__(self):
        return {"x": 1}, {"x": 2}


def function():
    pass


cycle = []
cycle.append(cycle)
deep = []
for _ in range(64):
    deep = [deep]

utc = datetime.timezone.utc
minus = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))
good = {
    "none": None,
    "flags": [True, False],
    "numbers": [0, -1, 2**64 - 1, -(2**64), 1.5, 1.0, 1e300, -0.0],
    "big": [2**64, -(2**64) - 1, 2**200],
    "not numbers": [float("nan"), float("inf"), float("-inf")],
    "text": 'tea "\\ \n \u2028 水',
    "bytes": b"\x00\xff",
    "more bytes": [bytearray(b"ab"), b""],
    "escaped": "caf\udce9",
    "tuple": (1, "two", (3,)),
    "sets": [{3, 1, 300, -1, 2}, frozenset({"b", "aa"}), set()],
    "dict": {"a": {"b": []}},
    "keys": {(1, 2): "pair", 3: "int", "4": "text", None: 0, b"x": 1},
    "looks like an escape": {"$b64": 1},
    "kinds of dict": [
        collections.OrderedDict([("z", 1), ("a", 2)]),
        collections.defaultdict(list, {"k": [1]}),
        collections.Counter("aab"),
    ],
    "deque": collections.deque([1, 2], maxlen=5),
    "complex": 1 + 2j,
    "range": range(1, 9),
    "moment": datetime.datetime(2024, 2, 29, 12, 30, 0, 250000, utc),
    "moment elsewhere": datetime.datetime(1969, 12, 31, 23, 59, 59, 0, minus),
    "moment in Vienna": datetime.datetime(2024, 7, 1, 12, 0, tzinfo=zoneinfo.ZoneInfo("Etc/GMT-2")),
    "local": datetime.datetime(2024, 2, 29, 12, 30),
    "date": datetime.date(2024, 2, 29),
    "time": datetime.time(12, 30, 0, 5),
    "lengths": [datetime.timedelta(days=1, microseconds=7), datetime.timedelta(seconds=-1.5)],
    "decimal": [decimal.Decimal("12.50"), decimal.Decimal("NaN"), decimal.Decimal("1E+100")],
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    "path": [pathlib.PurePosixPath("/srv/app"), pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c:\\x\\y")],
    "path on a drive": [pathlib.PureWindowsPath("c:x"), pathlib.PureWindowsPath("//server/share/x")],
    "address": [ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("::1")],
    "enum": [ByValue.RED, ByName.BIG],
    "members": Both(),
    "wide": [2**127 - 1, -(2**127), 2**64],
    "object": User("ann"),
    "slots": Slots(),
    "dataclass": [Line("tea", decimal.Decimal("2.50"))],
    "named tuple": Point(1, 2),
    "subclasses": [Names([1]), Index(a=1), Title("x")],
    "ключ": "a key that is not ASCII",
    "as deep as can be": deep[0],
}
bad = {
    "evil": {"inner": [Evil()]},
    "alone": Alone(),
    "function": function,
    "class": User,
    "cycle": cycle,
    "deep": deep,
    "mixed": Mixed(),
    "pair": Pair(),
    "keys alike": {decimal.Decimal("1"): 1, "1": 2},
    "half": "\ud800",
    "step": range(0, 9, 3),
}
if protocol < 2:
    del good["slots"]  # which those can't hold
values = {"good": good, "bad": bad, "both": {**good, **bad}}[what]
# What Python 2 made of a datetime and a date: their bytes are a str.
by_hand = {
    "of Python 2": rb"""(cdatetime
datetime
(S'\x07\xe8\x02\x1d\x0c\x1e\x00\x00\xc3\xa9'
tRcdatetime
date
(S'\x07\xe8\x02\x1d'
tRl.""",
    # Python 3.13 keeps the parts as they were given.
    "path of 3.13": rb"""(cpathlib._local
PurePosixPath
(S'a'
S'/b//c/'
tRcpathlib._local
PureWindowsPath
(S'c:/x'
tRcpathlib._local
PurePosixPath
(S''
tRl.""",
}
if what != "good":
    # What no Python makes, at any place.
    by_hand["deque of a number"] = b"(ccollections\ndeque\n(I5\ntRl."
    by_hand["dict of a number"] = b"ccollections\nOrderedDict\n(I5\ntR."

if kind == "sqlite":
    # As dbm.sqlite3 of Python 3.13 makes it.
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        pickled = {key: pickle.dumps(value, protocol) for key, value in values.items()}
        for key, value in {**pickled, **by_hand}.items():
            row = (key.encode(), value)
            database.execute("REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))", row)
    database.close()
else:
    import importlib

    opened = importlib.import_module("dbm." + kind).open(path, "n")
    with shelve.Shelf(opened, protocol) as shelf:
        shelf.update(values)
        for key, pickled in by_hand.items():
            opened[key.encode()] = pickled
