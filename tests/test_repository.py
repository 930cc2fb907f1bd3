"""What stands around the package agrees with it: workflows, templates, hooks, the citation."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import gpulr

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
ROOT = Path(__file__).parents[1]
NOXFILE = ROOT / "noxfile.py"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [
    *WORKFLOWS,
    *(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"),
    *ROOT.glob(".pre-commit-config.yaml"),
    *ROOT.glob("CITATION.cff"),
]
MADE = ("dist", "docs/_build/html")  # by the sessions


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def sessions() -> set[str]:
    """Return the names of nox's sessions; of one with parameters also without them."""
    found = set()
    for node in ast.parse(NOXFILE.read_text(encoding="utf-8")).body:
        for decorator in getattr(node, "decorator_list", []):
            words = ast.unparse(decorator)
            if words.startswith("nox.session"):
                name = re.search(r"name='([^']+)'", words)
                found.add(name[1] if name else node.name)
    return found


def named_sessions(text: str) -> set[str]:
    """Return the sessions that a text runs, without their parameters."""
    names = re.findall(r'nox(?: --[\w=-]+)* -s "?([\w]+(?:\(cupy\))?)', text)
    return set(names)


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_yaml_is_read(path):
    assert isinstance(read(path), dict)


@pytest.mark.skipif(not WORKFLOWS, reason="workflows are not beside the tests")
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_what_is_there(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    commands = "\n".join(step["run"] for step in steps(workflow) if "run" in step)
    assert named_sessions(commands) <= sessions()
    paths = re.findall(r"(?<![\w/$])(\.?[\w-]+(?:/[\w.-]+)+)", commands)
    assert [name for name in paths if not (ROOT / name).exists()] == []
    kept = {step["with"]["path"] for step in steps(workflow) if "path" in step.get("with", {})}
    assert kept <= set(MADE)


@pytest.mark.skipif(not NOXFILE.exists(), reason="noxfile.py is not beside the tests")
@pytest.mark.parametrize("page", [NOXFILE, *PAGES], ids=lambda path: path.name)
def test_pages_name_sessions_that_are_there(page):
    assert named_sessions(page.read_text(encoding="utf-8")) <= sessions()


@pytest.mark.skipif(not WORKFLOWS, reason="workflows are not beside the tests")
def test_every_python_that_is_promised_is_tested():
    prefix = "Programming Language :: Python :: "
    promised = [line.removeprefix(prefix) for line in project()["classifiers"] if prefix in line]
    tested = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["python"]["strategy"]["matrix"]
    assert tested["python"] == promised
    assert project()["requires-python"] == f">={promised[0]}"


@pytest.mark.skipif(not WORKFLOWS, reason=".pre-commit-config.yaml is not beside the tests")
def test_hooks_have_the_versions_of_the_linter():
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    pinned = {name for hook in local["hooks"] for name in hook["additional_dependencies"]}
    noxfile = NOXFILE.read_text(encoding="utf-8")
    assert [name for name in pinned if f'"{name}"' not in noxfile] == []


@pytest.mark.skipif(not (ROOT / "CITATION.cff").exists(), reason="no CITATION.cff")
def test_the_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == gpulr.__version__
    assert citation["license"] == project()["license"]
