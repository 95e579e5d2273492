"""Where settings come from, and what is said of broken ones."""

import json
import re
from pathlib import Path

import pytest

from cell.ingest import IngestSettings
from idgen.errors import BadRequest
from ops.addresses import MadeAs, made_as
from ops.config import BadConfig, Config, jar_cache, java_home, load_config, settings, shown
from ops.config_settings import CellServers, Servers


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "dashcell.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refused(*arguments, **named) -> BadConfig:
    with pytest.raises(BadConfig) as caught:
        load_config(*arguments, **named)
    return caught.value


def test_nothing_configured_is_the_defaults():
    assert load_config(None, {}) == Config()


def test_the_environment_wins_over_the_file_and_overrides_over_both(write):
    path = write("[limits]\nconnections = 1\nin_flight = 1\ndrain_s = 1\n")
    env = {"DASHCELL_LIMITS_IN_FLIGHT": "2", "DASHCELL_LIMITS_DRAIN_S": "2", "HOME": "/nowhere"}

    limits = load_config(path, env, {"limits.drain_s": 3}).limits

    assert (limits.connections, limits.in_flight, limits.drain_s) == (1, 2, 3)


def test_the_file_is_looked_for_in_the_platforms_folder(write, tmp_path):
    write('[log]\nlevel = "debug"\n')
    assert load_config(None, {"DASHCELL_DATA": str(tmp_path)}).log.level == "debug"
    assert load_config(None, {}, {"platform.data": str(tmp_path)}).log.level == "debug"
    assert load_config(None, {"DASHCELL_DATA": str(tmp_path / "other")}).log.level == "info"


def test_the_file_can_be_named_by_a_variable_and_then_has_to_exist(write, tmp_path):
    path = write('[log]\nlevel = "error"\n', "elsewhere.toml")
    assert load_config(None, {"DASHCELL_CONFIG": str(path)}).log.level == "error"
    missing = str(tmp_path / "missing.toml")
    assert missing in str(refused(None, {"DASHCELL_CONFIG": missing}))
    assert missing in str(refused(Path(missing), {}))
    assert "--config" in str(refused(Path(missing), {}))


def test_every_setting_can_be_written_in_a_file_and_in_a_variable(write):
    lines: dict[str, list[str]] = {}
    env = {}
    for setting in settings():
        value = shown(Config())[setting.section][setting.key]
        value = "" if value == "''" else value
        if value == {}:
            continue
        lines.setdefault(setting.section, []).append(f"{setting.key} = {json.dumps(value)}")
        env[setting.variable] = json.dumps(value) if not isinstance(value, str) else value
    text = "\n".join(f"[{section}]\n" + "\n".join(keys) for section, keys in lines.items())

    assert load_config(write(text), {}) == Config()
    assert load_config(None, env) == Config()


def test_an_edge_takes_as_much_memory_in_the_reference_as_where_it_is_kept():
    figures = re.compile(r"(\d+) bytes each in large sets, (\d+) in small ones")
    (said,) = [each.meaning for each in settings() if each.name == "ingest.followers_max"]
    kept = figures.findall(" ".join(IngestSettings.__doc__.split()))
    assert len(kept) == 1
    assert figures.findall(said) == kept


def test_variables_of_settings_differ():
    variables = [setting.variable for setting in settings()]
    assert len(variables) == len(set(variables))


def test_every_setting_says_what_it_means():
    assert not [setting.name for setting in settings() if len(setting.meaning) < 10]


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("[limits]\nconnections = 0\n", "limits.connections", "a whole number from 1 to 100000"),
        ('[limits]\nconnections = "5"\n', "limits.connections", "a whole number from 1"),
        ("[limits]\nconnection = 5\n", "limits.connection", "is limits.connections meant?"),
        ("[limit]\nconnections = 5\n", "limit", "is limits meant?"),
        ('[platform]\nprofile = "big"\n', "platform.profile", "one of embedded, stack"),
        ('[platform]\ncells = ["A b"]\n', "platform.cells", "small letters"),
        ('[platform]\ncells = ["a", "b", "a"]\n', "platform.cells", "names a twice"),
        ("[kafka]\ntls = 1\n", "kafka.tls", "true or false"),
        ('[kafka]\ncert = "c.pem"\n', "kafka.key", "kafka.cert"),
        ('[listen_tls]\nclient_ca = "c.pem"\n', "listen_tls.cert", "client_ca"),
        ('[servers.cells.a]\nredis = "nowhere"\n', "servers.cells", "tables of addresses"),
        ('[servers.cells.a]\nhbase = "h:1"\n', "servers.cells.a.hbase", "hbase_thrift"),
        ('[servers.cells.a]\nhbase_thrift1 = "h:1"\n', "servers.cells.a", "both gateways"),
        ("[listen]\nrouter = 65536\n", "listen.router", "from 0 to 65535"),
        ("[listen.stack]\nkafka = -1\n", "listen.stack", "a table"),
        ("log = 5\n", "log", "[log]"),
        ('[zookeeper]\nroot = "dashcell"\n', "zookeeper.root", "begins with a slash"),
    ],
)
def test_a_broken_file_is_answered_with_file_key_and_what_is_allowed(write, text, key, said):
    path = write(text)
    error = refused(path, {})
    assert error.field == key
    assert key in str(error)
    assert said in str(error)
    assert str(error).startswith(f"{path}: ")
    assert isinstance(error, BadRequest)


def test_a_file_that_is_no_toml_is_refused_by_name_and_line(write):
    path = write("[limits\n")
    assert str(path) in str(refused(path, {}))
    assert "line 1" in str(refused(path, {}))
    assert "[section]" in str(refused(path, {}))
    path.write_bytes(b"\xff\xfe")
    assert str(path) in str(refused(path, {}))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DASHCELL_LIMITS_CONNECTIONS", "many", "a whole number"),
        ("DASHCELL_LIMITS_CONNECTIONS", "", "a whole number"),
        ("DASHCELL_KAFKA_TLS", "maybe", "true or false"),
        ("DASHCELL_LISTEN_STACK", "kafka=1", "JSON"),
        ("DASHCELL_LIMIT_CONNECTIONS", "1", "is DASHCELL_LIMITS_CONNECTIONS meant?"),
    ],
)
def test_a_broken_variable_is_answered_with_its_name_and_what_is_allowed(variable, value, said):
    error = refused(None, {variable: value})
    assert variable in str(error)
    assert said in str(error)


def test_variables_are_read_as_their_settings_types():
    env = {
        "DASHCELL_PLATFORM_CELLS": "a, b",
        "DASHCELL_KAFKA_TLS": "true",
        "DASHCELL_LISTEN_STACK": '{"kafka/controller": 9093}',
        "DASHCELL_SERVERS_CELLS": '{"a": {"redis": "h:6379"}}',
        "DASHCELL_TEST_CONTAINERS": "1",
    }
    config = load_config(None, env)
    assert config.platform.cell_names == ("a", "b")
    assert config.kafka.tls is True
    assert config.listen.stack == {"kafka/controller": 9093}
    assert config.servers.cells["a"].redis == "h:6379"
    assert load_config(None, {"DASHCELL_PLATFORM_CELLS": "3"}).platform.cell_names == (
        "a",
        "b",
        "c",
    )


def test_overrides_that_are_unknown_or_wrong_are_refused():
    assert refused(None, {}, {"limits.connection": 1}).field == "limits.connection"
    assert refused(None, {}, {"limits.connections": 0}).field == "limits.connections"
    assert load_config(None, {}, {"limits.connections": "7"}).limits.connections == 7


def test_partitions_follow_the_profile_unless_they_are_set():
    assert load_config(None, {}).platform.partition_count == 8
    stack = {"platform.profile": "stack"}
    assert load_config(None, {}, stack).platform.partition_count == 64
    own = {**stack, "platform.partitions": 16}
    assert load_config(None, {}, own).platform.partition_count == 16


def test_secrets_show_up_nowhere(write):
    config = load_config(write('[kafka]\npassword = "geheim"\n'), {})
    assert config.kafka.password.reveal() == "geheim"
    for text in (repr(config), str(config), json.dumps(shown(config)), f"{config.kafka.password}"):
        assert "geheim" not in text
    error = refused(write("[kafka]\npassword = 424242\n"), {})
    assert error.field == "kafka.password"
    assert "424242" not in str(error)


def test_jars_and_java_are_found_by_setting_then_by_variable():
    assert jar_cache(Config(), {"XDG_CACHE_HOME": "/c"}) == Path("/c/dashcell")
    assert jar_cache(Config(), {}) == Path.home() / ".cache" / "dashcell"
    own = load_config(None, {}, {"stack.jars": "/jars", "stack.java_home": "/java"})
    assert jar_cache(own, {"XDG_CACHE_HOME": "/c"}) == Path("/jars")
    assert java_home(own, {"JAVA_HOME": "/other"}) == "/java"
    assert java_home(Config(), {"JAVA_HOME": "/other"}) == "/other"
    assert java_home(Config(), {}) is None


SERVERS = '[servers]\nkafka = "k:9092"\n'


def test_values_that_do_not_fit_together_are_found_where_they_were_given(write):
    assert refused(None, {"DASHCELL_PLATFORM_CELLS": "a,a"}).source == "DASHCELL_PLATFORM_CELLS"
    assert refused(None, {}, {"platform.cells": ["a", "a"]}).source == "the command line"


@pytest.mark.parametrize("profile", ["", '[platform]\nprofile = "embedded"\n'])
def test_servers_that_the_profile_would_pass_over_are_refused_at_the_start(write, profile):
    path = write(profile + SERVERS)
    error = refused(path, {}, to_start=True)
    assert (error.source, error.field) == (str(path), "servers.kafka")
    assert 'platform.profile = "stack"' in str(error)
    variable = "DASHCELL_SERVERS_ZOOKEEPER"
    assert refused(None, {variable: "z:2181"}, to_start=True).source == variable


def test_of_each_kind_of_server_it_is_known_whether_one_has_to_be_started():
    of_a = CellServers(hbase_thrift1="h:1", hbase_thrift2="h:2", redis="r:1")
    servers = Servers(zookeeper="z:1", cells={"a": of_a, "b": CellServers(redis="r:2")})
    assert servers.left_out(["a"]) == {"kafka"}
    assert servers.left_out(["a", "b"]) == {"kafka", "hbase"}
    assert servers.left_out(["a", "b", "c"]) == {"kafka", "hbase", "redis"}
    assert Servers().left_out(["a"]) == {"zookeeper", "kafka", "hbase", "redis"}


def test_one_file_may_serve_both_profiles(write):
    path = write('[platform]\nprofile = "stack"\n' + SERVERS)
    assert load_config(path, {}, to_start=True).servers.kafka == "k:9092"
    embedded = load_config(path, {}, {"platform.profile": "embedded"}, to_start=True)
    assert embedded.platform.profile == "embedded"


def test_a_platform_is_started_again_as_its_folder_was_made_unless_told(write, tmp_path):
    made_as(tmp_path, MadeAs("stack", ("a", "b")))
    folder = {"platform.data": str(tmp_path)}
    again = load_config(None, {}, folder, to_start=True).platform
    assert (again.profile, again.cells) == ("stack", ("a", "b"))

    write("[platform]\ncells = 3\n")
    told = load_config(
        None, {"DASHCELL_PLATFORM_PROFILE": "embedded"}, folder, to_start=True
    ).platform
    assert (told.profile, told.cells) == ("embedded", 3)


def test_the_folder_that_a_file_names_says_what_it_was_made_as(write, tmp_path):
    made_as(tmp_path / "site", MadeAs("stack", ("a",)))
    path = write(f'[platform]\ndata = "{tmp_path / "site"}"\n' + SERVERS)
    assert load_config(path, {}, to_start=True).platform.profile == "stack"


def test_whoever_starts_nothing_may_have_servers_and_no_profile(write):
    assert load_config(write(SERVERS), {}).servers.kafka == "k:9092"
