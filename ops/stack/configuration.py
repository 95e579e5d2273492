"""Writing servers' configuration files."""

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from ops.stack.disk import disk_full_is_clear


def write_file(path: Path, text: str) -> None:
    """Write ``text``, making folders as needed; readable by its owner only.

    Raises DiskFull where there is no room.
    """
    with disk_full_is_clear(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)


def hadoop_xml(properties: Mapping[str, str]) -> str:
    """A Hadoop configuration file: name and value pairs as XML."""
    lines = "\n".join(
        f"  <property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in properties.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{lines}\n</configuration>\n'


def java_properties(properties: Mapping[str, str]) -> str:
    """A Java properties file; backslashes of values are kept."""
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in properties.items())
    return "\n".join(lines) + "\n"
