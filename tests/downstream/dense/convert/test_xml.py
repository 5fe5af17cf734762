import pytest

from downstream.dense.convert.found import Broken
from downstream.dense.convert.xml import parse_xml

BOMB = b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
FILE = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation>&x;</annotation>'
OUTER = b'<!DOCTYPE annotation SYSTEM "http://example.org/a.dtd"><annotation></annotation>'


@pytest.mark.parametrize("content", [BOMB, FILE, OUTER])
def test_document_types_and_entities_are_refused(content: bytes) -> None:
    with pytest.raises(Broken, match="declares a document type or entities"):
        parse_xml(content, "annotation")


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is no XML: no element found"),
        (b"<annotation>", "is no XML"),
        (b"<annotation>\xff</annotation>", "is no XML: not well-formed"),
        (b'<?xml version="1.0" encoding="odd"?><annotation/>', "is no XML: unknown encoding"),
        (b"<html></html>", "begins with <html>: expected <annotation>"),
        (b"<annotation>&nbsp;</annotation>", "is no XML: undefined entity"),
    ],
)
def test_other_content_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(Broken, match=words):
        parse_xml(content, "annotation")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings_are_read_as_declared(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><annotation>é</annotation>'
    assert parse_xml(text.encode(encoding), "annotation").text == "é"


def test_depth_is_no_danger() -> None:
    deep = b"<annotation>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</annotation>"
    assert len(parse_xml(deep, "annotation")) == 1
