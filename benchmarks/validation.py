"""What validating a document costs, and how libraries of CEL compare: `python benchmarks/validation.py`.

Compares those of cel-expr-python, common-expression-language and cel-python that are installed:

    tools/uv run --with common-expression-language --with cel-python python benchmarks/validation.py

Agreement is with a real API server, on the expressions of `tests/support/cel_expressions.py`. Times are processor time.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import cel_expressions
import validated_documents
from mintaka_core.resources.crds import crds
from mintaka_validation import validate_new, validate_update

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 2000
_REFUSED = {"error", "invalid"}
_FEW = 30


def main() -> None:
    """Print both."""
    print(json.dumps({"microseconds": validation_times()}, indent=2))
    for name, library in LIBRARIES.items():
        module, _, package = name.partition(" of ")
        if _is_installed(module):
            print(package, json.dumps(library_figures(module, library())))


def validation_times() -> dict[str, float]:
    """Processor time per document, and of the first one."""
    run = validated_documents.run("r", deployment="d", parameters={"x": 1, "days": list(range(20))}, tags=["a"])
    everything = validated_documents.ACCEPTED["a template with everything"]
    scheduled = validated_documents.ACCEPTED["schedules"]
    first = microseconds(lambda: validate_new("FlowRun", run), 1)
    stored = validate_new("FlowRun", run)
    changed = stored | {"metadata": stored["metadata"] | {"resourceVersion": "1"}, "spec": stored["spec"] | {"reruns": 1}}
    return {
        "the first document of a process": first,
        "a usual FlowRun": microseconds(lambda: validate_new("FlowRun", run)),
        "its update": microseconds(lambda: validate_update("FlowRun", stored, changed)),
        "a FlowRun with a template that uses every field": microseconds(lambda: validate_new("FlowRun", everything)),
        "a FlowDeployment with three schedules": microseconds(lambda: validate_new("FlowDeployment", scheduled)),
    }


def microseconds(call: Callable[[], Any], rounds: int = _ROUNDS) -> float:
    """Processor time of one call."""
    start = time.process_time()
    for _ in range(rounds):
        call()
    return round((time.process_time() - start) / rounds * 1e6, 1)


type Compile = Callable[[str], Callable[[dict[str, Any]], Any]]


def library_figures(module: str, compile_expression: Compile) -> dict[str, Any]:
    """Agreement, and times per expression."""
    answers = cel_expressions.recorded()
    agreed = sum(_agrees(compile_expression, expression, expected) for expression, (expected, _) in answers.items())
    rules = sorted({rule["rule"] for definition in crds().values() for rule in _rules(definition)})
    usual = "has(self.deployment) != has(self.template)"
    evaluate = compile_expression(usual)
    spec = {"deployment": "d", "parameters": {"x": 1, "days": list(range(20))}, "tags": ["a"], "reruns": 0}
    script = f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return {
        "agreement": f"{agreed} of {len(answers)}",
        "import_ms": round(float(imported) * 1e3, 1),
        "compile_a_rule_us": round(microseconds(lambda: [compile_expression(rule) for rule in rules], _FEW) / len(rules), 1),
        "evaluate_us": microseconds(lambda: evaluate({"self": spec})),
    }


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _agrees(compile_expression: Compile, expression: str, expected: str) -> bool:
    try:
        found = compile_expression(expression)({"self": cel_expressions.VALUE})
    except Exception:  # noqa: BLE001 - libraries raise exceptions of any type; each counts as a refusal
        return expected in _REFUSED
    return str(found).lower() == expected if isinstance(found, bool) else expected in _REFUSED


def _rules(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [rule for part in schema for rule in _rules(part)]
    if not isinstance(schema, dict):
        return []
    return [*schema.get("x-kubernetes-validations", []), *(rule for part in schema.values() for rule in _rules(part))]


def _google() -> Compile:
    from cel_expr_python import cel  # noqa: PLC0415 - each library only if it is installed
    from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415

    variables = {"self": cel.Type("dyn"), "oldSelf": cel.Type("dyn")}
    environment = cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings(version=2), ext_optional.ExtOptional()])

    def compile_expression(expression: str) -> Callable[[dict[str, Any]], Any]:
        program = environment.compile(expression)
        return lambda values: program.eval(data=values).plain_value()

    return compile_expression


def _rust() -> Compile:
    import cel  # noqa: PLC0415
    from cel.stdlib import add_stdlib_to_context  # noqa: PLC0415

    def compile_expression(expression: str) -> Callable[[dict[str, Any]], Any]:
        program = cel.compile(expression)

        def evaluate(values: dict[str, Any]) -> Any:
            context = cel.Context(values)
            add_stdlib_to_context(context)
            return program.execute(context)

        return evaluate

    return compile_expression


def _pure() -> Compile:
    import celpy  # noqa: PLC0415

    environment = celpy.Environment()

    def compile_expression(expression: str) -> Callable[[dict[str, Any]], Any]:
        program = environment.program(environment.compile(expression))

        def evaluate(values: dict[str, Any]) -> Any:
            found = program.evaluate({name: celpy.json_to_cel(value) for name, value in values.items()})
            return bool(found) if isinstance(found, celpy.celtypes.BoolType) else found

        return evaluate

    return compile_expression


LIBRARIES: dict[str, Callable[[], Compile]] = {
    "cel_expr_python.cel of cel-expr-python": _google,
    "cel of common-expression-language": _rust,
    "celpy of cel-python": _pure,
}

if __name__ == "__main__":
    main()
