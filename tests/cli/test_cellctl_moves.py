"""Moves by cellctl, at an embedded platform of two cells in a process of its own."""

import json
import signal
import threading

import pytest

from idgen.ids import spread
from tests.cli.shell import Shell
from tests.contract.patience import until

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


def home(shell: Shell, reader: int) -> str:
    return shell.json("page", str(reader))["cell"]


def other(cell: str) -> str:
    return "ab".replace(cell, "")


def refused(shell: Shell, code: int, *words: str) -> str:
    ended = shell.run(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stderr


def test_a_reader_moves_and_is_taken_back(shell: Shell) -> None:
    shell.done("follow", "5", "88")
    post = shell.json("publish", "88", "hello")
    shell.json("page", "5", "--at-least", post["token"])
    here = home(shell, 5)
    plan = shell.json("rehome-user", "5", "--to", other(here))[0]
    assert (plan["from"], plan["to"], plan["blockers"]) == (here, other(here), [])
    assert plan["rows"] == 2  # an entry and an edge
    assert shell.json("list-moves") == []

    (move,) = shell.json("rehome-user", "5", "--to", other(here), "--execute", "--wait")
    assert (move["state"], move["finished"]) == ("switched", False)
    page = shell.json("page", "5", "--at-least", post["token"])
    assert page["cell"] == other(here)
    assert [each["id"] for each in page["entries"]] == [post["id"]]
    assert shell.json("explain", "5", f"88/{post['id']}")["verdict"]["shown"]
    number = str(move["move"])
    assert move["next_steps"] == [
        f"cellctl reverse-move {number} --execute",
        f"cellctl complete-move {number} --execute",
    ]

    shell.done("reverse-move", number)
    assert home(shell, 5) == other(here)  # that was the plan only
    shell.done("reverse-move", number, "--execute")
    until("its cell knows of that", lambda: home(shell, 5) == here, PATIENCE_S)
    assert shell.json("explain", "5", f"88/{post['id']}")["verdict"]["shown"]
    until("it is over", lambda: shell.json("show-move", number)["finished"], PATIENCE_S)
    states = [each["state"] for each in shell.json("show-move", number)["history"]]
    assert states == ["created", "copying", "arriving", "verified", "switched", "reversed"]
    assert f"[reversed] move {number} is reversed" in refused(
        shell, 5, "complete-move", number, "--execute"
    )


def test_a_slice_stops_before_its_switch(shell: Shell) -> None:
    place = spread(5)
    here, start = home(shell, 5), place >> 48 << 48
    words = f"{start:016x}-{start + (1 << 48) - 1:016x}"
    (move,) = shell.json(
        "rehome-slice", words, "--to", other(here), "--execute", "--wait", "--stop-before-switch"
    )
    number = str(move["move"])
    assert move["state"] == "verified"
    assert "waits for somebody to switch it" in shell.done("show-move", number)
    assert home(shell, 5) == here
    blocked = shell.json("list-moves")
    assert [each["move"] for each in blocked] == [move["move"]]
    assert "[already_moving]" in refused(shell, 5, "rehome-user", "5", "--to", other(here))
    shell.done("verify-move", number, "--execute")
    verified = lambda: shell.json("show-move", number)["state"] == "verified"  # noqa: E731
    until("it is verified again", verified, PATIENCE_S)
    shell.done("switch-move", number, "--execute")
    until("it switches", lambda: home(shell, 5) == other(here), PATIENCE_S)
    found = shell.json("list-slices", "--cell", other(here))
    assert f"{start:016x}" in [each["start"] for each in found]
    shell.done("complete-move", number, "--execute")
    until("it is over", lambda: shell.json("show-move", number)["finished"], PATIENCE_S)


def test_who_stops_watching_does_not_stop_the_move(shell: Shell) -> None:
    here = home(shell, 7)
    target = other(here)
    watching = shell.start("rehome-user", "7", "--to", target, "--execute", "--wait", "--keep", "0")
    begun = lambda: [m for m in shell.json("list-moves", "--all") if m["reader"] == 7]  # noqa: E731
    until("it has begun", begun, PATIENCE_S)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE_S) in (0, 7)  # it may have been quicker
    until("it goes on", lambda: begun()[0]["state"] == "completed", PATIENCE_S)
    assert home(shell, 7) == target


def test_a_cancelled_move_leaves_the_reader_where_it_was(shell: Shell) -> None:
    here = home(shell, 9)
    (move,) = shell.json(
        "rehome-user", "9", "--to", other(here), "--execute", "--wait", "--stop-before-switch"
    )
    number = str(move["move"])
    shell.done("cancel-move", number, "--execute")
    until("it is over", lambda: shell.json("show-move", number)["finished"], PATIENCE_S)
    assert home(shell, 9) == here
    (again,) = shell.json("rehome-user", "9", "--to", other(here), "--execute", "--wait")
    assert again["epoch"] == move["epoch"] + 1
    assert home(shell, 9) == other(here)


def test_several_moves_are_cancelled_together_or_not_at_all(shell: Shell) -> None:
    numbers = []
    for reader in ("15", "17"):
        asked = ("rehome-user", reader, "--to", other(home(shell, int(reader))), "--execute")
        (move,) = shell.json(*asked, "--wait", "--stop-before-switch")
        numbers.append(str(move["move"]))
    assert "no move 999" in refused(shell, 3, "cancel-move", *numbers, "999", "--execute")
    assert {shell.json("show-move", number)["state"] for number in numbers} == {"verified"}
    plans = shell.json("cancel-move", *numbers)
    assert [str(plan["move"]) for plan in plans] == numbers
    done = shell.json("cancel-move", *numbers, numbers[0], "--execute")
    assert [each["state"] for each in done] == ["cancelled", "cancelled"]
    over = lambda: all(shell.json("show-move", n)["finished"] for n in numbers)  # noqa: E731
    until("they are over", over, PATIENCE_S)


def test_a_cordoned_cell_takes_nobody_in(shell: Shell) -> None:
    here = home(shell, 13)
    target = other(here)
    shell.done("cordon-cell", target)
    assert not shell.json("describe-cell", target)["cordoned"]  # that was the plan only
    shell.done("cordon-cell", target, "--execute")
    assert "[cordoned]" in refused(shell, 5, "rehome-user", "13", "--to", target, "--execute")
    found = {each["cell"]: each for each in shell.json("list-cells")}
    assert found[target]["cordoned"]
    assert sum(each["share"] for each in found.values()) == pytest.approx(1.0)
    shell.done("cordon-cell", target, "--undo", "--execute")
    assert shell.json("rehome-user", "13", "--to", target)[0]["blockers"] == []


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (3, ("rehome-user", "5", "--to", "zz"), "no cell 'zz'"),
        (3, ("describe-cell", "zz"), "no cell 'zz'"),
        (3, ("cordon-cell", "zz", "--execute"), "no cell 'zz'"),
        (3, ("show-move", "999"), "no move 999"),
        (3, ("cancel-move", "999", "--execute"), "no move 999"),
        (2, ("rehome-user", "5", "--to", "a", "--keep", "soon"), "write it as"),
        (2, ("rehome-user", "5", "--to", "a", "--keep", "8d"), "more than 7d"),
        (2, ("rehome-slice", "5", "--to", "a"), "START-LAST"),
        (2, ("rehome-slice", "ff-01", "--to", "a"), "START-LAST"),
        (2, ("rehome-user", "0", "--to", "a"), "0"),
    ],
)
def test_what_cannot_be_is_told_with_a_remedy(
    shell: Shell, code: int, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(shell, code, *words)


def test_who_is_home_already_is_told_so_in_json_too(shell: Shell) -> None:
    here = home(shell, 11)
    ended = shell.run("rehome-user", "11", "--to", here, "--json")
    assert ended.returncode == 5
    (plan,) = json.loads(ended.stdout)
    assert [blocker["reason"] for blocker in plan["blockers"]] == ["already_home"]


def test_a_drained_cell_is_empty_and_can_be_taken_back(shell: Shell) -> None:
    for kept in shell.json("list-moves"):  # what is on its way already is no part of the plan
        if kept["state"] == "switched":
            shell.done("complete-move", str(kept["move"]), "--execute")
    until("no move is under way", lambda: shell.json("list-moves") == [], PATIENCE_S)
    shell.done("follow", "5", "88")
    post = shell.json("publish", "88", "before the cell is drained")
    here = home(shell, 5)
    assert "[active]" in refused(shell, 5, "retire-cell", here, "--execute")
    plan = shell.json("drain-cell", here)
    assert {each["to"] for each in plan} == {other(here)}
    assert shell.json("describe-cell", here)["state"] == "active"  # that was the plan only
    begun = shell.json("drain-cell", here, "--execute")
    assert len(begun) == len(plan)
    assert "[not_empty]" in refused(shell, 5, "retire-cell", here, "--execute")
    assert shell.json("drain-cell", here, "--execute", "--wait") == []  # all is on its way
    pause = threading.Event()
    while shell.json("describe-cell", here)["slices"]:  # until pytest's own time is over
        pause.wait(1)
    page = shell.json("page", "5", "--at-least", post["token"])
    assert page["cell"] == other(here)
    assert post["id"] in [each["id"] for each in page["entries"]]
    assert "[not_active]" in refused(shell, 5, "rehome-user", "5", "--to", here)

    until("all is swept", lambda: shell.json("list-moves") == [], PATIENCE_S)
    nothing = shell.run("drain-cell", here, "--execute", "--wait")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (
        0,
        "nothing is to be moved\n",
        "",
    )

    shell.done("activate-cell", here, "--execute")
    assert shell.json("describe-cell", here)["state"] == "active"
    back = shell.json("rebalance", "--most", "2")
    assert [each["to"] for each in back] == [here] * len(back)


def test_who_has_just_come_is_told_as_left_out_of_a_drain(shell: Shell) -> None:
    until("no move is under way", lambda: shell.json("list-moves") == [], PATIENCE_S)
    here = home(shell, 21)
    target = other(here)
    (move,) = shell.json("rehome-user", "21", "--to", target, "--execute", "--wait")
    number = str(move["move"])
    told = shell.run("drain-cell", target).stderr
    assert f"left out is reader 21, which move {number} carries (switched)" in told
    assert f"`cellctl complete-move {number} --execute`, and drain again" in told
    told = shell.run("drain-cell", here).stderr
    assert f"`cellctl complete-move {number} --execute`\n" in told
    shell.done("complete-move", number, "--execute")
    until("it is over", lambda: shell.json("show-move", number)["finished"], PATIENCE_S)
