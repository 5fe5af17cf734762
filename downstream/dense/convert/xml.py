"""XML out of unknown hands: no document types, so no entities and no other files are read."""

from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from downstream.dense.convert.found import Broken
from downstream.dense.values import plain, told


def parse_xml(content: bytes, tag: str) -> Element:
    """The root of a document.

    Args:
        content: in the encoding that it declares.
        tag: that the root must have.

    Raises:
        Broken: if it is none.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise Broken("declares a document type or entities: take out its <!DOCTYPE>") from error
    except (ParseError, ValueError, LookupError) as error:
        raise Broken(f"is no XML: {plain(str(error))}") from error
    if root.tag != tag:
        raise Broken(f"begins with <{plain(root.tag)}>: expected <{tag}>")
    return root


def text_in(element: Element, path: str, where: str) -> str:
    """The text of an element below another. Raises Broken if there is none."""
    text = (element.findtext(path) or "").strip()
    if not text:
        raise Broken(f"has no <{path}> in {where}")
    return text


def attribute(element: Element, name: str, where: str) -> str:
    """An attribute's value. Raises Broken if there is none."""
    value = element.get(name)
    if value is None:
        raise Broken(f"has no {told(name)} in {where}")
    return value
