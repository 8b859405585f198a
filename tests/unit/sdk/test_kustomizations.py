"""Folders with a kustomization.yaml: each row has files, whether kustomize agrees, and what the user sees.

If kubectl is installed, the same rows go through `kubectl kustomize`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mintaka import cli
from mintaka.cli import kustomizations
from mintaka.cli.manifest_files import Manifests
from mintaka.cli.parsing import BadArgument
from mintaka_core.errors import MintakaError

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
RUN = "apiVersion: mintaka.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: y, namespace: other}\n"
LIST = """
apiVersion: v1
kind: %s
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
- {apiVersion: mintaka.dev/v1alpha1, kind: FlowRun, metadata: {name: y1, namespace: other}, spec: {deployment: d}}
"""
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n"
STABLE = "generatorOptions: {disableNameSuffixHash: true}\n"
#: `->` before a file's content: it is a symbolic link to that.
TO = "->"

type Files = dict[str, str | bytes]
#: Whether kustomize does the same; else why it does not.
SAME = "as kustomize"


def generated(fields: str, options: str = STABLE) -> str:
    """A kustomization with one generator."""
    return f"{options}configMapGenerator:\n- name: a\n  {fields}\n"


def files(entry: str, **more: str | bytes) -> Files:
    """A kustomization in k that makes a ConfigMap of a file."""
    return {"k/kustomization.yaml": generated(f"files: [{json.dumps(entry)}]"), **more}


def literals(*entries: Any) -> Files:
    """A kustomization that makes a ConfigMap of literals."""
    return {"k/kustomization.yaml": generated(f"literals: {json.dumps(entries)}")}


def options(value: str, own: str = "literals: [b=c]") -> Files:
    """A kustomization with generatorOptions."""
    return {"k/kustomization.yaml": generated(own, f"generatorOptions: {value}\n")}


def resource(content: str, more: str = "") -> Files:
    """A kustomization with a file of resources."""
    return {"k/kustomization.yaml": f"{more}resources: [r.yaml]\n", "k/r.yaml": content}


def made(data: dict[str, str] | None = None, **metadata: Any) -> list[Any]:
    """The ConfigMap that is generated."""
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}} | ({"data": data} if data else {})]


def read(**metadata: str) -> list[Any]:
    """The ConfigMap that is a resource."""
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", **metadata}}]


def listed(namespace: str) -> list[Any]:
    """The objects of LIST."""
    run = {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "y1", "namespace": namespace}}
    return [*read(namespace=namespace), {**run, "spec": {"deployment": "d"}}]


OUTSIDE = (
    "is not in the folder of the kustomization: move it to k or below, or use kubectl kustomize --load-restrictor LoadRestrictionsNone k | "
)
BEGINS = "k/kustomization.yaml: "
FROM_A = f"{BEGINS}configMapGenerator a: files: "

#: Kind of input: its files, whether kustomize does the same, what the user sees: the documents, or a message.
ROWS: dict[str, tuple[Files, str, list[Any] | str]] = {
    # -- what a kustomization may read
    "a file of the folder": (files("f", **{"k/f": "text"}), SAME, made({"f": "text"})),
    "a file of a folder below": (files("d/f", **{"k/d/f": "text"}), SAME, made({"f": "text"})),
    "a file under another key": (files("n=d/f", **{"k/d/f": "text"}), SAME, made({"n": "text"})),
    "a way out and back": (files("../k/f", **{"k/f": "text"}), SAME, made({"f": "text"})),
    "the absolute path of a file of the folder": (files("@@/k/f", **{"k/f": "text"}), SAME, made({"f": "text"})),
    "a symbolic link within the folder": (files("f", **{"k/g": "text", "k/f": TO + "g"}), SAME, made({"f": "text"})),
    "a folder that is a symbolic link itself": (
        {"o/kustomization.yaml": generated("files: [f]"), "o/f": "text", "k": TO + "o"},
        SAME,
        made({"f": "text"}),
    ),
    "a file that is not text": (
        files("f", **{"k/f": b"\xff"}),
        SAME,
        [{**made()[0], "binaryData": {"f": "/w=="}}],
    ),
    "a file of the folder above": (files("../outer", outer="s"), SAME, f"{FROM_A}../outer {OUTSIDE}"),
    "a file of the folder above, under a key": (files("n=../outer", outer="s"), SAME, f"{FROM_A}../outer {OUTSIDE}"),
    "a file of a folder whose name begins like this one's": (files("../kk/f", **{"kk/f": "s"}), SAME, f"{FROM_A}../kk/f {OUTSIDE}"),
    "the absolute path of a file elsewhere": (files("@@/outer", outer="s"), SAME, f"{FROM_A}@@/outer {OUTSIDE}"),
    "a symbolic link out of the folder": (
        files("f", **{"outer": "s", "k/f": TO + "../outer"}),
        SAME,
        f"{FROM_A}f, a symbolic link to @@/outer, {OUTSIDE}",
    ),
    "a file below a symbolic link out of the folder": (
        files("d/f", **{"o/f": "s", "k/d": TO + "../o"}),
        SAME,
        f"{FROM_A}d/f, a symbolic link to @@/o/f, {OUTSIDE}",
    ),
    "a symbolic link to itself": (files("f", **{"k/f": TO + "f"}), SAME, f"{FROM_A}f cannot be read: Too many levels of symbolic links"),
    "a file that is missing": (files("f"), SAME, f"{FROM_A}f cannot be read: No such file or directory"),
    "a folder in place of a file": (files("d", **{"k/d/f": "text"}), SAME, f"{FROM_A}d is not a file"),
    "resources of the folder above": (
        {"k/kustomization.yaml": "resources: [../r.yaml]", "r.yaml": CONFIG_MAP},
        SAME,
        f"{BEGINS}resources: ../r.yaml {OUTSIDE}",
    ),
    "resources that are a symbolic link out of the folder": (
        {"k/kustomization.yaml": "resources: [r.yaml]", "r.yaml": CONFIG_MAP, "k/r.yaml": TO + "../r.yaml"},
        SAME,
        f"{BEGINS}resources: r.yaml, a symbolic link to @@/r.yaml, {OUTSIDE}",
    ),
    "resources that are missing": (
        {"k/kustomization.yaml": "resources: [r.yaml]"},
        SAME,
        f"{BEGINS}resources: r.yaml cannot be read: No such file or directory",
    ),
    "a kustomization that is a symbolic link out of its folder": (
        {"o/kustomization.yaml": "resources: [r.yaml]", "k/r.yaml": CONFIG_MAP, "k/kustomization.yaml": TO + "../o/kustomization.yaml"},
        SAME,
        f"{BEGINS}kustomization.yaml, a symbolic link to @@/o/kustomization.yaml, {OUTSIDE}",
    ),
    "a base in another folder": (
        {"k/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [r.yaml]", "b/r.yaml": CONFIG_MAP},
        SAME,
        read(),
    ),
    "a base through a symbolic link": (
        {"k/kustomization.yaml": "resources: [b]", "o/kustomization.yaml": "resources: [r.yaml]", "o/r.yaml": CONFIG_MAP, "k/b": TO + "../o"},
        SAME,
        read(),
    ),
    "a base that reads a file of the folder above it": (
        {"k/kustomization.yaml": "resources: [b]", "k/b/kustomization.yaml": "resources: [../r.yaml]", "k/r.yaml": CONFIG_MAP},
        SAME,
        "k/b/kustomization.yaml: resources: ../r.yaml is not in the folder of the kustomization: move it to k/b or below, or use",
    ),
    "a base at an absolute path": (
        {"k/kustomization.yaml": "resources: ['@@/b']", "b/kustomization.yaml": "resources: [r.yaml]", "b/r.yaml": CONFIG_MAP},
        SAME,
        f"{BEGINS}resources: the folder @@/b is an absolute path: write it relative to k",
    ),
    "a base without a kustomization": (
        {"k/kustomization.yaml": "resources: [b]", "k/b/r.yaml": CONFIG_MAP},
        SAME,
        f"{BEGINS}resources: the folder b has no kustomization.yaml: add one, or list its files",
    ),
    "a base that is the folder itself": (
        {"k/kustomization.yaml": "resources: [../k]"},
        SAME,
        "k/../k/kustomization.yaml: this kustomization is a base of @@/k, which is in its own folder: remove one of the references",
    ),
    "a base whose base is the folder above": (
        {"k/kustomization.yaml": "resources: [b]", "k/b/kustomization.yaml": "resources: [..]"},
        SAME,
        "k/b/../kustomization.yaml: this kustomization is a base of @@/k, which is in its own folder",
    ),
    # -- options of generators
    "options of one generator": (
        {"k/kustomization.yaml": generated("options: {disableNameSuffixHash: true}", "")},
        SAME,
        made(),
    ),
    "labels of all and of one": (
        options(
            "{disableNameSuffixHash: true, labels: {l: '1', m: '1'}, annotations: {o: '1'}}",
            "options: {labels: {m: '2'}, disableNameSuffixHash: false}",
        ),
        SAME,
        made(labels={"l": "1", "m": "2"}, annotations={"o": "1"}),
    ),
    "null options": (options("{disableNameSuffixHash: true, labels: }", "options:"), SAME, made()),
    "options that are text": (options("all"), SAME, f"{BEGINS}generatorOptions must be a mapping, not 'all'"),
    "options that are a list": (options("[a]"), SAME, f"{BEGINS}generatorOptions must be a mapping, not ['a']"),
    "options that are a number": (options("3"), SAME, f"{BEGINS}generatorOptions must be a mapping, not 3"),
    "options of one generator that are a list": (
        {"k/kustomization.yaml": generated("options: [a]")},
        SAME,
        f"{BEGINS}configMapGenerator a: options must be a mapping, not ['a']",
    ),
    "labels that are a list": (options("{labels: [a]}"), SAME, f"{BEGINS}generatorOptions: labels must be a mapping, not ['a']"),
    "a label that is a number": (
        options("{labels: {a: 1}}"),
        SAME,
        f"{BEGINS}generatorOptions: labels: a must be text, not 1: put it in quotes",
    ),
    "a switch that is text": (
        options("{disableNameSuffixHash: 'no'}"),
        SAME,
        f"{BEGINS}generatorOptions: disableNameSuffixHash must be true or false",
    ),
    "a name with a hash": (
        {"k/kustomization.yaml": generated("literals: [b=c]", "")},
        "kustomize makes the hash",
        f"{BEGINS}configMapGenerator a: names with a hash are not understood here; set generatorOptions.disableNameSuffixHash: true, or",
    ),
    "a generator that is text": (
        {"k/kustomization.yaml": "configMapGenerator: [a]"},
        SAME,
        f"{BEGINS}configMapGenerator: each entry must be a mapping with a name",
    ),
    # -- literals
    "a literal": (literals("k=v=w"), SAME, made({"k": "v=w"})),
    "a literal in double quotes": (literals('k="value"'), SAME, made({"k": "value"})),
    "a literal in single quotes": (literals("k='value'"), SAME, made({"k": "value"})),
    "a literal in two pairs of quotes": (literals("k=\"'value'\""), SAME, made({"k": "'value'"})),
    "a literal with a quote at its beginning": (literals('k="value'), SAME, made({"k": '"value'})),
    "a literal that is one quote": (literals('k="'), SAME, made({"k": '"'})),
    "a literal with quotes of two sorts": (literals("k=\"value'"), SAME, made({"k": "\"value'"})),
    "a literal in quotes with escaped ones": (literals('k="a\\"b"'), SAME, made({"k": 'a\\"b'})),
    "a literal of spaces": (literals("k= v "), SAME, made({"k": " v "})),
    "empty quotes": (literals('k=""'), SAME, made({"k": ""})),
    "a literal without a key": (literals("=v"), SAME, f"{BEGINS}configMapGenerator a: literals: '=v' is not KEY=VALUE"),
    "a literal without an equals sign": (literals("k"), SAME, f"{BEGINS}configMapGenerator a: literals: 'k' is not KEY=VALUE"),
    "a literal that is a number": (literals(3), SAME, f"{BEGINS}configMapGenerator a: literals must be a list of texts, and 3 is not text"),
    "literals that are text": (
        {"k/kustomization.yaml": generated("literals: b=c")},
        SAME,
        f"{BEGINS}configMapGenerator a: literals must be a list",
    ),
    "a key given twice": (literals("k=v", "k=w"), SAME, f"{BEGINS}configMapGenerator a: key k is given twice: remove one"),
    "a file without a key": (files("=f"), SAME, f"{FROM_A}'=f' is not FILE or KEY=FILE"),
    "a key without a file": (files("f="), SAME, f"{FROM_A}'f=' is not FILE or KEY=FILE"),
    "a file with two equals signs": (files("a=b=f"), SAME, f"{FROM_A}'a=b=f' is not FILE or KEY=FILE, with no other equals sign"),
    # -- resources
    "resources in a namespace": (resource(CONFIG_MAP, "namespace: team\n"), SAME, read(namespace="team")),
    "a generator in a namespace": (
        {"k/kustomization.yaml": "namespace: team\n" + generated("namespace: own")},
        SAME,
        made(namespace="team"),
    ),
    "a List in a namespace": (resource(LIST % "List", "namespace: team\n"), SAME, listed("team")),
    "a List of one kind in a namespace": (resource(LIST % "FlowRunList", "namespace: team\n"), SAME, listed("team")),
    "a List of a base in a namespace": (
        {"k/kustomization.yaml": "namespace: team\nresources: [b]", "k/b/kustomization.yaml": "resources: [r.yaml]", "k/b/r.yaml": LIST % "List"},
        SAME,
        listed("team"),
    ),
    "a List in a List": (
        resource(f"apiVersion: v1\nkind: List\nitems:\n- {json.dumps(yaml.safe_load(LIST % 'List'))}", "namespace: team\n"),
        SAME,
        listed("team"),
    ),
    "a List without items": (resource("apiVersion: v1\nkind: List\nitems:\n"), SAME, []),
    "a kind that ends in List and has no items": (
        resource("apiVersion: e/v1\nkind: AllowList\nmetadata: {name: x}\n", "namespace: team\n"),
        SAME,
        [{"apiVersion": "e/v1", "kind": "AllowList", "metadata": {"name": "x", "namespace": "team"}}],
    ),
    "a List whose items are a mapping": (
        resource("apiVersion: v1\nkind: List\nitems: {a: b}\n"),
        SAME,
        "k/r.yaml: items must be a list",
    ),
    "a List of texts": (
        resource("apiVersion: v1\nkind: List\nitems: [a]\n"),
        SAME,
        "k/r.yaml: each document must be an object with kind and metadata.name, not 'a'",
    ),
    "a List of itself": (
        resource("&a\napiVersion: v1\nkind: List\nitems: [*a]\n"),
        "kustomize overflows its stack",
        "k/r.yaml: lists are nested more than 8 deep",
    ),
    "resources that are a list": (
        resource("[a]"),
        SAME,
        "k/r.yaml: each document must be an object with kind and metadata.name, not ['a']",
    ),
    "resources that are a list of objects": (
        resource("- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}\n", "namespace: team\n"),
        SAME,
        "k/r.yaml: each document must be an object with kind and metadata.name, not [{",
    ),
    "resources that are text": (resource("a"), SAME, "k/r.yaml: each document must be an object with kind and metadata.name, not 'a'"),
    "resources that are empty": (resource(f"---\n---\n{CONFIG_MAP}---\n"), SAME, read()),
    "metadata that is a list": (
        resource("apiVersion: v1\nkind: ConfigMap\nmetadata: [a]\n", "namespace: team\n"),
        SAME,
        "k/r.yaml: the ConfigMap needs a metadata.name, which must be text",
    ),
    "an object without a kind": (resource("metadata: {name: x}\n"), SAME, "k/r.yaml: an object has no kind"),
    "a name that the server generates": (
        resource("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n"),
        SAME,
        "k/r.yaml: the ConfigMap needs a metadata.name, which must be text",
    ),
    "a date": (
        resource(f"{CONFIG_MAP}data: {{day: 2026-01-01}}\n"),
        "kustomize itself prints it without quotes",
        [{**read()[0], "data": {"day": "2026-01-01"}}],
    ),
    "a value that JSON cannot have": (
        resource(f"{CONFIG_MAP}data: {{a: !!set {{b, c}}}}\n"),
        "kustomize takes a set for a mapping",
        f"{BEGINS}a resource has a value that cannot be written as JSON: Object of type set is not JSON serializable",
    ),
    "resources that are not YAML": (resource("a: [b"), SAME, "k/r.yaml cannot be read: while parsing a flow sequence"),
    "one object twice": (
        resource(f"{CONFIG_MAP}---\n{CONFIG_MAP}"),
        SAME,
        f"{BEGINS}there is more than one ConfigMap x in namespace default: remove or rename one",
    ),
    "a generated ConfigMap that is a resource too": (
        {"k/kustomization.yaml": "resources: [r.yaml]\n" + generated("literals: [b=c]"), "k/r.yaml": CONFIG_MAP.replace("x", "a")},
        SAME,
        f"{BEGINS}there is more than one ConfigMap a in namespace default: remove or rename one",
    ),
    "two objects that a namespace makes one": (
        resource(f"{CONFIG_MAP}---\n{CONFIG_MAP.replace('x}', 'x, namespace: other}')}", "namespace: team\n"),
        SAME,
        f"{BEGINS}there is more than one ConfigMap x in namespace team: remove or rename one",
    ),
    "an object of the cluster": (resource(ROLE), SAME, [yaml.safe_load(ROLE)]),
    "an object of the cluster, with a namespace": (
        resource(ROLE, "namespace: team\n"),
        "kustomize leaves it as it is",
        f"{BEGINS}namespace: resources of kind ClusterRole are not understood here with it: kubectl kustomize k | mintaka apply -",
    ),
    "resources that are a number": (
        {"k/kustomization.yaml": "resources: [3]"},
        SAME,
        f"{BEGINS}resources must be a list of texts, and 3 is not text: put it in quotes",
    ),
    "a URL": (
        {"k/kustomization.yaml": "resources: ['https://example.com/r.yaml']"},
        "kustomize downloads it",
        f"{BEGINS}resources: https://example.com/r.yaml is a URL, which is not understood here: kubectl kustomize k | mintaka apply -",
    ),
    # -- the kustomization
    "a namespace that is a number": (resource(CONFIG_MAP, "namespace: 3\n"), SAME, f"{BEGINS}namespace must be text, not 3: put it in quotes"),
    "a kustomization that is a list": ({"k/kustomization.yaml": "[a]"}, SAME, "k/kustomization.yaml must be one object"),
    "a kustomization that is empty": ({"k/kustomization.yaml": ""}, SAME, "k/kustomization.yaml must be one object"),
    "another field": (
        resource(CONFIG_MAP, "namePrefix: p-\n"),
        "kustomize adds the prefix",
        f"{BEGINS}namePrefix is not understood here: kubectl kustomize k | mintaka apply -",
    ),
    "another kind": (
        resource(CONFIG_MAP, "kind: Foo\n"),
        SAME,
        f"{BEGINS}kind is 'Foo', not Kustomization",
    ),
    "two kustomizations in a folder": (
        {**literals("k=v"), "k/Kustomization": "resources: []"},
        SAME,
        "k has kustomization.yaml and Kustomization: keep one of them",
    ),
}  # fmt: skip

KUBECTL = shutil.which("kubectl")
#: These would download, or end in megabytes of a stack.
NOT_FOR_KUBECTL = {"a URL", "a List of itself"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which k is."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, contents: Files) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith(TO):
            path.symlink_to(content.removeprefix(TO))
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.replace("@@", str(folder)).encode())


@pytest.mark.parametrize("row", ROWS)
def test_a_kustomization_is_applied_as_kustomize_would_or_refused(folder: Path, row: str) -> None:
    contents, _, sees = ROWS[row]
    write(folder, contents)
    file = kustomizations.kustomization_of(Path("k"))
    assert file is not None
    if isinstance(sees, list):
        assert json.loads(kustomizations.render(file)) == {"apiVersion": "v1", "kind": "List", "items": sees}
        return
    with pytest.raises(BadArgument) as caught:
        kustomizations.render(file)
    assert str(caught.value).startswith(sees.replace("@@", str(folder)))


def identity(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
@pytest.mark.parametrize("row", [row for row in ROWS if row not in NOT_FOR_KUBECTL])
def test_kustomize_does_the_same_as_the_table(folder: Path, row: str) -> None:
    contents, agrees, sees = ROWS[row]
    write(folder, contents)
    done = subprocess.run([str(KUBECTL), "kustomize", "k"], capture_output=True, text=True, timeout=60, check=False)
    documents = sorted(filter(None, yaml.safe_load_all(done.stdout)), key=identity) if done.returncode == 0 else None
    expected = sorted(sees, key=identity) if isinstance(sees, list) else None
    assert (documents == expected) == (agrees == SAME), done.stderr or done.stdout


def test_the_command_line_prints_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message of the table, and an exit code; nothing is applied."""
    write(folder, files("../outer", outer="s"))
    monkeypatch.setattr(sys, "argv", ["mintaka", "apply", "k", "--dry-run"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"{FROM_A}../outer {OUTSIDE}" in err


def test_a_manifest_s_dates_are_text_as_for_kubectl(folder: Path) -> None:
    write(folder, {"r.yaml": f"{CONFIG_MAP}data: {{day: 2026-01-01, time: 2026-01-01T00:00:00Z}}\n"})
    ((_, document),) = Manifests("r.yaml").parsed()
    assert document["data"] == {"day": "2026-01-01", "time": "2026-01-01T00:00:00Z"}


def test_a_folder_that_is_nested_too_deeply_is_refused(folder: Path) -> None:
    """Before the parser builds a single object."""
    write(folder, resource("[" * 1000))
    with pytest.raises(MintakaError, match=r"^k/r.yaml is nested more than \d+ levels deep"):
        kustomizations.render(Path("k/kustomization.yaml"))
