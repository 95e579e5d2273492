"""cellctl's commands for operators: up, down, serve, doctor, flags, dead letters, the rest."""

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from idgen.errors import Conflict
from ops import given_servers
from ops.addresses import MadeAs, made_as
from ops.cellctl.main import COMMANDS, cli
from ops.cellctl.outcome import Exit
from ops.config_settings import Servers
from ops.platform_port import DeadLetter
from ops.stack.errors import FolderInUse, JavaMissing, PortInUse
from router.flags import READ
from tests.cli.stand_in import Bench, StandInLetters, every_command


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_exit_codes_are_the_ones_that_scripts_rely_on():
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "CONFLICT": 4,
        "PRECONDITION": 5,
        "UNREACHABLE": 6,
        "STILL_RUNNING": 7,
        "PARTIAL": 8,
    }


def test_up_starts_what_was_asked_for_tells_where_it_is_and_stops_it_in_the_end(bench):
    text = bench.done("up", "--profile", "stack", "--cells", "2")
    (_, config), *_ = bench.doors.asked
    assert config.platform.profile == "stack"
    assert config.platform.cells == 2
    assert config.platform.data == str(bench.folder)
    assert "router at 127.0.0.1:4000" in text
    assert bench.doors.running.stopped == 1


def test_up_tells_every_address_of_a_service(bench):
    bench.platform.beside = {"stream": "127.0.0.1:7100"}
    assert "router at 127.0.0.1:4000, stream at 127.0.0.1:7100" in bench.done("up")


def test_up_is_the_embedded_profile_unless_configured(bench, tmp_path):
    bench.done("up")
    assert bench.doors.asked[0][1].platform.profile == "embedded"
    (tmp_path / "dashcell.toml").write_text('[platform]\nprofile = "stack"\n')
    bench.done("up")
    assert bench.doors.asked[-1][1].platform.profile == "stack"


def test_up_without_a_profile_goes_on_with_what_the_folder_was_made_as(bench, tmp_path):
    made_as(tmp_path, MadeAs("stack", ("a", "b")))
    bench.done("up")
    platform = bench.doors.asked[0][1].platform
    assert (platform.profile, platform.cell_names) == ("stack", ("a", "b"))


def test_up_interrupted_stops_everything_and_is_no_failure(bench):
    bench.doors.interrupted = True
    assert bench.run("up").exit_code == 0
    assert bench.doors.running.stopped == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (JavaMissing("no java on PATH: install Java 17"), 5),
        (PortInUse("port 2181 is in use"), 5),
        (FolderInUse("it is already run by process 17"), 4),
        (Conflict("it is already run"), 4),
    ],
)
def test_up_that_cannot_start_says_why_in_a_sentence(bench, error, code):
    bench.doors.start_error = error
    result = bench.run("up")
    assert result.exit_code == code
    assert result.stderr == f"cellctl: {error}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[platform]\nprofil = "stack"\n', "platform.profil"),
        ("[platform]\ncells = 0\n", "platform.cells"),
        ("[platform\n", "dashcell.toml"),
    ],
)
def test_a_broken_configuration_is_named_with_file_and_key(bench, tmp_path, text, said):
    (tmp_path / "dashcell.toml").write_text(text)
    result = bench.run("up")
    assert result.exit_code == 2
    assert said in result.stderr
    assert "dashcell.toml" in result.stderr
    assert bench.doors.asked == []


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_up_in_a_folder_that_cannot_be_made_names_it_and_another_way(bench, tmp_path, words):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "site"
    result = bench.run("up", "--data", str(folder), *words)
    assert result.exit_code == 5
    assert result.stderr.startswith(f"cellctl: {folder}: ")
    assert "--data" in result.stderr
    assert bench.doors.asked == []


def test_up_with_servers_and_no_profile_is_refused_and_with_the_profile_warned(bench, tmp_path):
    path = tmp_path / "dashcell.toml"
    path.write_text('[servers]\nzookeeper = "z:2181"\n')
    result = bench.run("up")
    assert result.exit_code == 2
    assert f"{path}: servers.zookeeper" in result.stderr
    assert "platform.profile" in result.stderr
    assert "servers.zookeeper" in bench.run("doctor").stdout

    asked_for = bench.run("up", "--profile", "embedded")
    assert asked_for.exit_code == 0
    assert asked_for.stderr == "cellctl: the embedded profile goes on without [servers]\n"


def test_a_broken_configuration_keeps_nobody_from_stopping(bench, tmp_path):
    (tmp_path / "dashcell.toml").write_text("[platform\n")
    assert bench.run("down", "--data", str(tmp_path)).exit_code == 0


def test_down_tells_what_it_stopped(bench):
    assert bench.done("down") == "stopped: router\n"
    assert bench.doors.asked == [("stop", Path(bench.folder))]
    assert json.loads(bench.done("down", "--json")) == {"stopped": ["router"]}


def test_down_of_what_does_not_run_is_done(bench):
    bench.doors.to_stop = []
    assert "nothing was running" in bench.done("down")


def test_serve_runs_one_role(bench):
    bench.done("serve", "ingest", "--cell", "a")
    (_, (role, cell, config)), *_ = bench.doors.asked
    assert (role, cell, config.platform.data) == ("ingest", "a", str(bench.folder))
    assert bench.run("serve", "kitchen").exit_code == 2


def test_version_is_told_to_people_and_programs(bench):
    assert bench.done("version").startswith("dashcell 0.")
    assert re.match(r"\d+\.\d+\.\d+", json.loads(bench.done("version", "--json"))["version"])


def test_version_imports_nothing_heavy():
    heavy = ["rich", "numpy", "thriftpy2", "starlette", "confluent_kafka", "ops.platform"]
    code = (
        "import sys; from click.testing import CliRunner; from ops.cellctl.main import cli; "
        "assert CliRunner().invoke(cli, ['version']).exit_code == 0; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", "import it inside the command that needs it"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(bench, shell):
    script = bench.done("completion", shell)
    assert f"_CELLCTL_COMPLETE={shell}_complete" in script
    assert "%(" not in script


def test_bash_completes_commands():
    env = {"_CELLCTL_COMPLETE": "bash_complete", "COMP_WORDS": "cellctl pub", "COMP_CWORD": "1"}
    result = CliRunner().invoke(cli, [], env=env, prog_name="cellctl")
    assert "publish" in result.output


def test_doctor_has_a_finding_for_everything_a_platform_needs(bench):
    result = bench.run("doctor", "--json")
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert {"Python", "configuration", "Java", "jars", "Maven", "Redis", "disk"} <= set(found)
    assert found["platform"]["state"] == "ok"
    assert all(each["remedy"] for each in found.values() if each["state"] != "ok")
    assert result.exit_code in (0, 5)


def test_doctor_takes_a_broken_configuration_for_a_fault(bench, tmp_path):
    (tmp_path / "dashcell.toml").write_text("[platform]\ncells = 0\n")
    result = bench.run("doctor")
    assert result.exit_code == 5
    assert "platform.cells" in result.stdout
    assert "configuration" in result.stderr


def doctors_findings(bench, *words):
    return {each["name"]: each for each in json.loads(bench.run("doctor", "--json", *words).stdout)}


def test_doctor_says_the_profile_that_the_folder_was_made_as(bench, tmp_path):
    assert doctors_findings(bench)["configuration"]["finding"] == "the embedded profile"
    made_as(tmp_path, MadeAs("stack", ("a",)))
    found = doctors_findings(bench)["configuration"]
    assert found["finding"] == f"the stack profile, as the platform in {tmp_path} was made"


def test_doctor_takes_a_configuration_for_another_platform_for_a_fault(bench, tmp_path):
    made_as(tmp_path, MadeAs("stack", ("a",)))
    (tmp_path / "dashcell.toml").write_text('[platform]\nprofile = "embedded"\n')
    found = doctors_findings(bench)["configuration"]
    assert (found["state"], "of the stack profile" in found["finding"]) == ("fault", True)


def test_doctor_takes_a_broken_note_in_the_folder_for_a_fault(bench, tmp_path):
    (tmp_path / "made-as.json").write_text("{")
    found = doctors_findings(bench)["configuration"]
    assert (found["state"], "made-as.json" in found["finding"]) == ("fault", True)


def test_doctor_names_missing_java_as_a_fault_of_the_stack_alone(bench, tmp_path):
    nowhere = tmp_path / "nowhere"
    settings = f'[stack]\njava_home = "{nowhere}"\njars = "{nowhere}"\n[platform]\nprofile = '
    states = {}
    for profile in ("embedded", "stack"):
        (tmp_path / "dashcell.toml").write_text(f'{settings}"{profile}"\n')
        found = json.loads(bench.run("doctor", "--json").stdout)
        states[profile] = {each["name"]: each["state"] for each in found}
    assert (states["embedded"]["Java"], states["stack"]["Java"]) == ("note", "fault")
    assert (states["embedded"]["jars"], states["stack"]["jars"]) == ("note", "fault")


GIVEN = """
[platform]
profile = "stack"
[stack]
java_home = "nowhere"
jars = "nowhere"
[servers]
zookeeper = "{zookeeper}"
kafka = "{there}"
[servers.cells.a]
hbase_thrift1 = "{there}"
hbase_thrift2 = "{there}"
redis = "{redis}"
"""


@pytest.fixture
def there():
    """The address of something that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody():
    """An address that refuses connections: bound, so that nobody else gets it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def test_doctor_names_given_servers_that_cannot_be_reached(bench, tmp_path, there, nobody):
    file = tmp_path / "site.toml"
    several = f"{nobody}, {there}/site"
    file.write_text(GIVEN.format(zookeeper=several, there=there, redis="no-such.invalid:6379"))
    found = doctors_findings(bench, "--config", str(file))
    states = {name: each["state"] for name, each in found.items() if name.startswith("servers.")}
    assert states == {
        "servers.zookeeper": "note",
        "servers.kafka": "ok",
        "servers.cells.a.hbase_thrift1": "ok",
        "servers.cells.a.hbase_thrift2": "ok",
        "servers.cells.a.redis": "fault",
    }
    assert found["servers.zookeeper"]["finding"].startswith(f"{nobody} cannot be connected to")
    redis = found["servers.cells.a.redis"]
    assert redis["finding"].startswith("no-such.invalid:6379 ")
    assert "correct servers.cells.a.redis" in redis["remedy"]
    assert bench.run("doctor", "--config", str(file)).exit_code == 5


def test_doctor_waits_for_a_slow_resolver_no_longer_than_its_patience(bench, tmp_path, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(given_servers, "PATIENCE_S", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    text = '[platform]\nprofile = "stack"\n[servers]\nkafka = "slow:9092"\n'
    (tmp_path / "dashcell.toml").write_text(text)
    found = doctors_findings(bench)["servers.kafka"]
    over.set()
    assert (found["state"], found["finding"][:27]) == ("fault", "slow:9092 does not answer w")


@pytest.mark.parametrize(
    ("zookeeper", "kafka", "expected"),
    [
        ("zk1,zk2:2182/site", "", {"servers.zookeeper": ["zk1:2181", "zk2:2182"]}),
        ("", "SASL_SSL://[::1]:9093,k", {"servers.kafka": ["[::1]:9093", "k:9092"]}),
    ],
)
def test_addresses_are_read_as_their_clients_read_them(zookeeper, kafka, expected):
    assert given_servers.given_addresses(Servers(zookeeper=zookeeper, kafka=kafka)) == expected


def test_doctor_asks_for_no_program_that_no_server_of_ours_needs(bench, tmp_path, there):
    given = GIVEN.format(zookeeper=there, there=there, redis=there)
    (tmp_path / "dashcell.toml").write_text(given)
    found = doctors_findings(bench)
    assert "jars" not in found
    assert {found[name]["finding"][:11] for name in ("Java", "Redis")} == {"not needed:"}

    (tmp_path / "dashcell.toml").write_text(given.replace(f'kafka = "{there}"', ""))
    found = doctors_findings(bench)
    assert (found["Java"]["state"], found["jars"]["state"]) == ("fault", "fault")


def test_doctor_names_the_port_that_somebody_else_has(bench, tmp_path):
    bench.doors.runs = False
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "dashcell.toml").write_text(f"[listen]\nrouter = {port}\n")
        result = bench.run("doctor", "--json")
    found = {each["name"]: each for each in json.loads(result.stdout)}
    assert found[f"port {port}"]["state"] == "fault"
    assert result.exit_code == 5


def test_flags_are_listed_shown_and_set(bench):
    assert bench.done("flags", "list") == "no flag is set\n"
    assert bench.done("flags", "set", "pull", "100") == "pull: 0 -> 100 of 10000\n"
    assert bench.done("flags", "get", "pull") == "100\n"
    assert json.loads(bench.done("flags", "list", "--json")) == {"pull": 100}
    assert bench.done("flags", "set", "pull", "0") == "pull: 100 -> 0 of 10000\n"
    assert bench.run("flags", "set", "pull", "10001").exit_code == 2


def test_a_flag_that_no_service_reads_is_set_and_said_to_be_so(bench, monkeypatch):
    result = bench.run("flags", "set", "pull", "100")
    assert (result.exit_code, bench.platform.flags.values) == (0, {"pull": 100})
    assert "no service of version 0." in result.stderr
    assert json.loads(bench.done("flags", "set", "pull", "1", "--json"))["read"] is False
    monkeypatch.setitem(READ, "pull", 0)
    assert bench.run("flags", "set", "pull", "100").stderr == ""
    assert "materialize.wide_reader, pull)" in bench.run("flags", "set", "pul", "100").stderr


def test_a_flag_that_was_never_set_is_not_found_and_its_default_told(bench, monkeypatch):
    result = bench.run("flags", "get", "push")
    assert result.exit_code == 3
    assert "no service of version 0." in result.stderr
    monkeypatch.setitem(READ, "push", 500)
    result = bench.run("flags", "get", "push")
    assert result.exit_code == 3
    assert "its default holds, on for 500 of 10000 users" in result.stderr


def test_users_are_pinned_and_listed(bench):
    assert bench.done("pins") == "nobody is pinned\n"
    assert bench.done("pin", "88", "--pull") == "user 88: auto -> pull\n"
    told = json.loads(bench.done("pin", "88", "--push", "--json"))
    assert told == {"user": 88, "before": "pull", "pin": "push"}
    assert bench.done("pins") == "88  push\n"
    assert json.loads(bench.done("pins", "--json")) == [{"user": 88, "pin": "push"}]
    assert bench.done("pin", "88", "--auto") == "user 88: push -> auto\n"
    assert json.loads(bench.done("pins", "--json")) == []
    for wrong in ((), ("--push", "--pull")):
        assert bench.run("pin", "88", *wrong).exit_code == 2


def letters() -> StandInLetters:
    return StandInLetters(
        [
            DeadLetter("0-17", 0, 17, 1, "not applied\x1b[2J", "hello\x1b[2J"),
            DeadLetter("1-2", 1, 2, 3, "cut"),
        ]
    )


def test_dead_letters_are_listed_and_shown_with_their_event(bench):
    bench.platform.letters = letters()
    assert "0-17" in (text := bench.done("dead-letters", "list", "a"))
    assert "\x1b" not in text
    shown = bench.done("dead-letters", "show", "a", "0-17")
    assert "hello" in shown
    assert "\x1b" not in shown
    assert [each["id"] for each in json.loads(bench.done("dead-letters", "list", "a", "--json"))]
    assert bench.run("dead-letters", "show", "a", "9-9").exit_code == 3
    assert bench.run("dead-letters", "list", "z").exit_code == 3


@pytest.mark.parametrize(("verb", "done"), [("retry", "retried"), ("discard", "discarded")])
def test_dead_letters_are_settled_only_with_execute(bench, verb, done):
    bench.platform.letters = letters()
    assert "--execute" in bench.done("dead-letters", verb, "a", "0-17")
    assert bench.platform.letters.settled == []
    bench.done("dead-letters", verb, "a", "0-17", "--execute")
    assert bench.platform.letters.settled == [(done, "0-17")]


def test_settling_some_of_the_letters_is_partial(bench):
    bench.platform.letters = letters()
    result = bench.run("dead-letters", "retry", "a", "0-17", "9-9", "--execute")
    assert result.exit_code == 8
    assert "9-9" in result.stderr
    assert bench.platform.letters.settled == [("retried", "0-17")]
    assert bench.run("dead-letters", "retry", "a", "9-9", "--execute").exit_code == 3


def test_a_plan_for_a_letter_that_is_not_there_is_refused(bench):
    result = bench.run("dead-letters", "retry", "a", "9-9")
    assert result.exit_code == 3
    assert "dead-letters list a" in result.stderr


def test_the_list_of_commands_says_what_their_own_help_says():
    for name, line in COMMANDS.items():
        command = cli.get_command(None, name)
        assert command.name == name
        assert (command.help or "").splitlines()[0] == line, f"{name}: make both lines the same"


@pytest.mark.parametrize(("path", "command"), list(every_command(cli)), ids=lambda x: str(x)[:40])
def test_every_command_has_help_with_an_example(path, command):
    assert f"cellctl {' '.join(path)}" in command.help, "add an Examples block to the docstring"


@pytest.mark.parametrize(("path", "command"), list(every_command(cli)), ids=lambda x: str(x)[:40])
def test_every_command_that_asks_can_answer_in_json(path, command):
    if path[0] in ("serve", "completion"):
        return
    assert "--json" in {word for p in command.params for word in p.opts}
