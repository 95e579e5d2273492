"""cellctl at an embedded platform in a process of its own, from its start to its end."""

import json
import re
import signal
import subprocess
import sys

import pytest

from ops.higgs import sample
from tests.cli.shell import Shell
from tests.contract.patience import until
from tests.house.sources import ROOT

pytestmark = pytest.mark.slow


def router_of(shell: Shell) -> str:
    services = shell.json("status")["status"]["services"]
    return next(each["address"] for each in services if each["name"] == "router")


def test_a_write_is_read_with_its_token_and_explained(shell):
    shell.done("follow", "1", "2")
    receipt = shell.json("publish", "2", "hello")
    page = shell.json("page", "1", "--at-least", receipt["token"])
    assert [entry["id"] for entry in page["entries"]] == [receipt["id"]]
    assert page["entries"][0]["post"]["draft"]["body"] == "hello"
    found = shell.json("explain", "1", f"2/{receipt['id']}")
    assert found["verdict"]["shown"]
    assert found["verdict"]["expected"]
    assert found["facts"]["edge"]["live"]
    without_author = shell.json("explain", "1", str(receipt["id"]))
    assert without_author["facts"]["author"] == 2


def test_explain_follows_an_entry_through_its_life(shell):
    def verdict(post: int) -> tuple[bool, str]:
        found = shell.json("explain", "11", f"12/{post}")["verdict"]
        assert found["shown"] == found["expected"], found
        return found["shown"], found["because"]

    post = shell.json("publish", "12", "before the follow")
    shell.json("page", "12", "--at-least", post["token"])
    assert verdict(post["id"]) == (False, "the reader has never followed user 12")
    (receipt,) = shell.json("follow", "11", "12")
    shell.json("page", "11", "--at-least", receipt["token"])
    assert verdict(post["id"])[1].startswith("the post was backfilled")
    (receipt,) = shell.json("unfollow", "11", "12")
    shell.json("page", "11", "--at-least", receipt["token"])
    assert verdict(post["id"]) == (False, "the reader unfollowed user 12")


def test_likes_marks_and_unread_go_through(shell):
    (receipt,) = shell.json("follow", "21", "22")
    post = shell.json("publish", "22", "to be liked")
    shell.json("page", "21", "--at-least", post["token"], "--at-least", receipt["token"])
    assert shell.json("unread", "21") == {"count": 1, "capped": False}
    mark = shell.json("mark-read", "21")
    shell.json("page", "21", "--at-least", mark["token"])
    assert shell.json("unread", "21") == {"count": 0, "capped": False}
    like = shell.json("like", "21", f"22/{post['id']}")
    notices = shell.json("page", "22", "--lane", "notices", "--at-least", like["token"])
    assert {entry["kind"] for entry in notices["entries"]} == {"like", "follow"}
    assert shell.json("author-posts", "22")["entries"][0]["id"] == post["id"]


def test_loading_the_sample_twice_brings_it_once(shell):
    files = sample()
    words = ("load", *map(str, files.edges), "--activity", str(files.activity), "--limit", "1200")
    first = shell.json(*words)
    assert (first["follows"], first["posts"], first["earlier"]) == (8626, 1200, 0)
    second = shell.json(*words)
    assert (second["follows"], second["posts"]) == (0, 0)


def test_status_tells_both_cells_and_that_all_is_applied(shell):
    def caught_up() -> bool:
        cells = shell.json("status")["status"]["cells"]
        ends = [each["low"] == each["end"] for cell in cells for each in cell["positions"]]
        return {cell["name"] for cell in cells} == {"a", "b"} and all(ends)

    until("both cells have applied all", caught_up, 60)


def test_a_reader_of_another_cell_is_pointed_there(shell):
    homes = {"a", "b"}
    answers = {cell: shell.run("page", "1", "--cell", cell) for cell in homes}
    codes = sorted(answer.returncode for answer in answers.values())
    assert codes == [0, 4], answers
    assert shell.run("page", "1", "--cell", "zz").returncode == 3


def test_flags_and_dead_letters_answer(shell):
    shell.done("flags", "set", "some-flag", "17")
    assert shell.json("flags", "list") == {"some-flag": 17}
    assert shell.json("dead-letters", "list", "a") == []
    assert shell.run("dead-letters", "retry", "a", "0-1", "--execute").returncode == 3


def test_a_second_up_on_the_folder_is_refused_and_leaves_the_log_of_the_first_alone(shell):
    log = shell.folder / "run" / "up.log"
    for words in (("up",), ("up", "--detach")):
        ended = shell.run(*words)
        assert ended.returncode == 4, ended
        assert "cellctl down" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "already run" not in log.read_text()


def test_doctor_finds_the_platform_ready(shell):
    found = {each["name"]: each["state"] for each in shell.json("doctor")}
    assert found["platform"] == "ok"


def test_the_readmes_client_runs(shell):
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    host, port = router_of(shell).split(":")
    code, count = re.subn(r'"127.0.0.1", 4000', f'"{host}", {port}', code)
    assert count == 1
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2 hello" in done.stdout


def test_what_was_acknowledged_is_there_after_down_and_up(tmp_path):
    shell = Shell(tmp_path / "site")
    shell.done("up", "--detach")
    shell.done("follow", "1", "2")
    receipt = shell.json("publish", "2", "lasting")
    assert shell.run("down").stdout.startswith("stopped")
    assert shell.run("page", "1").returncode == 6
    shell.done("up", "--detach")
    page = shell.json("page", "1", "--at-least", receipt["token"])
    assert [entry["id"] for entry in page["entries"]] == [receipt["id"]]
    shell.done("down")
    assert "nothing was running" in shell.done("down")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_in_the_foreground_ends_cleanly_on_a_signal(tmp_path, number):
    shell = Shell(tmp_path / "site")
    # A shell has what it starts in the background ignore SIGINT, and children inherit that.
    ours = signal.signal(number, signal.default_int_handler)
    running = shell.start("up", "--json")
    signal.signal(number, ours)
    assert running.stdout is not None
    try:
        ready = json.loads(running.stdout.readline())
        assert ready["cells"][0]["name"] == "a"
        running.send_signal(number)
        with running.stdout:
            assert running.wait(30) == 0
    finally:
        running.kill()
    assert shell.run("page", "1").returncode == 6


def test_a_platform_that_cannot_start_says_why(tmp_path):
    shell = Shell(tmp_path / "site")
    shell.folder.mkdir()
    (shell.folder / "dashcell.toml").write_text("[platform]\ncells = 0\n")
    for words in (("up",), ("up", "--detach")):
        ended = shell.run(*words)
        assert ended.returncode == 2
        assert "platform.cells" in ended.stderr
