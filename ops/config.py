"""Reading the configuration: defaults, then a TOML file, then the environment, then overrides.

A platform that is started again is by default what its folder says that it was made as. The only
module that reads the environment. Each value is checked where it stands, so that a wrong one is
answered with the file or variable, the key, and what is allowed.
"""

import difflib
import functools
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec.structs import FieldInfo

from idgen.errors import BadRequest
from ops import addresses
from ops.config_allowed import allowed, plain_type
from ops.config_settings import CellServers, Config, Platform, Secret, Section

__all__ = [
    "BadConfig",
    "Config",
    "Secret",
    "Setting",
    "environment_of",
    "jar_cache",
    "java_home",
    "load_config",
    "sections",
    "settings",
    "shown",
]

FILE_NAME: Final = "dashcell.toml"
PREFIX: Final = "DASHCELL_"
COMMAND_LINE: Final = "the command line"

_FILES: Final = frozenset({"ca", "cert", "key", "client_ca"})
"""The keys, of whatever section, whose values are paths of files."""

_SHORT: Final = {"DASHCELL_DATA": "platform.data"}
_NOT_SETTINGS: Final = frozenset(
    {
        "DASHCELL_CONFIG",
        "DASHCELL_HIGGS_DIR",
        "DASHCELL_HISTORIES",
        "DASHCELL_MOVE_LIVES",
        "DASHCELL_MOVING",
        "DASHCELL_SIM_SEED",
        "DASHCELL_TEST_CONTAINERS",
    }
)
"""Variables of our prefix that name no setting: the file's place, and those that tests read."""


class _Given(NamedTuple):
    """A value that somebody gave, and where: the file, the variable, or the command line."""

    value: Any
    source: str


class BadConfig(BadRequest):
    """A broken configuration. `field` is the key (`limits.connections`), `source` the file or the
    variable that it stands in."""

    def __init__(self, source: str, key: str, why: str) -> None:
        super().__init__(key, why)
        self.args = (f"{source}: {key}: {why}" if key else f"{source}: {why}",)
        self.source = source


@dataclass(frozen=True)
class Setting:
    """One setting: where it stands, its type with bounds, and what it means."""

    section: str
    key: str
    info: FieldInfo

    @property
    def name(self) -> str:
        """`section.key`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return f"{PREFIX}{self.section}_{self.key}".upper()

    @property
    def meaning(self) -> str:
        """Its description."""
        return describe(self.info)

    @property
    def default(self) -> Any:
        """Its default."""
        return self.info.default if self.info.default is not msgspec.NODEFAULT else {}


def describe(info: FieldInfo) -> str:
    """A field's description, out of its annotations."""
    found = [each.description for each in getattr(info.type, "__metadata__", ())]
    return next((text for text in found if text), "")


def sections() -> dict[str, type[Section]]:
    """All sections by name, in the reference's order."""
    return {name: kind for name, kind in get_type_hints(Config).items() if kind is not None}


def settings() -> Iterator[Setting]:
    """All settings, in the reference's order."""
    for section, kind in sections().items():
        for info in msgspec.structs.fields(kind):
            yield Setting(section, info.name, info)


@functools.cache
def _settings_by_name() -> dict[str, Setting]:
    return {setting.name: setting for setting in settings()}


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    to_start: bool = False,
) -> Config:
    """The configuration.

    `path` names a file that has to exist; without it DASHCELL_CONFIG does, and without that
    `dashcell.toml` in the platform's folder is read if there is one. `env` is the environment
    (default: this process's). `overrides` are values by `section.key`, text or typed, which win
    over everything else. `to_start`: a platform is to be started by it, so the profile and the
    cells that nobody gave are those that its folder was made with, and what its profile would pass
    over is refused. Raises BadConfig, and with `to_start` Corrupt for a folder's broken note.
    """
    env = os.environ if env is None else env
    above: dict[str, _Given] = {}
    for variable, name in sorted(_variables(env).items()):
        setting = _settings_by_name()[name]
        above[name] = _Given(_value(setting, env[variable], variable, text=True), variable)
    for name, raw in (overrides or {}).items():
        setting = _known(name, COMMAND_LINE)
        value = _value(setting, raw, COMMAND_LINE, text=isinstance(raw, str))
        above[name] = _Given(value, COMMAND_LINE)
    data = str(above["platform.data"].value if "platform.data" in above else Platform().data)
    given = {**_from_file(_file(path, env, data)), **above}
    if to_start:
        given = {**_made_as(given), **given}
    config = _assemble(given)
    _check_together(config, given)
    if to_start:
        _check_used(config, given)
    return config


def jar_cache(config: Config, env: Mapping[str, str] | None = None) -> Path:
    """Where jars are kept between platforms: per user, not per platform."""
    env = os.environ if env is None else env
    if config.stack.jars:
        return Path(config.stack.jars)
    home = env.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "dashcell"


def java_home(config: Config, env: Mapping[str, str] | None = None) -> str | None:
    """The Java to prefer, if one is named."""
    env = os.environ if env is None else env
    return config.stack.java_home or env.get("JAVA_HOME") or None


def environment_of(config: Config, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a process of ours finds the settings of `config` again."""
    found = dict(os.environ if env is None else env)
    found.pop("DASHCELL_CONFIG", None)
    for setting in settings():
        value = getattr(getattr(config, setting.section), setting.key)
        if isinstance(value, Mapping) or value == setting.default:
            found.pop(setting.variable, None)  # tables are for `cellctl up` alone
        elif setting.key in _FILES:
            found[setting.variable] = str(Path(value).absolute())  # it runs in another folder
        else:
            found[setting.variable] = _as_text(value)
    return found


def _as_text(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def shown(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, with its secrets hidden."""
    plain: dict[str, Any] = msgspec.to_builtins(config, enc_hook=repr)
    return plain


def _file(path: Path | None, env: Mapping[str, str], data: str) -> Path | None:
    if path is None and env.get("DASHCELL_CONFIG"):
        path = Path(env["DASHCELL_CONFIG"])
    if path is not None:
        return path
    beside = Path(data) / FILE_NAME
    return beside if beside.is_file() else None


def _from_file(path: Path | None) -> dict[str, _Given]:
    """The values of a file, by `section.key`."""
    if path is None:
        return {}
    source = str(path)
    try:
        read = tomllib.loads(path.read_text())
    except OSError as error:
        why = f"cannot be read ({error.strerror or error}): name one that can be with --config "
        raise BadConfig(source, "", f"{why}or DASHCELL_CONFIG, or leave both out") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = f"is no TOML: {error}; write [section], and below it lines of key = value"
        raise BadConfig(source, "", why) from None
    values: dict[str, _Given] = {}
    for section, keys in read.items():
        if section not in sections():
            raise BadConfig(source, section, f"no such section{_nearest(section, sections())}")
        if not isinstance(keys, dict):
            raise BadConfig(source, section, f"is a section: write [{section}] and keys below it")
        for key, raw in keys.items():
            setting = _known(f"{section}.{key}", source)
            values[setting.name] = _Given(_value(setting, raw, source, text=False), source)
    return values


def _made_as(given: Mapping[str, _Given]) -> dict[str, _Given]:
    """What the platform in the folder was made as, where there is one."""
    folder = Path(given["platform.data"].value if "platform.data" in given else Platform().data)
    made = addresses.read_made_as(folder)
    if made is None:
        return {}
    source = str(folder / addresses.MADE_AS)
    return {
        "platform.profile": _Given(made.profile, source),
        "platform.cells": _Given(made.cells, source),
    }


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set to override settings, and which; an unknown one of our prefix
    is an error, because it would silently do nothing."""
    by_variable = {setting.variable: setting.name for setting in settings()}
    by_variable |= _SHORT
    found: dict[str, str] = {}
    for variable in env:
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        if variable not in by_variable:
            raise BadConfig(
                "the environment", variable, f"no such setting{_nearest(variable, by_variable)}"
            )
        found[variable] = by_variable[variable]
    return found


def _known(name: str, source: str) -> Setting:
    known = _settings_by_name()
    if name in known:
        return known[name]
    raise BadConfig(source, name, f"no such setting{_nearest(name, known)}")


def _nearest(word: str, words: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; is {near[0]} meant?" if near else f"; known: {', '.join(sorted(words))}"


def _value(setting: Setting, raw: Any, source: str, *, text: bool) -> Any:
    """The value of a setting; `text`: as text, which numbers and lists are read from."""
    kind = setting.info.type
    if text and not isinstance(raw, str):
        raw = str(raw)
    if text:
        raw = _from_text(setting, raw, source)
    _check_nested(setting, raw, source)
    try:
        return msgspec.convert(raw, kind, strict=not text, dec_hook=_secret)
    except msgspec.ValidationError as error:
        # A secret is not repeated, however wrong it is.
        value = "the value" if _is_secret(setting) else repr(raw)
        why = f"{value} is not allowed ({error}); allowed: {allowed(kind)}"
        raise BadConfig(source, setting.name, why) from None


def _from_text(setting: Setting, raw: str, source: str) -> Any:
    kinds = [plain_type(setting.info.type)]
    if kinds[0] not in (dict, tuple):
        kinds = [plain_type(each) for each in get_args(kinds[0])] or kinds
    if dict in kinds:
        try:
            return msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise BadConfig(source, setting.name, f"is no JSON object: {error}") from None
    if tuple in kinds and not raw.strip().isdigit():
        return [word.strip() for word in raw.split(",") if word.strip()]
    return raw


def _check_nested(setting: Setting, raw: Any, source: str) -> None:
    """Unknown keys of structs within a value, which msgspec passes over, are errors too."""
    if setting.name != "servers.cells" or not isinstance(raw, dict):
        return
    known = {info.name: info for info in msgspec.structs.fields(CellServers)}
    for cell, keys in raw.items():
        for key in keys if isinstance(keys, dict) else ():
            if key not in known:
                name = f"{setting.name}.{cell}.{key}"
                raise BadConfig(source, name, f"no such setting{_nearest(key, known)}")


def _is_secret(setting: Setting) -> bool:
    return plain_type(setting.info.type) is Secret


def _secret(kind: type, raw: Any) -> Any:
    if kind is Secret and isinstance(raw, str):
        return Secret(raw)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(raw).__name__}`")


def _assemble(given: Mapping[str, _Given]) -> Config:
    made: dict[str, Section] = {}
    for section, kind in sections().items():
        prefix = f"{section}."
        made[section] = kind(
            **{
                name.removeprefix(prefix): each.value
                for name, each in given.items()
                if name.startswith(prefix)
            }
        )
    return Config(**made)  # type: ignore[arg-type]


def _check_together(config: Config, given: Mapping[str, _Given]) -> None:
    """What no single value shows."""
    names = config.platform.cell_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        why = f"names {', '.join(twice)} twice: each cell needs a name of its own"
        raise BadConfig(given["platform.cells"].source, "platform.cells", why)
    grouped = [cell for cells in config.platform.groups.values() for cell in cells]
    twice = sorted({cell for cell in grouped if grouped.count(cell) > 1})
    if twice:
        why = f"names {', '.join(twice)} twice: a cell is behind one relay at most"
        raise BadConfig(given["platform.groups"].source, "platform.groups", why)
    for section in ("listen_tls", "kafka", "redis", "zookeeper"):
        tls = getattr(config, section)
        if bool(tls.cert) != bool(tls.key):
            there, missing = ("cert", "key") if tls.cert else ("key", "cert")
            source = given[f"{section}.{there}"].source
            raise BadConfig(source, f"{section}.{missing}", f"is needed beside {section}.{there}")
    if config.listen_tls.client_ca and not config.listen_tls.cert:
        source = given["listen_tls.client_ca"].source
        raise BadConfig(source, "listen_tls.cert", "is needed beside listen_tls.client_ca")
    for cell, servers in config.servers.cells.items():
        if bool(servers.hbase_thrift1) != bool(servers.hbase_thrift2):
            raise BadConfig(
                given["servers.cells"].source,
                f"servers.cells.{cell}",
                "name both gateways of an HBase, hbase_thrift1 and hbase_thrift2, or neither",
            )


def _check_used(config: Config, given: Mapping[str, _Given]) -> None:
    """Addresses of servers, which a platform of the embedded profile would not look at.

    Who asks for that profile on the command line may have a file for both profiles.
    """
    unused = [name for name in given if name.startswith("servers.")]
    profile = given.get("platform.profile")
    if config.platform.profile != "embedded" or not unused:
        return
    if profile is None or profile.source != COMMAND_LINE:
        why = (
            "is for the stack profile, and this is the embedded one: set platform.profile = "
            '"stack", or leave [servers] out; `cellctl up --profile embedded` goes on without them'
        )
        raise BadConfig(given[unused[0]].source, unused[0], why)
