#!/usr/bin/env python3
"""Holds schemas that Bantam compiles against the `jsonschema` package.

usage: tests/clients/compare_schemas.py BUILD [-n TEXTS] [--seed S] [--only WORD] [--verbose]
                                        [--write tests/data/schemas.json]

For each schema below (and those that pydantic makes, where that package is there): texts written by
random allowed tokens must be valid JSON of the schema, with no key twice; and documents made by
changing such texts must be refused wherever jsonschema refuses them. What jsonschema takes and we
do not is counted by reason, for a person to look at: docs/constraints.md says where we are
narrower. Patterns and GBNF are held against re too. --write keeps some texts on which both agree,
for the tests that need no Python. Needs the package (pip install jsonschema); not part of `make
test`.
"""
import argparse
import datetime
import json
import random
import re
import subprocess
import sys
import uuid

import jsonschema

NESTED = {"$defs": {"node": {"type": "object", "properties": {
    "value": {"type": "integer", "minimum": 0, "maximum": 9},
    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
    "required": ["value", "children"], "additionalProperties": False}}, "$ref": "#/$defs/node"}

def fields(required, **properties):
    return {"type": "object", "properties": properties, "required": required}


INTEGER, STRING = {"type": "integer"}, {"type": "string"}
CAT, DOG = {"const": "cat", "default": "cat"}, {"const": "dog", "default": "dog"}

# oneOf whose branches overlap, and `not`.
OVERLAPS = [
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"oneOf": [{"type": "number", "minimum": 3}, {"type": "integer", "maximum": 12}]},
    {"oneOf": [{"type": "number", "maximum": 2.5}, {"type": "number", "exclusiveMinimum": -1.5}]},
    {"oneOf": [{"type": "integer", "minimum": 0}, {"type": ["integer", "string"], "maximum": 9,
                                                   "maxLength": 3}]},
    {"oneOf": [{"enum": ["a", "b", 1, 2.5]}, {"enum": ["b", "c", 2.5, None]}]},
    {"oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}, {"type": "string"}]},
    {"oneOf": [{"const": "a", "title": "A"}, {"enum": ["a", "b", "c"], "title": "all"}]},
    {"oneOf": [{"enum": [1, 2, 3]}, {"type": "number"}]},
    {"oneOf": [{"enum": [1, 2.5, -3, True, None]}, {"type": ["number", "null", "boolean"]}]},
    {"oneOf": [{"type": "string", "maxLength": 5}, {"type": "string", "minLength": 3}]},
    {"oneOf": [{"minLength": 3}, {"type": "integer"}]},
    {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "b$"}]},
    {"oneOf": [{"type": "string", "pattern": "^[a-z]{1,4}$"}, {"type": "string", "maxLength": 2}]},
    {"oneOf": [{"type": "string", "pattern": "^\\d+$"}, {"type": "string", "enum": ["12", "x"]}]},
    {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]},
    {"oneOf": [{"type": "string", "format": "uuid"}, {"type": "string", "format": "email"},
               {"type": "string", "maxLength": 4}]},
    {"oneOf": [{"type": "string"}, {"type": "string", "format": "ipv4"}]},
    {"oneOf": [{"type": "array", "items": INTEGER}, {"type": "array", "items": STRING}]},
    {"oneOf": [{"type": "array", "items": INTEGER},
               {"type": "array", "items": {"type": "number"}}]},
    {"oneOf": [{"type": "array", "items": INTEGER, "minItems": 2},
               {"type": "array", "items": INTEGER, "maxItems": 3}]},
    {"oneOf": [{"type": "array", "prefixItems": [INTEGER, STRING], "items": False, "minItems": 1},
               {"type": "array", "prefixItems": [INTEGER], "items": {"type": "null"}}]},
    {"oneOf": [STRING, {"type": "array", "items": STRING}, {"type": ["string", "null"],
                                                             "minLength": 4}]},
    {"type": ["string", "integer"], "allOf": [{"anyOf": [{"maxLength": 2}, {"minimum": 3}]},
                                              {"anyOf": [{"minLength": 1}, {"maximum": 8}]}]},
    {"type": "integer", "not": {"not": {"maximum": 5}}},
    {"oneOf": [fields(["a"], a=INTEGER), fields(["b"], b=STRING)]},
    {"oneOf": [fields(["a"], a=INTEGER), fields(["a", "b"], a=INTEGER, b=STRING)]},
    {"oneOf": [fields(["a"], a=INTEGER, b=STRING), fields(["a"], a=STRING, b=STRING),
               fields(["c"], b=INTEGER, c=STRING)]},
    {"type": "object", "properties": {"a": INTEGER, "b": STRING, "c": {"type": "null"}},
     "oneOf": [{"required": ["a"]}, {"required": ["b"]}, {"required": ["c"]}]},
    {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "additionalProperties": False,
     "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"oneOf": [fields([], kind=CAT, lives=INTEGER), fields([], kind=DOG, name=STRING)]},
    {"oneOf": [fields([], kind=CAT, lives=INTEGER), fields([], kind=DOG, name=STRING),
               fields(["kind"], kind={"enum": ["fish", "dog"]}, depth={"type": "number"})]},
    {"oneOf": [dict(fields([], a=INTEGER, x=STRING), additionalProperties=False),
               dict(fields([], b=STRING, x=STRING), additionalProperties=False)]},
    {"oneOf": [dict(fields([], a=INTEGER, b=INTEGER, c=INTEGER), additionalProperties=False),
               dict(fields([], a=INTEGER), additionalProperties=False),
               dict(fields([], b=INTEGER), additionalProperties=False)]},
    {"oneOf": [dict(fields([], a=INTEGER), additionalProperties=INTEGER),
               dict(fields([], a=INTEGER, b=STRING), additionalProperties=STRING)]},
    {"oneOf": [{"type": "object", "additionalProperties": INTEGER},
               {"type": "object", "additionalProperties": {"type": "number"}},
               {"type": "object", "properties": {"k": {"type": "null"}},
                "additionalProperties": True, "required": ["k"]}]},
    {"oneOf": [fields(["p"], p=fields(["x"], x=INTEGER)),
               fields(["p"], p=fields(["y"], y=STRING))]},
    {"oneOf": [fields(["p"], p={"type": "array", "items": fields(["x"], x=INTEGER)}),
               fields(["p"], p={"type": "array", "items": fields(["x"], x={"type": "number"})})]},
    {"$defs": {"t": {"oneOf": [fields(["v"], v=INTEGER), fields(["l"], l={"$ref": "#/$defs/t"})]}},
     "$ref": "#/$defs/t"},
    {"$defs": {"tree": fields(["v"], v=INTEGER, next={"$ref": "#/$defs/tree"})},
     "oneOf": [{"$ref": "#/$defs/tree"}, fields(["v"], v={"type": "number"},
                                                next={"type": ["object", "null"]})]},
    {"oneOf": [{"anyOf": [INTEGER, {"type": "null"}]}, {"anyOf": [{"type": "number"}, STRING]}]},
    {"oneOf": [{"oneOf": [INTEGER, {"type": "number", "minimum": 0}]}, {"type": "number",
                                                                       "maximum": 7}]},
    {"oneOf": [{"allOf": [{"minimum": 0}, {"maximum": 5}], "type": "number"},
               {"type": "number", "not": {"minimum": 3}}]},
    {"not": STRING}, {"not": {"type": ["object", "array", "string"]}},
    {"type": "string", "not": {"const": ""}}, {"type": "string", "not": {"enum": ["a", "b", "ab"]}},
    {"type": "integer", "not": {"enum": [0, 7, 1.5]}}, {"type": "number", "not": INTEGER},
    {"type": "number", "not": {"minimum": 3, "maximum": 5}},
    {"type": "string", "not": {"pattern": "[0-9]"}, "maxLength": 6},
    {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "not": {"required": ["a", "b"]}},
    {"type": "object", "properties": {"a": INTEGER, "b": STRING},
     "allOf": [{"not": {"required": ["a"]}}]},
    {"not": {"not": {"type": "boolean"}}}, {"not": {"anyOf": [STRING, {"type": "object"}]}},
    {"type": ["integer", "string"], "not": {"oneOf": [{"maximum": 5}, {"minimum": 3}]}},
    {"type": "object", "properties": {"a": {"not": {"type": "null"}}}, "required": ["a"]},
    {"type": "object", "oneOf": [{"properties": {"type": {"const": "a"}}},
                                 {"properties": {"type": {"const": "b"}}}],
     "properties": {"type": STRING}, "required": ["type"]},
]

SCHEMAS = OVERLAPS + [
    {}, True, {"type": "null"}, {"type": "boolean"}, {"type": "integer"}, {"type": "number"},
    {"type": "string"}, {"type": "array"}, {"type": "object"}, {"type": ["string", "null"]},
    {"type": ["integer", "array", "boolean"]},
    {"enum": ["red", "green", 3, None, 1.5, True, "a\"b\\c\n\u0001é"]}, {"const": {"a": [1, 2]}},
    {"enum": ["abc", "ab", "a", "b"], "minLength": 2},
    {"enum": [1, 5, 10, 20], "minimum": 3, "exclusiveMaximum": 20},
    {"type": "string", "enum": [1, "x", None, "y"]}, {"const": "only"}, {"const": None},
    {"type": "integer", "minimum": 0}, {"type": "integer", "maximum": -5},
    {"type": "integer", "minimum": -17, "maximum": 123},
    {"type": "integer", "exclusiveMinimum": 99, "exclusiveMaximum": 102},
    {"type": "integer", "minimum": 1000, "maximum": 1000},
    {"type": "integer", "minimum": -9007199254740991, "maximum": 9007199254740991},
    {"type": "integer", "minimum": 1.5, "maximum": 4.5},
    {"type": "number", "minimum": 0, "maximum": 1}, {"type": "number", "exclusiveMinimum": 0},
    {"type": "number", "exclusiveMinimum": 0.3, "maximum": 0.35},
    {"type": "number", "minimum": -2.5, "exclusiveMaximum": -0.125},
    {"type": "number", "minimum": 1e-7, "maximum": 2.5e3}, {"type": "number", "maximum": 0},
    {"type": "number", "minimum": 100.25, "maximum": 100.25},
    {"type": "number", "minimum": 5, "exclusiveMinimum": True, "maximum": 7,
     "$schema": "http://json-schema.org/draft-04/schema#"},
    {"minimum": 3}, {"minLength": 2}, {"items": {"type": "null"}}, {"required": ["x"]},
    {"type": "string", "minLength": 3}, {"type": "string", "maxLength": 4},
    {"type": "string", "minLength": 2, "maxLength": 2}, {"type": "string", "maxLength": 0},
    {"type": "string", "minLength": 30, "maxLength": 300},
    {"type": "string", "pattern": "^[a-z]+$"}, {"type": "string", "pattern": "b"},
    {"type": "string", "pattern": "^a|b$"}, {"type": "string", "pattern": "^$|^x{2,3}$"},
    {"type": "string", "pattern": "^(?!ab)[a-c]{1,4}$"},
    {"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z]).{3,6}$"},
    {"type": "string", "pattern": "^\\S+@\\S+$", "maxLength": 12},
    {"type": "string", "pattern": "^[^\"\\\\]*\\\\[\"]$"},
    {"type": "string", "pattern": "^(\\d{3}-)?[A-F\\d]{2,}(?:x|y)*?\\.$"},
    {"type": "string", "pattern": "^\\u00e9[\\u4e00-\\u9fff]+$"},
    {"type": "string", "pattern": "^[\\w.-]+$", "minLength": 3, "maxLength": 5},
    {"type": "string", "pattern": "^\\t[\\n\\x00-\\x1f]*\\/$"},
    {"type": "string", "pattern": "^P(?:(\\d+W)|(?!.*W)(?=\\d|T\\d)(\\d+Y)?(\\d+M)?(\\d+D)?"
     "(T(?=\\d)(\\d+H)?(\\d+M)?(\\d+([.,]\\d+)?S)?)?)$"},
    {"type": "string", "pattern": "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@"
     "([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$", "format": "email"},
    {"type": "string", "format": "date"}, {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"}, {"type": "string", "format": "uri"},
    {"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"},
    {"type": "string", "format": "hostname"}, {"type": "string", "format": "duration"},
    {"type": "string", "format": "email", "maxLength": 20},
    {"type": "string", "format": "date", "pattern": "^2024-"},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 30, "maxItems": 40},
    {"type": "array", "maxItems": 0}, {"type": "array", "items": False},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1},
    {"type": "array", "prefixItems": [{"type": "null"}], "items": {"type": "boolean"},
     "minItems": 1},
    {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 4, "uniqueItems": False},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"},
                                      "c": {"type": "null"}}, "required": ["b"]},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
     "additionalProperties": {"type": "boolean"}},
    {"type": "object", "properties": {"ab": True, "abc": {"type": "null"}, "é\"\n": {"const": 1}},
     "additionalProperties": {"type": "integer"}, "required": ["abc"]},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"type": "object", "additionalProperties": False},
    {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": True},
    {"type": "object", "required": ["x", "y"]},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{1,3}$"},
     "additionalProperties": {"type": "integer"}},
    {"type": "object", "propertyNames": {"enum": ["k1", "k2"]},
     "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"a": {"type": "object", "properties": {
        "b": {"type": "array", "items": {"type": "object", "properties": {
            "c": {"type": "string"}}, "required": ["c"]}}}, "required": ["b"]}},
     "required": ["a"]},
    {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 5}]},
    {"anyOf": [{"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
               {"type": "array", "items": {"const": 2}}, {"type": "null"}]},
    {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"},
                                                 "lives": {"type": "integer"}},
                "required": ["kind"]},
               {"type": "object", "properties": {"kind": {"enum": ["dog", "wolf"]},
                                                 "name": {"type": "string"}},
                "required": ["kind"]}]},
    {"oneOf": [{"const": 1}, {"const": 2}, {"enum": ["a", "b"]}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
               {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 8}, {"enum": [1, 4, 7, 9]}]},
    {"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]},
               {"anyOf": [{"maxLength": 2, "type": "string"}, {"type": "integer", "minimum": 7},
                          {"type": "null"}]}]},
    {"type": "string", "allOf": [{"pattern": "a"}, {"pattern": "b"}], "maxLength": 4},
    {"type": "object", "properties": {"a": {"type": "integer"}},
     "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
    NESTED,
    {"$defs": {"a": {"anyOf": [{"type": "integer"}, {"type": "array", "items":
                                                     {"$ref": "#/$defs/a"}}]}},
     "$ref": "#/$defs/a"},
    {"definitions": {"p~q/r": {"type": "boolean"}}, "properties": {
        "x": {"$ref": "#/definitions/p~0q~1r", "description": "beside"}}, "required": ["x"]},
    {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
     "required": ["next"], "additionalProperties": False},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}},
     "required": ["a"]},
    {"$defs": {"t": {"$anchor": "here", "type": "null"}}, "$ref": "#here"},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x", "title": "T",
     "description": "d", "default": {}, "examples": [1], "deprecated": True, "type": "object",
     "properties": {"n": {"type": "integer", "format": "int32", "readOnly": True}},
     "required": ["n"], "additionalProperties": False, "x-extra": 1},
    {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(30)}},
]

REFUSED = [  # (schema, what the message must say)
    ({"if": {"type": "string"}}, "#: the keyword 'if' is not supported"),
    ({"type": "object", "properties": {"a": {"if": {}}}}, "#/properties/a: the keyword 'if'"),
    ({"not": {"propertyNames": {"maxLength": 3}}}, "#/not: which values fail this schema"),
    ({"oneOf": [{"type": "array", "items": INTEGER}, {"const": [1]}]},
     "arrays and objects in enum or const"),
    ({"oneOf": [{"propertyNames": {"maxLength": 3}}, {"type": "object"}]},
     "cannot be told of its 'propertyNames'"),
    ({"not": {}}, "no text at all"), ({"oneOf": [STRING, STRING]}, "#/oneOf: no value that"),
    ({"oneOf": [fields([], a=INTEGER), fields([], b=STRING)]}, "#/oneOf: no value that"),
    ({"not": {"$ref": "#"}}, "a part of itself"),
    ({"type": "array", "uniqueItems": True}, "'uniqueItems' is supported only as false"),
    ({"type": "string", "format": "regex"}, "the format 'regex' is not supported"),
    ({"type": "string", "pattern": "(a)\\1"}, "a back reference is not supported"),
    ({"type": "string", "pattern": "(?<=a)b"}, "look-behind is not supported"),
    ({"type": "string", "pattern": "a("}, "a ( is not closed"),
    ({"type": "strin"}, "'type' must be"), ({"properties": []}, "'properties' must be"),
    ({"minLength": -1}, "'minLength' must be"), (3, "a schema is an object"),
    ({"$ref": "#/$defs/no"}, "names nothing"), ({"$ref": "http://x/y"}, "names nothing"),
    ({"$ref": "#"}, "a part of itself"), ({"allOf": [{"$ref": "#"}]}, "a part of itself"),
    ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, True]}}, "$ref": "#/$defs/a"},
     "a part of itself"),
    (False, "no text at all"), ({"type": "integer", "minimum": 3, "maximum": 2}, "no text at all"),
    ({"allOf": [{"type": "integer"}, {"type": "string"}]}, "no text at all"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no text at all"),
    ({"type": "string", "minLength": 5, "maxLength": 4}, "no text at all"),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "no text at all"),
]


def pydantic_schemas():
    try:
        import enum
        from typing import Annotated, Dict, List, Literal, Optional, Tuple, Union
        from pydantic import BaseModel, EmailStr, Field  # noqa: F401
    except ImportError:
        print("pydantic is not there: its schemas are left out")
        return []

    class Color(str, enum.Enum):
        RED = "red"
        BLUE = "blue"

    class Cat(BaseModel):
        kind: Literal["cat"]
        lives: int = Field(9, ge=1, le=9)

    class Dog(BaseModel):
        kind: Literal["dog"]
        color: Color

    class Item(BaseModel):
        """An item."""
        id: uuid.UUID
        when: datetime.datetime
        day: Optional[datetime.date] = None
        price: float = Field(gt=0, lt=1000)
        tags: List[str] = Field(default_factory=list, max_length=3)
        pair: Tuple[int, str]
        scores: Dict[str, int] = {}
        name: str = Field(min_length=1, max_length=20, pattern="^[A-Z]")

    class Shop(BaseModel):
        model_config = {"extra": "forbid"}
        pet: Annotated[Union[Cat, Dog], Field(discriminator="kind")]
        other: Union[Cat, Dog, None] = None
        items: List[Item]
        parent: Optional["Shop"] = None
    return [m.model_json_schema() for m in (Cat, Dog, Item, Shop)]


class Lines:
    def __init__(self, build):
        self.process = subprocess.Popen([f"{build}/tests/grammar-lines"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, kind, rest=""):
        self.process.stdin.write(f"{kind} {rest}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"grammar-lines ended at: {kind} {rest}")
        return answer.rstrip("\n")

    def takes(self, text):
        return self.ask("T", text.encode("utf-8", "surrogatepass").hex()) == "1"


FORMATS = jsonschema.FormatChecker(formats=())


def check(name):
    def keep(function):
        FORMATS.checks(name, raises=ValueError)(
            lambda value: not isinstance(value, str) or function(value))
        return function
    return keep


@check("date")
def is_date(value):
    return bool(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
                and datetime.date.fromisoformat(value))


@check("time")
def is_time(value):
    return bool(re.fullmatch(r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})",
                             value)
                and datetime.time.fromisoformat(value.replace("Z", "+00:00")))


@check("date-time")
def is_date_time(value):
    return "T" in value and is_date(value.split("T")[0]) and is_time(value.split("T")[1])


@check("uuid")
def is_uuid(value):
    return str(uuid.UUID(value)) == value.lower()


@check("email")
def is_email(value):
    local, _, host = value.rpartition("@")
    return bool(local) and re.fullmatch(r"[^@\s]+", local) and is_host(host) and "." in host


@check("hostname")
def is_host(value):
    return all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", p) for p in value.split("."))


@check("ipv4")
def is_ipv4(value):
    import ipaddress
    return bool(ipaddress.IPv4Address(value))


@check("ipv6")
def is_ipv6(value):
    import ipaddress
    return bool(ipaddress.IPv6Address(value))


@check("uri")
def is_uri(value):
    from urllib.parse import urlsplit
    parts = urlsplit(value)
    parts.port  # raises when it is none
    return bool(parts.scheme) and re.fullmatch(r"([!#-;=?-\[\]_a-z~A-Z]|%[0-9A-Fa-f]{2})+", value)


@check("duration")
def is_duration(value):
    return re.fullmatch(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?)", value)


def no_twice(pairs):
    return dict(pairs)


def change(value, rng):
    """A document near another."""
    if isinstance(value, dict) and value and rng.random() < 0.7:
        value = dict(value)
        key = rng.choice(list(value))
        turn = rng.random()
        if turn < 0.3:
            del value[key]
        elif turn < 0.5:
            value[rng.choice(["new", "a", "ab", "b", key + "x"])] = rng.choice([1, "s", True, None])
        else:
            value[key] = change(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        value = list(value)
        at = rng.randrange(len(value))
        turn = rng.random()
        if turn < 0.3:
            del value[at]
        elif turn < 0.5:
            value.insert(at, rng.choice(value))
        else:
            value[at] = change(value[at], rng)
        return value
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        turn = rng.random()
        if turn < 0.35:
            return value[:at] + value[at + 1:]
        if turn < 0.7:
            return value[:at] + rng.choice("abz09-.@ é\n\"\\T:/") + value[at:]
        if turn < 0.85:
            return value[:at] + rng.choice("abz09-.@ é\n\"\\T:/") + value[at + 1:]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.8:
        return rng.choice([value + 1, value - 1, -value, value * 10, value / 2, value + 0.001, 0,
                           int(value)])
    return rng.choice([None, True, 0, 1, -1, 7, 1.5, "", "a", "ab", "x", [], {}, [1], {"a": 1},
                       [1, "a"], {"x": 1, "y": 2}, "2024-02-29", "red", 1e3])


def dump(value):
    """As we write it: no blanks, no exponents, only the escapes that must be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text


def hold(lines, schema, options, rng, narrower, table, count=None):
    count = count or options.n
    answer = lines.ask("S", json.dumps(schema))
    if answer != "ok":
        return [f"{json.dumps(schema)[:200]}: {answer}"]
    problems, documents, unfinished = [], [], 0
    row = {"schema": schema, "yes": [], "no": []}
    table.append(row)

    def keep(where, text):
        if len(text) < 150 and len(row[where]) < 6 and text not in row[where]:
            row[where].append(text)
    draft = str(schema.get("$schema")) if isinstance(schema, dict) else ""
    kind = (jsonschema.Draft4Validator if "draft-04" in draft else
            jsonschema.Draft7Validator if "draft-07" in draft else
            jsonschema.Draft202012Validator)
    validator = kind(schema, format_checker=FORMATS)
    for n in range(count):
        answer = lines.ask("R", str(options.seed * 1000003 + n))
        if answer == "unfinished":
            unfinished += 1
            continue
        text = bytes.fromhex(answer).decode()
        try:
            value = json.loads(text, object_pairs_hook=no_twice)
            validator.validate(value)
        except (ValueError, jsonschema.ValidationError) as error:
            problems.append(f"{json.dumps(schema)[:200]} wrote {text[:200]!r}: {str(error)[:200]}")
            continue
        documents.append(value)
        keep("yes", text)
    if unfinished > count / 2:
        problems.append(f"{json.dumps(schema)[:200]}: {unfinished} texts did not end")
    for _ in range(count * 3):
        value = rng.choice(documents) if documents and rng.random() < 0.9 else None
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            value = change(value, rng)
        text = dump(value)
        ours, valid = lines.takes(text), validator.is_valid(value)
        if ours and not valid:
            problems.append(f"{json.dumps(schema)[:200]} takes {text[:200]}")
        elif not valid:
            keep("no", text)
        elif not ours:
            narrower.append((json.dumps(schema)[:120], text[:120]))
    return problems


def random_schema(rng, depth):
    """A schema whose branches overlap as they like, over few names and values."""
    turn = rng.random()
    if depth and turn < 0.4:
        word = rng.choice(["oneOf", "oneOf", "oneOf", "anyOf", "allOf"])
        schema = {word: [random_schema(rng, depth - 1) for _ in range(rng.choice([2, 2, 3]))]}
        return schema if rng.random() < 0.7 else dict(random_schema(rng, 0), **schema)
    if depth and turn < 0.5:
        return dict(random_schema(rng, 0), **{"not": random_schema(rng, depth - 1)})
    if depth and turn < 0.7:
        schema = {"type": "object", "properties": {
            k: random_schema(rng, depth - 1) for k in rng.sample("abc", rng.choice([1, 2, 2]))}}
        schema["required"] = rng.sample("abc", rng.choice([0, 0, 1, 1, 2]))
        if rng.random() < 0.5:
            schema["additionalProperties"] = rng.choice([False, True, random_schema(rng, 0)])
        return schema
    if depth and turn < 0.78:
        schema = {"type": "array", "items": random_schema(rng, depth - 1)}
        if rng.random() < 0.4:
            schema["prefixItems"] = [random_schema(rng, 0)]
        schema[rng.choice(["minItems", "maxItems"])] = rng.randrange(4)
        return schema
    return rng.choice([
        {"type": "integer"}, {"type": "number"}, {"type": "string"}, {"type": ["null", "string"]},
        {"type": "boolean"}, {"enum": rng.sample(["a", "ab", 1, 2.5, True, None, 0], 3)},
        {"const": rng.choice(["a", 1, None, 2.5])},
        {"type": "integer", "minimum": rng.randrange(9)},
        {"type": "number", "exclusiveMaximum": rng.choice([0.5, 3, 7])},
        {"type": "number", "minimum": -1, "maximum": rng.choice([1, 2.25])},
        {"type": "string", "maxLength": rng.randrange(1, 4)}, {"minLength": 2}, {"maximum": 3},
        {"type": "string", "pattern": rng.choice(["^a", "b$", "^[ab]*$", "^\\d+$", "^.{2}$"])},
        {"required": ["a"]}, {"properties": {"a": {"type": "integer"}}}, {}, {"items": {
            "type": "string"}}])


def hold_random(lines, options, rng):
    """Random schemas: what is taken and written must be valid; some are refused."""
    problems, refused = [], {}
    count = options.n * 5
    for _ in range(count):
        schema = random_schema(rng, 3)
        answer = lines.ask("S", json.dumps(schema))
        if answer != "ok":
            why = re.sub(r"#\S*: |[0-9']", "", answer)[:60]
            refused[why] = refused.get(why, 0) + 1
            continue
        found = hold(lines, schema, options, rng, [], [], 20)
        problems += [p for p in found if "did not end" not in p]
    print(f"{count} random schemas; refused: {refused}")
    return problems


ATOMS = ["a", "b", "c", ".", "[ab]", "[^a]", "\\d", "\\w", "[\\d_-]", "1", "\\.", "x", "é", "[b-d]"]


def random_pattern(rng, depth, look):
    """A pattern that Python's re reads as ECMA does, over few characters."""
    turn = rng.random()
    if depth == 0 or turn < 0.3:
        return rng.choice(ATOMS)
    if turn < 0.6:
        return "".join(random_pattern(rng, depth - 1, look) for _ in range(rng.choice([2, 2, 3])))
    if turn < 0.75:
        return "(?:" + "|".join(random_pattern(rng, depth - 1, look)
                                for _ in range(rng.choice([2, 3]))) + ")"
    if turn < 0.92 or not look:
        inner = "(" + rng.choice(ATOMS) + rng.choice(ATOMS + [""]) + ")"
        return inner + rng.choice(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?"])
    return rng.choice(["(?=", "(?!"]) + random_pattern(rng, depth - 1, False) + ")"


def hold_patterns(lines, count, rng):
    """Patterns against Python's re, on short texts."""
    problems, asked, refused = [], 0, 0
    for _ in range(count):
        pattern = random_pattern(rng, 2, True)
        if rng.random() < 0.5:
            pattern = "^" + pattern
        if rng.random() < 0.5:
            pattern += "$"
        if rng.random() < 0.15:
            pattern += "|" + random_pattern(rng, 2, True) + "$"
        schema, least, most = {"type": "string", "pattern": pattern}, 0, 99
        if rng.random() < 0.3:
            schema["minLength"] = least = rng.randrange(4)
            schema["maxLength"] = most = least + rng.randrange(5)
        answer = lines.ask("S", json.dumps(schema))
        if answer != "ok":
            refused += 1
            if "no text at all" not in answer:
                problems.append(f"{pattern!r}: {answer}")
                continue
        form = re.compile(pattern, re.ASCII)
        for _ in range(40):
            text = "".join(rng.choice("aabbcd1_-.xé\n2") for _ in range(rng.randrange(8)))
            if text.endswith("\n"):
                continue  # where Python's $ differs
            asked += 1
            theirs = bool(form.search(text)) and least <= len(text) <= most
            ours = answer == "ok" and lines.takes(json.dumps(text, ensure_ascii=False))
            if ours != theirs:
                problems.append(f"{json.dumps(schema)}: {text!r} is {theirs} by re")
    print(f"{count} patterns on {asked} texts against re ({refused} admit nothing)")
    return problems


def random_rule(rng, depth):
    """A piece of GBNF and the same for re."""
    turn = rng.random()
    if depth == 0 or turn < 0.35:
        return rng.choice([('"a"', "a"), ('"b"', "b"), ("[ab]", "[ab]"), ("[^b]", "[^b]"),
                           (".", "."), ('"ab"', "ab"), ('""', ""), ("[\\u00e0-\\u00ff]", "[à-ÿ]"),
                           ('"\\n"', "\n")])
    if turn < 0.6:
        parts = [random_rule(rng, depth - 1) for _ in range(2)]
        return " ".join(p[0] for p in parts), "".join(p[1] for p in parts)
    if turn < 0.75:
        parts = [random_rule(rng, depth - 1) for _ in range(rng.choice([2, 3]))]
        return "(" + " | ".join(p[0] for p in parts) + ")", "(?:" + "|".join(
            p[1] for p in parts) + ")"
    inner = random_rule(rng, 0)  # repetitions do not nest: re would take for ever
    count = rng.choice(["*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "{0,30}", "{26,27}"])
    return "(" + inner[0] + ")" + count, "(?:" + inner[1] + ")" + count


def hold_grammars(lines, count, rng):
    """GBNF without recursion against Python's re."""
    problems, asked = [], 0
    for _ in range(count):
        names, rules = [], []
        for i in range(3):
            gbnf, form = random_rule(rng, 2)
            for k, (_, old) in enumerate(names):
                if rng.random() < 0.5:
                    gbnf, form = f"{gbnf} r{k}", f"(?:{form})(?:{old})"
            names.append((gbnf, form))
            rules.append(f"r{i} ::= {gbnf}")
        text = "\n".join(rules) + "\nroot ::= r2 | r1"
        answer = lines.ask("G", text.encode().hex())
        if answer != "ok":
            problems.append(f"{text!r}: {answer}")
            continue
        form = re.compile(f"(?:{names[2][1]}|{names[1][1]})", re.DOTALL)
        for _ in range(40):
            sample = "".join(rng.choice("aaabbbcé\n") for _ in range(rng.randrange(9)))
            asked += 1
            if lines.takes(sample) != bool(form.fullmatch(sample)):
                problems.append(f"{text!r}: {sample!r} is {bool(form.fullmatch(sample))} by re")
    print(f"{count} grammars on {asked} texts against re")
    return problems


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("build")
    parse.add_argument("-n", type=int, default=60)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--only", default="")
    parse.add_argument("--verbose", action="store_true", help="show what only jsonschema takes")
    parse.add_argument("--write", metavar="FILE")
    options = parse.parse_args()
    lines, rng = Lines(options.build), random.Random(options.seed)
    problems, narrower, table = [], [], []
    schemas = [s for s in SCHEMAS + pydantic_schemas() if options.only in json.dumps(s)]
    for schema in schemas:
        problems += hold(lines, schema, options, rng, narrower, table)
    for schema, says in REFUSED:
        answer = lines.ask("S", json.dumps(schema))
        if says not in answer:
            problems.append(f"{json.dumps(schema)[:200]}: '{answer}' does not say '{says}'")
    if options.write:
        rows = [json.dumps(row, sort_keys=False) for row in table]
        rows += [json.dumps({"schema": schema, "says": says}) for schema, says in REFUSED]
        with open(options.write, "w", encoding="ascii") as out:
            out.write("[\n" + ",\n".join(rows) + "\n]\n")
    if not options.only:
        problems += hold_random(lines, options, rng)
        problems += hold_patterns(lines, options.n * 5, rng)
        problems += hold_grammars(lines, options.n * 5, rng)
    for problem in problems[:40]:
        print("wrong:", problem)
    if options.verbose:
        for schema, text in narrower:
            print("narrower:", schema, "refuses", text)
    print(f"{len(schemas)} schemas, {options.n} texts and {options.n * 3} changed documents each: "
          f"{len(problems)} wrong, {len(narrower)} taken by jsonschema alone")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
