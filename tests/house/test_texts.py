"""What is written in files: no leftovers, no machine's own paths, links that lead somewhere."""

import re
import tomllib

from ops.cellctl.main import COMMANDS
from tests.house.sources import ROOT, documents, named, texts

MARKS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
LEFTOVER = re.compile(rf"\b(?:{'|'.join(MARKS)})\b")
MACHINE = re.compile(r"(?<![\w.}$])/(?:work|root|tmp|home/\w+|Users/\w+)(?=/[\w.]|[\"'\s`]|$)")
HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|repo1?\.maven\.|docker\.io/)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in texts()
        if path.resolve() != (ROOT / "tests/house/test_texts.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_to_be_done_in_a_comment():
    assert not (found := lines_with(LEFTOVER)), f"do it, or write an issue: {found}"


def test_no_path_of_somebodys_machine_is_written_down():
    assert not (found := lines_with(MACHINE)), (
        f"use a setting, a temporary folder, or a path relative to the repository: {found}"
    )


def test_no_package_index_is_named():
    assert not (found := lines_with(HOST)), f"leave the choice of a mirror to its user: {found}"


def test_the_patterns_find_what_they_are_for():
    assert LEFTOVER.search("# TO" + "DO: later")
    assert MACHINE.search("open('/" + "tmp/x')")
    assert MACHINE.search("cd /" + "work/main")
    assert not MACHINE.search("docs/" + "work/main")
    assert HOST.search("https://pypi" + ".org/simple")


def test_links_of_documents_lead_somewhere():
    dead = []
    for document in documents():
        for target in LINK.findall(FENCE.sub("", document.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            place, _, anchor = target.partition("#")
            path = (document.parent / place).resolve() if place else document
            if not path.exists():
                dead.append(f"{named(document)}: {target}")
            elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text()):
                dead.append(f"{named(document)}: {target} (no such heading)")
    assert not dead, f"correct the link or write the page: {dead}"


def anchors(text: str) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_commands_in_documents_are_in_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = []
    for document in documents():
        for block in re.findall(r"`[^`\n]*\bmake [a-z][^`\n]*`|^ *(?:[A-Z_]+=\S+ )*make .*$",
                                document.read_text(), re.MULTILINE):
            found = re.search(r"\bmake ([a-z][a-z-]*)", block)
            if found and found[1] not in targets:
                unknown.append(f"{named(document)}: {block.strip()}")
    assert not unknown, f"add the target to the Makefile or correct the page: {unknown}"


def test_the_readme_names_the_newcomers_two_commands():
    readme = (ROOT / "README.md").read_text()
    for command in ("make demo", "make test"):
        assert command in readme, f"README.md must tell of {command!r}"


def test_the_readme_tells_how_long_the_demo_runs():
    (seconds,) = re.findall(
        r"^DEMO_SECONDS \?= (\d+)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"The demo runs for {seconds} s and ends by itself" in readme
    assert re.search(r"`DEMO_SECONDS=\d+ make demo` is shorter", readme)


def test_the_readme_tells_where_its_clients_port_comes_from():
    readme = " ".join((ROOT / "README.md").read_text().split())
    (port,) = re.findall(r'"127\.0\.0\.1", (\d+)', readme)
    assert "`cellctl status` prints the router's address" in readme
    assert f"With `router = {port}` under `[listen]`" in readme


def test_the_readmes_stack_has_a_folder_of_its_own_that_git_passes_over():
    readme, ignored = (ROOT / "README.md").read_text(), (ROOT / ".gitignore").read_text().split()
    stacks = re.findall(r"cellctl up .*--profile stack.*", readme)
    assert stacks, "README.md must tell how to start the real servers"
    for line in stacks:
        folder = re.search(r"--data ([\w-]+)", line)
        assert folder, f"the platform of First steps has the folder already, write --data: {line}"
        assert f"/{folder[1]}/" in ignored, f"add /{folder[1]}/ to .gitignore"
        assert f"DASHCELL_DATA={folder[1]}" in readme, "say how later commands find it"


def test_make_lists_every_target_that_people_call():
    makefile = (ROOT / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    wanted = {"setup", "demo", "test", "check", "higgs", "sim", "docs", "clean", "help"}
    assert wanted <= described, f"describe with '## ...' behind the target: {wanted - described}"


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.match(r"[a-z0-9-]+", each)[0] for each in wanted}
    reasons = (ROOT / "CONTRIBUTING.md").read_text().partition("## Dependencies")[2]
    words = set(re.findall(r"[a-z0-9-]+", reasons)) | {"types-cachetools"}
    assert names <= words, f"say in CONTRIBUTING.md why these are there: {names - words}"


def test_example_units_run_what_there_is():
    units = sorted((ROOT / "docs" / "systemd").glob("*.service"))
    assert units, "docs/systemd holds the examples"
    for unit in units:
        if "/python -m " in unit.read_text():
            continue  # tests/unit/test_systemd_units.py knows what it starts
        command = re.search(r"^ExecStart=.*cellctl ([a-z-]+)", unit.read_text(), re.MULTILINE)
        assert command, f"{named(unit)} starts no cellctl"
        assert command[1] in COMMANDS, f"{named(unit)}: cellctl has no {command[1]}"
